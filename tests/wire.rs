//! The form is, byte for byte, what curl and Python send.
//!
//! The first tests compare with recorded requests of curl 7.88.1 and Python 3.11.
//! The last one runs both, and needs them: `cargo test --test wire -- --ignored`.

mod support;

use std::process::Command;

use tower_bearer::{PasswordGrant, TokenSource};

use support::{Log, RawServer, TOKEN, answer, endpoint, raw};

const USERNAME: &str = "your@email.com";

/// Passwords, and how curl (`--data-urlencode`) and Python
/// (`urllib.parse.urlencode`) wrote them.
const RECORDED: [(&str, &str); 14] = [
    ("plain", "plain"),
    ("a b", "a+b"),
    ("a+b", "a%2Bb"),
    ("a&b=c", "a%26b%3Dc"),
    ("100%", "100%25"),
    ("%20", "%2520"),
    ("\"q'", "%22q%27"),
    ("~*", "~%2A"),
    ("-._~", "-._~"),
    ("@file", "%40file"),
    (
        "!$()',/:;=?@[]\\^`{|}<>#",
        "%21%24%28%29%27%2C%2F%3A%3B%3D%3F%40%5B%5D%5C%5E%60%7B%7C%7D%3C%3E%23",
    ),
    ("pä€🔑", "p%C3%A4%E2%82%AC%F0%9F%94%91"),
    ("e\u{301}", "e%CC%81"),
    ("t\tn\nr\r", "t%09n%0Ar%0D"),
];

fn recorded() -> impl Iterator<Item = (&'static str, String)> {
    RECORDED.into_iter().map(|(password, written)| {
        let body = format!(
            "client_id=api&username=your%40email.com&password={written}&grant_type=password"
        );
        (password, body)
    })
}

async fn through_a_service(password: &str) -> String {
    let log = Log::default();
    let service = endpoint(&log, |_| answer(200, &[], TOKEN));
    let grant = PasswordGrant::voipex(USERNAME, password).transport(service);
    grant.fetch().await.expect("a token");
    let received = log.all().remove(0);
    assert_eq!(received.uri, "https://auth.voipex.io/token");
    received.body
}

#[tokio::test]
async fn a_service_gets_the_bytes_that_curl_and_python_sent() {
    for (password, body) in recorded() {
        assert_eq!(through_a_service(password).await, body, "{password:?}");
    }
}

#[cfg(feature = "reqwest")]
async fn through_the_default_transport(password: &str) -> (String, String) {
    let server = RawServer::start(vec![raw("200 OK", "", TOKEN)]);
    let grant = PasswordGrant::new(server.url(), "api", USERNAME, password).expect("valid");
    grant.fetch().await.expect("a token");
    server.received().remove(0)
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn the_default_transport_sends_the_bytes_that_curl_and_python_sent() {
    for (password, body) in recorded() {
        let (head, sent) = through_the_default_transport(password).await;
        assert_eq!(sent, body, "{password:?}");
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("post /token http/1.1\r\n"), "{head}");
        for line in [
            "content-type: application/x-www-form-urlencoded",
            &format!("content-length: {}", body.len()),
            concat!("user-agent: tower-bearer/", env!("CARGO_PKG_VERSION")),
        ] {
            assert!(head.lines().any(|l| l == line), "{line}: {head}");
        }
    }
}

#[tokio::test]
#[ignore = "needs curl and python3"]
async fn curl_and_python_send_what_the_grant_sends() {
    for (password, body) in recorded() {
        let tools = [
            ("curl", sent_by(|url| curl(url, password))),
            ("python3", sent_by(|url| python(url, password))),
        ];
        for (tool, sent) in tools {
            assert_eq!(sent, body, "{tool} and the recorded bytes, {password:?}");
        }
        assert_eq!(through_a_service(password).await, body, "{password:?}");
        #[cfg(feature = "reqwest")]
        assert_eq!(through_the_default_transport(password).await.1, body);
    }
}

/// The body that a tool posts to this URL.
fn sent_by(tool: impl FnOnce(&str) -> Command) -> String {
    let server = RawServer::start(vec![raw("200 OK", "", TOKEN)]);
    let mut command = tool(&server.url());
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("this test needs {:?}: {e}", command.get_program()));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    let (head, body) = server.received().remove(0);
    let kind = "content-type: application/x-www-form-urlencoded";
    assert!(head.to_ascii_lowercase().contains(kind), "{head}");
    body
}

/// The documented command.
fn curl(url: &str, password: &str) -> Command {
    let mut curl = Command::new("curl");
    // Without the settings of the user, and without a proxy.
    curl.args(["-q", "-sS", "--noproxy", "*", "--max-time", "20"]);
    curl.args(["-L", "-X", "POST", url]);
    for param in [
        "client_id=api",
        &format!("username={USERNAME}"),
        &format!("password={password}"),
        "grant_type=password",
    ] {
        curl.args(["--data-urlencode", param]);
    }
    curl
}

/// The documented program, with the form made by `urlencode`.
fn python(url: &str, password: &str) -> Command {
    const PROGRAM: &str = r#"
import http.client, sys, urllib.parse
url, username, password = sys.argv[1:]
url = urllib.parse.urlsplit(url)
payload = urllib.parse.urlencode([
    ("client_id", "api"), ("username", username),
    ("password", password), ("grant_type", "password")])
connection = http.client.HTTPConnection(url.netloc, timeout=20)
headers = {"Content-Type": "application/x-www-form-urlencoded"}
connection.request("POST", url.path, payload, headers)
sys.exit(connection.getresponse().status != 200)
"#;
    let mut python = Command::new("python3");
    // Arguments are UTF-8 here, whatever the locale says.
    python.args(["-I", "-X", "utf8", "-c", PROGRAM, url, USERNAME, password]);
    python
}
