//! Waits that grow for each object on its own: `kube`'s controller has no back-off by key.
//!
//! Counts live in memory. A restart forgets them, which costs one early attempt an object and nothing else.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;

/// Attempts of every object that is not settled.
#[derive(Debug)]
pub struct Attempts<K> {
    counts: Mutex<HashMap<K, u32>>,
}

impl<K> Default for Attempts<K> {
    fn default() -> Self {
        Self {
            counts: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash> Attempts<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, u32>> {
        // A panic in between leaves a count behind, which is no reason to stop.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more attempt and gives how many came before it.
    pub fn next(&self, key: K) -> u32 {
        let mut counts = self.lock();
        let count = counts.entry(key).or_insert(0);
        let before = *count;
        *count = before.saturating_add(1);
        before
    }

    /// Attempts so far.
    pub fn count(&self, key: &K) -> u32 {
        self.lock().get(key).copied().unwrap_or(0)
    }

    /// Starts anew: the object is settled, or something about it changed.
    pub fn reset(&self, key: &K) {
        self.lock().remove(key);
    }
}

/// `min` doubled `attempt` times, at most `max`.
pub fn exponential(attempt: u32, min: Duration, max: Duration) -> Duration {
    min.saturating_mul(1 << attempt.min(20)).min(max)
}

/// `wait` with up to a tenth taken off or put on, so that many objects do not come back at the same moment.
pub fn jitter(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.9..1.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn attempts_count_by_key_and_start_anew() {
        let attempts = Attempts::default();
        assert_eq!(
            [attempts.next("a"), attempts.next("a"), attempts.next("b")],
            [0, 1, 0]
        );
        attempts.reset(&"a");
        assert_eq!(attempts.next("a"), 0);
    }

    proptest! {
        #[test]
        fn waits_stay_within_their_bounds(attempt in 0_u32..u32::MAX, min in 1_u64..5_000, more in 0_u64..100_000) {
            let (min, max) = (Duration::from_millis(min), Duration::from_millis(min + more));
            let wait = exponential(attempt, min, max);
            prop_assert!(wait >= min && wait <= max);
            prop_assert!(exponential(attempt.saturating_add(1), min, max) >= wait);
            prop_assert!(jitter(wait) <= wait.mul_f64(1.1));
        }
    }
}
