//! A fleet of processes, and a token endpoint that counts their requests.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, sleep};
use tower_bearer::testing::{Counts, TokenServer};

use crate::member::{ALONE, ANSWERED, ASKS, READY, Report, Setup, TOGETHER, VARIABLE};
use crate::place::Place;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns a server whose refresh tokens can be used once.
pub(crate) async fn token_server(lifetime: Duration, delay: Duration) -> TokenServer {
    let server = TokenServer::builder()
        .rotate_refresh_tokens(true)
        .access_token_lifetime(lifetime)
        .delay(delay);
    server.start().await.expect("a server")
}

pub(crate) fn setup(server: &TokenServer, place: &Place, span: Duration) -> Setup {
    Setup {
        folder: place.folder(),
        token_url: server.token_url().to_owned(),
        api_url: server.api_url().to_owned(),
        username: server.username().to_owned(),
        password: server.password(),
        span,
        rest: Duration::from_millis(100),
        fetch: Duration::from_secs(20),
        lease: Duration::from_secs(10),
        ahead: 0,
    }
}

/// How a process is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    /// As this user.
    pub(crate) user: Option<u32>,
    /// Without room for any file, as on a disk that is full.
    pub(crate) no_room: bool,
}

pub(crate) struct Fleet {
    pub(crate) members: Vec<Member>,
}

/// A process of the fleet, which ends when the handle is dropped.
pub(crate) struct Member {
    pub(crate) child: Child,
    seen: Arc<Mutex<Seen>>,
}

/// What a process has printed.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) ready: bool,
    pub(crate) fetching: bool,
    pub(crate) alone: bool,
    pub(crate) together_again: bool,
    report: Option<Report>,
    ended: bool,
}

impl Fleet {
    /// Starts the processes, which all begin at the same time.
    pub(crate) async fn start(setups: impl IntoIterator<Item = Setup>) -> Self {
        Self::start_with(setups, &Limits::default()).await
    }

    pub(crate) async fn start_with(
        setups: impl IntoIterator<Item = Setup>,
        limits: &Limits,
    ) -> Self {
        let members = setups.into_iter().map(|it| Member::start(&it, limits));
        let mut members: Vec<_> = members.collect();
        for member in &members {
            member.wait_for("it is ready", |seen| seen.ready).await;
        }
        for member in &mut members {
            let input = member.child.stdin.as_mut().expect("piped");
            input.write_all(b"\n").await.expect("written");
        }
        Self { members }
    }

    /// Waits until a process has sent a token request that has no answer yet.
    pub(crate) async fn holder(&mut self) -> &mut Member {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let is_fetching = |it: &Member| it.seen.lock().expect("no panic").fetching;
            if let Some(n) = self.members.iter().position(is_fetching) {
                return &mut self.members[n];
            }
            assert!(Instant::now() < deadline, "no process requests a token");
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until all have ended, and adds up the reports of those that were not
    /// killed.
    pub(crate) async fn report(self) -> Report {
        let mut all = Report::default();
        for mut member in self.members {
            let ended = member.child.wait().await.expect("a child").success();
            member.wait_for("its output ends", |seen| seen.ended).await;
            let report = member.seen.lock().expect("no panic").report.take();
            match (report, ended) {
                (Some(report), true) => all.add(report),
                (None, false) => println!("one was killed"),
                (report, ended) => panic!("{report:?} {ended}"),
            }
        }
        all
    }
}

impl Member {
    fn start(setup: &Setup, limits: &Limits) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(&program);
        if limits.no_room {
            // A soft limit, which can be taken away again.
            let script = "trap '' XFSZ; ulimit -S -f 0; exec \"$0\" \"$@\"";
            command = Command::new("sh");
            command.args(["-c", script]).arg(&program);
        }
        if let Some(user) = limits.user {
            command.uid(user);
        }
        let arguments = ["member::process", "--exact", "--ignored", "--nocapture"];
        let mut child = command
            .args(arguments)
            // Otherwise the name of the test is printed before what it prints.
            .args(["--test-threads", "2"])
            .env(VARIABLE, serde_json::to_string(setup).expect("JSON"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("this program starts");
        let output = child.stdout.take().expect("piped");
        let seen = Arc::<Mutex<Seen>>::default();
        tokio::spawn(read(output, seen.clone()));
        Self { child, seen }
    }

    pub(crate) async fn wait_for(&self, what: &str, is_so: impl Fn(&Seen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&self.seen.lock().expect("no panic")) {
            let now = Instant::now();
            assert!(now < deadline, "not {what}: {:?}", self.seen.lock());
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn id(&self) -> String {
        self.child.id().expect("it runs").to_string()
    }

    pub(crate) async fn signal(&self, name: &str) {
        run("kill", &[name, &self.id()]).await;
    }

    /// Gives it room for files again.
    pub(crate) async fn make_room(&self) {
        run("prlimit", &["--pid", &self.id(), "--fsize=unlimited:"]).await;
    }
}

async fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().await;
    assert!(
        status.expect("it runs").success(),
        "{program} {arguments:?}"
    );
}

async fn read(output: ChildStdout, seen: Arc<Mutex<Seen>>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut seen = seen.lock().expect("no panic");
        match line.as_str() {
            READY => seen.ready = true,
            ASKS => seen.fetching = true,
            ANSWERED => seen.fetching = false,
            ALONE => seen.alone = true,
            TOGETHER => seen.together_again = true,
            line if line.starts_with('{') => seen.report = serde_json::from_str(line).ok(),
            _ => {}
        }
    }
    let mut seen = seen.lock().expect("no panic");
    (seen.fetching, seen.ended) = (false, true);
}

/// Prints the numbers, and checks what must hold in every case.
pub(crate) fn nothing_failed(what: &str, report: &Report, counts: &Counts) {
    println!(
        "{what}: renewals: {}  token requests: {}  logins: {}  refreshes: {}  \
         refresh tokens sent twice: {}  requests: {}  of them without the store: {}  failed: {}",
        report.tokens.len(),
        counts.token_requests,
        counts.password_grants,
        counts.refresh_grants,
        counts.refresh_token_reuses,
        report.requests,
        report.alone,
        report.failed,
    );
    assert_eq!(report.failed, 0, "{:?}", report.errors);
    assert_eq!(counts.refresh_token_reuses, 0);
    assert_eq!(counts.refused, 0);
    assert!(report.requests > 50, "no load: {}", report.requests);
}
