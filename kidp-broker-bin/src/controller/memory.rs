//! What the controller remembers of each record between reconciles: how often it failed, and since when it has
//! been unsettled. Losing it costs nothing but a pause that starts anew.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_mins(2);

#[derive(Debug, Default)]
struct Entry {
    failures: u32,
    unsettled_since: Option<Instant>,
}

/// An entry for every record with something to remember.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<String, Entry>>);

impl Memory {
    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pause after one more failure in a row: 200 ms, doubling to 2 min.
    pub fn failed(&self, key: &str) -> Duration {
        let mut entries = self.entries();
        let entry = entries.entry(key.to_owned()).or_default();
        entry.failures = entry.failures.saturating_add(1);
        FIRST
            .saturating_mul(1 << (entry.failures - 1).min(16))
            .min(LONGEST)
    }

    /// Ends the row of failures.
    pub fn succeeded(&self, key: &str) {
        let mut entries = self.entries();
        if let Some(entry) = entries.get_mut(key) {
            entry.failures = 0;
            if entry.unsettled_since.is_none() {
                entries.remove(key);
            }
        }
    }

    /// How long the record has been unsettled, without a break.
    pub fn unsettled(&self, key: &str, is_unsettled: bool) -> Duration {
        let mut entries = self.entries();
        if !is_unsettled {
            if let Some(entry) = entries.get_mut(key) {
                entry.unsettled_since = None;
            }
            return Duration::ZERO;
        }
        let entry = entries.entry(key.to_owned()).or_default();
        entry.unsettled_since.get_or_insert_with(Instant::now).elapsed()
    }

    /// How long the record has been unsettled, if it is.
    pub fn age(&self, key: &str) -> Option<Duration> {
        let entries = self.entries();
        entries
            .get(key)?
            .unsettled_since
            .map(|since: Instant| since.elapsed())
    }

    /// Forgets a record that is gone.
    pub fn forget(&self, key: &str) {
        self.entries().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_limit_and_start_anew_after_success() {
        let memory = Memory::default();
        let pauses: Vec<_> = (0..30).map(|_| memory.failed("a")).collect();
        assert_eq!(pauses[..3], [200, 400, 800].map(Duration::from_millis));
        assert_eq!(pauses[29], LONGEST);
        assert_eq!(memory.failed("b"), FIRST, "each record has its own");
        memory.succeeded("a");
        assert_eq!(memory.failed("a"), FIRST);
    }

    #[test]
    fn nothing_is_kept_of_what_is_settled() {
        let memory = Memory::default();
        memory.unsettled("a", true);
        assert!(memory.unsettled("a", true) > Duration::ZERO);
        assert_eq!(memory.unsettled("a", false), Duration::ZERO);
        memory.succeeded("a");
        assert!(memory.entries().is_empty());
    }
}
