//! Random histories against small references that are obviously right.
//!
//! Callers come, leave and time out; the server delays, fails, refuses, rotates,
//! revokes and answers 401; time passes, the wall clock jumps, runtimes end. At each
//! step of
//!
//! - **one cache with several origins**: never two fetches at once, never an expired
//!   token sent, no caller waits while a valid token exists (except for an exclusive
//!   refresh), no fetch without a cause or before its pause is over, no password sent
//!   while a refresh token is alive, no waiter left behind; each origin is backed off
//!   only for its own rejections, and one that always rejects costs no more fetches
//!   than is documented; if refreshes end the token in use, renewals turn exclusive
//!   when they should, and then no request with the old token is in flight, even if
//!   it has expired, except one that takes more than a second; and a refresh token
//!   that was discarded is not sent;
//! - **accounts that come and go**: one fetch at a time for each, never the token of
//!   another, no more concurrent calls than configured, refusals that outlive an
//!   account, no session ended that is in use, none evicted that fits and is in use;
//! - **several sets of credentials**: no set is sent before its pause is over,
//!   whichever cache sends it, however the refusal is worded, and whatever becomes of
//!   other sets; logins of one user never overlap, whatever the password.
//!
//! `MODEL_HISTORIES=1000000` runs that many histories of one cache, a tenth as many
//! of accounts and a fifth as many of credentials; `MODEL_SEED=17` runs a single one
//! (with the name of a test, one of its kind).

#![cfg(feature = "testing")]

#[cfg(feature = "accounts")]
mod accounts;
mod backoff;
mod cache;
mod common;
mod credentials;
mod moment;
mod run;

use run::histories;

#[test]
fn every_history_of_a_cache_keeps_the_promises() {
    histories("one cache", 1, cache::run);
}

#[cfg(feature = "accounts")]
#[test]
fn every_history_of_accounts_keeps_the_promises() {
    histories("accounts", 10, accounts::run);
}

#[test]
fn every_history_of_credentials_keeps_the_promises() {
    histories("credentials", 5, credentials::run);
}
