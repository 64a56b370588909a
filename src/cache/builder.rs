//! The builder of a cache.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::cache::clock::Clock;
use crate::cache::schedule::Backoff;
use crate::cache::settings::FleetMember;
use crate::cache::settings::SharedSettings;
use crate::cache::token_cache::TokenCache;
use crate::error::ConfigError;
use crate::source::{DynTokenSource, TokenSource};
use crate::store::TokenStore;

/// Settings for a [`TokenCache`]; made by [`TokenCache::builder`].
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
    /// A cache with settings of one's own.
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
    /// A token is due for renewal when what is left of its life falls under
    /// `fraction` of its lifetime, or under `max` if that is less. Default: 0.2
    /// and 5 minutes.
    pub fn renew_before(mut self, fraction: f64, max: Duration) -> Self {
        self.settings.expiry.renew_before_fraction = fraction;
        self.settings.expiry.renew_before_max = max;
        self
    }

    /// By how much of itself, at most, the window of [`renew_before`](Self::renew_before) is
    /// shortened at random for each token, so that processes which started
    /// together do not renew together. Default: 0.1.
    pub fn renew_jitter(mut self, fraction: f64) -> Self {
        self.settings.expiry.renew_jitter = fraction;
        self
    }

    /// The age at which a token is due whose issuer did not say how long it
    /// lives. It stays valid until it is rejected. Default: 5 minutes.
    pub fn renew_unknown_lifetime_after(mut self, age: Duration) -> Self {
        self.settings.expiry.renew_unknown_lifetime_after = age;
        self
    }

    /// A token is no longer sent when what is left of its life falls under
    /// `fraction` of its lifetime, or under `max` if that is less: it could
    /// expire on its way. Default: 0.1 and 10 seconds.
    pub fn expiry_margin(mut self, fraction: f64, max: Duration) -> Self {
        self.settings.expiry.expiry_margin_fraction = fraction;
        self.settings.expiry.expiry_margin_max = max;
        self
    }

    /// How long one caller waits for a token. The fetch goes on when the wait
    /// ends. Default: 30 seconds.
    pub fn wait_timeout(mut self, limit: Duration) -> Self {
        self.settings.wait_timeout = limit;
        self
    }

    /// How long one call of the source may take; a guard against a source that
    /// never answers, above the source's own timeouts. Default: 30 seconds.
    pub fn source_timeout(mut self, limit: Duration) -> Self {
        self.settings.source_timeout = limit;
        self
    }

    /// How long [`TokenCache::revoke`] and [`TokenCache::shutdown`] may take in
    /// all. Default: 5 seconds.
    pub fn revoke_timeout(mut self, limit: Duration) -> Self {
        self.settings.revoke_timeout = limit;
        self
    }

    /// The pause after a failure that may pass by itself: drawn at random from
    /// zero up to a bound that doubles from `first` to `max`. Default: 250
    /// milliseconds and 30 seconds.
    pub fn backoff(mut self, first: Duration, max: Duration) -> Self {
        self.settings.backoff.transient = Backoff { first, max };
        self
    }

    /// The longest pause that a token endpoint may ask for with `Retry-After`.
    /// Default: 5 minutes.
    pub fn max_retry_after(mut self, max: Duration) -> Self {
        self.settings.backoff.max_retry_after = max;
        self
    }

    /// The pause after refused credentials, doubling from `first` to `max`.
    /// Default: 60 seconds and 15 minutes.
    pub fn refusal_backoff(mut self, first: Duration, max: Duration) -> Self {
        self.settings.backoff.refused = Backoff { first, max };
        self
    }

    /// How long 401s lead to no renewal after a fresh token was rejected as
    /// well, doubling from `first` to `max`. Default: 1 second and 60 seconds.
    pub fn rejection_backoff(mut self, first: Duration, max: Duration) -> Self {
        self.settings.backoff.forced = Backoff { first, max };
        self
    }

    /// What this cache is called in spans, events and figures (features
    /// `tracing` and `metrics`). Default: its account in the
    /// [store](Self::store), else `default`.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into().into());
        self
    }

    /// Shares the tokens with all caches that have the same account in the same
    /// [store](crate::store). The account's name is no secret, and is the
    /// same for two caches only if they have the same credentials.
    pub fn store(mut self, store: impl TokenStore, account: impl Into<String>) -> Self {
        self.fleet = Some(FleetMember {
            store: Box::new(store),
            account: account.into(),
        });
        self
    }

    /// How long the store is waited for before this process goes on by itself.
    /// Default: 250 milliseconds.
    pub fn store_timeout(mut self, limit: Duration) -> Self {
        self.settings.store_timeout = limit;
        self
    }

    /// How long one process of a fleet may fetch before another one may: longer
    /// than a fetch takes, but not by much, for the others wait so long if it
    /// dies. Default: 15 seconds.
    pub fn lease_duration(mut self, span: Duration) -> Self {
        self.settings.lease_duration = span;
        self
    }

    /// Where the wall clock is read; the monotonic clock is tokio's. For tests
    /// of what a suspended machine or a clock that was set does.
    pub fn wall_clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.settings.clock = Clock::with_wall(now);
        self
    }

    /// Builds the cache. Needs no runtime.
    ///
    /// # Errors
    ///
    /// If a setting makes no sense; the error names it.
    pub fn build(self) -> Result<TokenCache, ConfigError> {
        self.settings.check()?;
        Ok(TokenCache::assemble(
            self.source,
            self.fleet,
            self.label,
            self.settings,
        ))
    }
}

/// Settings for caches that are yet to be made.
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
