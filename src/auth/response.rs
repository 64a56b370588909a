//! What the way back decides, for tower and for reqwest-middleware alike.

use http::StatusCode;

use crate::auth::challenge::{Verdict, verdict};
use crate::auth::message::HttpResponse;
use crate::cache::{CachedToken, Rejection, Shared, registry};

/// What the layer did about a 401. In the extensions of every response that was
/// a 401, or is one after all:
///
/// ```
/// # let response = http::Response::new(());
/// if let Some(outcome) = response.extensions().get::<tower_bearer::Outcome>() {
///     println!("the API answered 401: {outcome:?}");
/// }
/// ```
///
/// A response to a request that the layer attached no token to carries none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The request was sent a second time, with a newer token; this is the
    /// second answer.
    Replayed,
    /// The token was given up, but the request could not be sent again: its
    /// [`ReplayPolicy`](crate::ReplayPolicy) did not copy it.
    NotCopied,
    /// The 401 is not about the token: its challenge names another scheme, or
    /// a scope that the token lacks.
    Unrelated,
    /// No newer token was asked for, since fresh ones were rejected lately.
    RenewalBackedOff,
}

/// A request on its way, and which token of which cache it carries.
///
/// The cache goes by its number: holding it would mean to count references on
/// every request.
#[derive(Clone, Copy)]
pub(crate) struct Attempt {
    cache: u64,
    generation: u64,
    replayed: bool,
    /// A success is news.
    listening: bool,
}

/// What follows from a response.
pub(crate) enum Action<Res> {
    Return(Res),
    /// With a newer token. The response is gone, and with it its hold on a
    /// connection.
    Replay,
}

impl Attempt {
    pub(crate) fn new(shared: &Shared, live: &CachedToken, replayed: bool) -> Self {
        Self {
            cache: shared.cache_id,
            generation: live.generation(),
            replayed,
            listening: replayed || live.wants_outcome(),
        }
    }

    /// For a token that was taken at a glance.
    #[inline]
    pub(crate) fn on_fast_path(shared: &Shared, generation: u64) -> Self {
        Self {
            cache: shared.cache_id,
            generation,
            replayed: false,
            listening: false,
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether a response needs no judgement.
    #[inline]
    pub(crate) fn is_final<Res: HttpResponse>(&self, response: &Res) -> bool {
        response.status() != StatusCode::UNAUTHORIZED && !self.listening
    }

    /// Judges a response. `copied`: there is a copy of the request to send.
    #[inline(never)]
    pub(crate) fn on_response<Res: HttpResponse>(
        &self,
        mut response: Res,
        copied: bool,
    ) -> Action<Res> {
        let status = response.status();
        // Without a handle left, there is no token to give up, and nobody to
        // tell. Whoever has a copy has a handle.
        let shared = registry::find(self.cache);
        let verdict = verdict(status, response.headers());
        let outcome = match verdict {
            Verdict::Accepted => {
                // A 5xx may come from in front of whoever reads tokens.
                if let Some(shared) = shared.filter(|_| !status.is_server_error()) {
                    shared.accepted(self.generation, self.replayed);
                }
                if !self.replayed {
                    return Action::Return(response);
                }
                Outcome::Replayed
            }
            Verdict::Unrelated if self.replayed => Outcome::Replayed,
            Verdict::Unrelated => Outcome::Unrelated,
            Verdict::Rejected => match shared.map_or(Rejection::Renew, |shared| {
                shared.rejected(self.generation, self.replayed)
            }) {
                _ if self.replayed => Outcome::Replayed,
                Rejection::RenewalBackedOff => Outcome::RenewalBackedOff,
                Rejection::Renew if copied => return Action::Replay,
                Rejection::Renew => Outcome::NotCopied,
            },
        };
        response.extensions_mut().insert(outcome);
        Action::Return(response)
    }
}
