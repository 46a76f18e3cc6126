//! What is known of placements beside what objects say.
//!
//! - How many instances each broker is at work on, including those placed a moment ago that the cache does not show yet:
//!   without them a burst of requests would all see an idle broker.
//! - Which placements nothing was sent for: only those may be moved to another broker. It is known to the process that made
//!   the placement and no other, and a process that loses its lease ends; so "not known" is the safe answer.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use kidp_core::deployment::DeploymentId;

use crate::cache::Caches;
use crate::kind::{AnyResource, ResourceKey};

/// Namespace and name of a `Broker`.
pub type BrokerName = (String, String);

/// Where things stand when a placement is decided.
pub struct Standing<'a> {
    /// Instances that each broker is at work on.
    pub active: HashMap<BrokerName, u32>,
    /// Placements that the cache does not show yet, and when they were decided.
    pub recent: &'a HashMap<ResourceKey, (BrokerName, Timestamp)>,
}

/// Most placements that are remembered as not sent; what exceeds it stays where it is.
const MAX_UNSENT: usize = 10_000;

/// Placements that were decided here.
#[derive(Debug, Default)]
pub struct Placements {
    /// Those that are not in the cache yet.
    recent: Mutex<HashMap<ResourceKey, (BrokerName, Timestamp)>>,
    /// Those that nothing was sent for.
    unsent: Mutex<HashSet<DeploymentId>>,
}

impl Placements {
    /// Decides a placement with the current numbers, and remembers it before the next one is decided.
    pub fn decide<T>(
        &self,
        key: &ResourceKey,
        caches: &Caches,
        now: Timestamp,
        decide: impl FnOnce(&Standing<'_>) -> (Option<BrokerName>, T),
    ) -> T {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|key, (broker, _)| {
            let shown = |resource: &dyn AnyResource| resource.placed_at().as_ref() == Some(broker);
            caches
                .resource(key)
                .is_some_and(|resource| !shown(resource.as_ref()))
        });
        recent.remove(key);
        let mut active: HashMap<BrokerName, u32> = HashMap::new();
        for resource in caches.resources(|resource| resource.holds_place(now)) {
            if let Some(broker) = resource.placed_at() {
                *active.entry(broker).or_default() += 1;
            }
        }
        for (broker, _) in recent.values() {
            *active.entry(broker.clone()).or_default() += 1;
        }
        let standing = Standing {
            active,
            recent: &recent,
        };
        let (chosen, outcome) = decide(&standing);
        if let Some(broker) = chosen {
            recent.insert(key.clone(), (broker, now));
        }
        outcome
    }

    /// Takes a decision back: it was not written.
    pub fn forget(&self, key: &ResourceKey) {
        self.recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }

    /// Remembers that nothing was sent for a placement.
    pub fn keep_unsent(&self, id: &DeploymentId) {
        let mut unsent = self.unsent.lock().unwrap_or_else(PoisonError::into_inner);
        if unsent.len() < MAX_UNSENT {
            unsent.insert(id.clone());
        }
    }

    /// Something is about to be sent. Answers whether nothing was before.
    pub fn send(&self, id: &DeploymentId) -> bool {
        self.unsent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id)
    }

    /// Whether it is known that nothing was sent for it.
    pub fn is_unsent(&self, id: &DeploymentId) -> bool {
        self.unsent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::caches;
    use crate::testing::{cache, database, fill, message_queue};
    use kidp_core::crd::{LocalRef, Phase, ServiceResource};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn at_work<K: ServiceResource>(mut resource: K) -> K {
        let status = resource.status_mut().get_or_insert_default();
        status.phase = Phase::Provisioning;
        status.broker_ref = Some(LocalRef {
            name: "eu".into(),
            namespace: None,
        });
        resource
    }

    #[test]
    fn a_broker_is_at_work_on_every_kind_and_on_what_was_placed_a_moment_ago() {
        let (readers, mut writers) = caches();
        fill(&mut writers.databases, [at_work(database("a")), database("new")]);
        fill(&mut writers.caches, [at_work(cache("a"))]);
        fill(&mut writers.message_queues, [at_work(message_queue("a"))]);
        let eu = ("shop".to_owned(), "eu".to_owned());
        let placements = Placements::default();
        let count = |name: &str, chosen: Option<BrokerName>| {
            let key = ResourceKey::of(&database(name));
            placements.decide(&key, &readers, at(0), |standing| {
                (chosen, standing.active.get(&eu).copied().unwrap_or(0))
            })
        };
        assert_eq!(count("new", Some(eu.clone())), 3);
        assert_eq!(count("other", None), 4);
        placements.forget(&ResourceKey::of(&database("new")));
        assert_eq!(count("other", None), 3);
    }

    #[test]
    fn a_placement_is_unsent_until_something_is_sent_and_never_after() {
        let placements = Placements::default();
        let id = crate::testing::id_at_eu(&database("a"));
        assert!(
            !placements.is_unsent(&id),
            "what another process placed is not known"
        );
        placements.keep_unsent(&id);
        assert!(placements.is_unsent(&id));
        assert!(placements.send(&id) && !placements.send(&id));
        assert!(!placements.is_unsent(&id));
    }
}
