//! State that most caches do not have, kept separately, so that one of many accounts
//! reserves no room for it.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock};

use tokio::time::Instant;

use crate::cache::exclusive::{Exclusivity, Uses};
use crate::cache::failures::Failures;
use crate::cache::rejections::Rejections;
use crate::cache::state::Tokens;
use crate::error::TokenError;
use crate::origins::OriginId;
use crate::store::StoreWarning;

/// What is known of rejections, of refreshes and of a fleet.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// Failed logins for a token that lives longer than those from the refresh
    /// token.
    pub(crate) failed_logins: Failures,
    pub(super) rejections: Rejections,
    /// The generation that was last rejected, and where.
    pub(super) suspect: Option<(u64, OriginId)>,
    pub(super) exclusivity: Exclusivity,
    /// The requests that carry the token that was last in use, while none is.
    pub(super) last_uses: Option<Arc<Uses>>,
    /// The generation of the last token that came from the fleet's store, or was
    /// written there.
    pub(super) store_generation: u64,
    /// Whether the fleet does not know the token in use.
    pub(super) alone: bool,
    /// When the store was last read for a newer token, while no fetch could be made.
    pub(super) peeked_at: Option<Instant>,
    /// When the files of refused credentials may be read again.
    pub(super) reread_at: Option<Instant>,
    /// What the files of the last tried credentials held, where fingerprints do not
    /// tell.
    pub(super) tried: Option<u64>,
    /// Whether the refresh token in the fleet's store must not be used.
    pub(super) discard_stored: bool,
    /// Why the fleet's store could not be reached.
    pub(crate) store_error: Option<TokenError>,
    /// The problem that the store has noticed.
    pub(crate) store_warning: Option<StoreWarning>,
    /// Whether the store was called before.
    pub(crate) asked_store: bool,
    /// Tokens whose session a shutdown could not end.
    pub(super) unended: Option<Tokens>,
}

/// The same, allocated when it is first changed.
#[derive(Debug, Default)]
pub(crate) struct OnDemand(Option<Box<Rare>>);

impl OnDemand {
    /// Returns the state if there is any, for a change that otherwise has no effect.
    pub(super) fn existing(&mut self) -> Option<&mut Rare> {
        self.0.as_deref_mut()
    }
}

impl Deref for OnDemand {
    type Target = Rare;

    fn deref(&self) -> &Rare {
        static NOTHING: LazyLock<Rare> = LazyLock::new(Rare::default);
        self.0.as_deref().unwrap_or_else(|| &NOTHING)
    }
}

impl DerefMut for OnDemand {
    fn deref_mut(&mut self) -> &mut Rare {
        self.0.get_or_insert_default()
    }
}
