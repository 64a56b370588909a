//! A short program that runs again and again, with one login for all its runs:
//!
//! ```sh
//! cargo run --features file-store --example cron
//! ```
//!
//! Starts the embedded server and runs itself against it: 100 times in a row, and 20
//! times at once. Each run finds the previous run's token in a file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::task::JoinSet;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
use tower_bearer::store::FileStore;
use tower_bearer::testing::TokenServer;
use tower_bearer::{BearerAuthLayer, Origins, PasswordGrant, TokenCache};

/// The variable that makes a process a run, with its settings.
const RUN: &str = "CRON_RUN";

/// What a real program has in its configuration.
#[derive(Serialize, Deserialize)]
struct Settings {
    folder: PathBuf,
    token_url: String,
    api_url: String,
    username: String,
    password: String,
}

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    if let Ok(settings) = std::env::var(RUN) {
        run(serde_json::from_str(&settings)?).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let server = TokenServer::builder().start().await?;
    let folder = std::env::temp_dir().join(format!("tower-bearer-cron-{}", std::process::id()));
    let settings = serde_json::to_string(&Settings {
        folder: folder.clone(),
        token_url: server.token_url().to_owned(),
        api_url: server.api_url().to_owned(),
        username: server.username().to_owned(),
        password: server.password(),
    })?;
    let (mut runs, mut failed) = (0, 0);
    for _ in 0..100 {
        runs += 1;
        failed += u32::from(!start(settings.clone()).await?);
    }
    let at_once: JoinSet<_> = (0..20).map(|_| start(settings.clone())).collect();
    for succeeded in at_once.join_all().await {
        runs += 1;
        failed += u32::from(!succeeded?);
    }
    remove(&folder);

    let logins = server.counts().password_grants;
    println!("runs: {runs}  logins: {logins}  failed: {failed}");
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Runs this program. Returns whether it succeeded.
async fn start(settings: String) -> Result<bool, BoxError> {
    let mut command = Command::new(std::env::current_exe()?);
    Ok(command.env(RUN, settings).status().await?.success())
}

/// A whole run: one call of the API.
async fn run(settings: Settings) -> Result<(), BoxError> {
    // A user's program would use
    // `FileStore::user_cache("my-tool").user_key("my-tool")`.
    let store = FileStore::folder(settings.folder.join("tokens"))
        .key_file(settings.folder.join("key"))
        .build()?;
    let user = &settings.username;
    let account = PasswordGrant::new(&settings.token_url, "api", user, settings.password)?;
    let tokens = TokenCache::builder(account).store(store, user).build()?;
    let client = reqwest::Client::new();
    let mut api = ServiceBuilder::new()
        .layer(BearerAuthLayer::new(
            tokens,
            Origins::only([&settings.api_url])?,
        ))
        .service(client.clone());
    let request = client.get(format!("{}/calls", settings.api_url)).build()?;
    let answer = api.ready().await?.call(request).await?;
    answer.error_for_status()?;
    Ok(())
}

fn remove(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder) {
        eprintln!("{} stays: {error}", folder.display());
    }
}
