//! A source from a TOML file, and one from the environment:
//! `cargo run --features config --example config`.
//!
//! If `CALLS_AUTH_GRANT` (or `CALLS_AUTH_PRESET`) and so on are set, they define the
//! account: see `tower_bearer::config` for the keys.

use std::error::Error;

use tower_bearer::config::SourceConfig;
use tower_bearer::testing::TokenServer;

async fn token(config: &SourceConfig) -> Result<(), Box<dyn Error>> {
    let tokens = config.token_cache()?;
    println!("{config:?}: {:?}", tokens.token().await?);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = TokenServer::builder().user("me", "pw").start().await?;
    // Like a mounted secret, which ends in a line end.
    let secret = std::env::temp_dir().join(format!("calls-password-{}", std::process::id()));
    std::fs::write(&secret, "pw\n")?;
    let (issuer, file) = (server.api_url(), secret.display().to_string());

    let text = format!(
        "grant = 'password'\nissuer = '{issuer}'\nclient_id = 'api'\nusername = 'me'\n\
         password_file = '{file}'\ntimeout = '5s'\n[cache]\nwait_timeout = '20s'\n"
    );
    token(&toml::from_str(&text)?).await?;

    let of_this_process = std::env::vars().filter(|(name, _)| name.starts_with("CALLS_AUTH_"));
    let mut variables: Vec<_> = of_this_process.collect();
    if variables.is_empty() {
        let set = |name: &str, value: &str| (format!("CALLS_AUTH_{name}"), value.to_owned());
        variables = vec![
            set("GRANT", "password"),
            set("TOKEN_ENDPOINT", server.token_url()),
            set("CLIENT_ID", "api"),
            set("USERNAME", "me"),
            set("PASSWORD_FILE", &file),
            set("CACHE__WAIT_TIMEOUT", "20s"),
        ];
    }
    token(&SourceConfig::from_vars("CALLS_AUTH_", variables)?).await?;

    let typo = toml::from_str::<SourceConfig>("preset = 'voipex'\nusrename = 'me'\n");
    println!("{}", typo.expect_err("a typing error"));

    std::fs::remove_file(secret)?;
    let (requests, refused) = (server.token_requests(), server.counts().refused);
    println!("tokens: 2  token requests: {requests}  refused: {refused}");
    Ok(())
}
