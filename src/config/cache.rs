//! The settings of a cache.

use std::time::Duration;

use serde::Deserialize;

use super::values::{DurationValue, Number};
use crate::cache::TokenCacheBuilder;
use crate::error::ConfigError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CacheConfig {
    wait_timeout: Option<DurationValue>,
    source_timeout: Option<DurationValue>,
    renew_before_fraction: Option<Number<f64>>,
    renew_before_max: Option<DurationValue>,
    renew_jitter: Option<Number<f64>>,
    renew_unknown_lifetime_after: Option<DurationValue>,
    expiry_margin_fraction: Option<Number<f64>>,
    expiry_margin_max: Option<DurationValue>,
    max_retry_after: Option<DurationValue>,
    backoff_first: Option<DurationValue>,
    backoff_max: Option<DurationValue>,
    refusal_backoff_first: Option<DurationValue>,
    refusal_backoff_max: Option<DurationValue>,
    rejection_backoff_first: Option<DurationValue>,
    rejection_backoff_max: Option<DurationValue>,
}

impl CacheConfig {
    pub(super) fn apply(
        &self,
        mut builder: TokenCacheBuilder,
    ) -> Result<TokenCacheBuilder, ConfigError> {
        type Set = fn(TokenCacheBuilder, Duration) -> TokenCacheBuilder;
        let spans: [(&Option<DurationValue>, Set); 4] = [
            (&self.wait_timeout, TokenCacheBuilder::wait_timeout),
            (&self.source_timeout, TokenCacheBuilder::source_timeout),
            (
                &self.renew_unknown_lifetime_after,
                TokenCacheBuilder::renew_unknown_lifetime_after,
            ),
            (&self.max_retry_after, TokenCacheBuilder::max_retry_after),
        ];
        for (span, set) in spans {
            if let Some(DurationValue(span)) = span {
                builder = set(builder, *span);
            }
        }
        if let Some(Number(jitter)) = &self.renew_jitter {
            builder = builder.renew_jitter(*jitter);
        }
        if let Some((fraction, max)) = pair(
            ("renew_before_fraction", &self.renew_before_fraction),
            ("renew_before_max", &self.renew_before_max),
        )? {
            builder = builder.renew_before(fraction.0, max.0);
        }
        let fraction = ("expiry_margin_fraction", &self.expiry_margin_fraction);
        if let Some((fraction, max)) =
            pair(fraction, ("expiry_margin_max", &self.expiry_margin_max))?
        {
            builder = builder.expiry_margin(fraction.0, max.0);
        }
        let (first, max) = ("backoff_first", "backoff_max");
        if let Some((first, max)) = pair((first, &self.backoff_first), (max, &self.backoff_max))? {
            builder = builder.backoff(first.0, max.0);
        }
        let first = ("refusal_backoff_first", &self.refusal_backoff_first);
        let max = ("refusal_backoff_max", &self.refusal_backoff_max);
        if let Some((first, max)) = pair(first, max)? {
            builder = builder.refusal_backoff(first.0, max.0);
        }
        let first = ("rejection_backoff_first", &self.rejection_backoff_first);
        let max = ("rejection_backoff_max", &self.rejection_backoff_max);
        if let Some((first, max)) = pair(first, max)? {
            builder = builder.rejection_backoff(first.0, max.0);
        }
        Ok(builder)
    }
}

type Named<'a, T> = (&'static str, &'a Option<T>);

/// Two params that go together.
fn pair<'a, A, B>(
    (a_name, a): Named<'a, A>,
    (b_name, b): Named<'a, B>,
) -> Result<Option<(&'a A, &'a B)>, ConfigError> {
    let alone = |there, missing: &'static str| {
        Err(ConfigError::new(
            missing,
            format!("is missing beside `{there}`"),
        ))
    };
    match (a, b) {
        (Some(a), Some(b)) => Ok(Some((a, b))),
        (None, None) => Ok(None),
        (Some(_), None) => alone(a_name, b_name),
        (None, Some(_)) => alone(b_name, a_name),
    }
}
