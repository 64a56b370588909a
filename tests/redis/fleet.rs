//! A fleet of real processes, and a token endpoint that counts their requests.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower_bearer::testing::{Counts, TokenServer};

use crate::member::{self, Report, Setup};

const PROGRAM: &str = "TOWER_BEARER_FLEET";
pub(crate) const SIZE: usize = 6;
pub(crate) const LEASE: Duration = Duration::from_secs(2);

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Returns a server whose refresh tokens can be used once, and whose access tokens live a
/// few seconds.
pub(crate) async fn token_server() -> TokenServer {
    let server = TokenServer::builder()
        .rotate_refresh_tokens(true)
        .access_token_lifetime(secs(8))
        .delay(Duration::from_millis(300));
    server.start().await.expect("a server")
}

pub(crate) fn setup(server: &TokenServer, redis: String, span: Duration) -> Setup {
    Setup {
        redis,
        prefix: "fleet".to_owned(),
        key: "VGhpcyBpcyBhbiBleGFtcGxlLCBub3QgYSBzZWNyZXQ=".to_owned(),
        token_url: server.token_url().to_owned(),
        api_url: server.api_url().to_owned(),
        username: server.username().to_owned(),
        password: server.password(),
        start_after: Duration::ZERO,
        span,
        rest: Duration::from_millis(50),
        lease: LEASE,
        store_timeout: Duration::from_millis(500),
        ahead: 0,
    }
}

pub(crate) struct Fleet {
    members: Vec<Member>,
}

/// A process of the fleet, which ends when the handle is dropped.
pub(crate) struct Member {
    child: Child,
    ready: Arc<AtomicBool>,
    is_fetching: Arc<AtomicBool>,
    report: Arc<Mutex<Option<Report>>>,
    reader: Option<JoinHandle<()>>,
}

impl Fleet {
    /// Starts the processes, which all begin at the same time.
    pub(crate) async fn start(setups: impl IntoIterator<Item = Setup>) -> Self {
        let mut members: Vec<_> = setups.into_iter().map(Member::start).collect();
        let deadline = Instant::now() + secs(60);
        while !members.iter().all(|it| it.ready.load(Ordering::SeqCst)) {
            assert!(Instant::now() < deadline, "a process does not start");
            sleep(Duration::from_millis(10)).await;
        }
        for member in &mut members {
            let input = member.child.stdin.as_mut().expect("piped");
            input.write_all(b"\n").expect("written");
        }
        Self { members }
    }

    /// Waits until a process has sent a token request that has no response yet.
    pub(crate) async fn holder(&mut self) -> &mut Member {
        let deadline = Instant::now() + secs(30);
        loop {
            let is_fetching = |member: &Member| member.is_fetching.load(Ordering::SeqCst);
            if let Some(n) = self.members.iter().position(is_fetching) {
                return &mut self.members[n];
            }
            assert!(Instant::now() < deadline, "no process requests a token");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until all have ended, and adds up the reports of those that were not
    /// killed.
    pub(crate) async fn report(mut self) -> Report {
        let mut all = Report::default();
        for member in &mut self.members {
            while member.child.try_wait().expect("a child").is_none() {
                sleep(Duration::from_millis(50)).await;
            }
            let reader = member.reader.take().expect("one reader");
            reader.join().expect("no panic");
            let report = member.report.lock().expect("no panic").take();
            match (report, member.child.wait().expect("a child").success()) {
                (Some(report), true) => all.add(report),
                (None, false) => println!("one was killed"),
                (report, ok) => panic!("{report:?} {ok}"),
            }
        }
        all
    }
}

impl Member {
    fn start(setup: Setup) -> Self {
        let program = std::env::var_os(PROGRAM)
            .unwrap_or_else(|| panic!("no {PROGRAM} is set: run `bash tests/redis/run`"));
        let setup = serde_json::to_string(&setup).expect("JSON");
        let mut child = Command::new(program)
            .env(member::VARIABLE, setup)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (ready, is_fetching) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let report = Arc::new(Mutex::new(None));
        let (set_ready, set_fetching, reported) =
            (ready.clone(), is_fetching.clone(), report.clone());
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                match line.as_str() {
                    member::READY => set_ready.store(true, Ordering::SeqCst),
                    member::ASKS => set_fetching.store(true, Ordering::SeqCst),
                    member::ANSWERED => set_fetching.store(false, Ordering::SeqCst),
                    line => {
                        let report = serde_json::from_str(line).expect("a report");
                        *reported.lock().expect("no panic") = Some(report);
                    }
                }
            }
            set_fetching.store(false, Ordering::SeqCst);
        });
        Self {
            child,
            ready,
            is_fetching,
            report,
            reader: Some(reader),
        }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("killed");
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([name, &id]).status();
        assert!(status.expect("kill runs").success());
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
    assert!(report.requests > 500, "no load: {}", report.requests);
}
