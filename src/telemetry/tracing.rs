//! Events and spans for `tracing`.

use std::error::Error as StdError;
use std::future::Future;
use std::time::Duration;

use tracing::field::Empty;
use tracing::{Instrument, Level, Span, debug, enabled, error, info, info_span, warn};

use crate::error::{TokenError, TokenErrorKind};
use crate::telemetry::event::{Event, FetchSummary, Reason, outcome};

/// Runs a fetch in a span without a parent, because the fetch serves all requests,
/// not one.
pub(super) fn in_span<F: Future>(
    label: &str,
    reason: Reason,
    fetch: F,
) -> impl Future<Output = F::Output> + use<F> {
    let span = info_span!(
        target: "tower_bearer",
        parent: None,
        "tower_bearer.fetch",
        account = label,
        reason = reason.name(),
        outcome = Empty,
        generation = Empty,
        waiters = Empty,
    );
    // Links the fetch to the request that started it.
    span.follows_from(Span::current());
    fetch.instrument(span)
}

/// Returns the span of a caller's wait, within the span of its request.
pub(super) fn wait_span(label: &str) -> Span {
    info_span!(target: "tower_bearer", "tower_bearer.wait", account = label)
}

pub(super) fn origin_not_listed(origin: impl FnOnce() -> String) {
    if enabled!(target: "tower_bearer", Level::DEBUG) {
        debug!(
            target: "tower_bearer",
            origin = origin(),
            "request sent without a token: its origin is not one of the layer's `Origins`"
        );
    }
}

pub(super) fn emit(label: &str, event: &Event<'_>) {
    match event {
        Event::Fetched {
            summary,
            generation,
            by,
            valid_for,
        } => {
            record(summary, "ok");
            Span::current().record("generation", generation);
            let FetchSummary {
                reason,
                took,
                waiters,
            } = summary;
            let valid_for = valid_for.map(|it| it.as_secs());
            debug!(
                target: "tower_bearer",
                account = label,
                generation,
                reason = reason.name(),
                by = by.name(),
                took_ms = millis(*took),
                waiters,
                valid_for_s = valid_for,
                "token fetched"
            );
        }
        Event::LifetimeUnreadable { valid_for } => warn!(
            target: "tower_bearer",
            account = label,
            valid_for_s = valid_for.map(|it| it.as_secs()),
            "the token's `expires_in` is not a number of seconds above zero: it counts as not said"
        ),
        Event::Failed { summary, error } => {
            record(summary, outcome(error));
            log_failure(label, summary, error);
        }
        Event::Abandoned { reason } => warn!(
            target: "tower_bearer",
            account = label,
            reason = reason.name(),
            "token fetch abandoned: its runtime has ended"
        ),
        Event::Replayed { generation, replay } => debug!(
            target: "tower_bearer",
            account = label,
            generation,
            outcome = replay.name(),
            "request sent again after a rejection"
        ),
        Event::RenewalBackedOff { generation } => warn!(
            target: "tower_bearer",
            account = label,
            generation,
            "renewal after a rejection backed off: recent renewals did not help"
        ),
        Event::RenewalExclusive => info!(
            target: "tower_bearer",
            account = label,
            "the server ends the token in use at each refresh: renewals are exclusive from now on"
        ),
        Event::StoreError { error, first: true } => warn!(
            target: "tower_bearer",
            account = label,
            error = as_error(error),
            "token store failed: fetching without it"
        ),
        Event::StoreError { first: false, .. } => {}
        Event::StoreRecovered => {
            info!(target: "tower_bearer", account = label, "token store works again")
        }
        Event::StoreWarning {
            account: name,
            warning,
        } => warn!(
            target: "tower_bearer",
            account = label,
            store_account = name,
            warning = %warning,
            "token store needs a look"
        ),
        Event::Revoked { error: None } => debug!(
            target: "tower_bearer",
            account = label,
            "session ended"
        ),
        Event::Revoked { error: Some(error) } => warn!(
            target: "tower_bearer",
            account = label,
            error = as_error(error),
            "session not ended"
        ),
    }
}

/// Records the result in the span of the fetch.
fn record(summary: &FetchSummary, outcome: &str) {
    let span = Span::current();
    span.record("outcome", outcome);
    span.record("waiters", summary.waiters);
}

/// Logs a failed fetch: as an error if it was refused, which needs operator action,
/// otherwise as a warning.
fn log_failure(label: &str, summary: &FetchSummary, error: &TokenError) {
    let FetchSummary {
        reason,
        took,
        waiters,
    } = summary;
    let (reason, took_ms) = (reason.name(), millis(*took));
    let retry_after_ms = error.retry_after().map(millis);
    let status = error.status().map(|status| status.as_u16());
    let oauth_error = error.oauth_error();
    if error.kind() == TokenErrorKind::Refused {
        error!(
            target: "tower_bearer",
            account = label,
            reason, took_ms, waiters, status, oauth_error, retry_after_ms,
            error = as_error(error),
            "token refused"
        );
    } else {
        warn!(
            target: "tower_bearer",
            account = label,
            reason, took_ms, waiters, status, oauth_error, retry_after_ms,
            error = as_error(error),
            "token fetch failed"
        );
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn as_error(error: &TokenError) -> &(dyn StdError + 'static) {
    error
}
