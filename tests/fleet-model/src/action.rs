//! What may happen.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A 401 before it, or not.
    Claim(usize, bool),
    /// The process has gone on without the answer: nobody has it, or the store's
    /// client has and gives the lease back.
    ClaimUnheard(usize, bool),
    Ask(usize),
    Answer(usize, Answer),
    Settle(usize),
    /// The process does not wait for what comes of it.
    SettleLate(usize),
    /// The last one of them arrives; it is sent again where a rule is broken.
    Arrives(usize, bool),
    IsLost(usize),
    Alone(usize),
    Crash(usize),
    LeaseEnds,
    Flush,
    Save,
    Restore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Tokens,
    /// Of a refresh token.
    Refused,
    /// 429 or 503.
    PutOff,
    /// None came; who knows what the server did.
    None,
}
