//! What to answer next, when it is not the ordinary.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::answer::Answer;

/// A queue of answers, and one for ever after it.
#[derive(Default)]
pub(super) struct Script {
    /// Whether the plan holds anything: an unscripted request takes no lock.
    written: AtomicBool,
    plan: Mutex<Plan>,
}

#[derive(Default)]
struct Plan {
    next: VecDeque<Answer>,
    always: Option<Answer>,
}

impl Script {
    pub(super) fn push(&self, answers: impl IntoIterator<Item = Answer>) {
        self.write(|plan| plan.next.extend(answers));
    }

    pub(super) fn always(&self, answer: Answer) {
        self.write(|plan| plan.always = Some(answer));
    }

    pub(super) fn clear(&self) {
        self.write(|plan| *plan = Plan::default());
    }

    pub(super) fn next(&self) -> Option<Answer> {
        if !self.written.load(Ordering::Acquire) {
            return None;
        }
        self.write(|plan| plan.next.pop_front().or_else(|| plan.always.clone()))
    }

    fn write<R>(&self, change: impl FnOnce(&mut Plan) -> R) -> R {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut plan);
        let written = !plan.next.is_empty() || plan.always.is_some();
        self.written.store(written, Ordering::Release);
        result
    }
}
