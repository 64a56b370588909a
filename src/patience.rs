//! Waiting for an answer on a busy machine.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// Into how many parts a limit is divided.
const PARTS: u32 = 10;

/// How many times the limit to wait at most, however busy the machine is.
const MOST: u32 = 8;

/// Awaits an answer for a limited time; returns `None` if there is none by then.
///
/// Counts only the time in which this process could run: if hundreds of processes
/// start at once on a few cores, each of them stands still for longer than an answer
/// takes. So the limit is waited for in parts, between which everything else in the
/// runtime gets its turn, and a part that ends late does not count.
pub(crate) async fn patiently<F: Future>(limit: Duration, answer: F) -> Option<F::Output> {
    let mut answer = pin!(answer);
    let (part, start) = (limit / PARTS, Instant::now());
    let mut counted = 0;
    while counted < PARTS && start.elapsed() < limit * MOST {
        let began = Instant::now();
        if let Ok(answer) = timeout(part, answer.as_mut()).await {
            return Some(answer);
        }
        if !is_late(part, began.elapsed()) {
            counted += 1;
        }
    }
    None
}

/// Returns whether a part took so much longer than it should that the process did
/// not run.
fn is_late(part: Duration, took: Duration) -> bool {
    took > part * 3 / 2 + Duration::from_millis(2)
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_time_is_returned_and_a_late_one_is_not() {
        let start = Instant::now();
        assert_eq!(
            patiently(SECOND, async {
                sleep(SECOND / 2).await;
                7
            })
            .await,
            Some(7)
        );
        assert_eq!(start.elapsed(), SECOND / 2);
        assert_eq!(patiently(SECOND, sleep(SECOND * 2)).await, None);
        let waited = start.elapsed() - SECOND / 2;
        assert!(
            waited >= SECOND && waited < SECOND + SECOND / 50,
            "{waited:?}"
        );
    }

    /// Each poll takes a second of the machine's time, in which this process does
    /// not run.
    #[tokio::test(start_paused = true)]
    async fn a_process_that_hardly_runs_does_not_give_up() {
        let slow = async {
            for _ in 0..5 {
                tokio::time::advance(SECOND).await;
                tokio::task::yield_now().await;
            }
            7
        };
        assert_eq!(patiently(SECOND, slow).await, Some(7));
    }

    #[test]
    fn a_part_is_late_if_the_process_did_not_run() {
        let millis = Duration::from_millis;
        for (part, took, late) in [
            (25, 25, false),
            (25, 39, false),
            (25, 40, true),
            (200, 301, false),
            (200, 303, true),
            (1, 2, false),
        ] {
            assert_eq!(is_late(millis(part), millis(took)), late, "{part} {took}");
        }
    }
}
