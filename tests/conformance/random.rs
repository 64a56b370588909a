//! Two stores that are asked the same have to answer the same.

use std::collections::BTreeSet;
use std::time::Duration;

use tower_bearer::store::{Claimed, Settlement, TokenStore};

use super::ask::{LONG, claim, given, payload, want};

/// Numbers that are the same each time.
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

/// What a store answered, with its generations as ordinal numbers.
fn told(claimed: &Claimed, known: &[u64]) -> String {
    let nth = |generation| known.iter().position(|g| *g == generation);
    match claimed {
        Claimed::Token(entry) => format!(
            "token {:?} {:?}",
            nth(entry.generation),
            entry.payload.as_bytes()
        ),
        Claimed::Failed(entry) => format!(
            "failed {:?} {:?}",
            nth(entry.generation),
            entry.payload.as_bytes()
        ),
        Claimed::Held(left) => format!("held {}", left.is_zero()),
        Claimed::Leased(lease) => {
            format!("leased {:?}", given(lease).map(|it| it.as_bytes().to_vec()))
        }
        other => format!("{other:?}"),
    }
}

/// Goes on for so many steps, and gives back how many kinds of answer there were.
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
        if dice.one_in(2) {
            let mut wanted = want(0);
            wanted.rejected = dice.one_in(4);
            wanted.pardon = dice.one_in(4);
            wanted.lease = if dice.one_in(6) { Duration::ZERO } else { LONG };
            let [a, b] = [ones[nth], others[nth]].map(|newer_than| {
                let mut wanted = wanted;
                wanted.newer_than = newer_than;
                wanted
            });
            let (a, b) = (claim(one, account, a).await, claim(other, account, b).await);
            assert_eq!(
                told(&a, &ones),
                told(&b, &others),
                "seed {seed}, step {step}"
            );
            kinds.insert(told(&a, &[]).split(' ').next().map(str::to_owned));
            if let (Claimed::Leased(a), Claimed::Leased(b)) = (a, b) {
                assert!(a.generation > ones[ones.len() - 1]);
                assert!(b.generation > others[others.len() - 1]);
                ones.push(a.generation);
                others.push(b.generation);
            }
        } else if nth > 0 {
            let mut settlement = Settlement::default();
            let span = |dice: &mut Dice| {
                if dice.one_in(10) {
                    Duration::ZERO
                } else {
                    LONG
                }
            };
            if dice.one_in(2) {
                settlement.token = Some((payload(&format!("t{step}")), span(&mut dice)));
            }
            if dice.one_in(2) {
                settlement.refresh_token = Some((payload(&format!("r{step}")), span(&mut dice)));
            }
            if dice.one_in(4) {
                settlement.failure = Some((payload(&format!("f{step}")), span(&mut dice)));
            }
            let [a, b] = [ones[nth], others[nth]].map(|generation| {
                let mut settlement = settlement.clone();
                settlement.generation = generation;
                settlement
            });
            let a = one.settle(account, &a).await.expect("an answer");
            let b = other.settle(account, &b).await.expect("an answer");
            assert_eq!(a, b, "seed {seed}, step {step}");
            kinds.insert(Some(format!("settled {a}")));
        }
    }
    kinds.len()
}
