//! Guides. The crate's own tests compile and run their code, most of it against
//! [`testing::TokenServer`](crate::testing::TokenServer). Replace it with your own
//! server.
//!
//! This module exists only in the documentation.
//!
//! | guide | for |
//! |---|---|
//! | [`getting_started`] | a first program that calls VoIPex |
//! | [`voipex`] | VoIPex, from an API access to a running app, for all users of a company |
//! | [`compile_errors`] | what to do if your code does not compile |
//! | [`hyper`], [`reqwest`], [`axum`], [`tonic`] | the layer with each of them |
//! | [`grants`] | which grant to use, and how to configure it |
//! | [`servers`] | what each authorization server does, and which setting it needs |
//! | [`configuration`] | a grant from a file or the environment |
//! | [`rejections`] | how APIs reject a token, by framework, and which policy each needs |
//! | [`stacks`] | where the layer goes among other layers |
//! | [`testing`] | tests of your own program |
//! | [`what_happens_when`] | events, and what callers see of them |
//! | [`operations`] | what to watch, and what each metric means |
//! | [`accounts`] | many accounts in one process |
//! | [`fleets`] | many processes on one account |
//! | [`security`] | where each secret may go |
//! | [`performance`] | what it costs |
//! | [`coming_from`] | the names of other libraries |

#[doc = include_str!("getting_started.md")]
pub mod getting_started {}

#[doc = include_str!("voipex.md")]
pub mod voipex {}

#[doc = include_str!("compile_errors.md")]
pub mod compile_errors {}

#[doc = include_str!("hyper.md")]
pub mod hyper {}

#[doc = include_str!("reqwest.md")]
pub mod reqwest {}

#[doc = include_str!("axum.md")]
pub mod axum {}

#[doc = include_str!("tonic.md")]
pub mod tonic {}

#[doc = include_str!("grants.md")]
pub mod grants {}

#[doc = include_str!("servers.md")]
pub mod servers {}

#[doc = include_str!("configuration.md")]
pub mod configuration {}

#[doc = include_str!("rejections.md")]
pub mod rejections {}

#[doc = include_str!("stacks.md")]
pub mod stacks {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("what_happens_when.md")]
pub mod what_happens_when {}

#[doc = include_str!("operations.md")]
pub mod operations {}

#[doc = include_str!("accounts.md")]
pub mod accounts {}

#[doc = include_str!("fleets.md")]
pub mod fleets {}

#[doc = include_str!("security.md")]
pub mod security {}

#[doc = include_str!("performance.md")]
#[doc = "\n# Plots\n\nRequests a second by threads, a cold herd, and a renewal under load:\n"]
#[doc = include_str!("plots/contention.svg")]
#[doc = include_str!("plots/herd.svg")]
#[doc = include_str!("plots/rotation.svg")]
pub mod performance {}

#[doc = include_str!("coming_from.md")]
pub mod coming_from {}
