//! The actions of the model.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A process asks the store; the flag says that an API rejected its token.
    Acquire(usize, bool),
    /// A process asks the store and does not wait for the answer. The lease is lost,
    /// or, with the flag, the store's client returns it.
    AcquireAbandoned(usize, bool),
    /// A process calls the store, receives nothing in time, continues, and
    /// withdraws.
    AcquireWithdrawn(usize),
    /// A request whose process has gone on arrives.
    RequestArrives(usize),
    WithdrawalArrives(usize),
    /// The holder of a lease sends its token request.
    Fetch(usize),
    /// The token endpoint answers.
    Answer(usize, Answer),
    /// The holder of a lease writes its result.
    Complete(usize),
    /// The same, but the message is late and the process does not wait.
    CompleteLate(usize),
    /// A late message arrives; with the flag, which breaks a rule, it stays on its way
    /// and arrives again.
    Arrive(usize, bool),
    /// A late message is lost.
    Lose(usize),
    /// A process that cannot reach the store fetches without it.
    FetchAlone(usize),
    Crash(usize),
    LeaseEnds,
    /// The store loses everything.
    Flush,
    Save,
    Restore,
    /// The server was a replica for a while, of one that is behind, and is the master
    /// again.
    FailBack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Tokens,
    /// The refresh token is refused.
    Refused,
    /// The response is 429 or 503.
    PutOff,
    /// There is no answer, but the request may have been processed.
    None,
}
