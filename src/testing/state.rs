//! Users, sessions and tokens.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::mint::{Tail, tail};
use super::refusal::RefreshError;

/// How many tokens and sessions are kept before the expired ones are removed.
const PRUNE_FROM: usize = 4096;

pub(super) struct State {
    pub(super) users: HashMap<String, User>,
    sessions: HashMap<u64, Session>,
    access: HashMap<Tail, Access>,
    refresh: HashMap<String, Refresh>,
    /// The number of the last token or session.
    last: u64,
    /// Tokens with a number up to this one are older than not-before.
    stale: u64,
    /// When not-before was pushed, in seconds since the epoch; 0 for never.
    not_before: u64,
    /// The ids (`jti`) of the assertions that were used.
    assertions: HashSet<String>,
    /// How long token responses are delayed.
    pub(super) delay: Duration,
    prune_at: usize,
}

#[derive(Default)]
pub(super) struct User {
    pub(super) password: String,
    pub(super) disabled: bool,
    pub(super) action_required: bool,
    /// An API access of VoIPex that may act for other users.
    pub(super) impersonates: bool,
}

struct Session {
    name: String,
    user: String,
    /// The number of the refresh token that was used last.
    used: Option<u64>,
    /// A refresh token was used again: the session stays open, but the client is no
    /// longer part of it.
    detached: bool,
    ends: Option<Instant>,
}

struct Access {
    token: String,
    session: Option<u64>,
    ends: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Refresh {
    number: u64,
    session: u64,
    ends: Option<Instant>,
}

/// Decisions about tokens before they are created.
pub(super) struct Ticket {
    pub(super) session: Option<u64>,
    pub(super) session_name: String,
    pub(super) user: String,
    /// The numbers of the tokens.
    pub(super) access: u64,
    pub(super) refresh: u64,
    pub(super) not_before: u64,
    /// Whether a refresh token is issued too.
    pub(super) refreshable: bool,
}

impl State {
    pub(super) fn new(users: Vec<(String, String)>, delay: Duration) -> Self {
        let user = |password| User {
            password,
            ..User::default()
        };
        Self {
            users: users.into_iter().map(|(n, p)| (n, user(p))).collect(),
            sessions: HashMap::new(),
            access: HashMap::new(),
            refresh: HashMap::new(),
            last: 0,
            stale: 0,
            not_before: 0,
            assertions: HashSet::new(),
            delay,
            prune_at: PRUNE_FROM,
        }
    }

    fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Opens a session for a user. It lasts this long, and longer with its tokens.
    pub(super) fn open_session(&mut self, user: &str, name: String, life: Duration) -> u64 {
        let id = self.next_number();
        let session = Session {
            name,
            user: user.to_owned(),
            used: None,
            detached: false,
            ends: Instant::now().checked_add(life),
        };
        self.sessions.insert(id, session);
        id
    }

    pub(super) fn ticket(&mut self, session: Option<u64>) -> Ticket {
        let open = session.and_then(|id| self.sessions.get(&id));
        Ticket {
            session,
            session_name: open.map(|s| s.name.clone()).unwrap_or_default(),
            user: open.map(|s| s.user.clone()).unwrap_or_default(),
            access: self.next_number(),
            refresh: self.next_number(),
            not_before: self.not_before,
            refreshable: true,
        }
    }

    /// Adds the tokens made for a ticket, each with its lifetime. A refresh token whose
    /// lifetime is zero does not expire.
    pub(super) fn add_tokens(
        &mut self,
        ticket: &Ticket,
        (access, life): (String, Duration),
        refresh: Option<(String, Duration)>,
    ) {
        // The session or the tokens may have been ended since the ticket was made.
        let ended = |id| {
            self.sessions
                .get(&id)
                .is_none_or(|session| session.detached)
        };
        let ended = ticket.session.is_some_and(ended) || ticket.access <= self.stale;
        let ends = Instant::now().checked_add(life);
        if let (false, Some(tail)) = (ended, tail(access.as_bytes())) {
            self.extend_session(ticket.session, ends);
            let access = Access {
                token: access,
                session: ticket.session,
                ends,
            };
            self.access.insert(tail, access);
        }
        if let (Some((token, life)), Some(session)) = (refresh, ticket.session) {
            let ends = match life {
                Duration::ZERO => None,
                life => Instant::now().checked_add(life),
            };
            self.extend_session(Some(session), ends);
            let refresh = Refresh {
                number: ticket.refresh,
                session,
                ends,
            };
            self.refresh.insert(token, refresh);
        }
        if self.access.len() + self.refresh.len() + self.sessions.len() > self.prune_at {
            self.prune();
        }
    }

    /// Extends a session, which lives as long as the last of its tokens.
    fn extend_session(&mut self, session: Option<u64>, ends: Option<Instant>) {
        if let Some(session) = session.and_then(|id| self.sessions.get_mut(&id)) {
            session.ends = match (session.ends, ends) {
                (Some(old), Some(new)) => Some(old.max(new)),
                _ => None,
            };
        }
    }

    /// Returns whether the API accepts this token.
    pub(super) fn is_live(&self, token: &[u8]) -> bool {
        tail(token)
            .and_then(|tail| self.access.get(&tail))
            .is_some_and(|access| access.token.as_bytes() == token && is_alive(access.ends))
    }

    /// Returns the session of a valid access token, and `None` if the token is not valid.
    pub(super) fn session_of(&self, token: &[u8]) -> Option<Option<u64>> {
        let tail = self.is_live(token).then(|| tail(token)).flatten()?;
        self.access.get(&tail).map(|access| access.session)
    }

    /// Returns the user of a valid access token; `None` for one without a session.
    pub(super) fn user_of(&self, token: &[u8]) -> Option<&str> {
        let session = self.session_of(token)??;
        Some(&self.sessions.get(&session)?.user)
    }

    /// Uses an assertion by its id. Returns `false` if it was used before.
    pub(super) fn use_assertion(&mut self, id: &str) -> bool {
        self.assertions.insert(id.to_owned())
    }

    /// Uses a refresh token.
    pub(super) fn use_refresh(
        &mut self,
        token: &str,
        rotate: bool,
        ends_access_tokens: bool,
    ) -> Result<Ticket, RefreshError> {
        let refresh = *self.refresh.get(token).ok_or(RefreshError::Unknown)?;
        if !is_alive(refresh.ends) {
            return Err(RefreshError::Expired);
        }
        let Some(session) = self.sessions.get_mut(&refresh.session) else {
            return Err(RefreshError::NoSession);
        };
        if session.detached {
            return Err(RefreshError::Detached);
        }
        if refresh.number <= self.stale {
            return Err(RefreshError::Stale);
        }
        if self.users.get(&session.user).is_none_or(|u| u.disabled) {
            return Err(RefreshError::UserDisabled);
        }
        if rotate {
            let reused = session.used.filter(|used| refresh.number <= *used);
            if let Some(used) = reused {
                session.detached = true;
                let of_session = Some(refresh.session);
                self.access.retain(|_, access| access.session != of_session);
                return Err(if refresh.number == used {
                    RefreshError::Reused
                } else {
                    RefreshError::ReusedLate
                });
            }
            session.used = Some(refresh.number);
        }
        if ends_access_tokens {
            let of_session = Some(refresh.session);
            self.access.retain(|_, access| access.session != of_session);
        }
        Ok(self.ticket(Some(refresh.session)))
    }

    /// Ends all refresh tokens of a user, but none of the access tokens.
    pub(super) fn end_refresh_tokens_of(&mut self, user: &str) {
        let sessions = &self.sessions;
        let is_other = |refresh: &Refresh| {
            let session = sessions.get(&refresh.session);
            session.is_none_or(|session| session.user != user)
        };
        self.refresh.retain(|_, refresh| is_other(refresh));
    }

    /// Ends the session of a refresh token. Returns `false` if the token is unknown.
    pub(super) fn log_out(&mut self, token: &str) -> bool {
        let Some(session) = self.refresh.get(token).map(|r| r.session) else {
            return false;
        };
        self.end_session(session);
        true
    }

    /// Revokes an access token. Returns `false` if the token was not valid.
    pub(super) fn revoke_access_token(&mut self, token: &str) -> bool {
        let live = self.is_live(token.as_bytes());
        if let (true, Some(tail)) = (live, tail(token.as_bytes())) {
            self.access.remove(&tail);
        }
        live
    }

    pub(super) fn revoke_access_tokens(&mut self) {
        self.access.clear();
    }

    fn end_session(&mut self, id: u64) {
        self.sessions.remove(&id);
        self.access.retain(|_, access| access.session != Some(id));
    }

    /// Removes a user and ends the user's sessions.
    pub(super) fn remove_user(&mut self, name: &str) {
        self.users.remove(name);
        let of_user = self.sessions.iter().filter(|(_, it)| it.user == name);
        for id in of_user.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end_session(id);
        }
    }

    pub(super) fn end_sessions(&mut self) {
        self.sessions.clear();
        self.access.clear();
    }

    /// Makes all tokens issued so far stale.
    pub(super) fn push_not_before(&mut self, epoch_seconds: u64) {
        self.stale = self.last;
        self.not_before = epoch_seconds;
        self.access.clear();
    }

    pub(super) fn open_sessions(&self) -> u64 {
        let open = self.sessions.values().filter(|s| is_alive(s.ends));
        open.count() as u64
    }

    /// Removes what has expired. From then on a removed refresh token is refused as
    /// unknown, not as expired.
    fn prune(&mut self) {
        self.access.retain(|_, access| is_alive(access.ends));
        self.refresh.retain(|_, refresh| is_alive(refresh.ends));
        self.sessions.retain(|_, session| is_alive(session.ends));
        let kept = self.access.len() + self.refresh.len() + self.sessions.len();
        self.prune_at = PRUNE_FROM.max(2 * kept);
    }
}

fn is_alive(ends: Option<Instant>) -> bool {
    ends.is_none_or(|ends| Instant::now() < ends)
}
