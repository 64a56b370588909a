//! A server of this run: a child process in its own process group.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::time::sleep;

pub(crate) struct Process {
    /// The folder of the log, and of the id while it runs.
    run: PathBuf,
    name: String,
    child: Mutex<Option<Child>>,
}

impl Process {
    /// One that does not run yet. Its log and its id are files in this folder.
    pub(crate) fn new(run: &Path, name: impl Into<String>) -> Self {
        Self {
            run: run.to_owned(),
            name: name.into(),
            child: Mutex::new(None),
        }
    }

    pub(crate) fn start(&self, mut command: Command) {
        let path = self.file("log");
        let log = || {
            let file = File::options().create(true).append(true).open(&path);
            file.unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        fs::write(self.file("pid"), child.id().to_string()).expect("a pid file");
        *self.child.lock().expect("no panic") = Some(child);
    }

    /// Waits until this URL is answered so.
    pub(crate) async fn ready(
        &self,
        url: &str,
        patience: Duration,
        is_ready: impl Fn(StatusCode) -> bool,
    ) {
        let client = reqwest::Client::new();
        let started = Instant::now();
        loop {
            let request = client.get(url).timeout(Duration::from_secs(5));
            match request.send().await {
                Ok(answer) if is_ready(answer.status()) => return,
                _ if self.has_ended() => panic!("{} ended: {}", self.name, self.end_of_log()),
                other if started.elapsed() > patience => {
                    let log = self.end_of_log();
                    panic!("{} does not answer: {other:?} {log}", self.name)
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
        self.run.join(format!("{}.{extension}", self.name))
    }

    /// Returns the server's last output.
    pub(crate) fn end_of_log(&self) -> String {
        match fs::read_to_string(self.file("log")) {
            Err(error) => error.to_string(),
            Ok(text) => {
                let lines: Vec<_> = text.lines().collect();
                lines[lines.len().saturating_sub(20)..].join("\n")
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
