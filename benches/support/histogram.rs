//! Percentiles of large numbers of latencies.

/// Buckets are a 64th of a power of two wide: an error of 1.6 % at most.
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

const STEPS: u64 = 64;

impl Histogram {
    pub(crate) fn new() -> Self {
        let buckets = vec![0; bucket(u64::MAX) + 1];
        Self {
            buckets,
            count: 0,
            max: 0,
        }
    }

    #[inline]
    pub(crate) fn add(&mut self, nanos: u64) {
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
        self.max = self.max.max(nanos);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        let pairs = self.buckets.iter_mut().zip(&other.buckets);
        pairs.for_each(|(mine, theirs)| *mine += theirs);
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// The nanoseconds that this share of the latencies does not exceed.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let rank = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank.max(1) {
                return top(index).min(self.max);
            }
        }
        self.max
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < STEPS {
        return nanos as usize;
    }
    let shift = u64::from(nanos.ilog2()) - 6;
    (STEPS * shift + (nanos >> shift)) as usize
}

fn top(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    let within = bucket % STEPS + STEPS;
    ((u128::from(within + 1) << shift) - 1)
        .try_into()
        .unwrap_or(u64::MAX)
}
