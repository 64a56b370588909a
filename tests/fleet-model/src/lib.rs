//! The protocol between a fleet and its store (`src/store`), small enough for a
//! checker that tries every order of events.
//!
//! Three processes share an account. Each may stop for as long as it likes between
//! any two steps, or crash. Messages to the store and its answers may be late or
//! lost. A lease may end at any time. The store may lose everything, or be restored
//! to an earlier state.
//!
//! Breaking one of the [`Rules`] must break one of the properties. Separate models
//! show how a fleet counts refusals ([`Refusals`]), accounts with one name and two
//! holders ([`Holders`]), and the lives of tokens ([`Lives`]).

mod action;
mod fleet;
mod holders;
mod lives;
mod model;
mod refusals;
mod steps;
mod store;

pub use action::{Action, Answer};
pub use fleet::{Limits, State};
pub use holders::{HolderRules, Holders, OWN_ENTRIES, OWN_TOKENS};
pub use lives::{LifeRules, Lives, NEVER_LONGER};
pub use model::{Fleet, GENERATIONS, KEPT, NEWER_STAYS, NO_ORPHAN, SENT_ONCE};
pub use refusals::{
    BUDGET, FailureLimits, FailureRules, RefusalAction, RefusalState, Refusals, STEPS,
};
pub use store::Rules;
