//! The settings of a cache, and which of them make no sense.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use crate::cache::clock::Clock;
use crate::cache::gate::Gate;
use crate::cache::schedule::{Backoff, Windows};
use crate::error::ConfigError;
use crate::token::AccessToken;

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) windows: Windows,
    pub(crate) backoff: Backoff,
    pub(crate) wait: Duration,
    pub(crate) source_timeout: Duration,
    pub(crate) revoke_timeout: Duration,
    pub(crate) store_timeout: Duration,
    pub(crate) lease: Duration,
    pub(crate) clock: Clock,
    /// Bounds how many flights of several caches are under way at once.
    pub(crate) gate: Option<Arc<Gate>>,
    /// Somebody who has many caches to watch looks at the clock so often: for
    /// one of many accounts, whose own sentry would take more memory than all
    /// else.
    pub(crate) guarded_every: Option<Duration>,
}

/// Settings that many caches have in common, and that are copied where one of
/// them changes some.
#[derive(Clone, Debug, Default)]
pub(crate) struct Common(Arc<Settings>);

impl Deref for Common {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.0
    }
}

impl DerefMut for Common {
    fn deref_mut(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.0)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            windows: Windows::default(),
            backoff: Backoff::default(),
            wait: Duration::from_secs(30),
            source_timeout: Duration::from_secs(30),
            revoke_timeout: Duration::from_secs(5),
            store_timeout: Duration::from_millis(250),
            lease: Duration::from_secs(15),
            clock: Clock::default(),
            gate: None,
            guarded_every: None,
        }
    }
}

impl Settings {
    /// Whether a glance at the wall clock suffices for this token, though it may
    /// be noticed late that the clock was set back.
    pub(crate) fn may_glance_at(&self, token: &AccessToken) -> bool {
        match (self.guarded_every, token.lifetime()) {
            (Some(round), Some(lifetime)) => self.windows.margin(lifetime) >= round * 2,
            _ => true,
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let Self {
            windows, backoff, ..
        } = self;
        let refuse = |field, reason: &'static str| Err(ConfigError::new(field, reason));
        for (field, fraction) in [
            ("due", windows.due_fraction),
            ("expired", windows.expired_fraction),
            ("due_jitter", windows.due_jitter),
        ] {
            if !(0.0..1.0).contains(&fraction) {
                return refuse(field, "the fraction must be from 0 up to, not including, 1");
            }
        }
        if windows.due_fraction < windows.expired_fraction || windows.due_max < windows.expired_max
        {
            return refuse("due", "a token must be due before it is expired");
        }
        for (field, span) in [
            ("wait", self.wait),
            ("source_timeout", self.source_timeout),
            ("revoke_timeout", self.revoke_timeout),
            ("store_timeout", self.store_timeout),
            ("lease", self.lease),
            ("due_without_lifetime", windows.due_without_lifetime),
        ] {
            if span.is_zero() {
                return refuse(field, "must be longer than zero");
            }
        }
        for (field, ladder) in [
            ("backoff", backoff.transient),
            ("refused_backoff", backoff.refused),
            ("forced_backoff", backoff.forced),
        ] {
            if ladder.first.is_zero() {
                return refuse(field, "the first pause must be longer than zero");
            }
            if ladder.max < ladder.first {
                return refuse(field, "the longest pause is shorter than the first");
            }
        }
        for (field, span) in [
            ("wait", self.wait),
            ("source_timeout", self.source_timeout),
            ("revoke_timeout", self.revoke_timeout),
            ("store_timeout", self.store_timeout),
            ("lease", self.lease),
            ("due_without_lifetime", windows.due_without_lifetime),
            ("backoff", backoff.transient.max),
            ("retry_after_max", backoff.retry_after_max),
            ("refused_backoff", backoff.refused.max),
            ("forced_backoff", backoff.forced.max),
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
