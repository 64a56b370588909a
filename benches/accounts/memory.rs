//! Bytes on the heap for each account.

use std::process::ExitCode;
use std::time::Duration;

use http::Request;
use tower::{Layer, ServiceExt};
use tower_bearer::{
    AccessToken, Accounts, AccountsLayer, NoReplay, Origins, TokenCache, TokenError, TokenResponse,
    TokenSource,
};

use crate::runtime;
use crate::support::BoxError;
use crate::support::alloc;
use crate::support::stack::{Noop, request, token};
use crate::support::summary::Summary;
use crate::support::table::{Table, verdict};

const ACCOUNTS: u64 = 100_000;
const TARGET: f64 = 400.0;

/// What an idle account may not exceed. While this is over the target, the target is
/// a miss. To be lowered with each gain.
const ACCEPTED: f64 = 825.0;

/// Returns a newly allocated token, as a token endpoint would. Has no size, as the
/// memory of the credentials is not measured.
struct Source;

impl TokenSource for Source {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        let token = AccessToken::new(token())?;
        Ok(token.with_lifetime(Duration::from_secs(3000)).into())
    }
}

pub(crate) fn accounts() -> Accounts<u64> {
    Accounts::builder(|_: u64| async { Ok::<_, BoxError>(Source) })
        .capacity(usize::MAX)
        .build()
        .expect("settings")
}

/// Returns what `make` allocated and still holds, divided by `number`.
fn bytes_each<T>(number: u64, make: impl FnOnce() -> T) -> (f64, T) {
    alloc::start();
    let made = make();
    // Waits for background tasks to end and free their memory.
    std::thread::sleep(Duration::from_millis(500));
    (alloc::stop().live_bytes as f64 / number as f64, made)
}

/// The size of a token's own bytes.
fn token_bytes() -> f64 {
    let token = AccessToken::new(token()).expect("a token");
    token.header().as_bytes().len() as f64
}

/// The regression guard: `cargo bench --bench accounts --features accounts -- --check`
/// fails when an idle account takes more bytes than it did.
pub(crate) fn check() -> ExitCode {
    let (idle, kept) = idle_accounts();
    drop(kept);
    let figure = idle - token_bytes();
    let mut table = Table::new(&["what", "measured", "target", "", "bound", ""]);
    // Not `figure > bound`, which NaN would pass.
    let is_kept = figure <= ACCEPTED;
    table.row(&[
        "bytes_per_idle_account".to_owned(),
        format!("{figure:.1}"),
        format!("{TARGET:.0}"),
        verdict(figure <= TARGET).to_owned(),
        format!("{ACCEPTED:.0}"),
        if is_kept { "kept" } else { "EXCEEDED" }.to_owned(),
    ]);
    table.print();
    match is_kept {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Returns the bytes of each account that has a token and was used once.
fn idle_accounts() -> (f64, Accounts<u64>) {
    let runtime = runtime();
    let origins = Origins::only(["https://api.example.com"]).expect("an origin");
    bytes_each(ACCOUNTS, || {
        let accounts = accounts();
        let layer = AccountsLayer::new(accounts.clone(), origins).replay(NoReplay);
        let mut service = layer.layer(<Noop>::new());
        runtime.block_on(async {
            for key in 0..ACCOUNTS {
                // The first waits for the token, the second finds it.
                for _ in 0..2 {
                    let mut request: Request<()> = request(());
                    request.extensions_mut().insert(key);
                    let answer = (&mut service).oneshot(request);
                    answer.await.expect("an answer");
                }
            }
        });
        accounts
    })
}

pub(crate) fn measure(summary: &mut Summary) {
    let runtime = runtime();
    let token_bytes = token_bytes();
    let (unused, kept) = bytes_each(ACCOUNTS, || {
        let accounts = accounts();
        (0..ACCOUNTS).for_each(|key| drop(accounts.get_or_create(&key).expect("an account")));
        accounts
    });
    drop(kept);
    let (idle, kept) = idle_accounts();
    assert_eq!(kept.len() as u64, ACCOUNTS);
    drop(kept);
    let singles = ACCOUNTS / 10;
    let (single, kept) = bytes_each(singles, || {
        let caches: Vec<_> = (0..singles).map(|_| TokenCache::new(Source)).collect();
        runtime.block_on(async {
            for tokens in &caches {
                tokens.token().await.expect("a token");
            }
        });
        caches
    });
    drop(kept);

    println!(
        "Heap bytes per account, for {ACCOUNTS} accounts, as requested from the allocator; the \
         token itself takes {token_bytes}.\n"
    );
    let mut table = Table::new(&["what", "total", "without its token", "target", ""]);
    let mut row = |what: &str, all: f64, over: f64, target: Option<f64>| {
        table.row(&[
            what.to_owned(),
            format!("{all:.0}"),
            format!("{over:.0}"),
            target.map_or(String::new(), |target| format!("{target:.0}")),
            target
                .map_or("", |target| verdict(over <= target))
                .to_owned(),
        ]);
    };
    row("an account without a token", unused, unused, None);
    row("an idle account", idle, idle - token_bytes, Some(TARGET));
    row("a `TokenCache` alone", single, single - token_bytes, None);
    table.print();
    summary.number("accounts", ACCOUNTS as f64);
    summary.number("bytes_without_token", unused);
    summary.number("bytes_per_idle_account", idle - token_bytes);
    summary.number("bytes_per_single_cache", single - token_bytes);
}
