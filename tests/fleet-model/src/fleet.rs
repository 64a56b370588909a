//! The state of the model.

use crate::store::{Completion, Generation, Nonce, RefreshToken, Run, Store};

pub const PROCESSES: usize = 3;

/// How often each thing may happen, so that the model is finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    pub leases: u8,
    pub crashes: u8,
    /// Messages that may be late at the same time.
    pub late: u8,
    pub flushes: u8,
    /// Restores of the store to any earlier state.
    pub restores: u8,
    /// Servers that were a replica in between.
    pub fail_backs: u8,
    /// Token requests of a process that cannot reach the store.
    pub alone: u8,
    /// Responses 429 or 503.
    pub put_off: u8,
    /// Requests for a lease that their processes withdraw.
    pub withdrawals: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub(crate) store: Store,
    /// The run of the store's server.
    pub(crate) run: Run,
    pub(crate) saved: Option<Store>,
    pub(crate) processes: [Process; PROCESSES],
    /// Messages on their way to the store, which may arrive in any order.
    pub(crate) late: Vec<Completion>,
    /// Requests for a lease whose processes have gone on.
    pub(crate) requests: Vec<Request>,
    pub(crate) left: Limits,
    pub(crate) server: Server,
    /// The highest generation of any lease.
    pub(crate) highest: Generation,
    pub(crate) generation_came_twice: bool,
    pub(crate) newer_was_replaced: bool,
    pub(crate) refresh_token_was_lost: bool,
    /// A bit for each nonce whose withdrawal has arrived.
    pub(crate) withdrawn: u8,
}

/// A request for a lease and its withdrawal, each of which may be on its way. They arrive
/// in any order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Request {
    pub(crate) nonce: Nonce,
    pub(crate) had: Generation,
    pub(crate) is_on_its_way: bool,
    pub(crate) withdrawal_is_on_its_way: bool,
}

/// The token endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    issued: RefreshToken,
    /// A bit for each refresh token that it received.
    sent: u32,
    pub(crate) sent_twice: bool,
    put_off: Option<RefreshToken>,
    /// A refresh token that it had put off was sent again, which is allowed.
    pub(crate) came_again: bool,
}

impl Server {
    pub(crate) fn issue(&mut self) -> RefreshToken {
        self.issued += 1;
        self.issued
    }

    pub(crate) fn send(&mut self, token: RefreshToken) {
        self.sent_twice |= self.sent & (1 << token) != 0;
        self.came_again |= self.put_off == Some(token);
        self.sent |= 1 << token;
    }

    /// Does not process this one.
    pub(crate) fn put_off(&mut self, token: RefreshToken) {
        self.sent &= !(1 << token);
        self.put_off = Some(token);
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) phase: Phase,
    /// The generation of its token.
    pub(crate) had: Generation,
    /// A refresh token that it fetched without the store.
    pub(crate) own: Option<RefreshToken>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Phase {
    #[default]
    Idle,
    Leased(Generation, Option<RefreshToken>),
    /// Waits for the token endpoint, to which it sent a refresh token or the password.
    Fetching(Generation, Option<RefreshToken>),
    Fetched(Completion),
}
