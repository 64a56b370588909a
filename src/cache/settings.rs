//! The settings of a cache: each is one row of the list below, from which the
//! builder's method, the default, the check and the key in a configuration
//! follow.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use crate::cache::clock::Clock;
use crate::cache::exclusive::Renewal;
use crate::cache::permits::Permits;
use crate::error::ConfigError;
use crate::store::DynTokenStore;
use crate::task::BackgroundTask;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A part of the whole, from 0 up to 1.
pub(crate) type Fraction = f64;

/// A part of a token's life: a fraction of its lifetime, but `max` at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    pub(crate) fraction: f64,
    pub(crate) max: Duration,
}

/// A pause that doubles from `first` to `max`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) max: Duration,
}

/// A key in a configuration, and where its value goes.
#[cfg(feature = "config")]
#[derive(Clone, Copy)]
pub(crate) enum Setting {
    Duration(&'static str, fn(&mut Settings) -> &mut Duration),
    Fraction(&'static str, fn(&mut Settings) -> &mut Fraction),
}

/// Passes the list of settings to a macro: kind, name, default and check.
macro_rules! with_settings {
    ($macro:ident) => {
        $macro! {
            /// Sets when a token is renewed: when the rest of its life falls below
            /// `fraction` of its lifetime, or below `max` if that is less. Default:
            /// 0.2 and 5 minutes.
            Window renew_before = Window { fraction: 0.2, max: secs(300) }, check;
            /// Sets the maximum random reduction of [`renew_before`](Self::renew_before),
            /// as a fraction of it, so that processes which started together do not
            /// renew together. Default: 0.1.
            Fraction renew_jitter = 0.1, check;
            /// Sets when to renew a token without `expires_in`, by its age. It stays
            /// valid until it is rejected. Default: 5 minutes.
            Duration renew_unknown_lifetime_after = secs(300), check;
            /// Sets when a token is no longer sent, because it could expire on its
            /// way: when the rest of its life falls below `fraction` of its
            /// lifetime, or below `max` if that is less. Default: 0.1 and 10
            /// seconds.
            Window expiry_margin = Window { fraction: 0.1, max: secs(10) }, check;
            /// Sets how long one caller waits for a token. The fetch goes on when the
            /// wait ends. Default: 30 seconds.
            Duration wait_timeout = secs(30), check;
            /// Sets how long one call of the source may take. It guards against a
            /// source that never returns, on top of the source's own timeouts.
            /// Default: 30 seconds.
            Duration source_timeout = secs(30), check;
            /// Sets how long [`TokenCache::revoke`](crate::TokenCache::revoke) and
            /// [`TokenCache::shutdown`](crate::TokenCache::shutdown) may take in all.
            /// Default: 5 seconds.
            Duration revoke_timeout = secs(5), check;
            /// Sets the pause after a transient failure that no other setting names:
            /// drawn at random from zero up to a bound that doubles from `first` to
            /// `max`. Default: 250 milliseconds and 30 seconds.
            Backoff backoff = Backoff { first: millis(250), max: secs(30) }, check;
            /// Sets the longest pause that a token endpoint can impose with
            /// `Retry-After`. Default: 5 minutes.
            Duration max_retry_after = secs(300), check_length;
            /// Sets the pause after a person's credentials were refused: `first`,
            /// then 10, 60 and 360 times that, `max` at most, each plus up to a
            /// quarter at random. Servers lock accounts after a few refusals, so
            /// shorter pauses are dangerous. Default: 1 minute and 6 hours, which
            /// is 5 attempts in 12 hours.
            Backoff refusal_backoff = Backoff { first: secs(60), max: secs(6 * 3600) }, check;
            /// Sets the pause after a client's credentials were refused, where no
            /// person is locked out: doubling from `first` to `max`, plus up to a
            /// quarter at random. Default: 5 seconds and 15 minutes.
            Backoff client_refusal_backoff = Backoff { first: secs(5), max: secs(900) }, check;
            /// Sets the pause after the token endpoint answered a person's
            /// credentials with 429 or 5xx, which may count as an attempt:
            /// doubling from `first` to `max`, plus up to a quarter at random.
            /// Default: 5 seconds and 5 minutes.
            Backoff deferred_backoff = Backoff { first: secs(5), max: secs(300) }, check;
            /// Sets how long rejected tokens cause no renewal after a fresh token
            /// was rejected as well, doubling from `first` to `max`. Default: 1
            /// second and 60 seconds.
            Backoff rejection_backoff = Backoff { first: secs(1), max: secs(60) }, check;
            /// Sets how long to wait for the [store](Self::store) before fetching
            /// without it. Default: 250 milliseconds.
            Duration store_timeout = millis(250), check;
            /// Sets how long to wait for a store that is yet to connect. Default: 2
            /// seconds.
            Duration store_connect_timeout = secs(2), check;
            /// Sets how long one process of a fleet may fetch before another one
            /// may: longer than a fetch takes, but not by much, because the others
            /// wait that long if it crashes. [`build`](Self::build) refuses a lease
            /// shorter than [`source_timeout`](Self::source_timeout) or, if that is
            /// less, than the 10 seconds of a token request. A failed request is
            /// made once more if a whole one still fits into the lease. Default: 15
            /// seconds.
            Duration lease_duration = secs(15), check;
        }
    };
}
pub(crate) use with_settings;

macro_rules! define_settings {
    ($(
        $(#[$doc:meta])*
        $kind:ident $name:ident = $default:expr, $check:ident;
    )*) => {
        #[derive(Clone, Debug)]
        pub(crate) struct Settings {
            $(pub(crate) $name: $kind,)*
            pub(crate) clock: Clock,
            /// Limits how many source calls of several caches run at once.
            pub(crate) permits: Option<Arc<Permits>>,
            pub(crate) renewal: Renewal,
            /// Whether many threads are expected to send the same token. Not for one
            /// of many accounts: most of its memory would be copies of the header.
            pub(crate) many_threads: bool,
        }

        impl Default for Settings {
            fn default() -> Self {
                Self {
                    $($name: $default,)*
                    clock: Clock::default(),
                    permits: None,
                    renewal: Renewal::default(),
                    many_threads: true,
                }
            }
        }

        impl Settings {
            /// The keys of each setting: one, or a pair.
            #[cfg(feature = "config")]
            pub(crate) const ALL: &[&[Setting]] = &[
                $(define_settings! { @$kind $name },)*
            ];

            fn check_each(&self) -> Result<(), ConfigError> {
                $(self.$name.$check(stringify!($name))?;)*
                Ok(())
            }
        }
    };
    (@Duration $name:ident) => {
        &[Setting::Duration(stringify!($name), |it| &mut it.$name)]
    };
    (@Fraction $name:ident) => {
        &[Setting::Fraction(stringify!($name), |it| &mut it.$name)]
    };
    (@Window $name:ident) => {
        &[
            Setting::Fraction(concat!(stringify!($name), "_fraction"), |it| &mut it.$name.fraction),
            Setting::Duration(concat!(stringify!($name), "_max"), |it| &mut it.$name.max),
        ]
    };
    (@Backoff $name:ident) => {
        &[
            Setting::Duration(concat!(stringify!($name), "_first"), |it| &mut it.$name.first),
            Setting::Duration(concat!(stringify!($name), "_max"), |it| &mut it.$name.max),
        ]
    };
}

with_settings!(define_settings);

/// The longest duration: far from overflowing a clock that it is added to.
pub(crate) const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// Refuses values that make no sense as a setting of this type.
trait Check {
    fn check(&self, name: &'static str) -> Result<(), ConfigError>;
}

fn refuse(name: &'static str, reason: &'static str) -> Result<(), ConfigError> {
    Err(ConfigError::new(name, reason))
}

impl Check for Duration {
    fn check(&self, name: &'static str) -> Result<(), ConfigError> {
        if self.is_zero() {
            return refuse(name, "must be longer than zero");
        }
        self.check_length(name)
    }
}

trait CheckLength {
    fn check_length(&self, name: &'static str) -> Result<(), ConfigError>;
}

impl CheckLength for Duration {
    fn check_length(&self, name: &'static str) -> Result<(), ConfigError> {
        if *self > LONGEST {
            return refuse(name, "must not be longer than 10 years");
        }
        Ok(())
    }
}

impl Check for f64 {
    fn check(&self, name: &'static str) -> Result<(), ConfigError> {
        if !(0.0..1.0).contains(self) {
            return refuse(name, "the fraction must be from 0 up to, not including, 1");
        }
        Ok(())
    }
}

impl Check for Window {
    fn check(&self, name: &'static str) -> Result<(), ConfigError> {
        self.fraction.check(name)
    }
}

impl Check for Backoff {
    fn check(&self, name: &'static str) -> Result<(), ConfigError> {
        if self.first.is_zero() {
            return refuse(name, "the first pause must be longer than zero");
        }
        if self.max < self.first {
            return refuse(name, "the longest pause is shorter than the first");
        }
        self.max.check_length(name)
    }
}

/// How long a token request of a grant may take.
const REQUEST: Duration = secs(10);

impl Settings {
    /// Returns how long a call of the source takes at most.
    pub(crate) fn request_time(&self) -> Duration {
        self.source_timeout.min(REQUEST)
    }

    /// Returns how long to wait for another process of a fleet: until its lease has
    /// ended, and as long again for the process that takes over.
    pub(crate) fn fleet_patience(&self) -> Duration {
        self.source_timeout
            .max(self.lease_duration.saturating_mul(2))
    }

    /// Refuses a lease that ends before a fetch does: another process would fetch
    /// meanwhile, and then the next.
    pub(crate) fn check_lease(&self) -> Result<(), ConfigError> {
        let (lease, request) = (self.lease_duration, self.request_time());
        if lease < request {
            let reason = format!(
                "{lease:?} is shorter than a fetch may take: {request:?}, which is \
                 `source_timeout`, or what a token request may take"
            );
            return Err(ConfigError::new("lease_duration", reason));
        }
        Ok(())
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.check_each()?;
        let (renew, expire) = (self.renew_before, self.expiry_margin);
        if renew.fraction < expire.fraction || renew.max < expire.max {
            return refuse("renew_before", "a token must be due before it is expired");
        }
        Ok(())
    }
}

/// Settings that many caches share; copied where one of them changes some.
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

/// A token store, and this cache's account there.
pub(crate) struct FleetMember {
    pub(crate) store: Box<dyn DynTokenStore>,
    pub(crate) name: String,
    /// The task that joins the fleet again.
    pub(crate) rejoin: BackgroundTask,
}

impl fmt::Debug for FleetMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetMember")
            .field("account", &self.name)
            .finish_non_exhaustive()
    }
}
