//! Interleaved rounds: A B C, B C A, C A B, ... Disturbances of the machine affect
//! all of them alike.

/// How many rounds there are at least.
pub(crate) const ROUNDS: usize = 15;

/// One series of samples for each measure, the same round at the same index.
/// A round that is not counted goes first.
pub(crate) fn interleave(rounds: usize, measures: &mut [Box<dyn FnMut() -> f64 + '_>]) -> Series {
    assert!(rounds >= ROUNDS, "too few rounds");
    let count = measures.len();
    measures.iter_mut().for_each(|measure| {
        measure();
    });
    let mut series = vec![Vec::with_capacity(rounds); count];
    for round in 0..rounds {
        for turn in 0..count {
            let which = (round + turn) % count;
            series[which].push(measures[which]());
        }
    }
    Series(series)
}

pub(crate) struct Series(Vec<Vec<f64>>);

impl From<Vec<Vec<f64>>> for Series {
    /// Samples that were taken aside, by measure.
    fn from(samples: Vec<Vec<f64>>) -> Self {
        Self(samples)
    }
}

impl Series {
    /// What one measure gave.
    pub(crate) fn of(&self, measure: usize) -> Spread {
        Spread::new(self.0[measure].clone())
    }

    /// What one measure gave in the fastest tenth of its rounds: noise only ever adds.
    pub(crate) fn quiet(&self, measure: usize) -> f64 {
        at(&sorted(self.0[measure].iter().copied()), 0.1)
    }

    /// The difference of two measures in the fastest tenth of each one's rounds.
    pub(crate) fn quiet_cost(&self, one: usize, other: usize) -> f64 {
        self.quiet(one) - self.quiet(other)
    }

    /// The rounds in so many stretches of the same length, one after the other.
    pub(crate) fn stretches(&self, count: usize) -> Vec<Self> {
        let length = self.0.first().map_or(0, Vec::len) / count;
        let stretch = |number: usize| {
            let samples = self.0.iter().map(|samples| &samples[number * length..]);
            Self(samples.map(|samples| samples[..length].to_vec()).collect())
        };
        (0..count).map(stretch).collect()
    }

    /// The difference of two measures, by round.
    pub(crate) fn difference(&self, one: usize, other: usize) -> Spread {
        self.by_round(|at| at(one) - at(other))
    }

    /// The ratio of two measures, by round.
    pub(crate) fn ratio(&self, one: usize, other: usize) -> Spread {
        self.by_round(|at| at(one) / at(other))
    }

    /// The same, as it is distributed: what so large parts of the rounds are not above.
    pub(crate) fn ratios_at(&self, one: usize, other: usize, parts: &[f64]) -> Vec<f64> {
        let pairs = self.0[one].iter().zip(&self.0[other]);
        let ratios = sorted(pairs.map(|(one, other)| one / other));
        parts.iter().map(|part| at(&ratios, *part)).collect()
    }

    /// The ratio of what two measures cost over a third, by round.
    pub(crate) fn cost_ratio(&self, one: usize, other: usize, bare: usize) -> Spread {
        self.by_round(|at| (at(one) - at(bare)) / (at(other) - at(bare)))
    }

    fn by_round(&self, f: impl Fn(&dyn Fn(usize) -> f64) -> f64) -> Spread {
        let rounds = 0..self.0.first().map_or(0, Vec::len);
        Spread::new(
            rounds
                .map(|round| f(&|measure| self.0[measure][round]))
                .collect(),
        )
    }
}

fn sorted(samples: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut samples: Vec<f64> = samples.collect();
    samples.sort_by(f64::total_cmp);
    samples
}

/// What so large a part of the sorted samples is not above.
fn at(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

/// A median and the quartiles beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn new(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let last = samples.len() - 1;
        Self {
            low: samples[last / 4],
            median: samples[last / 2],
            high: samples[last - last / 4],
        }
    }

    /// Median and quartiles with so many decimals.
    pub(crate) fn show(&self, decimals: usize) -> String {
        let Self { low, median, high } = self;
        format!("{median:.decimals$} ({low:.decimals$} to {high:.decimals$})")
    }
}
