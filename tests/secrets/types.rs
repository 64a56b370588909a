//! Every public type has shown itself.

use tower_bearer::grant::{
    ClientAuth, ClientCredentialsGrant, ExtensionGrant, JwtBearerGrant, RefreshTokenGrant, Secret,
    SecretFile, TokenExchangeGrant,
};
use tower_bearer::testing::{Answer, TokenServer};
use tower_bearer::transport::DefaultTransport;
use tower_bearer::{CloneBody, EmptyBody, Never, Origins, PasswordGrant, RefreshToken};

use crate::seen::Seen;

/// Traits and aliases, and kinds of grants, which show themselves within a
/// grant: nothing to show.
const SHOWN_BY_NOTHING: [&str; 13] = [
    "BoxError",
    "ClientCredentials",
    "Extension",
    "JwtBearer",
    "Password",
    "Refresh",
    "ReplayPolicy",
    "SecretSource",
    "Signer",
    "TokenExchange",
    "TokenSource",
    "TokenStore",
    "Transport",
];

/// Not shown here for want of a key, a server, or time; a debt.
const NOT_YET_SHOWN: [&str; 6] = [
    "Endpoint",
    "PrivateKey",
    "PrivateKeyJwt",
    "RedisStore",
    "RedisStoreBuilder",
    "SignedJwt",
];

/// Shows what no run had occasion to, then looks whether any is missing.
pub(crate) fn show_all(password: &str, seen: &Seen) {
    seen.show("CloneBody", &CloneBody);
    seen.show("EmptyBody", &EmptyBody);
    seen.show("Never", &Never);
    for auth in [ClientAuth::basic, ClientAuth::form] {
        seen.show("ClientAuth", &auth(password.to_owned()));
    }
    seen.show("Secret", &Secret::from(password.to_owned()));
    let secret = || Secret::from(password.to_owned());
    let url = "https://a.example/token";
    let refresh = RefreshToken::new("r3fresh").expect("a token");
    seen.show(
        "ClientCredentialsGrant",
        &ClientCredentialsGrant::new(url, "api"),
    );
    seen.show(
        "ExtensionGrant",
        &ExtensionGrant::new(url, "urn:x").map(|it| it.client_id("api")),
    );
    seen.show("JwtBearerGrant", &JwtBearerGrant::new(url, secret()));
    seen.show(
        "RefreshTokenGrant",
        &RefreshTokenGrant::new(url, "api", refresh),
    );
    seen.show(
        "TokenExchangeGrant",
        &TokenExchangeGrant::new(url, secret()),
    );
    #[cfg(feature = "redis")]
    seen.show(
        "StoreKey",
        &tower_bearer::store::StoreKey::from_bytes([7; 32]),
    );
    seen.show("SecretFile", &SecretFile::new("/secret"));
    seen.show("DefaultTransport", &DefaultTransport::new());
    seen.show("Origins", &Origins::only(["https://a.example"]));
    for endpoint in [
        format!("https://me:{password}@a.example/token"),
        format!("http://a.example/token?{password}"),
        format!("https://{password}"),
        password.to_owned(),
    ] {
        let error = PasswordGrant::new(endpoint, "api", "me", password).expect_err("refused");
        seen.show("ConfigError", &error);
        seen.show_error(&error);
    }
    for origin in [
        format!("https://me:{password}@a.example"),
        format!("me:{password}@a.example"),
    ] {
        let error = Origins::only([origin]).expect_err("refused");
        seen.show_error(&error);
    }
    let error = PasswordGrant::voipex("me", password).member("password", password);
    seen.show_error(&error.expect_err("refused"));

    let builder = TokenServer::builder()
        .user("me", password)
        .client_secret(password);
    seen.show("TokenServerBuilder", &builder);
    let server = builder.in_process();
    seen.show("TokenService", &server.service());
    seen.show("Counts", &server.counts());
    seen.show(
        "Answer",
        &Answer::ordinary().member("access_token", format!("{password:?}")),
    );
    let mut service = server.service();
    let answer = tower::Service::call(
        &mut service,
        http::Request::new(http_body_util::Full::<bytes::Bytes>::default()),
    );
    seen.show("AnswerFuture", &answer);
    seen.show("TokenServer", &server);

    let shown = seen.text();
    let missing: Vec<_> = public()
        .into_iter()
        .filter(|name| !SHOWN_BY_NOTHING.contains(&name.as_str()))
        .filter(|name| !NOT_YET_SHOWN.contains(&name.as_str()))
        .filter(|name| !shown.contains(&format!("{name}: ")))
        // A body shows itself within its response.
        .filter(|name| !(name == "AnswerBody" && shown.contains("AnswerBody")))
        .collect();
    assert!(missing.is_empty(), "not shown: {missing:?}");
}

/// The names that the crate makes public.
fn public() -> Vec<String> {
    let mut names = Vec::new();
    for source in [
        include_str!("../../src/lib.rs"),
        include_str!("../../src/grant/mod.rs"),
        include_str!("../../src/transport/mod.rs"),
        include_str!("../../src/store/mod.rs"),
        include_str!("../../src/testing/mod.rs"),
    ] {
        for item in source.split("\npub use ").skip(1) {
            let item = item.split(';').next().unwrap_or_default();
            let list = item.rsplit("::").next().unwrap_or_default();
            let list = list.trim_matches(|c: char| c == '{' || c == '}' || c.is_whitespace());
            names.extend(list.split(',').map(|name| name.trim().to_owned()));
        }
    }
    names.retain(|name| !name.is_empty());
    assert!(names.len() > 25, "{names:?}");
    names
}
