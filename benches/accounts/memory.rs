//! Bytes on the heap for each account.

use std::time::Duration;

use tower_bearer::{AccessToken, Accounts, TokenCache, TokenError, TokenResponse, TokenSource};

use crate::runtime;
use crate::support::BoxError;
use crate::support::alloc;
use crate::support::stack::token;
use crate::support::summary::Summary;
use crate::support::table::{Table, verdict};

const ACCOUNTS: u64 = 100_000;
const TARGET: f64 = 512.0;

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

pub(crate) fn measure(summary: &mut Summary) {
    let runtime = runtime();
    let token_bytes = AccessToken::new(token())
        .expect("a token")
        .header()
        .as_bytes()
        .len() as f64;
    let (unused, kept) = bytes_each(ACCOUNTS, || {
        let accounts = accounts();
        (0..ACCOUNTS).for_each(|key| drop(accounts.get_or_create(&key).expect("an account")));
        accounts
    });
    drop(kept);
    let (idle, kept) = bytes_each(ACCOUNTS, || {
        let accounts = accounts();
        runtime.block_on(async {
            for key in 0..ACCOUNTS {
                let tokens = accounts.get_or_create(&key).expect("an account");
                tokens.token().await.expect("a token");
            }
        });
        accounts
    });
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
        "Bytes on the heap for each of {ACCOUNTS} accounts, as they were asked for; a token has \
         {token_bytes} of its own.\n"
    );
    let mut table = Table::new(&["what", "in all", "over its token", "target", ""]);
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
