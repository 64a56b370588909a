//! What the way back decides, for tower and for reqwest-middleware alike.

use std::sync::Arc;

use crate::auth::challenge::{Verdict, verdict};
use crate::auth::message::ResponseMessage;
use crate::cache::{Live, Rejection, Shared};

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
    NotOurs,
    /// No newer token was asked for, since fresh ones were rejected lately.
    HeldBack,
}

/// A request on its way.
pub(crate) struct Sent {
    pub(crate) shared: Arc<Shared>,
    pub(crate) generation: u64,
    pub(crate) replayed: bool,
    /// A success is news.
    pub(crate) listening: bool,
}

/// What follows from a response.
pub(crate) enum Next {
    Return,
    Replay,
}

impl Sent {
    pub(crate) fn new(shared: Arc<Shared>, live: &Live, replayed: bool) -> Self {
        Self {
            listening: replayed || live.is_watched(),
            generation: live.generation(),
            shared,
            replayed,
        }
    }

    /// Judges a response. `copied`: there is a copy of the request to send.
    pub(crate) fn judge<Res: ResponseMessage>(&self, response: &mut Res, copied: bool) -> Next {
        let status = response.status();
        let verdict = verdict(status, response.headers());
        let outcome = match verdict {
            Verdict::Accepted => {
                // A 5xx may come from in front of whoever reads tokens.
                if self.listening && !status.is_server_error() {
                    self.shared.accepted(self.generation, self.replayed);
                }
                if !self.replayed {
                    return Next::Return;
                }
                Outcome::Replayed
            }
            Verdict::NotOurs if self.replayed => Outcome::Replayed,
            Verdict::NotOurs => Outcome::NotOurs,
            Verdict::Rejected => match self.shared.rejected(self.generation, self.replayed) {
                _ if self.replayed => Outcome::Replayed,
                Rejection::HeldBack => Outcome::HeldBack,
                Rejection::Renew if copied => return Next::Replay,
                Rejection::Renew => Outcome::NotCopied,
            },
        };
        response.extensions_mut().insert(outcome);
        Next::Return
    }
}
