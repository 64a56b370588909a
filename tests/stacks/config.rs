//! Sources from files and from the environment.

#![cfg(all(feature = "config", feature = "reqwest"))]

#[path = "../support/mod.rs"]
mod support;

use serde_json::json;
use tower_bearer::config::SourceConfig;
use tower_bearer::testing::TokenServer;
use tower_bearer::{BoxError, ConfigError, RefreshToken, TokenSource};

use support::scrap::Scrap;
use support::{Log, TOKEN, answer, endpoint};

fn config(keys: serde_json::Value) -> SourceConfig {
    serde_json::from_value(keys).expect("a configuration")
}

/// Returns what a source of this configuration sends.
async fn sent(config: &SourceConfig) -> Result<support::Received, BoxError> {
    let log = Log::default();
    let transport = endpoint(&log, |_| answer(200, &[], TOKEN));
    config.source_through(transport)?.fetch().await?;
    Ok(log.all().pop().expect("a request"))
}

/// These keys, and those of a token endpoint and a client.
fn with(mut keys: serde_json::Value) -> serde_json::Value {
    keys["token_endpoint"] = "https://a.example/token".into();
    keys["client_id"] = "billing".into();
    keys
}

/// These keys, and those of the grant of a client.
fn client(mut keys: serde_json::Value) -> serde_json::Value {
    keys["grant"] = "client_credentials".into();
    with(keys)
}

/// These keys, and those of a user, but for the token endpoint's and the client's.
fn user(mut keys: serde_json::Value) -> serde_json::Value {
    keys["grant"] = "password".into();
    keys["username"] = "me".into();
    keys["password"] = "hunter2".into();
    keys
}

const URN: &str = "urn%3Aietf%3Aparams%3Aoauth";

#[tokio::test]
async fn each_grant_is_sent_as_its_configuration_says() -> Result<(), BoxError> {
    let file = Scrap::with("secret", "from-file\r\n");
    let file = file.path();
    let token = format!("{URN}%3Atoken-type%3Aaccess_token");
    for (keys, form) in [
        (
            json!({ "preset": "voipex", "username": "me", "password_file": file }),
            "client_id=api&username=me&password=from-file&grant_type=password".to_owned(),
        ),
        (
            json!({ "preset": "voipex", "username": "me", "password": "p",
                    "scope": "openid profile" }),
            "client_id=api&username=me&password=p&grant_type=password&scope=openid+profile"
                .to_owned(),
        ),
        (
            with(
                json!({ "grant": "password", "username": "me", "password": "pw\n",
                "client_auth": "client_secret_post", "client_secret": "s", "scope": ["a", "b"],
                "params": { "totp": "1" } }),
            ),
            "client_id=billing&username=me&password=pw%0A&grant_type=password\
             &client_secret=s&scope=a+b&totp=1"
                .to_owned(),
        ),
        (
            client(json!({ "client_secret_file": file })),
            // The id is in the header, with the secret.
            "grant_type=client_credentials".to_owned(),
        ),
        (
            client(json!({ "client_assertion_file": file })),
            format!(
                "client_id=billing&grant_type=client_credentials&client_assertion_type=\
                 {URN}%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=from-file"
            ),
        ),
        (
            client(json!({ "client_auth": "tls_client_auth", "scope": "a b" })),
            "client_id=billing&grant_type=client_credentials&scope=a+b".to_owned(),
        ),
        (
            with(json!({ "grant": "refresh_token", "refresh_token_file": file })),
            "client_id=billing&refresh_token=from-file&grant_type=refresh_token".to_owned(),
        ),
        (
            with(json!({ "grant": "jwt_bearer", "assertion_file": file })),
            format!(
                "client_id=billing&assertion=from-file&grant_type={URN}%3Agrant-type%3Ajwt-bearer"
            ),
        ),
        (
            json!({ "grant": "token_exchange", "token_endpoint": "https://a.example/token",
                "subject_token_file": file, "audience": "one two" }),
            format!(
                "subject_token=from-file&subject_token_type={token}\
                 &grant_type={URN}%3Agrant-type%3Atoken-exchange&audience=one&audience=two"
            ),
        ),
        (
            with(
                json!({ "grant": "token_exchange", "subject_token_file": file,
                "subject_token_type": "access_token", "actor_token_file": file,
                "actor_token_type": "access_token", "requested_token_type": "access_token",
                "resource": ["https://r.example"] }),
            ),
            format!(
                "client_id=billing&subject_token=from-file&subject_token_type={token}\
                 &actor_token=from-file&actor_token_type={token}&requested_token_type={token}\
                 &grant_type={URN}%3Agrant-type%3Atoken-exchange&resource=https%3A%2F%2Fr.example"
            ),
        ),
        (
            client(json!({ "client_auth": "client_secret_basic_unencoded",
                "client_secret": "s", "audience": "a b", "resource": ["https://r.example"],
                "accept_token_type": ["bot"] })),
            "grant_type=client_credentials&audience=a&audience=b&resource=https%3A%2F%2Fr.example"
                .to_owned(),
        ),
        (
            with(
                json!({ "grant": "extension", "grant_type": "device", "params": { "a": "b" },
                "param_files": { "code": file } }),
            ),
            "client_id=billing&a=b&code=from-file&grant_type=device".to_owned(),
        ),
        (
            with(json!({ "grant": "urn:x:y", "params": { "username": "me", "a": "b" } })),
            "client_id=billing&a=b&username=me&grant_type=urn%3Ax%3Ay".to_owned(),
        ),
    ] {
        let config = config(keys);
        assert_eq!(sent(&config).await?.body, form, "{config:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_preset_acts_for_a_user_with_one_login_and_its_scope_for_the_access_alone()
-> Result<(), BoxError> {
    let file = Scrap::with("access", "from-file\n");
    let toml = format!(
        "preset = 'voipex'\nusername = 'api@x.example'\npassword_file = '{}'\n\
         impersonate = 'anna@x.example'\nscope = 'openid profile'\n[params]\ntotp = '1'\n",
        file.path()
    );
    let config: SourceConfig = toml::from_str(&toml)?;
    let log = Log::default();
    let source = config.source_through(endpoint(&log, |_| answer(200, &[], TOKEN)))?;
    source.fetch().await?;
    source.fetch().await?;
    let sent: Vec<_> = log
        .all()
        .iter()
        .map(|it| (it.uri.to_string(), it.body.clone()))
        .collect();
    let login = "client_id=api&username=api%40x.example&password=from-file&grant_type=password\
                 &scope=openid+profile&totp=1";
    let exchange = (
        "https://auth.voipex.io/token-exchange".to_owned(),
        r#"{"email":"anna@x.example"}"#.to_owned(),
    );
    let login = ("https://auth.voipex.io/token".to_owned(), login.to_owned());
    assert_eq!(sent, [login, exchange.clone(), exchange]);
    assert!(!format!("{config:?}").contains("anna"));
    Ok(())
}

#[test]
fn an_unknown_key_is_refused_by_its_name_in_every_format() {
    let json = r#"{ "preset": "voipex", "username": "me", "passwrd": "hunter2" }"#;
    let toml = "preset = 'voipex'\nusername = 'me'\npasswrd = 'x'\n";
    let yaml = "preset: voipex\nusername: me\npasswrd: hunter2\n";
    let nested = "preset: voipex\ncache:\n  passwrd: 1\n";
    let vars = [("X_PRESET", "voipex"), ("X_PASSWRD", "hunter2")];
    let deep = [("X_PRESET", "voipex"), ("X_CACHE__PASSWRD", "hunter2")];
    for error in [
        serde_json::from_str::<SourceConfig>(json)
            .unwrap_err()
            .to_string(),
        toml::from_str::<SourceConfig>(toml)
            .unwrap_err()
            .to_string(),
        serde_yaml_ng::from_str::<SourceConfig>(yaml)
            .unwrap_err()
            .to_string(),
        serde_yaml_ng::from_str::<SourceConfig>(nested)
            .unwrap_err()
            .to_string(),
        SourceConfig::from_vars("X_", vars).unwrap_err().to_string(),
        SourceConfig::from_vars("x_", deep).unwrap_err().to_string(),
    ] {
        assert!(error.contains("unknown field `passwrd`"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_typing_error_in_a_key_is_pointed_at_with_the_key_that_was_meant() {
    for (toml, place, hint) in [
        (
            "usernam = 'me'",
            "line 2, column 1",
            "did you mean `username`?",
        ),
        (
            "[cache]\nlabel = 'x'\nwait_timeut = '20s'",
            "line 4, column 1",
            "did you mean `wait_timeout`?",
        ),
        (
            "wait_timeout = '20s'",
            "line 2, column 1",
            "it is a key of the table `cache`",
        ),
    ] {
        let toml = format!("preset = 'voipex'\n{toml}\n");
        let error = toml::from_str::<SourceConfig>(&toml).expect_err(&toml);
        let error = error.to_string();
        assert!(error.contains(place) && error.contains(hint), "{error}");
    }
    let deep = [("X_PRESET", "voipex"), ("X_CACHE_WAIT_TIMEOUT", "1s")];
    let error = SourceConfig::from_vars("X_", deep).expect_err("one underscore");
    assert!(error.to_string().contains("`cache__wait_timeout`"));
}

#[test]
fn a_variable_that_is_missing_is_named() -> Result<(), BoxError> {
    for (variables, missing) in [
        (&[][..], "`MY_AUTH_GRANT`"),
        (
            &[("MY_AUTH_PRESET", "voipex"), ("MY_AUTH_USERNAME", "me")],
            "`MY_AUTH_PASSWORD`",
        ),
        (
            &[("my_auth_preset", "voipex"), ("MY_AUTH_PASSWORD", "p")],
            "`MY_AUTH_USERNAME`",
        ),
    ] {
        let variables = variables.iter().copied();
        let config = SourceConfig::from_vars("my_auth_", variables)?;
        let error = config.token_cache().expect_err(missing).to_string();
        assert!(error.contains(missing), "{error}");
    }
    let from_file = refused(json!({ "preset": "voipex", "username": "me" }));
    assert!(!from_file.to_string().contains("environment"));
    Ok(())
}

#[tokio::test]
async fn the_same_source_comes_from_each_format() -> Result<(), BoxError> {
    let toml = r#"
        grant = "client_credentials"
        token_endpoint = "https://a.example/token"
        client_id = "billing"
        client_secret = "s"
        client_auth = "client_secret_post"
        scope = "a b"
        timeout = "5s"
        max_response = 1000
        [cache]
        wait_timeout = 20
        renew_before_fraction = 0.5
        renew_before_max = "1h"
        [params]
        audience = "x"
    "#;
    let yaml = "
grant: client_credentials
token_endpoint: https://a.example/token
client_id: billing
client_secret: s
client_auth: client_secret_post
scope: [a, b]
timeout: 5
max_response: 1000
cache: { wait_timeout: 20s, renew_before_fraction: 0.5, renew_before_max: 3600 }
params: { audience: x }
";
    let vars = [
        ("GRANT", "client_credentials"),
        ("TOKEN_ENDPOINT", "https://a.example/token"),
        ("CLIENT_ID", "billing"),
        ("CLIENT_SECRET", "s"),
        ("CLIENT_AUTH", "client_secret_post"),
        ("SCOPE", "a b"),
        ("TIMEOUT", "5s"),
        ("MAX_RESPONSE", "1000"),
        ("CACHE__WAIT_TIMEOUT", "20"),
        ("CACHE__RENEW_BEFORE_FRACTION", "0.5"),
        ("CACHE__RENEW_BEFORE_MAX", "1h"),
        ("PARAMS__AUDIENCE", "x"),
        ("USERNAME", ""),
    ];
    let vars = vars.map(|(name, value)| (format!("My_Auth_{name}"), value));
    let others = [("MY_PORT".to_owned(), "hunter2"), ("MY".to_owned(), "x")];
    for config in [
        toml::from_str(toml)?,
        serde_yaml_ng::from_str(yaml)?,
        SourceConfig::from_vars("MY_AUTH_", vars.into_iter().chain(others))?,
    ] {
        assert_eq!(
            sent(&config).await?.body,
            "client_id=billing&grant_type=client_credentials&client_secret=s&scope=a+b&audience=x"
        );
        let cache = format!("{:?}", config.token_cache_builder()?);
        assert!(
            cache.contains("wait_timeout: 20s")
                && cache.contains("renew_before: Window { fraction: 0.5"),
            "{cache}"
        );
    }
    Ok(())
}

/// The error of a configuration, whichever part of it finds it.
#[tokio::test]
async fn the_preset_logs_in_and_acts_for_a_user_at_another_server() -> Result<(), BoxError> {
    let keys = json!({ "preset": "voipex", "username": "api@x.example", "password": "hunter2",
        "authorization_server": "https://test.example" });
    assert_eq!(
        sent(&config(keys.clone())).await?.uri,
        "https://test.example/token"
    );
    let mut for_user = keys;
    for_user["impersonate"] = "anna@x.example".into();
    let log = Log::default();
    let source = config(for_user).source_through(endpoint(&log, |_| answer(200, &[], TOKEN)))?;
    source.fetch().await?;
    let sent: Vec<_> = log.all().iter().map(|it| it.uri.to_string()).collect();
    let at = |path: &str| format!("https://test.example/{path}");
    assert_eq!(sent, [at("token"), at("token-exchange")]);
    Ok(())
}

#[tokio::test]
async fn what_is_short_lived_stands_in_a_file_or_in_the_configuration() -> Result<(), BoxError> {
    let file = Scrap::with("short", "short-lived\n");
    let jwt = "urn:ietf:params:oauth:token-type:jwt";
    for (keys, name) in [
        (json!({ "grant": "jwt_bearer" }), "assertion"),
        (json!({ "grant": "client_credentials" }), "client_assertion"),
        (json!({ "grant": "token_exchange" }), "subject_token"),
        (
            json!({ "grant": "token_exchange", "subject_token": "s", "actor_token_type": jwt }),
            "actor_token",
        ),
    ] {
        for (key, value) in [
            (name.to_owned(), "short-lived"),
            (format!("{name}_file"), file.path()),
        ] {
            let mut keys = with(keys.clone());
            keys[&key] = value.into();
            let body = sent(&config(keys)).await?.body;
            assert!(body.contains(&format!("{name}=short-lived")), "{body}");
        }
    }
    Ok(())
}

fn refused(keys: serde_json::Value) -> ConfigError {
    let shown = keys.to_string();
    let config = config(keys);
    match config.token_cache() {
        Ok(_) => panic!("{shown}"),
        Err(error) => error,
    }
}

#[test]
fn what_is_missing_or_not_used_is_named() {
    let secret = Scrap::with("empty", "\n");
    for (keys, field, reason) in [
        (json!({ "grant": "pasword" }), "grant", "none of `password`"),
        (json!({}), "grant", "and so is `preset`"),
        (json!({ "preset": "vopiex" }), "preset", "is not `voipex`"),
        (
            user(json!({ "preset": "voipex" })),
            "grant",
            "conflicts with `preset`",
        ),
        (
            with(user(json!({ "impersonate": "anna" }))),
            "impersonate",
            "grant `password`",
        ),
        (
            json!({ "preset": "voipex", "username": "me", "password": "hunter2",
                    "impersonate": " " }),
            "impersonate",
            "is empty",
        ),
        (
            with(json!({ "grant": "extension" })),
            "grant_type",
            "missing",
        ),
        (
            client(json!({ "grant_type": "x" })),
            "grant_type",
            "grant `client_credentials`",
        ),
        (
            with(json!({ "grant": "urn:x", "param_files": { "a": "/no/where" } })),
            "param_files",
            "/no/where",
        ),
        (
            with(json!({ "grant": "urn:x", "param_files": { "a": "/x" }, "params": { "a": "b" } })),
            "param_files",
            "conflicts with `params`",
        ),
        (
            client(json!({ "client_key_file": "/x" })),
            "client_certificate_file",
            "missing",
        ),
        (
            client(json!({ "root_certificates_file": "/no/where" })),
            "root_certificates_file",
            "/no/where",
        ),
        (client(json!({ "proxy": "hunter2" })), "proxy", "no scheme"),
        (
            client(json!({ "proxy": "http://a", "no_proxy": true })),
            "no_proxy",
            "set only one",
        ),
        (
            client(json!({ "connect_timeout": 0 })),
            "connect_timeout",
            "is zero",
        ),
        (
            client(json!({ "allow_plain_http": "http://*.mesh" })),
            "allow_plain_http",
            "a wildcard",
        ),
        (
            json!({ "grant": "client_credentials", "client_id": "x",
                "token_endpoint": "http://keycloak:8080/token",
                "allow_plain_http": ["http://keycloak:8081"] }),
            "token_endpoint",
            "plain http",
        ),
        (user(json!({})), "client_id", "missing"),
        (
            user(json!({ "client_id": "x" })),
            "token_endpoint",
            "and so is `issuer`",
        ),
        (
            with(user(json!({ "issuer": "https://a.example" }))),
            "issuer",
            "set only one",
        ),
        (
            with(user(json!({ "password_file": "/x" }))),
            "password_file",
            "conflicts with `password`",
        ),
        (
            with(json!({ "grant": "password", "username": "me" })),
            "password",
            "missing, and so is `password_file`",
        ),
        (
            with(json!({ "grant": "password", "password": "hunter2" })),
            "username",
            "missing",
        ),
        (
            with(json!({ "grant": "password", "username": "me", "password_file": "/no/where" })),
            "password_file",
            "/no/where",
        ),
        (
            client(json!({ "client_secret_file": secret.path() })),
            "client_secret_file",
            "is empty",
        ),
        (
            client(json!({ "username": "me" })),
            "username",
            "grant `client_credentials`",
        ),
        (
            client(json!({ "client_auth": "hunter2" })),
            "client_auth",
            "is none of",
        ),
        (
            client(json!({ "client_auth": "client_secret_basic" })),
            "client_secret",
            "missing, and so is `client_secret_file`",
        ),
        (
            client(json!({ "client_auth": "private_key_jwt" })),
            "private_key",
            "",
        ),
        (
            client(json!({ "key_id": "hunter2" })),
            "key_id",
            "is not used",
        ),
        (
            client(json!({ "key_algorithm": "hunter2" })),
            "key_algorithm",
            "is not used",
        ),
        (
            client(json!({ "client_auth": "tls_client_auth", "client_secret": "hunter2" })),
            "client_secret",
            "is not used",
        ),
        (
            json!({ "preset": "voipex", "username": "me", "password": "hunter2", "issuer": "x" }),
            "issuer",
            "not used by the preset `voipex`",
        ),
        (
            with(json!({ "grant": "jwt_bearer" })),
            "assertion_file",
            "and so is `private_key`",
        ),
        (
            with(json!({ "grant": "jwt_bearer", "assertion": "hunter2", "assertion_file": "/x" })),
            "assertion_file",
            "conflicts with `assertion`",
        ),
        (
            with(json!({ "grant": "jwt_bearer", "assertion": "a", "assertion_headers": {} })),
            "assertion_headers",
            "is not used",
        ),
        (
            client(json!({ "assertion_subject": "hunter2" })),
            "assertion_subject",
            "is not used",
        ),
        (
            client(json!({ "key_certificate_file": "/no/where" })),
            "key_certificate_file",
            "is not used",
        ),
        (
            with(
                json!({ "grant": "client_credentials", "client_auth": "client_assertion",
                "client_assertion": "hunter2", "client_assertion_file": "/x" }),
            ),
            "client_assertion_file",
            "conflicts with `client_assertion`",
        ),
        (
            client(json!({ "client_certificate": "hunter2", "client_certificate_file": "/x" })),
            "client_certificate_file",
            "conflicts with `client_certificate`",
        ),
        (
            client(json!({ "root_certificates": "hunter2", "root_certificates_file": "/x" })),
            "root_certificates_file",
            "conflicts with `root_certificates`",
        ),
        (
            client(json!({ "root_certificates": "hunter2" })),
            "root_certificates",
            "not PEM",
        ),
        (
            client(json!({ "authorization_server": "https://a.example" })),
            "authorization_server",
            "grant `client_credentials`",
        ),
        (
            json!({ "preset": "voipex", "username": "me", "password": "hunter2",
                    "authorization_server": "a.example" }),
            "authorization_server",
            "",
        ),
        (
            with(json!({ "grant": "refresh_token" })),
            "refresh_token",
            "missing",
        ),
        (
            with(
                json!({ "grant": "refresh_token", "refresh_token": "hunter2",
                "rotated_token_file": "/no/where/token" }),
            ),
            "rotated_token_file",
            "/no/where/token cannot be written",
        ),
        (
            with(json!({ "grant": "token_exchange" })),
            "subject_token_file",
            "missing",
        ),
        (
            with(
                json!({ "grant": "token_exchange", "subject_token_file": "x", "actor_token_file": "y" }),
            ),
            "actor_token_type",
            "missing",
        ),
        (
            with(json!({ "grant": "urn:x", "params": { "scope": "hunter2" } })),
            "param",
            "`scope`",
        ),
        (client(json!({ "timeout": 0 })), "timeout", "is zero"),
        (
            client(json!({ "client_auth": "basic", "client_secret": "hunter2" })),
            "client_auth",
            "is none of `none`, `client_secret_basic`",
        ),
        (
            client(json!({ "cache": { "renew_before_max": 5 } })),
            "renew_before_fraction",
            "missing beside `renew_before_max`",
        ),
        (
            client(json!({ "cache": { "wait_timeout": 0 } })),
            "wait_timeout",
            "",
        ),
        (
            client(
                json!({ "logout_endpoint": "https://a/l", "revocation_endpoint": "https://a/r" }),
            ),
            "revocation_endpoint",
            "set only one",
        ),
    ] {
        let shown = keys.to_string();
        let error = refused(keys);
        assert_eq!(error.field(), field, "{shown}: {error}");
        assert!(error.to_string().contains(reason), "{shown}: {error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[test]
fn no_secret_is_in_debug_or_in_the_error_of_a_value_that_does_not_fit() {
    let keys = with(user(
        json!({ "client_secret": "hunter2", "private_key": "hunter2",
        "refresh_token": "hunter2", "params": { "totp": "hunter2" } }),
    ));
    assert!(!format!("{:?}", config(keys)).contains("hunter2"));
    for keys in [
        json!({ "preset": "voipex", "password": 472_193 }),
        json!({ "preset": "voipex", "password": -472_193 }),
        json!({ "preset": "voipex", "password": true }),
        json!({ "preset": "voipex", "password": ["472193"] }),
        json!({ "preset": "voipex", "password": [472_193] }),
        json!({ "preset": "voipex", "password": "" }),
        json!({ "preset": "voipex", "params": { "totp": 472_193 } }),
        json!({ "preset": "voipex", "params": "totp=472193" }),
        json!({ "preset": "voipex", "params": 472_193 }),
        json!({ "preset": "voipex", "params": -472_193 }),
        json!({ "preset": "voipex", "params": 472_193.5 }),
        json!({ "preset": "voipex", "params": ["472193"] }),
        json!({ "preset": "voipex", "param_files": "472193" }),
        json!({ "preset": "voipex", "assertion_claims": "472193" }),
        json!({ "preset": "voipex", "assertion_headers": "472193" }),
        json!({ "preset": "voipex", "timeout": "472193 weeks" }),
        json!({ "preset": "voipex", "max_response": "472193x" }),
        json!({ "preset": "voipex", "cache": { "renew_jitter": "x472193" } }),
    ] {
        let shown = keys.to_string();
        let error = serde_json::from_value::<SourceConfig>(keys).expect_err(&shown);
        assert!(!error.to_string().contains("472193"), "{error}");
        let as_yaml = serde_yaml_ng::from_str::<SourceConfig>(&shown).expect_err(&shown);
        assert!(!as_yaml.to_string().contains("472193"), "{as_yaml}");
    }
    let negative = json!({ "preset": "voipex", "cache": { "wait_timeout": -472_193 } });
    let error = serde_json::from_value::<SourceConfig>(negative).expect_err("negative");
    assert!(error.to_string().contains("a duration is"), "{error}");
    assert!(!error.to_string().contains("472193"), "{error}");
    for table in ["X_CACHE", "X_PARAMS"] {
        let vars = [("X_PRESET", "voipex"), (table, "hunter2")];
        let error = SourceConfig::from_vars("X_", vars).expect_err(table);
        assert!(error.to_string().contains("is a table"), "{error}");
        assert!(!error.to_string().contains("hunter2"));
    }
}

/// Twitch's type of token has spaces, and a variable can hold no list.
#[tokio::test]
async fn a_type_of_token_with_spaces_is_accepted_from_a_string_too() -> Result<(), BoxError> {
    let from_a_variable = SourceConfig::from_vars(
        "A_",
        [
            ("A_GRANT", "client_credentials"),
            ("A_CLIENT_ID", "x"),
            ("A_TOKEN_ENDPOINT", "https://a.example/token"),
            ("A_ACCEPT_TOKEN_TYPE", "Application Access Token"),
        ],
    )?;
    let from_a_string = json!({ "accept_token_type": "Application Access Token" });
    let from_a_list = json!({ "accept_token_type": ["bot", "Application Access Token"] });
    for config in [
        from_a_variable,
        config(client(from_a_string)),
        config(client(from_a_list)),
    ] {
        let body = r#"{"access_token":"t","token_type":"application access token"}"#;
        let transport = endpoint(&Log::default(), move |_| answer(200, &[], body));
        config.source_through(transport)?.fetch().await?;
    }
    let several = config(client(json!({ "accept_token_type": "bot jwt" })));
    for (token_type, is_accepted) in [("bot", true), ("JWT", true), ("robot", false)] {
        let body = format!(r#"{{"access_token":"t","token_type":"{token_type}"}}"#);
        let transport = endpoint(&Log::default(), move |_| answer(200, &[], body.clone()));
        let fetched = several.source_through(transport)?.fetch().await;
        assert_eq!(fetched.is_ok(), is_accepted, "{token_type}");
    }
    let error = config(client(json!({ "accept_token_type": "bot dpop" }))).source();
    assert_eq!(error.expect_err("never").field(), "accept_token_type");
    Ok(())
}

#[tokio::test]
async fn a_parameters_name_in_a_variable_keeps_its_letter_case() -> Result<(), BoxError> {
    let config = SourceConfig::from_vars(
        "A_",
        [
            ("A_GRANT", "client_credentials"),
            ("A_CLIENT_ID", "x"),
            ("A_TOKEN_ENDPOINT", "https://a.example/token"),
            ("A_PARAMS__AUDIENCE", "a"),
            ("a_params__loginHint", "b"),
            ("A_CACHE__Wait_Timeout", "7s"),
        ],
    )?;
    let body = sent(&config).await?.body;
    assert!(body.ends_with("&audience=a&loginHint=b"), "{body}");
    let cache = format!("{:?}", config.token_cache_builder()?);
    assert!(cache.contains("wait_timeout: 7s"), "{cache}");
    Ok(())
}

#[tokio::test]
async fn plain_http_off_loopback_is_for_the_origins_that_are_listed() -> Result<(), BoxError> {
    let keys = json!({ "grant": "client_credentials", "client_id": "x",
        "token_endpoint": "http://keycloak:8080/token",
        "revocation_endpoint": "http://keycloak:8080/revoke",
        "allow_plain_http": "http://calls http://keycloak:8080" });
    let sent = sent(&config(keys)).await?;
    assert_eq!(sent.uri, "http://keycloak:8080/token");
    for (endpoint, origin) in [
        ("http://bücher:8080/token", "http://bücher:8080"),
        ("http://10.1:8080/token", "http://10.1:8080"),
        ("http://[fd00::1]/token", "http://[fd00:0::1]"),
        ("HTTP://Keycloak:80/token", "http://keycloak/"),
    ] {
        let keys = json!({ "grant": "client_credentials", "client_id": "x",
            "token_endpoint": endpoint, "allow_plain_http": origin });
        assert!(config(keys).source().is_ok(), "{endpoint}");
    }
    let mut keys = json!({ "grant": "client_credentials", "client_id": "x",
        "issuer": "http://keycloak:8080/realms/x", "allow_plain_http": ["http://keycloak:8080"] });
    assert!(config(keys.clone()).source().is_ok());
    keys["logout_endpoint"] = "http://other/logout".into();
    let error = config(keys).source().expect_err("not listed");
    assert_eq!(error.field(), "logout_endpoint");
    Ok(())
}

#[tokio::test]
async fn a_secret_of_a_configuration_is_read_for_each_token_request() -> Result<(), BoxError> {
    let (password, secret) = (
        Scrap::with("rotated-pw", "x"),
        Scrap::with("rotated-cs", "x"),
    );
    let config = config(with(json!({ "grant": "password", "username": "me",
        "password_file": password.path(), "client_secret_file": secret.path(),
        "client_auth": "client_secret_post", "param_files": { "code": secret.path() } })));
    let log = Log::default();
    let source = config.source_through(endpoint(&log, |_| answer(200, &[], TOKEN)))?;
    for content in ["one", "two"] {
        password.write(content);
        secret.write(content);
        source.fetch().await?;
        let body = log.all().pop().expect("a request").body;
        let sent = format!(
            "client_id=billing&username=me&password={content}&grant_type=password\
             &client_secret={content}&code={content}"
        );
        assert_eq!(body, sent);
    }
    password.write("\n");
    let error = source.fetch().await.expect_err("empty").to_string();
    assert!(
        error.contains(password.path()) && error.contains("is empty"),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn a_variable_is_cut_as_a_file_is_and_named_where_it_is_at_fault() -> Result<(), BoxError> {
    let password = |password: &'static str| {
        let others = [
            ("A_GRANT", "password\n"),
            ("A_TOKEN_ENDPOINT", "https://a.example/token "),
            ("A_CLIENT_ID", "\u{feff}api"),
            ("A_USERNAME", "me\r\n"),
        ];
        others.into_iter().chain([("A_PASSWORD", password)])
    };
    for (value, sent_value) in [("pw\n", "pw"), ("\u{feff}pw \t\r\n", "pw"), (" pw", "+pw")] {
        let config = SourceConfig::from_vars("A_", password(value))?;
        let form = format!("client_id=api&username=me&password={sent_value}&grant_type=password");
        assert_eq!(sent(&config).await?.body, form);
    }
    for (name, value, reason) in [
        ("A_PASSWORD", " \n", "nothing but blanks"),
        ("A_TIMEOUT", "hunter2", "a duration is"),
        ("A_TIMEOUT", "-1", "a duration is"),
        ("A_CACHE__WAIT_TIMEOUT", "hunter2", "a duration is"),
        ("A_MAX_RESPONSE", "hunter2", "a whole number"),
        ("A_NO_PROXY", "hunter2", "`true` or `false`"),
        ("A_CACHE__RENEWAL", "hunter2", "`exclusive`"),
        ("A_SCOP", "hunter2", "unknown field `scop`"),
    ] {
        let variables = password("pw").chain([(name, value)]);
        let error = SourceConfig::from_vars("a_", variables).expect_err(name);
        let error = error.to_string();
        assert!(error.contains(&format!("`{name}`")), "{error}");
        assert!(
            error.contains(reason) && !error.contains("hunter2"),
            "{error}"
        );
    }
    Ok(())
}

#[test]
fn all_that_the_default_transport_can_be_told_has_a_key() -> Result<(), BoxError> {
    let http2 = cfg!(feature = "http2");
    for (name, value) in [
        ("CONNECT_TIMEOUT", "1.5s"),
        ("PROXY", "http://me:pw@proxy:3128"),
        ("NO_PROXY", "true"),
        ("HTTP1_ONLY", "TRUE"),
        ("HTTP2_ONLY", "true"),
        ("KEEP_SYSTEM_ROOTS", "false"),
    ] {
        let variables = [
            ("GRANT", "client_credentials"),
            ("TOKEN_ENDPOINT", "https://a.example/token"),
            ("CLIENT_ID", "x"),
            ("CACHE__RENEWAL", "exclusive"),
            (name, value),
        ];
        let config = SourceConfig::from_vars("", variables)?;
        let is_there = name != "HTTP2_ONLY" || http2;
        assert_eq!(config.token_cache().is_ok(), is_there, "{name}");
        let service = TokenServer::builder().in_process().service();
        let error = config.source_through(service).expect_err(name);
        assert_eq!(error.field(), name.to_lowercase());
    }
    Ok(())
}

/// The parts of a signed assertion in a form.
#[cfg(feature = "private-key-jwt")]
fn signed(body: &str, name: &str) -> Vec<serde_json::Value> {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let of_name = |param: &str| {
        param
            .strip_prefix(name)?
            .strip_prefix('=')
            .map(str::to_owned)
    };
    let assertion = body.split('&').find_map(of_name).expect("one");
    let parts = assertion.split('.').take(2).map(|part| {
        let json = URL_SAFE_NO_PAD.decode(part).expect("base64url");
        serde_json::from_slice(&json).expect("JSON")
    });
    parts.collect()
}

#[cfg(feature = "private-key-jwt")]
#[tokio::test]
async fn a_key_signs_the_assertion_of_a_grant() -> Result<(), BoxError> {
    let pem = rcgen::KeyPair::generate()?.serialize_pem();
    let keys = json!({ "grant": "jwt_bearer", "token_endpoint": "https://a.example/token",
        "private_key": pem, "key_id": "k7", "assertion_issuer": "robot",
        "assertion_subject": "me", "assertion_audience": "https://a.example",
        "assertion_lifetime": "1m30s", "assertion_claims": { "scope": "calls" } });
    let body = sent(&config(keys.clone())).await?.body;
    let parts = signed(&body, "assertion");
    assert_eq!(
        (&parts[0]["kid"], &parts[1]["iss"]),
        (&"k7".into(), &"robot".into())
    );
    assert_eq!(
        (&parts[1]["sub"], &parts[1]["scope"]),
        (&"me".into(), &"calls".into())
    );
    assert_eq!(parts[1]["aud"], "https://a.example");
    let life = parts[1]["exp"].as_u64().zip(parts[1]["iat"].as_u64());
    assert_eq!(life.map(|(exp, iat)| exp - iat), Some(90));
    assert!(!body.contains("client_assertion"), "{body}");
    for (name, missing) in [
        ("assertion_issuer", "assertion_issuer"),
        ("assertion_audience", "assertion_audience"),
        ("private_key", "assertion_file"),
    ] {
        let mut keys = keys.clone();
        keys.as_object_mut().expect("a table").remove(name);
        assert_eq!(refused(keys).field(), missing);
    }
    let mut both = keys;
    both["client_id"] = "billing".into();
    both["client_auth"] = "private_key_jwt".into();
    let body = sent(&config(both)).await?.body;
    assert_eq!(
        signed(&body, "client_assertion")[1]["aud"],
        "https://a.example/token"
    );
    assert_eq!(signed(&body, "assertion")[1]["iss"], "robot");
    Ok(())
}

#[cfg(feature = "private-key-jwt")]
#[tokio::test]
async fn a_key_signs_with_its_id_for_its_audience() -> Result<(), BoxError> {
    let pem = rcgen::KeyPair::generate()?.serialize_pem();
    let file = Scrap::with("key", &pem);
    for (name, value) in [
        ("private_key", pem.as_str()),
        ("private_key_file", file.path()),
    ] {
        let mut keys = client(json!({ "key_id": "k7",
            "assertion_audience": "https://a.example" }));
        keys[name] = value.into();
        let body = sent(&config(keys)).await?.body;
        let parts = signed(&body, "client_assertion");
        assert_eq!(parts[0]["kid"], "k7");
        assert_eq!(parts[0]["alg"], "ES256");
        assert_eq!(parts[1]["aud"], "https://a.example");
    }
    Ok(())
}

/// Everything that a builder can set of what a key signs.
#[cfg(feature = "private-key-jwt")]
#[tokio::test]
async fn what_a_key_signs_for_a_client_has_the_claims_and_headers_that_are_set()
-> Result<(), BoxError> {
    let pem = rcgen::KeyPair::generate()?.serialize_pem();
    let certificate = "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n";
    let certificate = Scrap::with("of-key", certificate);
    let path = certificate.path();
    let toml = format!(
        "grant = 'client_credentials'\nclient_id = 'billing'\nprivate_key = '''{pem}'''\n\
         token_endpoint = 'https://a.example/token'\nkey_certificate_file = '{path}'\n\
         assertion_issuer = 'them'\nassertion_subject = 'me'\nassertion_lifetime = 90\n\
         assertion_audience = 'https://a.example'\n\
         [assertion_headers]\ntyp = 'client-authentication+jwt'\n\
         [assertion_claims]\nteam = 'calls'\n"
    );
    let variables = [
        ("A_GRANT", "client_credentials"),
        ("A_CLIENT_ID", "billing"),
        ("A_PRIVATE_KEY", &pem),
        ("A_TOKEN_ENDPOINT", "https://a.example/token"),
        ("A_KEY_CERTIFICATE_FILE", path),
        ("A_ASSERTION_ISSUER", "them"),
        ("A_ASSERTION_SUBJECT", "me"),
        ("A_ASSERTION_LIFETIME", "90s"),
        ("A_ASSERTION_AUDIENCE", "https://a.example"),
        ("A_ASSERTION_HEADERS__TYP", "client-authentication+jwt"),
        ("A_ASSERTION_CLAIMS__TEAM", "calls"),
    ];
    for config in [
        toml::from_str(&toml)?,
        SourceConfig::from_vars("A_", variables)?,
    ] {
        let parts = signed(&sent(&config).await?.body, "client_assertion");
        assert_eq!(parts[0]["typ"], "client-authentication+jwt");
        // SHA-1 and SHA-256 of "abc".
        assert_eq!(parts[0]["x5t"], "qZk-NkcGgWq6PiVxeFDCbJzQ2J0");
        let sha256 = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";
        assert_eq!(parts[0]["x5t#S256"], sha256);
        for (claim, value) in [
            ("iss", "them"),
            ("sub", "me"),
            ("aud", "https://a.example"),
            ("team", "calls"),
        ] {
            assert_eq!(parts[1][claim], value);
        }
        let life = parts[1]["exp"].as_u64().zip(parts[1]["iat"].as_u64());
        assert_eq!(life.map(|(exp, iat)| exp - iat), Some(90));
    }
    for (content, reason) in [(Some("hunter2"), "no certificate"), (None, "No such file")] {
        let file = Scrap::with("no-certificate", content.unwrap_or_default());
        let path = file.path().to_owned();
        if content.is_none() {
            std::fs::remove_file(&path)?;
        }
        let error = refused(with(json!({ "grant": "client_credentials",
            "private_key": pem, "key_certificate_file": path })));
        assert_eq!(error.field(), "key_certificate_file");
        assert!(error.to_string().contains(reason), "{error}");
    }
    Ok(())
}

#[test]
fn certificates_stand_in_the_configuration_too() -> Result<(), BoxError> {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
    let config = config(with(json!({ "grant": "client_credentials",
        "client_auth": "tls_client_auth", "client_certificate": format!("{key}{certificate}"),
        "root_certificates": certificate })));
    config.token_cache()?;
    let service = TokenServer::builder().in_process().service();
    let error = config.source_through(service).expect_err("not used");
    assert_eq!(error.field(), "client_certificate");
    Ok(())
}

#[test]
fn certificates_are_for_the_default_transport_and_have_to_be_some() {
    for (name, content) in [
        ("client_certificate_file", "hunter2"),
        ("root_certificates_file", "hunter2"),
        ("root_certificates_file", ""),
    ] {
        let file = Scrap::with(name, content);
        let mut keys = client(json!({ "client_auth": "tls_client_auth" }));
        keys[name] = file.path().into();
        let config = config(keys);
        let error = config.source().expect_err("no certificate");
        assert!(name.starts_with(error.field()), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let service = TokenServer::builder().in_process().service();
        let error = config.source_through(service).expect_err("not used");
        assert_eq!(error.field(), name);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rotated_token_is_kept_in_its_file_for_the_next_start() -> Result<(), BoxError> {
    let server = TokenServer::builder()
        .user("me", "pw")
        .rotate_refresh_tokens(true)
        .in_process();
    let login = server.grant().fetch().await?;
    let first = login.refresh_token().map(RefreshToken::secret);
    let first = first.expect("a refresh token").to_owned();
    let kept = Scrap::new("rotated");
    let config = config(
        json!({ "grant": "refresh_token", "token_endpoint": server.token_url(),
        "client_id": "api", "refresh_token": first, "rotated_token_file": kept.path() }),
    );
    let source = config.source_through(server.service())?;
    source.fetch().await?;
    let second = std::fs::read_to_string(&kept.0)?;
    assert_ne!(first, second.trim_end());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&kept.0)?.permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    drop(source);
    config.source_through(server.service())?.fetch().await?;
    assert_ne!(second, std::fs::read_to_string(&kept.0)?);
    let counts = server.counts();
    assert_eq!((counts.refresh_grants, counts.refresh_token_reuses), (2, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_configured_source_revokes_as_its_grant_does() -> Result<(), BoxError> {
    let server = TokenServer::builder().user("me", "pw").in_process();
    let config = config(json!({ "grant": "password", "issuer": server.api_url(),
        "client_id": "api", "username": "me", "password": "pw", "cache": { "wait_timeout": "5s" } }));
    let source = config.source_through(server.service())?;
    let tokens = config.token_cache_builder_for(source)?.build()?;
    tokens.token().await?;
    assert_eq!(server.counts().open_sessions, 1);
    tokens.revoke().await?;
    assert_eq!(server.counts().open_sessions, 0);
    Ok(())
}
