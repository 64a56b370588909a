//! The store, which behaves like the scripts in Redis.

/// The rules that keep a fleet safe. All hold unless a test breaks one.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// A lease deletes the refresh token that it hands over.
    pub lease_takes_refresh_token: bool,
    /// A result with a lower generation than the last written one is not written.
    pub fenced: bool,
    /// A generation is never below the clock, which survives the loss of the store.
    pub clock: bool,
    /// A refresh token from another run of the server is not handed over.
    pub run_id: bool,
    /// Nor is one that a server has again which was a replica in between: it is the same
    /// run, with another replication id.
    pub replication_id: bool,
    /// A completion is sent once, answered or not.
    pub completed_once: bool,
    /// The refresh token of a lease whose holder crashed is not handed over again.
    pub taken_stays_taken: bool,
    /// A lease is a lock that ends with its holder, as in files; not a rule, for in
    /// Redis it only ends in time.
    pub crash_ends_lease: bool,
    /// A nonce that was withdrawn begins no lease when it comes late.
    pub withdrawals_are_remembered: bool,
    /// A withdrawal ends only the lease of its own nonce.
    pub withdraws_its_own: bool,
    /// A withdrawal keeps the refresh token that its lease had taken.
    pub withdrawal_keeps_refresh_token: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            lease_takes_refresh_token: true,
            fenced: true,
            clock: true,
            run_id: true,
            replication_id: true,
            completed_once: true,
            taken_stays_taken: true,
            crash_ends_lease: false,
            withdrawals_are_remembered: true,
            withdraws_its_own: true,
            withdrawal_keeps_refresh_token: true,
        }
    }
}

/// The number of a lease, and of its result.
pub type Generation = u8;
/// A refresh token, by the order in which the server issued them.
pub type RefreshToken = u8;

/// The number of a request for a lease; 0 for one that is never withdrawn.
pub type Nonce = u8;
/// The run of a server, and its replication id.
pub type Run = (u8, u8);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    pub generation: Generation,
    pub nonce: Nonce,
    /// The refresh token that it took.
    pub taken: Option<(RefreshToken, Run)>,
}

/// The entries of the account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Store {
    pub token: Option<Generation>,
    /// With the run of the server that it was given to.
    pub refresh: Option<(RefreshToken, Run)>,
    pub lease: Option<Lease>,
    /// A bit for each nonce.
    pub withdrawn: u8,
    pub generation: Generation,
    pub written: Generation,
}

pub enum Acquired {
    Token(Generation),
    Busy,
    Lease(Generation, Option<RefreshToken>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Completion {
    pub generation: Generation,
    pub token: bool,
    pub failure: bool,
    pub refresh: Option<RefreshToken>,
}

impl Store {
    /// Acquires a token or a lease. `clock` is above all earlier generations.
    pub fn acquire(
        &mut self,
        rules: &Rules,
        (newer_than, rejected, nonce): (Generation, bool, Nonce),
        (clock, run): (Generation, Run),
    ) -> Acquired {
        match self.token {
            Some(token) if token > newer_than => return Acquired::Token(token),
            Some(_) if rejected => self.token = None,
            _ => {}
        }
        if self.lease.is_some() || self.withdrawn & (1 << nonce) != 0 {
            return Acquired::Busy;
        }
        let mut generation = self.generation.max(self.written) + 1;
        if rules.clock {
            generation = generation.max(clock);
        }
        self.generation = generation;
        let kept = self.refresh;
        self.lease = Some(Lease {
            generation,
            nonce,
            taken: kept,
        });
        if rules.lease_takes_refresh_token {
            self.refresh = None;
        }
        let refresh = kept.filter(|(_, of)| {
            (!rules.run_id || of.0 == run.0) && (!rules.replication_id || of.1 == run.1)
        });
        Acquired::Lease(generation, refresh.map(|(token, _)| token))
    }

    /// Writes the result of a lease. Returns whether it was written, and whether that
    /// replaced a newer token.
    pub fn complete(&mut self, rules: &Rules, it: &Completion, run: Run) -> (bool, bool) {
        self.lease
            .take_if(|lease| lease.generation == it.generation);
        if rules.fenced && it.generation < self.written {
            return (false, false);
        }
        let refresh = it.refresh.map(|token| (token, run));
        if !it.token && !it.failure {
            self.refresh = self.refresh.or(refresh);
            return (true, false);
        }
        self.written = it.generation;
        self.refresh = refresh.or(self.refresh);
        let mut replaced = false;
        if it.token {
            replaced = self.token.is_some_and(|newer| newer > it.generation);
            self.token = Some(it.generation);
        }
        (true, replaced)
    }

    /// Withdraws a request for a lease. Returns whether a refresh token was lost by it.
    pub fn withdraw(&mut self, rules: &Rules, nonce: Nonce) -> bool {
        if rules.withdrawals_are_remembered {
            self.withdrawn |= 1 << nonce;
        }
        let own = rules.withdraws_its_own;
        let ended = self.lease.take_if(|lease| !own || lease.nonce == nonce);
        let taken = ended.and_then(|lease| lease.taken);
        if rules.withdrawal_keeps_refresh_token {
            self.refresh = self.refresh.or(taken);
        }
        taken.is_some() && self.refresh.is_none()
    }
}
