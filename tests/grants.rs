//! What each grant sends, byte for byte, and how the embedded server responds.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tower_bearer::grant::{
    ClientAuth, ClientCredentialsGrant, Endpoint, ExtensionGrant, JwtBearerGrant, JwtHeaders,
    RefreshTokenGrant, Secret, SecretFile, SignedJwt, Signer, TokenExchangeGrant,
};
use tower_bearer::testing::TokenServer;
use tower_bearer::{
    BoxError, ConfigError, PasswordGrant, RefreshToken, TokenCache, TokenError, TokenErrorKind,
    TokenSource,
};

use support::scrap::Scrap;
use support::{Log, TOKEN, answer, endpoint};

const URL: &str = "https://a.example/token";
const JWT: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
const EXCHANGE: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange";
const ASSERTION: &str = "client_assertion_type=\
     urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion";

/// The forms of one fetch and one refresh.
macro_rules! sent {
    ($grant:expr) => {{
        let log = Log::default();
        let grant = $grant.transport(endpoint(&log, |_| answer(200, &[], TOKEN)));
        grant.fetch().await.expect("a token");
        let token = RefreshToken::new("r3fresh").expect("valid");
        grant.refresh(&token).await.expect("a token");
        let [fetch, refresh] = &log.all()[..] else {
            panic!("two requests");
        };
        let shown = format!("{grant:?}");
        for secret in ["s3cret", "ass3rtion", "subj3ct", "act0r"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        (fetch.clone(), refresh.clone())
    }};
}

/// A grant at the embedded server, in process.
macro_rules! at {
    ($server:expr, $grant:expr) => {
        $grant.transport($server.service())
    };
}

fn fixed(text: &str) -> Secret {
    Secret::from(text)
}

#[tokio::test]
async fn client_credentials_go_where_the_client_says() -> Result<(), ConfigError> {
    let basic = Some("Basic YmlsbGluZzpzM2NyZXQ=");
    for (auth, header, method) in [
        (ClientAuth::none(), None, String::new()),
        (
            ClientAuth::client_secret_basic_unencoded("s3cret"),
            basic,
            String::new(),
        ),
        (ClientAuth::tls_client_auth(), None, String::new()),
        (
            ClientAuth::client_secret_basic("s3cret"),
            basic,
            String::new(),
        ),
        (
            ClientAuth::client_secret_post("s3cret"),
            None,
            "&client_secret=s3cret".into(),
        ),
        (
            ClientAuth::client_assertion(fixed("ass3rtion")),
            None,
            format!("&{ASSERTION}=ass3rtion"),
        ),
    ] {
        let grant = ClientCredentialsGrant::new(URL, "billing")?
            .client_auth(auth)
            .scope("a b")
            .param("resource", "https://r.example/")?;
        let (fetch, refresh) = sent!(grant);
        // In the header or in the form, never in both.
        let id = header.map_or("client_id=billing&", |_| "");
        assert_eq!(
            fetch.body,
            format!(
                "{id}grant_type=client_credentials{method}&scope=a+b\
                 &resource=https%3A%2F%2Fr.example%2F"
            )
        );
        assert_eq!(
            refresh.body,
            format!("{id}refresh_token=r3fresh&grant_type=refresh_token{method}")
        );
        for request in [fetch, refresh] {
            let sent = request.headers.get("authorization");
            assert_eq!(sent.map(|v| v.to_str().expect("ascii")), header);
            assert!(sent.is_none_or(|v| v.is_sensitive()));
        }
    }
    Ok(())
}

/// RFC 8707, section 2.2: else the renewed token may be for all services.
#[tokio::test]
async fn what_a_token_is_for_is_sent_with_each_refresh_too() -> Result<(), ConfigError> {
    const FOR: &str = "audience=one&resource=https%3A%2F%2Fr.example&resource=urn%3Ab";
    macro_rules! sends {
        ($grant:expr) => {
            let grant = $grant
                .audience("one")
                .resource("https://r.example")
                .resource("urn:b")
                .scope("x");
            let (fetch, refresh) = sent!(grant.param("last", "1")?);
            assert!(
                fetch.body.ends_with(&format!("&scope=x&{FOR}&last=1")),
                "{}",
                fetch.body
            );
            assert!(
                refresh
                    .body
                    .contains(&format!("grant_type=refresh_token&{FOR}"))
                    || refresh.body.ends_with(&format!("&scope=x&{FOR}&last=1")),
                "{}",
                refresh.body
            );
        };
    }
    sends!(PasswordGrant::new(URL, "api", "me", "s3cret")?);
    sends!(ClientCredentialsGrant::new(URL, "api")?.client_secret("s3cret"));
    sends!(JwtBearerGrant::new(URL, fixed("ass3rtion"))?);
    sends!(TokenExchangeGrant::new(URL, fixed("subj3ct"))?);
    let token = RefreshToken::new("s3cret").expect("valid");
    sends!(RefreshTokenGrant::new(URL, "api", token)?);
    let grant = ExtensionGrant::new(URL, "urn:example:grant")?.resource("urn:b");
    let (fetch, refresh) = sent!(grant);
    assert!(fetch.body.ends_with("&resource=urn%3Ab"), "{}", fetch.body);
    assert!(
        refresh.body.ends_with("&resource=urn%3Ab"),
        "{}",
        refresh.body
    );
    Ok(())
}

#[tokio::test]
async fn an_assertion_is_sent_as_its_source_returns_it() -> Result<(), ConfigError> {
    let grant = JwtBearerGrant::new(URL, fixed("ass3rtion.+"))?;
    let (fetch, refresh) = sent!(grant);
    assert_eq!(
        fetch.body,
        format!("assertion=ass3rtion.%2B&grant_type={JWT}")
    );
    assert_eq!(
        refresh.body,
        "refresh_token=r3fresh&grant_type=refresh_token"
    );

    let grant = JwtBearerGrant::new(URL, fixed("ass3rtion"))?
        .client_id("billing")
        .client_auth(ClientAuth::client_secret_post("s3cret"))
        .scope("x");
    let (fetch, _) = sent!(grant);
    assert_eq!(
        fetch.body,
        format!(
            "client_id=billing&assertion=ass3rtion&grant_type={JWT}&client_secret=s3cret&scope=x"
        )
    );
    Ok(())
}

#[tokio::test]
async fn an_exchange_names_the_types_of_its_tokens() -> Result<(), ConfigError> {
    let of = |name| format!("urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3A{name}");
    let (fetch, _) = sent!(TokenExchangeGrant::new(URL, fixed("subj3ct"))?);
    let access = of("access_token");
    assert_eq!(
        fetch.body,
        format!("subject_token=subj3ct&subject_token_type={access}&grant_type={EXCHANGE}")
    );

    let grant = TokenExchangeGrant::new(URL, fixed("subj3ct"))?
        .client_id("gateway")
        .subject_token_type("id_token")
        .actor_token(fixed("act0r"), "urn:example:type")
        .requested_token_type("jwt")
        .audience("billing")
        .resource("https://r.example")
        .scope("x");
    let log = Log::default();
    let grant = grant.transport(endpoint(&log, |_| answer(200, &[], TOKEN)));
    grant.fetch().await.expect("a token");
    assert_eq!(
        log.all()[0].body,
        format!(
            "client_id=gateway&subject_token=subj3ct&subject_token_type={}\
             &actor_token=act0r&actor_token_type=urn%3Aexample%3Atype\
             &requested_token_type={}&grant_type={EXCHANGE}&scope=x\
             &audience=billing&resource=https%3A%2F%2Fr.example",
            of("id_token"),
            of("jwt")
        )
    );
    Ok(())
}

#[tokio::test]
async fn any_other_grant_has_its_name_and_parameters_in_their_order() -> Result<(), ConfigError> {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let grant = ExtensionGrant::new(URL, "urn:example:grant")?
        .client_id("api")
        .param("username", "s3cret")?
        .param_from("n", move || {
            let n = counter.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, TokenError>(n.to_string()) }
        })?
        .scope("x");
    let (fetch, _) = sent!(grant);
    assert_eq!(
        fetch.body,
        "client_id=api&username=s3cret&n=0&grant_type=urn%3Aexample%3Agrant&scope=x"
    );
    assert_eq!(asked.load(Ordering::SeqCst), 1);

    let named = || ExtensionGrant::new(URL, "urn:example:grant").expect("valid");
    for name in ["", "grant_type", "client_id", "client_assertion", "scope"] {
        let error = named().param(name, "s3cret").expect_err(name);
        assert!(error.to_string().contains(name) && !error.to_string().contains("s3cret"));
    }
    assert_eq!(
        ExtensionGrant::new(URL, "").expect_err("empty").field(),
        "grant_type"
    );
    Ok(())
}

/// Signs nothing, but says so.
struct Pen;

impl Signer for Pen {
    fn algorithm(&self) -> &str {
        "ES256"
    }

    fn key_id(&self) -> Option<&str> {
        Some("k1")
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, BoxError> {
        tokio::task::yield_now().await;
        Ok(format!("signed {}", message.len()).into_bytes())
    }
}

fn parts(assertion: &str) -> (Value, Value, Vec<u8>) {
    let parts: Vec<_> = assertion
        .split('.')
        .map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64url"))
        .collect();
    let json = |part: &[u8]| serde_json::from_slice(part).expect("JSON");
    (json(&parts[0]), json(&parts[1]), parts[2].clone())
}

fn param(body: &str, name: &str) -> String {
    let mut params = url::form_urlencoded::parse(body.as_bytes());
    let found = params.find(|(n, _)| n == name);
    found.expect(name).1.into_owned()
}

#[tokio::test]
async fn a_clients_assertion_is_signed_for_each_request() -> Result<(), ConfigError> {
    let now = || {
        let now = std::time::SystemTime::now();
        now.duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970")
            .as_secs()
    };
    let before = now();
    let password = PasswordGrant::new(URL, "billing", "me", "s3cret")?;
    let jwt = SignedJwt::new(Pen);
    let (fetch, refresh) = sent!(password.client_auth(ClientAuth::private_key_jwt(jwt)));
    let mut ids = Vec::new();
    for request in [fetch, refresh] {
        let assertion = param(&request.body, "client_assertion");
        let (head, claims, signature) = parts(&assertion);
        assert_eq!(head, json!({ "alg": "ES256", "typ": "JWT", "kid": "k1" }));
        let signed = assertion.rsplit_once('.').expect("three parts").0;
        assert_eq!(signature, format!("signed {}", signed.len()).as_bytes());
        assert_eq!(claims["iss"], "billing");
        assert_eq!(claims["sub"], "billing");
        assert_eq!(claims["aud"], URL);
        let issued = claims["iat"].as_u64().expect("a number");
        assert!((before..=now()).contains(&issued));
        assert_eq!(claims["exp"], issued + 60);
        ids.push(claims["jti"].clone());
        assert!(request.body.contains(&format!(
            "grant_type={}",
            param(&request.body, "grant_type")
        )));
        assert!(request.body.contains(&format!("&{ASSERTION}=")));
    }
    assert_ne!(ids[0], ids[1]);
    Ok(())
}

#[tokio::test]
async fn an_assertion_is_for_the_token_endpoint_as_it_was_written() -> Result<(), ConfigError> {
    for written in ["https://a.example", "https://A.example:443/token", URL] {
        let auth = ClientAuth::private_key_jwt(SignedJwt::new(Pen));
        let grant = ClientCredentialsGrant::new(written, "billing")?.client_auth(auth);
        let (fetch, refresh) = sent!(grant);
        for request in [fetch, refresh] {
            let (_, claims, _) = parts(&param(&request.body, "client_assertion"));
            assert_eq!(claims["aud"], written);
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_assertion_has_the_headers_of_its_signer_and_of_its_user() -> Result<(), ConfigError> {
    struct Certified;
    impl Signer for Certified {
        fn algorithm(&self) -> &str {
            "PS256"
        }
        fn key_id(&self) -> Option<&str> {
            Some("k1")
        }
        fn add_headers(&self, headers: &mut JwtHeaders) {
            headers.set("x5t", "th5mb");
            headers.set_list("x5c", ["c1", "c2"]);
            headers.set("alg", "none");
        }
        async fn sign(&self, _: &[u8]) -> Result<Vec<u8>, BoxError> {
            Ok(b"signed".to_vec())
        }
    }
    let jwt = SignedJwt::new(Certified)
        .header("typ", "client-authentication+jwt")
        .header("x5t#S256", "th5mb256")
        .header("alg", "none");
    assert!(!format!("{jwt:?}").contains("th5mb"));
    let grant = ClientCredentialsGrant::new(URL, "billing")?;
    let (fetch, _) = sent!(grant.client_auth(ClientAuth::private_key_jwt(jwt)));
    let (head, _, _) = parts(&param(&fetch.body, "client_assertion"));
    assert_eq!(
        head,
        json!({
            "alg": "PS256",
            "kid": "k1",
            "typ": "client-authentication+jwt",
            "x5t": "th5mb",
            "x5t#S256": "th5mb256",
            "x5c": ["c1", "c2"],
        })
    );
    Ok(())
}

#[tokio::test]
async fn an_assertions_audience_and_life_can_be_set() -> Result<(), ConfigError> {
    let second = std::time::Duration::from_secs(1);
    let jwt = || SignedJwt::new(Pen);
    for life in [second / 2, second * 3601] {
        assert_eq!(jwt().lifetime(life).expect_err("no").field(), "lifetime");
    }
    let jwt = jwt().audience("https://a.example").lifetime(second * 5)?;
    let grant = ClientCredentialsGrant::new(URL, "billing")?;
    let (fetch, _) = sent!(grant.client_auth(ClientAuth::private_key_jwt(jwt)));
    let (_, claims, _) = parts(&param(&fetch.body, "client_assertion"));
    assert_eq!(claims["aud"], "https://a.example");
    assert_eq!(claims["exp"], claims["iat"].as_u64().expect("a number") + 5);
    Ok(())
}

#[tokio::test]
async fn a_signed_assertion_has_the_claims_that_were_set() -> Result<(), BoxError> {
    let server = TokenServer::builder().user("me", "pw").in_process();
    let second = std::time::Duration::from_secs(1);
    let about = |audience: &str| {
        let jwt = SignedJwt::new(Pen).issuer("robots").subject("me");
        jwt.audience(audience)
    };
    let jwt = about(URL)
        .claim("scope", "x")
        .claim("exp", "never")
        .lifetime(second * 9)?;
    assert!(!format!("{jwt:?}").contains("robots"));
    let (fetch, _) = sent!(JwtBearerGrant::new(URL, jwt)?);
    let (head, mut claims, _) = parts(&param(&fetch.body, "assertion"));
    assert_eq!(head, json!({ "alg": "ES256", "typ": "JWT", "kid": "k1" }));
    let life = claims["exp"].as_u64().zip(claims["iat"].as_u64());
    assert_eq!(life.map(|(end, start)| end - start), Some(9));
    for name in ["exp", "iat", "jti"] {
        claims
            .as_object_mut()
            .expect("an object")
            .remove(name)
            .expect(name);
    }
    assert_eq!(
        claims,
        json!({ "iss": "robots", "sub": "me", "aud": URL, "scope": "x" })
    );
    let grant = JwtBearerGrant::new(server.token_url(), about(server.token_url()))?;
    at!(server, grant).fetch().await?;
    assert_eq!(
        about(URL).lifetime(second * 3601).expect_err("no").field(),
        "lifetime"
    );
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_asked_is_never_sent() -> Result<(), ConfigError> {
    use TokenErrorKind::*;
    struct Broken;
    impl Signer for Broken {
        fn algorithm(&self) -> &str {
            "RS256"
        }
        async fn sign(&self, _: &[u8]) -> Result<Vec<u8>, BoxError> {
            Err("the vault is shut".into())
        }
    }
    let shut = || async { Err::<String, _>("the vault is shut") };
    let missing = SecretFile::new("/nowhere/at-all");
    let client = || ClientCredentialsGrant::new(URL, "billing");
    let jwt = |url| JwtBearerGrant::new(url, fixed("ass3rtion"));
    let log = Log::default();
    macro_rules! fails {
        ($grant:expr, $kind:expr, $reason:expr) => {
            let grant = $grant.transport(endpoint(&log, |_| answer(200, &[], TOKEN)));
            let error = grant.fetch().await.expect_err($reason);
            assert_eq!(error.kind(), $kind, "{error}");
            assert!(error.to_string().contains($reason), "{error}");
        };
    }
    fails!(
        ClientCredentialsGrant::new(URL, "")?,
        Config,
        "client id is empty"
    );
    fails!(jwt(URL)?.client_id(""), Config, "client id is empty");
    fails!(
        jwt(URL)?.client_secret("s3cret"),
        Config,
        "a client secret needs a client id"
    );
    let auth = ClientAuth::private_key_jwt(SignedJwt::new(Pen));
    fails!(
        jwt(URL)?.client_auth(auth),
        Config,
        "a client's key needs a client id"
    );
    fails!(
        JwtBearerGrant::new(URL, fixed(""))?,
        Config,
        "the assertion is empty"
    );
    fails!(
        JwtBearerGrant::new(URL, SignedJwt::new(Pen).audience(URL))?,
        Config,
        "no `iss`: set `SignedJwt::issuer`"
    );
    fails!(
        JwtBearerGrant::new(URL, SignedJwt::new(Pen).issuer("robots"))?,
        Config,
        "no `aud`: set `SignedJwt::audience`"
    );
    fails!(
        JwtBearerGrant::new(URL, shut)?,
        Source,
        "the token source failed"
    );
    fails!(
        JwtBearerGrant::new(URL, missing)?,
        Source,
        "/nowhere/at-all"
    );
    fails!(
        TokenExchangeGrant::new(URL, fixed(""))?,
        Config,
        "subject token is empty"
    );
    let actor = TokenExchangeGrant::new(URL, fixed("x"))?.actor_token(fixed(""), "jwt");
    fails!(actor, Config, "actor token is empty");
    let auth = ClientAuth::client_assertion(fixed(""));
    fails!(
        client()?.client_auth(auth),
        Config,
        "the client's assertion is empty"
    );
    let auth = ClientAuth::private_key_jwt(SignedJwt::new(Broken));
    fails!(
        client()?.client_auth(auth),
        Source,
        "the token source failed"
    );
    assert!(log.all().is_empty());
    Ok(())
}

#[tokio::test]
async fn an_exchange_takes_only_the_type_of_token_that_it_asked_for() -> Result<(), ConfigError> {
    let of = |name| format!("urn:ietf:params:oauth:token-type:{name}");
    for (requested, issued, taken) in [
        (None, None, true),
        (None, Some("access_token"), true),
        (None, Some("jwt"), true),
        (None, Some("id_token"), false),
        (None, Some("refresh_token"), false),
        (Some("jwt"), Some("jwt"), true),
        (Some("id_token"), Some("id_token"), true),
        (Some("access_token"), Some("jwt"), true),
        (Some("access_token"), Some("id_token"), false),
        (Some("jwt"), Some("access_token"), false),
        (Some("jwt"), None, true),
    ] {
        let mut grant = TokenExchangeGrant::new(URL, fixed("subj3ct"))?;
        if let Some(requested) = requested {
            grant = grant.requested_token_type(requested);
        }
        let issued = issued.map(|name| format!(r#","issued_token_type":"{}""#, of(name)));
        let body = format!(
            r#"{{"access_token":"t0ken"{}}}"#,
            issued.unwrap_or_default()
        );
        let log = Log::default();
        let grant = grant.transport(endpoint(&log, move |_| answer(200, &[], body.clone())));
        let result = grant.fetch().await;
        assert_eq!(result.is_ok(), taken, "{requested:?}");
        if let Err(error) = result {
            assert_eq!(error.kind(), TokenErrorKind::InvalidResponse);
            assert!(error.to_string().contains("issued_token_type"), "{error}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_secret_in_a_file_is_read_each_time() -> Result<(), BoxError> {
    let file = Scrap::new("secret");
    let log = Log::default();
    let grant = JwtBearerGrant::new(URL, file.secret())?
        .transport(endpoint(&log, |_| answer(200, &[], TOKEN)));
    for (content, sent) in [
        ("one\n", "one"),
        ("two\r\n", "two"),
        ("\u{feff} three ", "+three"),
    ] {
        file.write(content);
        grant.fetch().await?;
        let body = log.all().pop().expect("a request").body;
        assert_eq!(body, format!("assertion={sent}&grant_type={JWT}"));
    }
    let large = vec![b'x'; (1 << 20) + 1];
    for content in [b"\n".as_slice(), b"", b"\xff", &large] {
        file.write(content);
        let error = grant.fetch().await.expect_err("no secret");
        assert!(error.is_transient() && error.to_string().contains("tower-bearer-secret"));
    }
    Ok(())
}

#[tokio::test]
async fn the_embedded_server_accepts_each_way_to_authenticate() -> Result<(), BoxError> {
    let secret = TokenServer::builder().client_secret("s3cret").in_process();
    let keyed = TokenServer::builder().client_assertion().in_process();
    let jwt = || ClientAuth::private_key_jwt(SignedJwt::new(Pen));
    let to_issuer = SignedJwt::new(Pen).audience(keyed.api_url());
    for (server, auth, code) in [
        (&secret, ClientAuth::client_secret_basic("s3cret"), None),
        (&secret, ClientAuth::client_secret_post("s3cret"), None),
        (
            &secret,
            ClientAuth::client_secret_basic("wrong"),
            Some("unauthorized_client"),
        ),
        (&secret, ClientAuth::none(), Some("unauthorized_client")),
        (&keyed, jwt(), None),
        (&keyed, jwt(), None),
        (&keyed, ClientAuth::private_key_jwt(to_issuer), None),
        (
            &keyed,
            ClientAuth::client_secret_post("s3cret"),
            Some("invalid_client"),
        ),
        (
            &keyed,
            ClientAuth::client_assertion(fixed("no.jwt.x")),
            Some("invalid_client"),
        ),
        (
            &keyed,
            ClientAuth::private_key_jwt(SignedJwt::new(Pen).audience("https://b.example")),
            Some("invalid_client"),
        ),
    ] {
        let grant = ClientCredentialsGrant::new(server.token_url(), "api")?;
        let shown = format!("{auth:?}");
        let result = at!(server, grant.client_auth(auth)).fetch().await;
        let refused = result.err().map(|error| {
            assert_eq!(error.kind(), TokenErrorKind::Refused);
            error.oauth_error().expect("an error").to_owned()
        });
        assert_eq!(refused.as_deref(), code, "{shown}");
    }
    assert_eq!(keyed.counts().client_credentials_grants, 3);
    Ok(())
}

#[tokio::test]
async fn the_embedded_server_takes_an_assertion_of_a_client_once() -> Result<(), BoxError> {
    let server = TokenServer::builder().client_assertion().in_process();
    let caught = Log::default();
    let grant = ClientCredentialsGrant::new(server.token_url(), "api")?
        .client_auth(ClientAuth::private_key_jwt(SignedJwt::new(Pen)))
        .transport(endpoint(&caught, |_| answer(200, &[], TOKEN)));
    grant.fetch().await?;
    let assertion = param(&caught.all()[0].body, "client_assertion");
    let again = ClientCredentialsGrant::new(server.token_url(), "api")?
        .client_auth(ClientAuth::client_assertion(fixed(&assertion)))
        .transport(server.service());
    again.fetch().await?;
    let error = again.fetch().await.expect_err("used before");
    assert_eq!(error.oauth_error(), Some("invalid_client"));
    Ok(())
}

/// A JWT with these claims, signed with no real key.
fn jwt(claims: Value) -> String {
    let encode = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!(
        "{}.{}.c2ln",
        encode(json!({ "alg": "ES256" })),
        encode(claims)
    )
}

#[tokio::test]
async fn the_embedded_server_judges_assertions_by_their_claims() -> Result<(), BoxError> {
    let server = TokenServer::builder().user("me", "pw").in_process();
    let url = server.token_url();
    let far = 10_000_000_000_u64;
    for (claims, fine) in [
        (
            json!({ "iss": "i", "sub": "me", "aud": url, "exp": far }),
            true,
        ),
        (
            json!({ "iss": "i", "sub": "me", "aud": ["x", url], "exp": far }),
            true,
        ),
        (
            json!({ "iss": "i", "sub": "you", "aud": url, "exp": far }),
            false,
        ),
        (json!({ "sub": "me", "aud": url, "exp": far }), false),
        (
            json!({ "iss": "i", "sub": "me", "aud": "x", "exp": far }),
            false,
        ),
        (
            json!({ "iss": "i", "sub": "me", "aud": url, "exp": 1 }),
            false,
        ),
        (json!({ "iss": "i", "sub": "me", "aud": url }), false),
    ] {
        let shown = claims.to_string();
        let grant = JwtBearerGrant::new(url, fixed(&jwt(claims)))?;
        let result = at!(server, grant).fetch().await;
        assert_eq!(result.is_ok(), fine, "{shown}");
        if let Err(error) = result {
            assert_eq!(error.oauth_error(), Some("invalid_grant"));
        }
    }
    assert_eq!(server.counts().jwt_bearer_grants, 2);
    Ok(())
}

#[tokio::test]
async fn a_token_of_one_cache_is_exchanged_for_one_of_another() -> Result<(), BoxError> {
    let server = TokenServer::builder().user("me", "pw").in_process();
    let users = TokenCache::new(server.grant());
    let subject = users.clone();
    let subject = move || {
        let users = subject.clone();
        async move { users.token().await }
    };
    let grant = TokenExchangeGrant::new(server.token_url(), subject)?
        .client_id("api")
        .audience("one")
        .audience("two");
    let billing = TokenCache::new(at!(server, grant));
    let (user, exchanged) = (users.token().await?, billing.token().await?);
    assert_ne!(user.secret(), exchanged.secret());
    let counts = server.counts();
    assert_eq!(
        (counts.password_grants, counts.token_exchange_grants),
        (1, 1)
    );
    assert_eq!(counts.open_sessions, 1);

    let dead = TokenExchangeGrant::new(server.token_url(), fixed("dead"))?.client_id("api");
    let error = at!(server, dead).fetch().await.expect_err("a dead token");
    assert_eq!(error.oauth_error(), Some("invalid_request"));
    Ok(())
}

#[tokio::test]
async fn every_grant_takes_parameters_from_a_source_after_all_others() -> Result<(), ConfigError> {
    let grant = PasswordGrant::new(URL, "api", "me", "s3cret")?
        .param_from("totp", || async { Ok::<_, TokenError>("1".to_owned()) })?
        .param("resource", "a")?
        .param("resource", "b")?
        .scope("x");
    let (fetch, refresh) = sent!(grant);
    assert_eq!(
        fetch.body,
        "client_id=api&username=me&password=s3cret&grant_type=password&scope=x\
         &totp=1&resource=a&resource=b"
    );
    assert_eq!(
        refresh.body,
        "client_id=api&refresh_token=r3fresh&grant_type=refresh_token"
    );
    let named = PasswordGrant::new(URL, "api", "me", "s3cret")?;
    let error = named.param_from("username", fixed("x")).expect_err("taken");
    assert_eq!(error.field(), "param");
    Ok(())
}

#[test]
fn an_endpoint_may_be_of_any_url_type() -> Result<(), BoxError> {
    let owned = String::from(URL);
    let uri: http::Uri = URL.parse()?;
    let url = url::Url::parse(URL)?;
    ClientCredentialsGrant::new(URL, "a")?;
    ClientCredentialsGrant::new(&owned, "a")?;
    ClientCredentialsGrant::new(owned, "a")?;
    ClientCredentialsGrant::new(&uri, "a")?;
    ClientCredentialsGrant::new(&url, "a")?;
    Endpoint::new(uri.clone())?;
    ClientCredentialsGrant::new(uri.clone(), "a")?
        .logout_endpoint(uri)?
        .revocation_endpoint(url)?;
    let error = ClientCredentialsGrant::new(URL, "a")?.logout_endpoint(http::Uri::default());
    assert_eq!(error.expect_err("no host").field(), "logout_endpoint");
    ClientCredentialsGrant::new(Endpoint::new(URL)?, "a")?;
    let error = ClientCredentialsGrant::new("http://a.example", "a").expect_err("plain http");
    assert_eq!(error.field(), "endpoint");
    Ok(())
}

#[test]
fn other_credentials_have_another_fingerprint() -> Result<(), ConfigError> {
    let client = || ClientCredentialsGrant::new(URL, "billing");
    let password = |password| PasswordGrant::new(URL, "api", "me", password);
    let jwt = |audience| SignedJwt::new(Pen).audience(audience);
    let refresh = |token| {
        let token = RefreshToken::new(token).expect("valid");
        RefreshTokenGrant::new(URL, "api", token)
    };
    let all = || -> Result<Vec<u64>, ConfigError> {
        Ok(vec![
            client()?.fingerprint(),
            ClientCredentialsGrant::new(URL, "other")?.fingerprint(),
            ClientCredentialsGrant::new("https://b.example/token", "billing")?.fingerprint(),
            ClientCredentialsGrant::new(Endpoint::issuer(URL)?, "billing")?.fingerprint(),
            client()?.client_secret("a").fingerprint(),
            client()?.client_secret("b").fingerprint(),
            client()?
                .client_auth(ClientAuth::client_secret_post("a"))
                .fingerprint(),
            client()?
                .client_auth(ClientAuth::private_key_jwt(jwt("a")))
                .fingerprint(),
            client()?
                .client_auth(ClientAuth::private_key_jwt(jwt("b")))
                .fingerprint(),
            client()?
                .client_auth(ClientAuth::private_key_jwt(jwt("b").header("x5t", "a")))
                .fingerprint(),
            client()?
                .client_auth(ClientAuth::client_secret_basic_unencoded("a"))
                .fingerprint(),
            client()?.scope("a").fingerprint(),
            client()?.audience("a").fingerprint(),
            client()?.resource("a").fingerprint(),
            client()?.param("a", "b")?.fingerprint(),
            password("a")?.fingerprint(),
            password("b")?.fingerprint(),
            refresh("a")?.fingerprint(),
            refresh("b")?.fingerprint(),
            ExtensionGrant::new(URL, "urn:a")?.fingerprint(),
            ExtensionGrant::new(URL, "urn:b")?.fingerprint(),
            TokenExchangeGrant::new(URL, fixed("x"))?.fingerprint(),
            TokenExchangeGrant::new(URL, fixed("x"))?
                .subject_token_type("jwt")
                .fingerprint(),
        ])
    };
    let (marks, again) = (all()?, all()?);
    assert_eq!(marks, again);
    let different: std::collections::HashSet<_> = marks.iter().collect();
    assert_eq!(different.len(), marks.len());
    Ok(())
}
