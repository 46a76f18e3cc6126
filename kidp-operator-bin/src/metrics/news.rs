//! When callbacks told of events that no status shows yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::kind::ResourceKey;

/// Most resources that are remembered: an entry is there from a callback to the next look at the resource, which is
/// a moment, and for ever where the resource went away in between.
const MOST: usize = 10_000;

/// The time of the oldest event of each resource; clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct News(Arc<Mutex<HashMap<ResourceKey, Timestamp>>>);

impl News {
    fn lock(&self) -> MutexGuard<'_, HashMap<ResourceKey, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers an event.
    pub(super) fn note(&self, key: ResourceKey, at: Timestamp) {
        let mut news = self.lock();
        if news.len() >= MOST && !news.contains_key(&key) {
            news.clear();
        }
        let first = news.entry(key).or_insert(at);
        *first = at.min(*first);
    }

    /// Takes the event out.
    pub(super) fn take(&self, key: &ResourceKey) -> Option<Timestamp> {
        self.lock().remove(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::database;

    fn key(name: &str) -> ResourceKey {
        ResourceKey::of(&database(name))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_oldest_event_is_taken_and_only_once() {
        let news = News::default();
        for second in [2, 1, 3] {
            news.note(key("orders"), at(second));
        }
        assert_eq!(news.take(&key("other")), None);
        assert_eq!(news.take(&key("orders")), Some(at(1)));
        assert_eq!(news.take(&key("orders")), None);
    }

    #[test]
    fn what_nobody_takes_does_not_pile_up() {
        let news = News::default();
        for number in 0..=MOST {
            news.note(key(&number.to_string()), at(0));
        }
        assert!(news.lock().len() <= MOST);
        assert_eq!(
            news.take(&key(&MOST.to_string())),
            Some(at(0)),
            "the latest is known"
        );
    }
}
