//! The default transport: proxies, certificates, and connections that close during a
//! request.
//!
//! Settings from the environment are read by a separate process: a test starts its
//! binary again, with its own name and other variables.

#![cfg(feature = "reqwest")]

#[path = "../support/scrap.rs"]
mod scrap;
#[path = "../../examples/keys/tls.rs"]
mod tls;

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
#[cfg(feature = "http2")]
use tower_bearer::BoxTokenSource;
use tower_bearer::grant::{ClientAuth, ClientCredentialsGrant, RefreshTokenGrant};
use tower_bearer::testing::TokenServer;
use tower_bearer::transport::DefaultTransport;
use tower_bearer::{PasswordGrant, RefreshToken, TokenErrorKind, TokenSource, allow_plain_http};

use scrap::Scrap;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const TOKEN: &str = r#"{"access_token":"t0ken","expires_in":3000,"token_type":"Bearer"}"#;
/// A name that no resolver knows: only a proxy can reach it.
const ELSEWHERE: &str = "http://auth.tower-bearer.test/token";

/// A server that handles each connection with a function of its number, from 0, and
/// records what was sent.
struct Server {
    address: SocketAddr,
    received: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: impl Fn(usize, &mut Connection) -> io::Result<()> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let received = Arc::<Mutex<Vec<String>>>::default();
        let log = received.clone();
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let Ok(stream) = stream else { continue };
                let (answer, log) = (&answer, log.clone());
                let _ = answer(number, &mut Connection { stream, log });
            }
        });
        Self { address, received }
    }

    fn received(&self) -> Vec<String> {
        self.received.lock().expect("no panic").clone()
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

struct Connection {
    stream: TcpStream,
    log: Arc<Mutex<Vec<String>>>,
}

impl Connection {
    /// Reads a request, and adds it to what was received.
    fn request(&mut self) -> io::Result<()> {
        let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|it| it.strip_prefix("content-length: "));
                if body.len() >= length.map_or(0, |it| it.trim().parse().unwrap_or(0)) {
                    break;
                }
            }
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => bytes.extend_from_slice(&chunk[..read]),
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        self.log.lock().expect("no panic").push(text);
        Ok(())
    }

    fn answer(&mut self, status: &str, body: &str) -> io::Result<()> {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n");
        self.stream.write_all((head + body).as_bytes())
    }
}

/// A server that answers each request with a token.
fn token_server() -> Server {
    Server::start(|_, connection| {
        connection.request()?;
        connection.answer("200 OK", TOKEN)
    })
}

const CHILD: &str = "TOWER_BEARER_TEST_CHILD";

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs this test in a separate process, with these variables.
fn run_child(test: &str, variables: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1");
    for name in ["NO_PROXY", "no_proxy", "REQUEST_METHOD"] {
        command.env_remove(name);
    }
    for (name, value) in variables {
        command.env(name, value);
    }
    let output = command.output().expect("started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("1 passed"), "{said}");
}

fn client(endpoint: &str, transport: DefaultTransport) -> Result<impl TokenSource + use<>> {
    let grant = ClientCredentialsGrant::new(allow_plain_http(endpoint), "billing")?;
    Ok(grant.client_secret("s3cret").transport(transport))
}

#[tokio::test]
async fn plain_http_on_loopback_meets_no_proxy_that_the_environment_names() -> Result {
    let server = token_server();
    if is_child() {
        for host in ["127.0.0.1", "localhost"] {
            let endpoint = format!("http://{host}:{}/token", server.address.port());
            client(&endpoint, DefaultTransport::new())?.fetch().await?;
        }
        assert_eq!(server.received().len(), 2);
        // What is elsewhere does.
        client(ELSEWHERE, DefaultTransport::new())?.fetch().await?;
        let without = client(ELSEWHERE, DefaultTransport::new().no_proxy())?;
        let error = without.fetch().await.expect_err("nobody knows the name");
        assert_eq!(error.kind(), TokenErrorKind::Connect);
        return Ok(());
    }
    let proxy = token_server();
    let url = proxy.url();
    let names = [
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
        "HTTPS_PROXY",
    ];
    run_child(
        "plain_http_on_loopback_meets_no_proxy_that_the_environment_names",
        &names.map(|name| (name, url.as_str())),
    );
    let received = proxy.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert!(
        received[0].starts_with(&format!("POST {ELSEWHERE} ")),
        "{received:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_proxy_that_is_set_gets_what_is_elsewhere_and_nothing_of_loopback() -> Result {
    let (proxy, server) = (token_server(), token_server());
    let transport = DefaultTransport::new().proxy(proxy.url().replace("//", "//me:pw@"))?;
    let here = client(&format!("{}/token", server.url()), transport.clone())?;
    here.fetch().await?;
    assert_eq!((server.received().len(), proxy.received().len()), (1, 0));
    client(ELSEWHERE, transport)?.fetch().await?;
    let received = proxy.received();
    assert!(
        received[0].starts_with(&format!("POST {ELSEWHERE} ")),
        "{received:?}"
    );
    let login = received[0].to_ascii_lowercase();
    assert!(
        login.contains("proxy-authorization: basic bwu6chc="),
        "{login}"
    );
    Ok(())
}

#[tokio::test]
async fn a_407_is_a_proxys_and_no_refusal() -> Result {
    let proxy = Server::start(|_, connection| {
        connection.request()?;
        connection.answer("407 Proxy Authentication Required", "")
    });
    let transport = || DefaultTransport::new().proxy(proxy.url());
    let tunnelled = ClientCredentialsGrant::new("https://auth.tower-bearer.test/token", "billing")?;
    let issuer = tower_bearer::grant::Endpoint::issuer(allow_plain_http(ELSEWHERE))?;
    let plain = client(ELSEWHERE, transport()?)?.fetch().await;
    let tunnelled = tunnelled.transport(transport()?).fetch().await;
    let found = ClientCredentialsGrant::new(issuer, "billing")?.transport(transport()?);
    for result in [plain, tunnelled, found.fetch().await] {
        let error = result.expect_err("no token");
        assert_eq!(error.kind(), TokenErrorKind::Connect, "{error:?}");
        assert!(error.is_transient());
    }
    Ok(())
}

#[cfg(feature = "socks")]
#[tokio::test]
async fn a_socks_proxy_is_told_the_name_and_passes_the_request_on() -> Result {
    let proxy = Server::start(|_, connection| {
        let mut greeting = [0; 2];
        connection.stream.read_exact(&mut greeting)?;
        let mut methods = vec![0; usize::from(greeting[1])];
        connection.stream.read_exact(&mut methods)?;
        connection.stream.write_all(&[5, 0])?;
        let mut head = [0; 5];
        connection.stream.read_exact(&mut head)?;
        // RFC 1928, section 5: a domain name, which the proxy resolves.
        assert_eq!(head[..4], [5, 1, 0, 3]);
        let mut name = vec![0; usize::from(head[4]) + 2];
        connection.stream.read_exact(&mut name)?;
        connection
            .stream
            .write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 80])?;
        connection.request()?;
        connection.answer("200 OK", TOKEN)
    });
    let url = format!("socks5h://{}", proxy.address);
    client(ELSEWHERE, DefaultTransport::new().proxy(url)?)?
        .fetch()
        .await?;
    let received = proxy.received();
    assert!(received[0].starts_with("POST /token "), "{received:?}");
    Ok(())
}

#[tokio::test]
async fn each_version_of_http_can_be_asked_for() -> Result {
    let server = TokenServer::builder().user("me", "pw").start().await?;
    let grant = |transport| -> Result<_> {
        let grant = PasswordGrant::new(server.token_url(), server.client_id(), "me", "pw")?;
        Ok(grant.transport(transport))
    };
    grant(DefaultTransport::new().http1_only())?.fetch().await?;
    #[cfg(feature = "http2")]
    {
        grant(DefaultTransport::new().http2_only())?.fetch().await?;
        // This one speaks HTTP/1.1 alone.
        let other = token_server();
        let url = format!("{}/token", other.url());
        let grant = PasswordGrant::new(url, "api", "me", "pw")?;
        let grant = grant.transport(DefaultTransport::new().http2_only());
        assert!(grant.fetch().await.is_err());
    }
    Ok(())
}

#[tokio::test]
async fn without_certificates_plain_http_works_and_https_does_once_there_are_some() -> Result {
    if !is_child() {
        let nowhere = Scrap::new("no-authorities");
        let path = nowhere.path();
        run_child(
            "without_certificates_plain_http_works_and_https_does_once_there_are_some",
            &[("SSL_CERT_FILE", path), ("SSL_CERT_DIR", "")],
        );
        return Ok(());
    }
    let authorities = PathBuf::from(std::env::var("SSL_CERT_FILE")?);
    let server = token_server();
    client(&format!("{}/token", server.url()), DefaultTransport::new())?
        .fetch()
        .await?;
    let proxied = DefaultTransport::new().proxy(server.url())?;
    client(ELSEWHERE, proxied)?.fetch().await?;

    let server = TokenServer::builder().client_certificate().in_process();
    let (address, papers) = tls::serve(server.service()).await?;
    let endpoint = format!("https://localhost:{}/token", address.port());
    let transport = || DefaultTransport::new().no_proxy();
    let grant_through = |transport| -> Result<_> {
        Ok(ClientCredentialsGrant::new(&endpoint, "api")?
            .client_auth(ClientAuth::tls_client_auth())
            .transport(transport))
    };
    let grant = grant_through(transport().client_certificate(&papers.client)?)?;
    for _ in 0..2 {
        let error = grant.fetch().await.expect_err("no authorities");
        assert_eq!(error.kind(), TokenErrorKind::Connect, "{error:?}");
        assert!(
            error.to_string().contains("could not be built"),
            "{error:?}"
        );
    }
    // The same grant works once they are there.
    std::fs::write(&authorities, &papers.authority)?;
    grant.fetch().await?;

    // Those of another authority replace them, unless they are kept.
    let (_, of_others) = tls::serve(server.service()).await?;
    let others = || transport().root_certificates(&of_others.authority);
    for (transport, fine) in [(others()?, false), (others()?.keep_system_roots(), true)] {
        let transport = transport.client_certificate(&papers.client)?;
        assert_eq!(grant_through(transport)?.fetch().await.is_ok(), fine);
    }
    std::fs::remove_file(&authorities)?;
    Ok(())
}

#[tokio::test]
async fn certificates_keys_and_authorities_can_be_replaced_in_place() -> Result {
    let server = TokenServer::builder().client_certificate().in_process();
    let (address, papers) = tls::serve(server.service()).await?;
    let (_, of_others) = tls::serve(server.service()).await?;
    let split = |pem: &str| {
        let (certificate, key) = pem.split_once("-----BEGIN PRIVATE KEY").expect("both");
        (
            certificate.to_owned(),
            format!("-----BEGIN PRIVATE KEY{key}"),
        )
    };
    let (certificate, key, authority) = (
        Scrap::new("tls.crt"),
        Scrap::new("tls.key"),
        Scrap::new("ca.crt"),
    );
    let transport = DefaultTransport::new()
        .client_certificate_files([&certificate.0, &key.0])
        .root_certificates_file(&authority.0);
    let endpoint = format!("https://localhost:{}/token", address.port());
    let grant = ClientCredentialsGrant::new(endpoint, "api")?
        .client_auth(ClientAuth::tls_client_auth())
        .transport(transport);

    let (old, new) = (split(&of_others.client), split(&papers.client));
    let steps: [(&Scrap, &str, Option<TokenErrorKind>); 8] = [
        (&certificate, &old.0, Some(TokenErrorKind::Source)),
        (&key, &old.1, Some(TokenErrorKind::Source)),
        (
            &authority,
            &of_others.authority,
            Some(TokenErrorKind::Connect),
        ),
        (&authority, &papers.authority, Some(TokenErrorKind::Connect)),
        // Half way through, they do not belong together.
        (&certificate, &new.0, Some(TokenErrorKind::Connect)),
        (&key, &format!("\u{feff}{}", new.1), None),
        (&authority, "hunter2", Some(TokenErrorKind::Source)),
        (&authority, &papers.authority, None),
    ];
    for (step, (file, content, expected)) in steps.into_iter().enumerate() {
        file.write(content);
        match grant.fetch().await {
            Ok(_) => assert_eq!(expected, None, "{step}"),
            Err(error) => {
                assert_eq!(Some(error.kind()), expected, "{step}: {error:?}");
                assert!(error.is_transient());
                assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
                let names_file = error.to_string().contains("tower-bearer-");
                assert_eq!(
                    names_file,
                    error.kind() == TokenErrorKind::Source,
                    "{error}"
                );
            }
        }
    }
    Ok(())
}

/// How a server closes a connection.
#[derive(Clone, Copy, Debug)]
enum Close {
    /// Before it read the request, which the client learns from a reset.
    Unread,
    /// After it read the request.
    Read,
}

/// Closes this many connections first, and then responds.
fn closing(connections: usize, close: Close) -> Server {
    Server::start(move |number, connection| {
        if number >= connections {
            connection.request()?;
            return connection.answer("200 OK", TOKEN);
        }
        match close {
            Close::Unread => {
                // What arrived and is not read makes the end a reset.
                let mut first = [0; 1];
                connection.stream.read_exact(&mut first)
            }
            Close::Read => connection.request(),
        }
    })
}

#[tokio::test]
async fn a_request_whose_connection_was_closed_is_sent_once_more_if_that_is_safe() -> Result {
    let refresh = || RefreshToken::new("r3fresh");
    for close in [Close::Unread, Close::Read] {
        for (closed, succeeds) in [(1, true), (2, false)] {
            let server = closing(closed, close);
            let url = format!("{}/token", server.url());
            let grant = ClientCredentialsGrant::new(&url, "api")?.client_secret("s3cret");
            let result = grant.fetch().await;
            assert_eq!(result.is_ok(), succeeds, "{close:?} {closed}: {result:?}");
            if let Err(error) = result {
                assert_eq!(error.kind(), TokenErrorKind::Connect);
            }
        }
        // The server may have taken it, and then a second one would end the session.
        let server = closing(1, close);
        let url = format!("{}/token", server.url());
        let error = RefreshTokenGrant::new(&url, "api", refresh()?)?
            .fetch()
            .await;
        assert_eq!(error.expect_err("once").kind(), TokenErrorKind::Connect);
        // Nor is a password: the login may still be going on.
        let server = closing(1, close);
        let url = format!("{}/token", server.url());
        let grant = PasswordGrant::new(&url, "api", "me", "pw")?;
        let error = grant.fetch().await.expect_err("once");
        assert_eq!(error.kind(), TokenErrorKind::Connect);
        let before = server.received().len();
        grant.refresh(&refresh()?).await?;
        assert_eq!(server.received().len(), before + 1);
    }
    Ok(())
}

/// Instead of a frame: closes the connection.
#[cfg(feature = "http2")]
const CLOSE: (u8, u8, &[u8]) = (u8::MAX, 0, &[]);

/// Answers the first stream of an HTTP/2 connection, in frames (RFC 9113, section
/// 4.1).
#[cfg(feature = "http2")]
fn answer_in_frames(connection: &mut Connection, frames: &[(u8, u8, &[u8])]) -> io::Result<()> {
    const SETTINGS: u8 = 4;
    let (mut reader, mut writer) = (connection.stream.try_clone()?, &connection.stream);
    let mut write = |kind: u8, flags: u8, id: u8, content: &[u8]| {
        let [_, high, middle, low] = u32::try_from(content.len()).expect("short").to_be_bytes();
        let head = [high, middle, low, kind, flags, 0, 0, 0, id];
        writer.write_all(&[&head, content].concat())
    };
    write(SETTINGS, 0, 0, &[])?;
    write(SETTINGS, 1, 0, &[])?;
    reader.read_exact(&mut [0; 24])?;
    loop {
        let mut head = [0; 9];
        reader.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        io::copy(&mut (&mut reader).take(length.into()), &mut io::sink())?;
        if head[3] == 1 {
            break;
        }
    }
    connection
        .log
        .lock()
        .expect("no panic")
        .push("HEADERS".to_owned());
    for (kind, flags, content) in frames {
        if (*kind, *flags, *content) == CLOSE {
            return Ok(());
        }
        write(*kind, *flags, u8::from(*kind != 7), content)?;
    }
    // Until the client closes.
    io::copy(&mut reader, &mut io::sink()).map(drop)
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn a_request_that_an_http_2_server_did_not_process_is_sent_once_more() -> Result {
    // RST_STREAM with REFUSED_STREAM, and with INTERNAL_ERROR, which says nothing.
    let refused: &[(u8, u8, &[u8])] = &[(3, 0, &[0, 0, 0, 7])];
    let failed: &[(u8, u8, &[u8])] = &[(3, 0, &[0, 0, 0, 2])];
    // GOAWAY with NO_ERROR and ENHANCE_YOUR_CALM and no stream. And with the first
    // stream as the last one, after which nothing follows.
    let goes_away: &[(u8, u8, &[u8])] = &[(7, 0, b"\0\0\0\0\0\0\0\0restart")];
    let too_many: &[(u8, u8, &[u8])] = &[(7, 0, &[0, 0, 0, 0, 0, 0, 0, 11])];
    let at_work: &[(u8, u8, &[u8])] = &[(7, 0, &[0, 0, 0, 1, 0, 0, 0, 11]), CLOSE];
    for (first, repeats) in [
        (refused, true),
        (goes_away, true),
        (too_many, true),
        (failed, false),
        (at_work, false),
    ] {
        // With a password and a refresh token, too. reqwest itself retries such a
        // request, hyper-util's client does not.
        for (refreshes, by_hyper) in [(false, true), (true, true), (false, false)] {
            let server = Server::start(move |number, connection| {
                if number == 0 {
                    return answer_in_frames(connection, first);
                }
                // `:status: 200` is the eighth of HPACK's static table.
                answer_in_frames(connection, &[(1, 4, &[0x88]), (0, 1, TOKEN.as_bytes())])
            });
            let url = format!("{}/token", server.url());
            let grant = PasswordGrant::new(url, "api", "me", "pw")?;
            let source = match by_hyper {
                true => {
                    let mut client = Client::builder(TokioExecutor::new());
                    // The server here answers one stream of each connection.
                    client.pool_max_idle_per_host(0);
                    BoxTokenSource::new(grant.transport(client.http2_only(true).build_http()))
                }
                false => {
                    let transport = DefaultTransport::new().http2_only();
                    BoxTokenSource::new(grant.transport(transport))
                }
            };
            let result = match refreshes {
                true => source.refresh(&RefreshToken::new("r3fresh")?).await,
                false => source.fetch().await,
            };
            assert_eq!(result.is_ok(), repeats, "{first:?} {refreshes} {by_hyper}");
            let sent = server.received().len();
            assert_eq!(sent, if repeats { 2 } else { 1 }, "{first:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_under_a_request_costs_no_failure() -> Result {
    // Each connection serves one request, and closes when the second one comes.
    let server = Server::start(|_, connection| {
        connection.request()?;
        connection.answer("200 OK", TOKEN)?;
        connection.request()
    });
    let pooled = Client::builder(TokioExecutor::new()).build_http();
    let grant = ClientCredentialsGrant::new(format!("{}/token", server.url()), "api")?
        .client_secret("s3cret")
        .transport(pooled);
    for _ in 0..10 {
        grant.fetch().await?;
        // The client puts the connection back meanwhile.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    let sent = server.received().len();
    assert!(sent > 10, "none was sent on a kept connection: {sent}");
    Ok(())
}
