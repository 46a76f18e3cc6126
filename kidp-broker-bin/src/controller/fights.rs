//! Fields that somebody else keeps changing: after a few times they are left alone for a while, and that is told.
//!
//! Kept in memory, a few fields of a few instances at the most: what is forgotten is a fight that begins anew.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use kidp_drift::Change;

/// So often is a field put back within [`WINDOW`].
pub const ROUNDS: usize = 5;
/// In which rounds are counted.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(10);
/// How long a field is left alone after that.
pub const TRUCE: SignedDuration = SignedDuration::from_mins(30);
/// Most fields that are remembered of an instance.
const MAX_FIELDS: usize = 64;
/// Most instances that are remembered.
const MAX_INSTANCES: usize = 4096;

/// What was put back lately, by instance and field.
#[derive(Debug, Default)]
pub struct Fights(Mutex<HashMap<String, Instance>>);

#[derive(Debug, Default)]
struct Instance {
    /// What was asked for when it was counted; another spec counts anew.
    applied: String,
    fields: HashMap<String, Field>,
}

/// When a field was put back, at most [`ROUNDS`] times.
#[derive(Clone, Debug, Default, PartialEq)]
struct Field(VecDeque<Timestamp>);

impl Field {
    fn put_back(&mut self, now: Timestamp) {
        self.0.push_back(now);
        while self.0.len() > ROUNDS {
            self.0.pop_front();
        }
    }

    /// Until when it is left alone.
    fn truce(&self) -> Option<Timestamp> {
        let (first, last) = (self.0.front()?, self.0.back()?);
        let is_fight = self.0.len() == ROUNDS && last.duration_since(*first) <= WINDOW;
        is_fight.then(|| last.saturating_add(TRUCE).unwrap_or(Timestamp::MAX))
    }

    fn is_of_interest(&self, now: Timestamp) -> bool {
        let counts = |last: &Timestamp| now.duration_since(*last) <= WINDOW;
        self.0.back().is_some_and(counts) || self.truce().is_some_and(|until| now < until)
    }
}

impl Fights {
    fn instances(&self) -> MutexGuard<'_, HashMap<String, Instance>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that a field was put back; answers whether it is left alone from now on.
    pub fn put_back(&self, key: &str, applied: &str, change: &Change, now: Timestamp) -> bool {
        let mut instances = self.instances();
        if !instances.contains_key(key) && instances.len() >= MAX_INSTANCES {
            instances.retain(|_, instance| instance.fields.values().any(|field| field.is_of_interest(now)));
            if instances.len() >= MAX_INSTANCES {
                return false;
            }
        }
        let instance = instances.entry(key.to_owned()).or_default();
        if instance.applied != applied {
            applied.clone_into(&mut instance.applied);
            instance.fields.clear();
        }
        instance.fields.retain(|_, field| field.is_of_interest(now));
        let name = name(change);
        if !instance.fields.contains_key(&name) && instance.fields.len() >= MAX_FIELDS {
            return false;
        }
        let field = instance.fields.entry(name).or_default();
        field.put_back(now);
        field.truce().is_some()
    }

    /// How long a field is left alone still, if it is.
    pub fn truce(&self, key: &str, applied: &str, change: &Change, now: Timestamp) -> Option<SignedDuration> {
        let instances = self.instances();
        let instance = instances
            .get(key)
            .filter(|instance| instance.applied == applied)?;
        let until = instance.fields.get(&name(change))?.truce()?;
        (now < until).then(|| until.duration_since(now))
    }

    /// Forgets an instance that is gone.
    pub fn forget(&self, key: &str) {
        self.instances().remove(key);
    }
}

fn name(change: &Change) -> String {
    format!("{} {}", change.object, change.path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    fn field(path: &str) -> Change {
        Change {
            path: path.to_owned(),
            ..Change::missing("StatefulSet/db")
        }
    }

    fn fought() -> Fights {
        let fights = Fights::default();
        for minute in 0..5 {
            assert_eq!(fights.truce("a", "1", &field("x"), at(minute)), None);
            let is_fight = fights.put_back("a", "1", &field("x"), at(minute));
            assert_eq!(is_fight, minute == 4);
        }
        fights
    }

    #[test]
    fn a_field_that_keeps_changing_is_left_alone_for_a_while() {
        let fights = fought();
        let truce = |minute| fights.truce("a", "1", &field("x"), at(minute));
        assert_eq!(truce(5), Some(SignedDuration::from_mins(29)));
        assert_eq!(truce(34), None);
        fights.put_back("a", "1", &field("x"), at(34));
        assert_eq!(truce(35), None, "one more time is no fight");
        for (key, path) in [("a", "y"), ("b", "x")] {
            assert_eq!(fights.truce(key, "1", &field(path), at(5)), None);
        }
    }

    #[test]
    fn another_spec_counts_anew() {
        let fights = fought();
        assert_eq!(fights.truce("a", "2", &field("x"), at(5)), None);
        fights.put_back("a", "2", &field("x"), at(5));
        assert_eq!(fights.truce("a", "1", &field("x"), at(5)), None);
    }

    #[test]
    fn what_changes_now_and_then_is_no_fight() {
        let fights = Fights::default();
        for round in 0..50 {
            fights.put_back("a", "1", &field("x"), at(round * 3));
            assert_eq!(fights.truce("a", "1", &field("x"), at(round * 3)), None);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let fights = Fights::default();
        for number in 0..MAX_INSTANCES + 50 {
            fights.put_back(&number.to_string(), "1", &field("x"), at(0));
        }
        for number in 0..500 {
            fights.put_back("0", "1", &field(&number.to_string()), at(0));
        }
        assert_eq!(fights.instances().len(), MAX_INSTANCES);
        assert_eq!(fights.instances()["0"].fields.len(), MAX_FIELDS);
        fights.put_back("late", "1", &field("x"), at(60));
        assert_eq!(fights.instances().len(), 1, "what is over makes room");
    }

    proptest! {
        #[test]
        fn never_more_than_the_rounds_in_a_window(steps in prop::collection::vec(0..240i64, 1..200)) {
            let fights = Fights::default();
            let (mut now, mut done) = (0, Vec::new());
            for step in steps {
                now += step;
                let time = Timestamp::from_second(now).unwrap();
                if fights.truce("a", "1", &field("x"), time).is_none() {
                    fights.put_back("a", "1", &field("x"), time);
                    done.push(now);
                }
            }
            for rounds in done.windows(ROUNDS + 1) {
                prop_assert!(rounds[ROUNDS] - rounds[0] > WINDOW.as_secs());
            }
        }
    }
}
