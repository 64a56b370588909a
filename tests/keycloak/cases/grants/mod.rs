//! Each grant except the password grant, and each method of client authentication.

pub(super) mod client_credentials;
pub(super) mod discovery;
pub(super) mod extension;
pub(super) mod jwt_bearer;
pub(super) mod mutual_tls;
pub(super) mod private_key_jwt;
pub(super) mod refresh_token;
pub(super) mod token_exchange;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tower::ServiceExt;
use tower_bearer::transport::Transport;
use tower_bearer::{TokenCache, TokenError, TokenErrorKind};

use crate::api::Api;
use crate::stack::{Kind, https};

const CALLS: usize = 20;

/// Calls the API with these tokens, has them renewed, and calls again.
async fn renewed_once(tokens: &TokenCache, api: &Api) {
    let stack = Kind::Hyper.stack(tokens, &api.url);
    for generation in 1..=2 {
        for _ in 0..CALLS {
            assert_eq!(stack.call().await.expect("a token"), 200);
        }
        assert_eq!(tokens.status().generation, Some(generation));
        tokens.invalidate();
    }
}

/// Calls the API in vain, and gives why.
async fn refused(tokens: &TokenCache, api: &Api) -> TokenError {
    let stack = Kind::Hyper.stack(tokens, &api.url);
    for _ in 0..CALLS {
        let error = stack.call().await.expect_err("no token");
        assert_eq!(error.kind(), TokenErrorKind::Refused, "{error}");
        assert!(!error.is_transient(), "{error}");
    }
    tokens.status().last_error.expect("an error")
}

/// Counts token requests, for those that leave no event.
#[derive(Default)]
struct Counter(Arc<AtomicUsize>);

impl Counter {
    fn https(&self) -> impl Transport + use<> {
        let count = self.0.clone();
        https().map_request(move |request| {
            count.fetch_add(1, Relaxed);
            request
        })
    }

    fn so_far(&self) -> usize {
        self.0.load(Relaxed)
    }
}
