//! The transport of a grant that was given no other.

/// The transport of a grant that was given no other.
///
/// With the feature `reqwest` it is a client with rustls that follows no
/// redirect, keeps no cookies and no idle connection, and honours the proxy
/// variables of the environment. It is built at its first use, within no
/// runtime in particular, so a grant can live in a `static`.
///
/// Without that feature it is no [`Transport`](super::Transport), and a grant
/// needs its `transport` method:
#[cfg_attr(feature = "reqwest", doc = "```")]
#[cfg_attr(not(feature = "reqwest"), doc = "```compile_fail")]
/// use tower_bearer::{PasswordGrant, TokenSource};
///
/// fn source(_: impl TokenSource) {}
/// source(PasswordGrant::voipex("your@email.com", "password"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct DefaultTransport {
    #[cfg(feature = "reqwest")]
    pub(super) client: super::reqwest::LazyClient,
}

impl DefaultTransport {
    /// The default transport with its defaults.
    pub fn new() -> Self {
        Self::default()
    }
}
