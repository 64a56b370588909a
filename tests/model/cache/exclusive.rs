//! How a cache learns that refreshes end the token in use.

use std::time::Duration;

use tokio::time::Instant;

/// For how long after a refresh a rejection of the old token is blamed on it.
const SHORTLY: Duration = Duration::from_secs(5);

/// By how much two runtimes' clocks may differ.
const TICKS: Duration = Duration::from_millis(500);

#[derive(Clone, Debug, Default)]
pub(crate) struct Exclusive {
    /// Whether the token in use is withheld during a refresh.
    pub(crate) on: bool,
    /// It can no longer be told.
    pub(crate) unsure: bool,
    /// Refreshes in a row that ended the token in use.
    ended: u8,
    last: Option<Refresh>,
    rejected_before: Option<u64>,
}

#[derive(Clone, Debug)]
struct Refresh {
    /// The token that was in use.
    serial: u64,
    answered: bool,
    over: Option<Instant>,
    rejected: bool,
    counted: bool,
    cut_off: bool,
}

impl Exclusive {
    /// A refresh begins, while this token is in use.
    pub(crate) fn begins(&mut self, serial: Option<u64>) {
        if self.last.as_ref().is_some_and(|last| !last.counted) {
            self.ended = 0;
        }
        let serial = serial.filter(|it| self.rejected_before != Some(*it));
        self.last = serial.map(|serial| Refresh {
            serial,
            answered: false,
            over: None,
            rejected: false,
            counted: false,
            cut_off: false,
        });
    }

    /// It was answered; `processed`: the server may have processed it.
    pub(crate) fn answered(&mut self, processed: bool, now: Instant) {
        let Some(last) = &mut self.last else {
            return;
        };
        if !processed {
            if last.rejected {
                self.rejected_before = Some(last.serial);
            }
            self.last = None;
            return;
        }
        last.answered = true;
        last.over.get_or_insert(now);
        self.count();
    }

    /// A login follows in the same fetch, because the token lives too short.
    pub(crate) fn goes_on(&mut self) {
        if let Some(last) = &mut self.last {
            last.over = None;
        }
    }

    /// The fetch that it belongs to is over.
    pub(crate) fn over(&mut self, now: Instant) {
        if let Some(last) = &mut self.last {
            last.over.get_or_insert(now);
        }
    }

    /// The runtime of its fetch ended.
    pub(crate) fn cut_off(&mut self, now: Instant) {
        if let Some(last) = &mut self.last {
            last.cut_off |= last.over.is_none();
            last.answered = true;
            last.over.get_or_insert(now);
        }
        self.count();
    }

    /// A token was rejected.
    pub(crate) fn rejected(&mut self, serial: u64, now: Instant) {
        let blamed = self.last.as_mut().filter(|last| {
            let over = last.over.is_some_and(|over| now > over + SHORTLY);
            // The next runtime's paused clock begins a little later.
            let near = |over: Instant| now + TICKS > over + SHORTLY && now < over + SHORTLY + TICKS;
            self.unsure |= last.cut_off && last.over.is_some_and(near);
            last.serial == serial && !over
        });
        match blamed {
            Some(last) => last.rejected = true,
            None => self.rejected_before = Some(serial),
        }
        self.count();
    }

    fn count(&mut self) {
        if let Some(last) = &mut self.last
            && last.answered
            && last.rejected
            && !last.counted
            && !self.on
        {
            last.counted = true;
            self.ended += 1;
            self.on = self.ended >= 2;
        }
    }
}
