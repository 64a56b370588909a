//! A Redis server of this bench, ended by its process id.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Redis {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let folder =
            std::env::temp_dir().join(format!("tower-bearer-fleet-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let named = std::env::var("TOWER_BEARER_REDIS_SERVER").ok();
        let names = named.map_or(vec!["redis-server".into(), "valkey-server".into()], |it| {
            vec![it]
        });
        let start = |name: &String| {
            Command::new(name)
                .args([
                    "--bind",
                    "127.0.0.1",
                    "--port",
                    &port.to_string(),
                    "--save",
                    "",
                ])
                .arg("--dir")
                .arg(&folder)
                .stdout(Stdio::null())
                .spawn()
                .ok()
        };
        let child = names.iter().find_map(start);
        let child = child.expect("a redis-server: `bash tests/redis/run` installs one");
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self {
            child,
            folder,
            port,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A folder that is removed with the server.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
