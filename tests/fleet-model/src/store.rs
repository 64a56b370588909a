//! What the store does, as the scripts in Redis do it.

/// What keeps a fleet safe. All hold unless a test breaks one.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// A lease deletes the refresh token that it hands over.
    pub lease_takes_refresh_token: bool,
    /// What has a lower generation than what was written is not written.
    pub fenced: bool,
    /// A generation is never below the clock, which outlives the store's memory.
    pub clock: bool,
    /// A refresh token from another run of the server is not handed over.
    pub run_id: bool,
    /// A settlement is sent once, whether it is answered or not.
    pub settled_once: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            lease_takes_refresh_token: true,
            fenced: true,
            clock: true,
            run_id: true,
            settled_once: true,
        }
    }
}

/// The number of a lease, and of what it brought.
pub type Generation = u8;
/// A refresh token, by the order in which the server issued them.
pub type RefreshToken = u8;

/// What is kept for the account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Store {
    pub token: Option<Generation>,
    /// With the run of the server that got it.
    pub refresh: Option<(RefreshToken, u8)>,
    pub lease: Option<Generation>,
    pub generation: Generation,
    pub written: Generation,
}

pub enum Claimed {
    Token(Generation),
    Held,
    Leased(Generation, Option<RefreshToken>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Settlement {
    pub generation: Generation,
    pub token: bool,
    pub failure: bool,
    pub refresh: Option<RefreshToken>,
}

impl Store {
    /// `clock`: above all generations that there were.
    pub fn claim(
        &mut self,
        rules: &Rules,
        (newer_than, rejected): (Generation, bool),
        (clock, run): (Generation, u8),
    ) -> Claimed {
        match self.token {
            Some(token) if token > newer_than => return Claimed::Token(token),
            Some(_) if rejected => self.token = None,
            _ => {}
        }
        if self.lease.is_some() {
            return Claimed::Held;
        }
        let mut generation = self.generation.max(self.written) + 1;
        if rules.clock {
            generation = generation.max(clock);
        }
        self.generation = generation;
        self.lease = Some(generation);
        let kept = self.refresh;
        if rules.lease_takes_refresh_token {
            self.refresh = None;
        }
        let refresh = kept.filter(|(_, of)| !rules.run_id || *of == run);
        Claimed::Leased(generation, refresh.map(|(token, _)| token))
    }

    /// Whether it was written, and whether that replaced a newer token.
    pub fn settle(&mut self, rules: &Rules, it: &Settlement, run: u8) -> (bool, bool) {
        if self.lease == Some(it.generation) {
            self.lease = None;
        }
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
}
