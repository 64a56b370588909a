//! A Keycloak of the run's own: a child process in a process group of its own.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::time::sleep;

/// Who sets realms up. The password is one of the marks that no log may hold.
pub(crate) const ADMIN: (&str, &str) = ("admin", "markadmin");

/// How long a start may take; it is 10 to 20 s where nothing else runs.
const START: Duration = Duration::from_secs(300);

pub(crate) struct Keycloak {
    pub(crate) version: String,
    home: PathBuf,
    /// The certificate, the database and the log.
    run: PathBuf,
    port: u16,
    child: Mutex<Option<Child>>,
}

impl Keycloak {
    /// Reads where the distributions are. `tests/keycloak/run` sets it.
    pub(crate) fn all() -> Result<Vec<Self>, String> {
        let variable = |name: &str| {
            std::env::var(name).map_err(|_| {
                format!("{name} is not set: start this test by `bash tests/keycloak/run`")
            })
        };
        let run = PathBuf::from(variable("TOWER_BEARER_KEYCLOAK_RUN")?);
        let homes = variable("TOWER_BEARER_KEYCLOAK")?;
        let keycloak = |home: &str| {
            let home = PathBuf::from(home);
            let name = home.file_name().unwrap_or_default().to_string_lossy();
            let version = name.trim_start_matches("keycloak-").to_owned();
            if !home.join("bin/kc.sh").is_file() {
                return Err(format!("there is no Keycloak in {}", home.display()));
            }
            Ok(Self {
                port: free_port().map_err(|e| format!("no free port: {e}"))?,
                version,
                home,
                run: run.clone(),
                child: Mutex::new(None),
            })
        };
        homes.split(':').map(keycloak).collect()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The server's address, without a slash at the end.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// A file that the run has made, such as a certificate.
    pub(crate) fn paper(&self, name: &str) -> String {
        fs::read_to_string(self.run.join(name)).expect("the run made it")
    }

    /// Starts the server and waits until it answers.
    pub(crate) async fn start(&self) {
        self.launch();
        self.ready().await;
    }

    /// Starts the server and waits for nothing.
    pub(crate) fn launch(&self) {
        let (port, run) = (self.port, self.run.display());
        let log = |mode: &str| {
            let path = self.file("log");
            File::options()
                .create(true)
                .append(true)
                .open(&path)
                .unwrap_or_else(|e| panic!("{mode} {}: {e}", path.display()))
        };
        let database = self.file("database").display().to_string();
        let database = format!("jdbc:h2:file:{database};NON_KEYWORDS=VALUE;DB_CLOSE_ON_EXIT=FALSE");
        let child = Command::new(self.home.join("bin/kc.sh"))
            .args(["start", "--optimized", "--http-enabled=false"])
            .arg("--http-host=127.0.0.1")
            .arg(format!("--https-port={port}"))
            .arg(format!("--hostname={}", self.url()))
            .arg(format!("--https-certificate-file={run}/localhost.pem"))
            .arg(format!("--https-certificate-key-file={run}/localhost.key"))
            .arg(format!("--truststore-paths={run}/ca.pem"))
            .env("KC_DB_URL", database)
            .env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN.0)
            .env("KC_BOOTSTRAP_ADMIN_PASSWORD", ADMIN.1)
            .env("JAVA_OPTS_KC_HEAP", "-Xms256m -Xmx768m")
            .stdin(Stdio::null())
            .stdout(log("write"))
            .stderr(log("write"))
            .process_group(0)
            .spawn()
            .expect("kc.sh can be started");
        fs::write(self.file("pid"), child.id().to_string()).expect("a pid file");
        *self.child.lock().expect("no panic") = Some(child);
    }

    /// Waits until the server answers.
    pub(crate) async fn ready(&self) {
        let client = reqwest::Client::new();
        let url = format!("{}/realms/master", self.url());
        let started = Instant::now();
        loop {
            let request = client.get(&url).timeout(Duration::from_secs(5));
            match request.send().await {
                Ok(answer) if answer.status().is_success() => return,
                _ if self.has_ended() => panic!("Keycloak ended: {}", self.end_of_log()),
                other if started.elapsed() > START => {
                    panic!("Keycloak does not answer: {other:?} {}", self.end_of_log())
                }
                _ => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Ends the server as a power cut would.
    pub(crate) fn kill(&self) {
        let child = self.child.lock().expect("no panic").take();
        if let Some(mut child) = child {
            let group = format!("-{}", child.id());
            let mut kill = Command::new("kill");
            let _ = kill
                .args(["-KILL", "--", &group])
                .stderr(Stdio::null())
                .status();
            let _ = child.wait();
            let _ = fs::remove_file(self.file("pid"));
        }
    }

    fn has_ended(&self) -> bool {
        let mut child = self.child.lock().expect("no panic");
        child
            .as_mut()
            .is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    fn file(&self, extension: &str) -> PathBuf {
        let name = format!("keycloak-{}.{extension}", self.version);
        self.run.join(name)
    }

    /// What the server wrote last.
    fn end_of_log(&self) -> String {
        end_of(&self.file("log")).unwrap_or_else(|e| e.to_string())
    }
}

impl Drop for Keycloak {
    fn drop(&mut self) {
        self.kill();
    }
}

fn end_of(path: &Path) -> io::Result<String> {
    let text = fs::read_to_string(path)?;
    let lines: Vec<_> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(20)..].join("\n"))
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
