//! Redis servers, each with its own folder, and ended by its process id.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, FromRedisValue};
use tokio::time::{Instant, sleep};
use tower_bearer::store::{RedisStore, RedisStoreBuilder, StoreKey};

const VARIABLE: &str = "TOWER_BEARER_REDIS_SERVER";

pub(crate) struct Server {
    child: Option<Child>,
    folder: PathBuf,
    port: u16,
    config: String,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with("save \"\"\nappendonly no\n").await
    }

    /// Starts a server with these lines in its configuration.
    pub(crate) async fn with(config: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tower-bearer-redis-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let mut server = Self {
            child: None,
            folder,
            port: free_port(),
            config: config.to_owned(),
        };
        server.restart().await;
        server
    }

    /// Starts the server again, on the same port and with what it saved.
    pub(crate) async fn restart(&mut self) {
        let path = std::env::var_os(VARIABLE)
            .unwrap_or_else(|| panic!("no {VARIABLE} is set: run `bash tests/redis/run`"));
        let port = if self.config.contains("tls-port") {
            0
        } else {
            self.port
        };
        let config = format!(
            "bind 127.0.0.1\nport {port}\ndir {}\nlogfile redis.log\n{}",
            self.folder.display(),
            self.config.replace("PORT", &self.port.to_string()),
        );
        let file = self.folder.join("redis.conf");
        fs::write(&file, config).expect("a configuration");
        let sentinel = self.config.contains("sentinel monitor");
        let child = Command::new(path)
            .arg(file)
            .args(sentinel.then_some("--sentinel"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("redis-server starts"));
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not listen");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills the server, as a power failure does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("gone");
        }
    }

    /// Stops the server, or lets it continue.
    pub(crate) fn stand_still(&self, still: bool) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        let signal = if still { "-STOP" } else { "-CONT" };
        let status = Command::new("kill").args([signal, &id]).status();
        assert!(status.expect("kill runs").success());
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn builder(&self) -> RedisStoreBuilder {
        RedisStore::builder(self.url()).key(key(1))
    }

    pub(crate) fn store(&self) -> RedisStore {
        self.builder().build().expect("a store")
    }

    pub(crate) async fn connection(&self) -> MultiplexedConnection {
        let client = Client::open(self.url()).expect("a client");
        let connection = client.get_multiplexed_async_connection().await;
        connection.expect("a connection")
    }

    /// Sends a command, given as words, and returns the response.
    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &str) -> T {
        let mut command = Cmd::new();
        for word in words.split(' ') {
            command.arg(word);
        }
        self.run(&command).await
    }

    pub(crate) async fn run<T: FromRedisValue>(&self, command: &Cmd) -> T {
        let answer = command.query_async(&mut self.connection().await).await;
        answer.expect("an answer")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn key(byte: u8) -> StoreKey {
    StoreKey::from_bytes([byte; 32])
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Checks again and again until the condition holds.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so().await {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}
