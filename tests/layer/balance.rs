//! Behind a balancer and a buffer, whatever callers do: tokens are revoked, callers
//! leave, calls come in bursts. No call is left unanswered.

#![cfg(feature = "testing")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/limited.rs"]
mod limited;

use http::Request;
use tokio::time::{sleep, timeout};
use tower::balance::p2c::Balance;
use tower::buffer::Buffer;
use tower::discover::ServiceList;
use tower::limit::ConcurrencyLimit;
use tower::load::Constant;
use tower::{Layer, ServiceExt};

use common::{Body, Count, get, millis, secs};
use limited::{API, api, origins};
use tower_bearer::{AccessToken, BearerAuthLayer, TokenCache};

/// Numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

async fn history(seed: u64) {
    let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (fetches, revoked) = (Count::default(), Count::default());
    let fetched = fetches.clone();
    let tokens = TokenCache::new(move || {
        let number = fetched.up();
        async move {
            sleep(millis(50)).await;
            AccessToken::new(format!("t{number}"))
        }
    });
    let endpoints = 1 + numbers.below(4);
    let limit = 1 + numbers.below(2) as usize;
    let services: Vec<_> = (0..endpoints)
        .map(|_| {
            let client = ConcurrencyLimit::new(api(&revoked), limit);
            let client = BearerAuthLayer::new(tokens.clone(), origins()).layer(client);
            Constant::new(client, 1)
        })
        .collect();
    let balance = Balance::new(ServiceList::new::<Request<Body>>(services));
    let client = Buffer::new(balance, 1 + numbers.below(8) as usize);
    let (mut waiting, mut leaving) = (Vec::new(), Vec::new());
    for _ in 0..60 {
        match numbers.below(8) {
            0..4 => waiting.push(tokio::spawn(client.clone().oneshot(get(API)))),
            4 => leaving.push(tokio::spawn(client.clone().oneshot(get(API)))),
            5 => {
                // All tokens so far.
                while revoked.get() < fetches.get() {
                    revoked.up();
                }
            }
            6 => leaving.drain(..).for_each(|it| it.abort()),
            _ => sleep(millis(1 + numbers.below(40))).await,
        }
    }
    leaving.into_iter().for_each(|it| it.abort());
    for (number, call) in waiting.into_iter().enumerate() {
        let answer = timeout(secs(25), call).await;
        let answer = answer.unwrap_or_else(|_| panic!("seed {seed}: call {number} hangs"));
        // A second revocation on its way leaves a caller with the API's 401.
        answer
            .expect("no panic")
            .unwrap_or_else(|error| panic!("seed {seed}: call {number}: {error}"));
    }
}

#[tokio::test(start_paused = true)]
async fn behind_a_balancer_no_call_is_left_unanswered_whatever_others_do() {
    for seed in 1..=2000 {
        history(seed).await;
    }
}
