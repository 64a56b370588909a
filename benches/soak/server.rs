//! The token endpoint and the API: a separate process, so that its memory is not
//! counted. It is controlled through standard input.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;
use tower_bearer::testing::TokenServer;

const VARIABLE: &str = "TOWER_BEARER_SOAK_SERVER";
pub(crate) const LIFETIME: Duration = Duration::from_secs(5);
/// Users besides the first one, named `user-0` and so on.
pub(crate) const USERS: u64 = 200;
pub(crate) const PASSWORD: &str = "pw";

/// The server, as its parent has it.
pub(crate) struct Server {
    child: Child,
    input: ChildStdin,
    pub(crate) token_url: String,
    pub(crate) api_url: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        let this = std::env::current_exe().expect("this program");
        let mut child = Command::new(this)
            .env(VARIABLE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut line = || lines.next().expect("a line").expect("text");
        let (token_url, api_url) = (line(), line());
        let input = child.stdin.take().expect("piped");
        Self {
            child,
            input,
            token_url,
            api_url,
        }
    }

    /// Revokes all access tokens.
    pub(crate) fn revoke(&mut self) {
        self.say("revoke");
    }

    /// Lets the token endpoint refuse connections, or take them again.
    pub(crate) fn up(&mut self, up: bool) {
        self.say(if up { "up" } else { "down" });
    }

    fn say(&mut self, what: &str) {
        writeln!(self.input, "{what}").expect("the server is there");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the server if this process is one.
pub(crate) fn run_if_started() -> bool {
    if std::env::var_os(VARIABLE).is_none() {
        return false;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(serve());
    true
}

async fn serve() {
    let mut server = TokenServer::builder()
        .access_token_lifetime(LIFETIME)
        .delay(Duration::from_millis(20))
        .user("me", PASSWORD);
    for user in 0..USERS {
        server = server.user(format!("user-{user}"), PASSWORD);
    }
    let server = server.start().await.expect("a server");
    let behind = server.api_url().trim_start_matches("http://");
    let behind: SocketAddr = behind.parse().expect("an address");
    let mut listening = Some(listen("127.0.0.1:0".parse().expect("an address"), behind).await);
    let address = listening.as_ref().expect("it listens").0;
    println!("http://{address}/token");
    println!("{}", server.api_url());
    let (send, mut lines) = unbounded_channel();
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines().map_while(Result::ok);
        lines.for_each(|line| drop(send.send(line)));
    });
    while let Some(line) = lines.recv().await {
        match line.as_str() {
            "revoke" => server.revoke_access_tokens(),
            "down" => {
                if let Some((_, task)) = listening.take() {
                    task.abort();
                    let _ = task.await;
                }
            }
            _ if listening.is_none() => listening = Some(listen(address, behind).await),
            _ => {}
        }
    }
}

/// Forwards connections to the token endpoint. Accepted connections continue when
/// the task has ended.
async fn listen(at: SocketAddr, to: SocketAddr) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(at).await.expect("the port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        while let Ok((mut outside, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Ok(mut inside) = TcpStream::connect(to).await {
                    let _ = copy_bidirectional(&mut outside, &mut inside).await;
                }
            });
        }
    });
    (address, task)
}
