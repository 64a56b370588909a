//! The settings of a cache, and which of them make no sense.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::cache::clock::Clock;
use crate::cache::schedule::{Backoffs, ExpiryPolicy};
use crate::error::ConfigError;
use crate::store::DynTokenStore;
use crate::token::AccessToken;

/// A token store, and this cache's account there.
pub(crate) struct FleetMember {
    pub(crate) store: Box<dyn DynTokenStore>,
    pub(crate) account: String,
}

impl fmt::Debug for FleetMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetMember")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) expiry: ExpiryPolicy,
    pub(crate) backoff: Backoffs,
    pub(crate) wait_timeout: Duration,
    pub(crate) source_timeout: Duration,
    pub(crate) revoke_timeout: Duration,
    pub(crate) store_timeout: Duration,
    pub(crate) lease_duration: Duration,
    pub(crate) clock: Clock,
    /// Bounds how many flights of several caches are under way at once.
    pub(crate) fetch_permits: Option<Arc<Semaphore>>,
    /// Somebody who has many caches to watch looks at the clock so often: for
    /// one of many accounts, whose own sentry would take more memory than all
    /// else.
    pub(crate) clock_check_every: Option<Duration>,
}

/// Settings that many caches have in common, and that are copied where one of
/// them changes some.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedSettings(Arc<Settings>);

impl Deref for SharedSettings {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.0
    }
}

impl DerefMut for SharedSettings {
    fn deref_mut(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.0)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            expiry: ExpiryPolicy::default(),
            backoff: Backoffs::default(),
            wait_timeout: Duration::from_secs(30),
            source_timeout: Duration::from_secs(30),
            revoke_timeout: Duration::from_secs(5),
            store_timeout: Duration::from_millis(250),
            lease_duration: Duration::from_secs(15),
            clock: Clock::default(),
            fetch_permits: None,
            clock_check_every: None,
        }
    }
}

impl Settings {
    /// Whether a glance at the wall clock suffices for this token, though it may
    /// be noticed late that the clock was set back.
    pub(crate) fn allows_fast_path(&self, token: &AccessToken) -> bool {
        match (self.clock_check_every, token.lifetime()) {
            (Some(round), Some(lifetime)) => self.expiry.margin(lifetime) >= round * 2,
            _ => true,
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let Self {
            expiry, backoff, ..
        } = self;
        let refuse = |field, reason: &'static str| Err(ConfigError::new(field, reason));
        for (field, fraction) in [
            ("renew_before", expiry.renew_before_fraction),
            ("expiry_margin", expiry.expiry_margin_fraction),
            ("renew_jitter", expiry.renew_jitter),
        ] {
            if !(0.0..1.0).contains(&fraction) {
                return refuse(field, "the fraction must be from 0 up to, not including, 1");
            }
        }
        if expiry.renew_before_fraction < expiry.expiry_margin_fraction
            || expiry.renew_before_max < expiry.expiry_margin_max
        {
            return refuse("renew_before", "a token must be due before it is expired");
        }
        for (field, span) in [
            ("wait_timeout", self.wait_timeout),
            ("source_timeout", self.source_timeout),
            ("revoke_timeout", self.revoke_timeout),
            ("store_timeout", self.store_timeout),
            ("lease_duration", self.lease_duration),
            (
                "renew_unknown_lifetime_after",
                expiry.renew_unknown_lifetime_after,
            ),
        ] {
            if span.is_zero() {
                return refuse(field, "must be longer than zero");
            }
        }
        for (field, backoff) in [
            ("backoff", backoff.transient),
            ("refusal_backoff", backoff.refused),
            ("rejection_backoff", backoff.forced),
        ] {
            if backoff.first.is_zero() {
                return refuse(field, "the first pause must be longer than zero");
            }
            if backoff.max < backoff.first {
                return refuse(field, "the longest pause is shorter than the first");
            }
        }
        for (field, span) in [
            ("wait_timeout", self.wait_timeout),
            ("source_timeout", self.source_timeout),
            ("revoke_timeout", self.revoke_timeout),
            ("store_timeout", self.store_timeout),
            ("lease_duration", self.lease_duration),
            (
                "renew_unknown_lifetime_after",
                expiry.renew_unknown_lifetime_after,
            ),
            ("backoff", backoff.transient.max),
            ("max_retry_after", backoff.max_retry_after),
            ("refusal_backoff", backoff.refused.max),
            ("rejection_backoff", backoff.forced.max),
        ] {
            if span > LONGEST {
                return refuse(field, "must not be longer than 10 years");
            }
        }
        Ok(())
    }
}

/// Far from where adding a span to a clock overflows.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);
