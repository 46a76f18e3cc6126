//! Memory of message ids, so that a message that arrives twice is acted upon once.
//!
//! # Guarantees
//! Memory is bounded: at most `capacity` ids, each for as long as its signature could still be accepted.
//!
//! # Caveats
//! When it is full the oldest id is forgotten, and a repeat of that message would be acted upon again; since a
//! callback only makes the receiver read the broker again, that costs a request and nothing else.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use crate::verify::WINDOW;

/// The ids seen lately.
#[derive(Debug)]
pub struct ReplayGuard {
    capacity: usize,
    keep_seconds: i64,
    order: VecDeque<(String, i64)>,
    ids: HashSet<String>,
}

impl ReplayGuard {
    /// Remembers up to `capacity` ids, for twice [`WINDOW`]: a signature may be that much ahead of its receipt
    /// and still be accepted.
    pub fn new(capacity: usize) -> Self {
        Self::with_memory(capacity, WINDOW * 2)
    }

    /// Remembers up to `capacity` ids, each for `keep`.
    pub fn with_memory(capacity: usize, keep: Duration) -> Self {
        Self {
            capacity: capacity.max(1),
            keep_seconds: i64::try_from(keep.as_secs()).unwrap_or(i64::MAX),
            order: VecDeque::new(),
            ids: HashSet::new(),
        }
    }

    /// Whether `id` is new; remembers it.
    pub fn is_first(&mut self, id: &str, now: jiff::Timestamp) -> bool {
        self.expire(now.as_second());
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        if self.order.len() == self.capacity {
            self.drop_oldest();
        }
        self.order.push_back((id.to_owned(), now.as_second()));
        true
    }

    /// Whether `id` is remembered.
    pub fn contains(&self, id: &str, now: jiff::Timestamp) -> bool {
        let is_fresh = |at: i64| now.as_second().saturating_sub(at) <= self.keep_seconds;
        self.ids.contains(id) && self.order.iter().any(|(known, at)| known == id && is_fresh(*at))
    }

    /// Forgets `id`, so that the sender's next attempt is acted upon: for a message that could not be handled.
    pub fn forget(&mut self, id: &str) {
        if self.ids.remove(id) {
            self.order.retain(|(known, _)| known != id);
        }
    }

    /// How many ids are remembered.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn expire(&mut self, now: i64) {
        while self
            .order
            .front()
            .is_some_and(|(_, at)| now.saturating_sub(*at) > self.keep_seconds)
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((id, _)) = self.order.pop_front() {
            self.ids.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> jiff::Timestamp {
        jiff::Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_repeat_is_seen_until_it_is_too_old_to_be_accepted() {
        let mut guard = ReplayGuard::new(10);
        assert!(guard.is_first("a", at(0)));
        assert!(!guard.is_first("a", at(600)));
        assert!(guard.contains("a", at(600)) && !guard.contains("a", at(601)) && !guard.contains("b", at(0)));
        assert!(guard.is_first("a", at(601)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut guard = ReplayGuard::new(2);
        for id in ["a", "b", "c"] {
            assert!(guard.is_first(id, at(0)));
        }
        assert_eq!(guard.len(), 2);
        assert!(!guard.is_first("c", at(1)));
        assert!(guard.is_first("a", at(1)));
    }

    #[test]
    fn a_flood_takes_no_more_memory_than_the_capacity() {
        let mut guard = ReplayGuard::new(100);
        for n in 0..100_000 {
            guard.is_first(&format!("m-{n}"), at(n / 1000));
        }
        assert_eq!((guard.len(), guard.ids.len()), (100, 100));
        assert!(guard.order.capacity() <= 256, "{}", guard.order.capacity());
    }

    #[test]
    fn a_forgotten_id_is_new_again() {
        let mut guard = ReplayGuard::new(2);
        assert!(guard.is_empty() && guard.is_first("a", at(0)));
        guard.forget("a");
        assert!(guard.is_first("a", at(0)));
    }
}
