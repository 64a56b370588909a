//! What follows from a response, for tower and for reqwest-middleware alike.

use std::sync::Arc;

use http::StatusCode;

use crate::auth::message::HttpResponse;
use crate::auth::rejection::{RejectionPolicy, SentToken, Verdict};
use crate::cache::{CachedToken, Carried, Rejection, Requirements, Shared, registry};
use crate::error::TokenError;
use crate::origins::OriginId;

/// What the layer did about a rejected token. Inserted into the extensions of every
/// response that is a 401 or another [rejection](crate::Rejection), or that followed
/// one:
///
/// ```
/// # let response = http::Response::new(String::new());
/// if let Some(outcome) = response.extensions().get::<tower_bearer::Outcome>() {
///     println!("the API answered 401: {outcome:?}");
/// }
/// ```
///
/// Not inserted if the caller set the request's `Authorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The request was sent a second time, with a newer token; this is the response
    /// to that.
    Replayed,
    /// The request could not be sent again: its
    /// [`ReplayPolicy`](crate::ReplayPolicy) did not copy it, or more of its body
    /// was sent than [`BufferBody`](crate::BufferBody) keeps. A newer token has been
    /// fetched meanwhile, so sending it once more is worthwhile.
    NotCopied,
    /// A newer token would not help: the challenge names a scope that the token
    /// lacks, or the 401 came from another origin, to which the client was redirected.
    Unrelated,
    /// The request was sent without a token, because its origin is not one of the
    /// layer's [`Origins`](crate::Origins).
    OriginNotListed,
    /// No newer token was fetched, because fresh ones were rejected recently.
    RenewalBackedOff,
    /// No newer token could be had. The extensions also hold the reason, a
    /// [`TokenError`].
    RenewalFailed,
}

/// A request in flight.
#[derive(Clone, Copy)]
pub(crate) struct Attempt {
    /// The token that it carries; generation 0 if it carries none.
    carried: Carried,
    origin: OriginId,
    replayed: bool,
    /// Whether a success is to be reported.
    listening: bool,
}

/// What follows from a response.
pub(crate) enum Action<Res> {
    Return(Res),
    /// The request is to be sent again with a newer token. If there is none, the
    /// caller gets this response.
    Replay(Res),
    /// The caller gets the response once the newer token is there, because the next
    /// request may well be the same one again.
    ReturnRenewed(Res, Arc<Shared>),
}

impl Attempt {
    pub(crate) fn new(live: &CachedToken, origin: OriginId, replayed: bool) -> Self {
        Self {
            carried: live.carried(),
            origin,
            replayed,
            listening: replayed || live.wants_outcome(),
        }
    }

    /// Creates the attempt of a request that took the fast path.
    #[inline]
    pub(crate) fn on_fast_path(carried: Carried, origin: OriginId) -> Self {
        Self {
            carried,
            origin,
            replayed: false,
            listening: false,
        }
    }

    /// Creates the attempt of a request without a token; `unlisted` if that is because its
    /// origin is not listed.
    pub(crate) fn without_token(unlisted: bool) -> Self {
        Self {
            carried: Carried {
                cache: 0,
                generation: 0,
            },
            origin: OriginId::UNKNOWN,
            replayed: false,
            listening: unlisted,
        }
    }

    /// Returns what a replay needs.
    pub(crate) fn needs(&self) -> Requirements {
        Requirements {
            newer_than: self.carried.generation,
            ..Requirements::default()
        }
    }

    pub(crate) fn origin(&self) -> OriginId {
        self.origin
    }

    /// Returns the token that was sent, if one was.
    #[inline]
    pub(crate) fn sent_token(&self) -> Option<SentToken> {
        let sent = || SentToken::new(self.carried, self.origin, self.listening);
        (self.carried.generation > 0).then(sent)
    }

    /// Returns whether a success is to be reported, too.
    pub(crate) fn is_listening(&self) -> bool {
        self.listening
    }

    /// Reads a response. `copied`: there is a copy of the request to send.
    #[inline(never)]
    pub(crate) fn on_response<Res: HttpResponse>(
        &self,
        mut response: Res,
        copied: bool,
        policy: &impl RejectionPolicy<Res>,
    ) -> Action<Res> {
        if self.carried.generation == 0 {
            return Action::Return(passed(response, self.listening));
        }
        let status = response.status();
        // If no handle is left, there is no token to renew. A request with a copy
        // keeps a handle.
        let shared = registry::find(self.carried.cache);
        let elsewhere = response
            .origin()
            .is_some_and(|origin| origin != self.origin);
        let outcome = match policy.verdict(status, response.headers()) {
            Verdict::Undecided if !self.replayed => return Action::Return(response),
            // The head of the response, at least, does not reject the token again.
            Verdict::Accepted | Verdict::Undecided => {
                // A 5xx may come from a proxy in front of the server that reads
                // tokens.
                let reads_tokens = !status.is_server_error() && !elsewhere;
                if let Some(shared) = shared.filter(|_| reads_tokens) {
                    shared.accepted(self.carried.generation, self.origin, self.replayed);
                }
                if !self.replayed {
                    return Action::Return(response);
                }
                Outcome::Replayed
            }
            Verdict::Unrelated | Verdict::Rejected if self.replayed && elsewhere => {
                Outcome::Replayed
            }
            Verdict::Unrelated if self.replayed => Outcome::Replayed,
            Verdict::Rejected if !elsewhere => {
                let rejection = shared.as_ref().map_or(Rejection::Renew, |shared| {
                    shared.rejected(self.carried.generation, self.origin, self.replayed)
                });
                match rejection {
                    _ if self.replayed => Outcome::Replayed,
                    Rejection::RenewalBackedOff => Outcome::RenewalBackedOff,
                    Rejection::Renew if copied => return Action::Replay(response),
                    Rejection::Renew => match shared {
                        Some(shared) => return Action::ReturnRenewed(response, shared),
                        None => Outcome::NotCopied,
                    },
                }
            }
            Verdict::Unrelated | Verdict::Rejected => Outcome::Unrelated,
        };
        response.extensions_mut().insert(outcome);
        Action::Return(response)
    }
}

/// Returns the response to a request that was sent without a token.
pub(crate) fn passed<Res: HttpResponse>(mut response: Res, unlisted: bool) -> Res {
    if unlisted && response.status() == StatusCode::UNAUTHORIZED {
        let outcome = Outcome::OriginNotListed;
        response.extensions_mut().insert(outcome);
    }
    response
}

/// Returns the response that rejected the token of a request that was not copied.
pub(crate) fn not_copied<Res: HttpResponse>(
    mut response: Res,
    renewed: Result<Arc<CachedToken>, TokenError>,
) -> Res {
    if let Err(error) = renewed {
        return renewal_failed(response, error);
    }
    response.extensions_mut().insert(Outcome::NotCopied);
    response
}

/// Returns the response that rejected a token, to a caller that gets no newer one.
pub(crate) fn renewal_failed<Res: HttpResponse>(mut response: Res, error: TokenError) -> Res {
    let extensions = response.extensions_mut();
    extensions.insert(Outcome::RenewalFailed);
    extensions.insert(error);
    response
}
