//! The builder of a cache.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::cache::clock::Clock;
use crate::cache::exclusive::Renewal;
use crate::cache::settings::{Backoff, FleetMember, SharedSettings, Window, with_settings};
use crate::cache::token_cache::TokenCache;
use crate::error::ConfigError;
use crate::source::{DynTokenSource, TokenSource};
use crate::store::TokenStore;
use crate::task::BackgroundTask;

/// Builder of a [`TokenCache`], made by [`TokenCache::builder`].
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::{AccessToken, TokenCache};
///
/// let source = AccessToken::new("fixed")?;
/// let tokens = TokenCache::builder(source).wait_timeout(Duration::from_secs(5)).build()?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a builder does nothing until `build` is called"]
pub struct TokenCacheBuilder {
    source: Box<dyn DynTokenSource>,
    fleet: Option<FleetMember>,
    label: Option<Arc<str>>,
    settings: SharedSettings,
}

impl TokenCache {
    /// Returns a builder with custom settings.
    pub fn builder(source: impl TokenSource) -> TokenCacheBuilder {
        TokenCacheBuilder {
            source: Box::new(source),
            fleet: None,
            label: None,
            settings: SharedSettings::default(),
        }
    }
}

impl TokenCacheBuilder {
    /// Sets whether the token in use may be sent while it is being refreshed.
    /// Default: [`Renewal::Automatic`].
    pub fn renewal(mut self, renewal: Renewal) -> Self {
        self.settings.renewal = renewal;
        self
    }

    /// Names this cache in spans, events and metrics (features `tracing` and
    /// `metrics`). Default: `default`, or `accounts` for the caches of many
    /// accounts, so that no account's name shows unless it is set here. Each label
    /// adds metric series, so use few.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into().into());
        self
    }

    /// Shares the tokens with all caches that have the same account in the same
    /// [store](crate::store). The account's name is not treated as a secret. Caches
    /// with the same name share only if their grants have the same token endpoint,
    /// client and user; your own source does not report those, so its name must
    /// distinguish them.
    pub fn store(mut self, store: impl TokenStore, account: impl Into<String>) -> Self {
        self.fleet = Some(FleetMember {
            store: Box::new(store),
            name: account.into(),
            rejoin: BackgroundTask::default(),
        });
        self
    }

    /// Sets where the wall clock is read; the monotonic clock is tokio's. Use it to
    /// test a suspended machine or a clock that is set.
    pub fn wall_clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.settings.clock = Clock::with_wall(now);
        self
    }

    /// Builds the cache. Needs no tokio runtime.
    ///
    /// # Errors
    ///
    /// Fails if a setting is invalid; the error names it.
    pub fn build(self) -> Result<TokenCache, ConfigError> {
        self.settings.check()?;
        if self.fleet.is_some() {
            self.settings.check_lease()?;
        }
        Ok(TokenCache::assemble(
            self.source,
            self.fleet,
            self.label,
            self.settings,
        ))
    }
}

#[cfg(feature = "config")]
impl TokenCacheBuilder {
    pub(crate) fn settings_mut(&mut self) -> &mut crate::cache::Settings {
        &mut self.settings
    }
}

/// Defines the method of each setting.
macro_rules! define_methods {
    ($(
        $(#[$doc:meta])*
        $kind:ident $name:ident = $default:expr, $check:ident;
    )*) => {
        impl TokenCacheBuilder {
            $(define_methods! { @$kind $(#[$doc])* $name })*
        }
    };
    (@Duration $(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub fn $name(mut self, duration: Duration) -> Self {
            self.settings.$name = duration;
            self
        }
    };
    (@Fraction $(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub fn $name(mut self, fraction: f64) -> Self {
            self.settings.$name = fraction;
            self
        }
    };
    (@Window $(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub fn $name(mut self, fraction: f64, max: Duration) -> Self {
            self.settings.$name = Window { fraction, max };
            self
        }
    };
    (@Backoff $(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub fn $name(mut self, first: Duration, max: Duration) -> Self {
            self.settings.$name = Backoff { first, max };
            self
        }
    };
}

with_settings!(define_methods);

/// Settings for caches to be built later.
#[cfg(feature = "accounts")]
#[derive(Clone, Debug)]
pub(crate) struct Template {
    label: Option<Arc<str>>,
    pub(crate) settings: SharedSettings,
}

#[cfg(feature = "accounts")]
impl TokenCacheBuilder {
    pub(crate) fn into_template(self) -> Result<Template, ConfigError> {
        self.settings.check()?;
        if self.fleet.is_some() {
            let reason = "belongs to one account: see `settings_for`";
            return Err(ConfigError::new("store", reason));
        }
        Ok(Template {
            label: self.label,
            settings: self.settings,
        })
    }

    pub(crate) fn from_template(source: Box<dyn DynTokenSource>, template: &Template) -> Self {
        Self {
            source,
            fleet: None,
            label: template.label.clone(),
            settings: template.settings.clone(),
        }
    }
}

impl std::fmt::Debug for TokenCacheBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenCacheBuilder")
            .field("fleet", &self.fleet)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::AccessToken;

    #[test]
    fn nonsense_is_refused_with_the_name_of_the_field() {
        const ZERO: Duration = Duration::ZERO;
        const SECOND: Duration = Duration::from_secs(1);
        type Change = fn(TokenCacheBuilder) -> TokenCacheBuilder;
        let cases: &[(&str, Change)] = &[
            ("wait_timeout", |b| b.wait_timeout(ZERO)),
            ("wait_timeout", |b| b.wait_timeout(Duration::MAX)),
            ("source_timeout", |b| b.source_timeout(ZERO)),
            ("revoke_timeout", |b| b.revoke_timeout(ZERO)),
            ("store_timeout", |b| b.store_timeout(ZERO)),
            ("lease_duration", |b| b.lease_duration(ZERO)),
            ("renew_before", |b| b.renew_before(1.0, SECOND)),
            ("renew_before", |b| b.renew_before(-0.1, SECOND)),
            ("renew_before", |b| b.renew_before(f64::NAN, SECOND)),
            ("renew_before", |b| b.renew_before(0.05, SECOND * 60)),
            ("renew_before", |b| b.renew_before(0.2, SECOND)),
            ("expiry_margin", |b| b.expiry_margin(1.5, SECOND)),
            ("renew_jitter", |b| b.renew_jitter(2.0)),
            ("renew_unknown_lifetime_after", |b| {
                b.renew_unknown_lifetime_after(ZERO)
            }),
            ("backoff", |b| b.backoff(ZERO, SECOND)),
            ("backoff", |b| b.backoff(SECOND * 2, SECOND)),
            ("refusal_backoff", |b| b.refusal_backoff(ZERO, ZERO)),
            ("rejection_backoff", |b| b.rejection_backoff(SECOND, ZERO)),
            ("max_retry_after", |b| b.max_retry_after(Duration::MAX)),
        ];
        for (field, change) in cases {
            let builder = TokenCache::builder(AccessToken::new("a").expect("token"));
            let error = change(builder).build().expect_err(field);
            assert_eq!(error.field(), *field);
            assert!(error.to_string().starts_with(field), "{error}");
        }
    }
}
