//! Everything that there is at one moment.

use crate::store::{Generation, RefreshToken, Settlement, Store};

pub const PROCESSES: usize = 3;

/// How often something may happen, so that there is an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    pub leases: u8,
    pub crashes: u8,
    /// Messages that are late at one time.
    pub late: u8,
    pub flushes: u8,
    /// Of the store, to what it was at any moment before.
    pub restores: u8,
    /// Token requests of a process that cannot ask the store.
    pub alone: u8,
    /// Answers 429 or 503.
    pub put_off: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub(crate) store: Store,
    /// The run of the store's server.
    pub(crate) run: u8,
    pub(crate) saved: Option<Store>,
    pub(crate) processes: [Process; PROCESSES],
    /// On its way to the store; the order is nobody's.
    pub(crate) late: Vec<Settlement>,
    pub(crate) left: Limits,
    pub(crate) server: Server,
    /// The highest generation that was ever given to a lease.
    pub(crate) highest: Generation,
    pub(crate) generation_came_twice: bool,
    pub(crate) newer_was_replaced: bool,
}

/// The token endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    issued: RefreshToken,
    /// A bit for each refresh token that it got.
    sent: u32,
    pub(crate) sent_twice: bool,
    put_off: Option<RefreshToken>,
    /// One that it had put off came again, as it may.
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

    /// It did nothing with this one.
    pub(crate) fn put_off(&mut self, token: RefreshToken) {
        self.sent &= !(1 << token);
        self.put_off = Some(token);
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) at: At,
    /// The generation of its token.
    pub(crate) had: Generation,
    /// A refresh token from a time when it was alone.
    pub(crate) own: Option<RefreshToken>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum At {
    #[default]
    Idle,
    Leased(Generation, Option<RefreshToken>),
    /// Waits for the token endpoint, with a refresh token or the password.
    Asking(Generation, Option<RefreshToken>),
    Brings(Settlement),
}
