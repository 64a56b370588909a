//! Many processes with one account, and one token request for all of them:
//!
//! ```sh
//! REDIS_URL=redis://127.0.0.1:6379 cargo run --features redis --example fleet
//! ```
//!
//! Starts the embedded server, whose refresh tokens can be used once, and processes
//! of itself that call its API for a while with tokens of ten seconds. `-- 10 30`
//! starts 10 processes for 30 seconds.

mod member;

use std::process::{ExitCode, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tower::BoxError;
use tower_bearer::testing::TokenServer;

use member::{Report, Setup};

/// Only for show: generate one with `openssl rand -base64 32`, and keep it in a
/// secret store.
const KEY: &str = "VGhpcyBpcyBhbiBleGFtcGxlLCBub3QgYSBzZWNyZXQ=";

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    if let Some(setup) = member::setup() {
        member::run(setup).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let Ok(redis) = std::env::var("REDIS_URL") else {
        eprintln!("missing: REDIS_URL, redis://127.0.0.1:6379 for one");
        return Ok(ExitCode::from(2));
    };
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |text| text.parse());
    let (processes, seconds) = (number(50)?, number(30)?);

    let server = TokenServer::builder()
        .rotate_refresh_tokens(true)
        .access_token_lifetime(Duration::from_secs(10))
        .delay(Duration::from_millis(100))
        .start()
        .await?;
    let setup = Setup {
        redis,
        // Shares nothing with an earlier run, whose server is gone.
        prefix: format!(
            "fleet-{}",
            SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos()
        ),
        key: KEY.to_owned(),
        token_url: server.token_url().to_owned(),
        api_url: server.api_url().to_owned(),
        username: server.username().to_owned(),
        password: server.password(),
        start_after: Duration::ZERO,
        span: Duration::from_secs(seconds),
        rest: Duration::from_millis(100),
        lease: Duration::from_secs(10),
        // Far longer than Redis takes: fifty processes that start at once on a small
        // machine wait for the machine.
        store_timeout: Duration::from_secs(1),
        ahead: 0,
    };
    let members: Vec<_> = (0..processes)
        .map(|_| Member::start(&setup))
        .collect::<Result<_, _>>()?;
    let mut ready = Vec::new();
    for mut member in members {
        member.next_line().await?; // that it is ready
        ready.push(member);
    }
    for member in &mut ready {
        member.go().await?;
    }
    let mut all = Report::default();
    for member in ready {
        all.add(member.report().await?);
    }

    let counts = server.counts();
    println!(
        "logins: {}  refreshes: {}  refresh tokens sent twice: {}  sessions: {}",
        counts.password_grants,
        counts.refresh_grants,
        counts.refresh_token_reuses,
        counts.open_sessions,
    );
    for (error, count) in &all.errors {
        println!("{count} times: {error}");
    }
    println!(
        "processes: {processes}  renewals: {}  token requests: {}  requests: {}  failed: {}",
        all.tokens.len(),
        counts.token_requests,
        all.requests,
        all.failed,
    );
    Ok(match all.failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

struct Member {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Member {
    fn start(setup: &Setup) -> Result<Self, BoxError> {
        let mut child = Command::new(std::env::current_exe()?)
            .env(member::VARIABLE, serde_json::to_string(setup)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self {
            input: child.stdin.take().ok_or("no input")?,
            output: BufReader::new(child.stdout.take().ok_or("no output")?).lines(),
            _child: child,
        })
    }

    async fn next_line(&mut self) -> Result<String, BoxError> {
        let line = self.output.next_line().await?;
        line.ok_or_else(|| "a process ended without a report".into())
    }

    async fn go(&mut self) -> Result<(), BoxError> {
        Ok(self.input.write_all(b"\n").await?)
    }

    /// Returns the member's last line; the ones before report its token requests.
    async fn report(mut self) -> Result<Report, BoxError> {
        loop {
            let line = self.next_line().await?;
            if line.starts_with('{') {
                return Ok(serde_json::from_str(&line)?);
            }
        }
    }
}
