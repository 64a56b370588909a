//! A Keycloak of this run: a child process in its own process group.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use http::StatusCode;

use crate::process::{Process, free_port};

/// The administrator who sets realms up. The password is one of the marks that no
/// log may contain.
pub(crate) const ADMIN: (&str, &str) = ("admin", "markadmin");

/// How long a start may take; 10 to 20 s on an idle machine.
const START: Duration = Duration::from_secs(300);

pub(crate) struct Keycloak {
    pub(crate) version: String,
    home: PathBuf,
    /// The certificate, the database and the log.
    run: PathBuf,
    port: u16,
    process: Process,
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
                process: Process::new(&run, format!("keycloak-{version}")),
                version,
                home,
                run: run.clone(),
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
        let database = self.file("database").display().to_string();
        let database = format!("jdbc:h2:file:{database};NON_KEYWORDS=VALUE;DB_CLOSE_ON_EXIT=FALSE");
        let mut command = Command::new(self.home.join("bin/kc.sh"));
        command
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
            .env("JAVA_OPTS_KC_HEAP", "-Xms256m -Xmx768m");
        self.process.start(command);
    }

    /// Waits until the server answers.
    pub(crate) async fn ready(&self) {
        let url = format!("{}/realms/master", self.url());
        let is_ready = |status: StatusCode| status.is_success();
        self.process.ready(&url, START, is_ready).await;
    }

    /// Ends the server as a power cut would.
    pub(crate) fn kill(&self) {
        self.process.kill();
    }

    fn file(&self, extension: &str) -> PathBuf {
        let name = format!("keycloak-{}.{extension}", self.version);
        self.run.join(name)
    }
}
