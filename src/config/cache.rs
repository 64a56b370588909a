//! The settings of a cache.

use std::time::Duration;

use serde::Deserialize;

use super::values::{Number, Span};
use crate::cache::TokenCacheBuilder;
use crate::error::ConfigError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CacheConfig {
    wait: Option<Span>,
    source_timeout: Option<Span>,
    due_fraction: Option<Number<f64>>,
    due_max: Option<Span>,
    due_jitter: Option<Number<f64>>,
    due_without_lifetime: Option<Span>,
    expired_fraction: Option<Number<f64>>,
    expired_max: Option<Span>,
    retry_after_max: Option<Span>,
    backoff_first: Option<Span>,
    backoff_max: Option<Span>,
    refused_backoff_first: Option<Span>,
    refused_backoff_max: Option<Span>,
    forced_backoff_first: Option<Span>,
    forced_backoff_max: Option<Span>,
}

impl CacheConfig {
    pub(super) fn apply(
        &self,
        mut builder: TokenCacheBuilder,
    ) -> Result<TokenCacheBuilder, ConfigError> {
        type Set = fn(TokenCacheBuilder, Duration) -> TokenCacheBuilder;
        let spans: [(&Option<Span>, Set); 4] = [
            (&self.wait, TokenCacheBuilder::wait),
            (&self.source_timeout, TokenCacheBuilder::source_timeout),
            (
                &self.due_without_lifetime,
                TokenCacheBuilder::due_without_lifetime,
            ),
            (&self.retry_after_max, TokenCacheBuilder::retry_after_max),
        ];
        for (span, set) in spans {
            if let Some(Span(span)) = span {
                builder = set(builder, *span);
            }
        }
        if let Some(Number(jitter)) = &self.due_jitter {
            builder = builder.due_jitter(*jitter);
        }
        if let Some((fraction, max)) = pair(
            ("due_fraction", &self.due_fraction),
            ("due_max", &self.due_max),
        )? {
            builder = builder.due(fraction.0, max.0);
        }
        let fraction = ("expired_fraction", &self.expired_fraction);
        if let Some((fraction, max)) = pair(fraction, ("expired_max", &self.expired_max))? {
            builder = builder.expired(fraction.0, max.0);
        }
        let (first, max) = ("backoff_first", "backoff_max");
        if let Some((first, max)) = pair((first, &self.backoff_first), (max, &self.backoff_max))? {
            builder = builder.backoff(first.0, max.0);
        }
        let first = ("refused_backoff_first", &self.refused_backoff_first);
        let max = ("refused_backoff_max", &self.refused_backoff_max);
        if let Some((first, max)) = pair(first, max)? {
            builder = builder.refused_backoff(first.0, max.0);
        }
        let first = ("forced_backoff_first", &self.forced_backoff_first);
        let max = ("forced_backoff_max", &self.forced_backoff_max);
        if let Some((first, max)) = pair(first, max)? {
            builder = builder.forced_backoff(first.0, max.0);
        }
        Ok(builder)
    }
}

type Named<'a, T> = (&'static str, &'a Option<T>);

/// Two members that go together.
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
