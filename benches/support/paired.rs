//! Many short rounds whose times are divided by each other.
//!
//! A cost is the small difference of two large times, which the machine's noise hides,
//! most of all at two threads. So there are many rounds, too short to be interrupted
//! often, each thread on a core of its own; a time is compared with others of its round
//! only; and a cost is that of the fastest tenth of each stack's rounds.

use super::drive::{Pattern, Stack};
use super::rounds::{Series, Spread, interleave};

pub(crate) const ROUNDS: usize = 1001;

/// How many requests each thread sends in a round.
pub(crate) const REQUESTS: usize = 1280;

/// The columns of [`Paired::ratios`].
pub(crate) const HEAD: [&str; 5] = ["5 %", "25 %", "median", "75 %", "95 %"];

/// How many stretches of the rounds say whether a ratio of costs can be told.
pub(crate) const STRETCHES: usize = 7;

/// The times of some stacks in the same rounds.
pub(crate) struct Paired(Series);

impl Paired {
    pub(crate) fn measure(rounds: usize, stacks: &[&dyn Stack], pattern: Pattern) -> Self {
        let mut measures: Vec<Box<dyn FnMut() -> f64>> = Vec::new();
        for stack in stacks {
            measures.push(Box::new(move || stack.time(pattern, REQUESTS)));
        }
        Self(interleave(rounds, &mut measures))
    }

    /// All of the time of a request over that through another stack in the same round:
    /// what 5, 25, 50, 75 and 95 % of the rounds are not above.
    pub(crate) fn ratios(&self, one: usize, other: usize) -> Vec<f64> {
        self.0.ratios_at(one, other, &[0.05, 0.25, 0.5, 0.75, 0.95])
    }

    /// The same for half of the rounds.
    pub(crate) fn median_ratio(&self, one: usize, other: usize) -> f64 {
        self.0.ratio(one, other).median
    }

    /// All of the nanoseconds of a request.
    pub(crate) fn time(&self, one: usize) -> f64 {
        self.0.quiet(one)
    }

    /// The nanoseconds of a request over those through another stack.
    pub(crate) fn cost(&self, one: usize, base: usize) -> f64 {
        self.0.quiet_cost(one, base)
    }

    /// The ratio of two costs, each of a stack over its base, in each stretch of the
    /// rounds. `None` if a cost to divide by may as well be nothing.
    pub(crate) fn cost_ratio(&self, one: [usize; 2], other: [usize; 2]) -> Option<Spread> {
        let ratio = |series: &Series| {
            let cost = |[stack, base]: [usize; 2]| series.quiet_cost(stack, base);
            let below = cost(other);
            (below > 0.0).then(|| cost(one) / below)
        };
        let ratios: Option<_> = self.0.stretches(STRETCHES).iter().map(ratio).collect();
        ratios.map(Spread::new)
    }
}
