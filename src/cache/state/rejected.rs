//! What an API said about the token in use.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::clock::Moment;
use crate::cache::exclusive::Renewal;
use crate::cache::rejections::Rejected;
use crate::cache::settings::Settings;
use crate::cache::state::{Rejection, State};
use crate::origins::OriginId;
use crate::telemetry::FetchedBy;

impl State {
    /// Returns how tokens are renewed, as far as known.
    pub(crate) fn renewal(&self) -> Renewal {
        match self.rare.exclusivity.is_exclusive() {
            true => Renewal::Exclusive,
            false => Renewal::Automatic,
        }
    }

    /// Learns from a rejection how the server renews. Returns whether renewals have
    /// just become exclusive.
    pub(crate) fn learn_renewal(&mut self, generation: u64, now: &Moment) -> bool {
        let exclusive = self.rare.exclusivity.rejected(generation, now.monotonic);
        if exclusive {
            self.count_uses();
        }
        exclusive
    }

    /// Counts the requests that carry the token in use, from now on.
    pub(super) fn count_uses(&mut self) {
        self.live = self.live.take().map(|live| Arc::new(live.recounted()));
    }

    /// Records that an API rejected this generation at `origin`. Others keep using
    /// the token, until there is a newer one or it is rejected for them too.
    pub(crate) fn rejected(
        &mut self,
        generation: u64,
        origin: OriginId,
        unproven: bool,
        now: &Moment,
        settings: &Settings,
    ) -> Rejection {
        let Some(live) = self
            .live
            .as_ref()
            .filter(|live| live.generation() == generation)
        else {
            return Rejection::Renew;
        };
        let token = Rejected {
            generation,
            forced_by: live.forced_by,
            refreshed: live.by == FetchedBy::RefreshToken,
            unproven,
        };
        let backoff = &settings.rejection_backoff;
        let verdict = self
            .rare
            .rejections
            .rejected(origin, token, now.monotonic, backoff);
        if verdict.log_in {
            self.refresh.discard();
            self.rare.discard_stored = true;
        }
        if !verdict.renew {
            return Rejection::RenewalBackedOff;
        }
        self.rare.suspect = Some((generation, origin));
        Rejection::Renew
    }

    /// Records that an API accepted a request with this generation at `origin`.
    pub(crate) fn accepted(&mut self, generation: u64, origin: OriginId, replayed: bool) {
        let Some(live) = self
            .live
            .as_ref()
            .filter(|live| live.generation() == generation)
        else {
            return;
        };
        let refreshed = live.by == FetchedBy::RefreshToken;
        let helped = replayed && live.forced_by == Some(origin);
        self.rare
            .rejections
            .accepted(origin, generation, refreshed, helped);
    }

    pub(crate) fn rejection_backoff(&self, now: Instant) -> Option<Duration> {
        self.rare.rejections.backoff_left(now)
    }
}
