//! Random calls of two stores, whose answers must be equal.

use std::collections::BTreeSet;
use std::time::Duration;

use tower_bearer::store::{Acquired, Completion, Stored, TokenStore};

use super::calls::{LONG, acquire, payload, refresh_payload, request};

/// Random numbers that are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Describes what a store answered, with its generations as ordinal numbers.
fn describe(acquired: &Acquired, known: &[u64]) -> String {
    let nth = |generation| known.iter().position(|g| *g == generation);
    match acquired {
        Acquired::Token(entry) => format!(
            "token {:?} {:?}",
            nth(entry.generation),
            entry.payload.as_bytes()
        ),
        Acquired::Failure(entry) => format!(
            "failure {:?} {:?}",
            nth(entry.generation),
            entry.payload.as_bytes()
        ),
        Acquired::Busy(left) => format!("busy {}", left.is_zero()),
        Acquired::Lease(lease) => {
            let failure = lease.failure.as_ref();
            format!(
                "lease {:?} {:?}",
                refresh_payload(lease).map(|it| it.as_bytes().to_vec()),
                failure.map(|it| it.as_bytes().to_vec())
            )
        }
        other => format!("{other:?}"),
    }
}

/// A different payload for each step, which is not always kept.
fn stored(kind: &str, step: usize, dice: &mut Dice) -> Stored {
    let ttl = if dice.one_in(10) {
        Duration::ZERO
    } else {
        LONG
    };
    Stored::new(payload(&format!("{kind}{step}")), ttl)
}

/// Makes this many calls, and returns how many kinds of answer there were.
pub(crate) async fn answers_are_the_same(
    (one, other): (&impl TokenStore, &impl TokenStore),
    account: &str,
    (seed, steps): (u64, usize),
) -> usize {
    let mut dice = Dice(seed);
    let (mut ones, mut others) = (vec![0], vec![0]);
    let mut kinds = BTreeSet::new();
    for step in 0..steps {
        let nth = ones.len() - 1 - dice.below(ones.len().min(4) as u64) as usize;
        if dice.one_in(16) {
            // Of an earlier request, or of one that is still to come.
            let nonce = (step as u64 + 4).saturating_sub(dice.below(8));
            one.withdraw(&account.into(), nonce)
                .await
                .expect("an answer");
            other
                .withdraw(&account.into(), nonce)
                .await
                .expect("an answer");
        } else if dice.one_in(2) {
            let mut drawn = request(0);
            drawn.rejected = dice.one_in(4);
            drawn.ignore_failure = dice.one_in(4);
            drawn.credentials = dice.below(3);
            drawn.nonce = step as u64 + 1;
            drawn.lease = if dice.one_in(6) { Duration::ZERO } else { LONG };
            let [a, b] = [ones[nth], others[nth]].map(|newer_than| {
                let mut request = drawn;
                request.newer_than = newer_than;
                request
            });
            let (a, b) = (
                acquire(one, account, a).await,
                acquire(other, account, b).await,
            );
            assert_eq!(
                describe(&a, &ones),
                describe(&b, &others),
                "seed {seed}, step {step}"
            );
            kinds.insert(describe(&a, &[]).split(' ').next().map(str::to_owned));
            if let (Acquired::Lease(a), Acquired::Lease(b)) = (a, b) {
                assert!(a.generation > ones[ones.len() - 1]);
                assert!(b.generation > others[others.len() - 1]);
                ones.push(a.generation);
                others.push(b.generation);
            }
        } else if nth > 0 {
            let mut completion = Completion::default();
            if dice.one_in(2) {
                completion.token = Some(stored("t", step, &mut dice));
            }
            if dice.one_in(2) {
                completion.refresh_token = Some(stored("r", step, &mut dice));
            }
            if dice.one_in(4) {
                completion.failure = Some(stored("f", step, &mut dice));
            }
            completion.credentials = dice.below(3);
            let [a, b] = [ones[nth], others[nth]].map(|generation| {
                let mut completion = completion.clone();
                completion.generation = generation;
                completion
            });
            let a = one.complete(&account.into(), &a).await.expect("an answer");
            let b = other
                .complete(&account.into(), &b)
                .await
                .expect("an answer");
            assert_eq!(a, b, "seed {seed}, step {step}");
            kinds.insert(Some(format!("completed {a}")));
        }
    }
    kinds.len()
}
