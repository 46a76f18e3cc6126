//! How many instances each broker is at work on, including those placed a moment ago that the cache does not
//! show yet: without them a burst of requests would all see an idle broker.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kidp_core::crd::Phase;

use crate::cache::Caches;
use crate::kind::ResourceKey;

type BrokerName = (String, String);

/// Placements that were decided here and are not in the cache yet.
#[derive(Debug, Default)]
pub struct Placements {
    recent: Mutex<HashMap<ResourceKey, BrokerName>>,
}

impl Placements {
    /// Decides a placement with the current numbers, and remembers it before the next one is decided.
    pub fn decide<T>(
        &self,
        key: &ResourceKey,
        caches: &Caches,
        decide: impl FnOnce(&HashMap<BrokerName, u32>) -> (Option<BrokerName>, T),
    ) -> T {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|key, _| {
            caches
                .resource(key)
                .is_some_and(|resource| resource.placed_at().is_none())
        });
        recent.remove(key);
        let mut active: HashMap<BrokerName, u32> = HashMap::new();
        for resource in caches.resources(|resource| resource.phase() == Phase::Provisioning) {
            if let Some(broker) = resource.placed_at() {
                *active.entry(broker).or_default() += 1;
            }
        }
        for broker in recent.values() {
            *active.entry(broker.clone()).or_default() += 1;
        }
        let (chosen, outcome) = decide(&active);
        if let Some(broker) = chosen {
            recent.insert(key.clone(), broker);
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::caches;
    use crate::testing::{cache, database, fill, message_queue};
    use kidp_core::crd::{LocalRef, ServiceResource};

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
            placements.decide(&key, &readers, |active| {
                (chosen, active.get(&eu).copied().unwrap_or(0))
            })
        };
        assert_eq!(count("new", Some(eu.clone())), 3);
        assert_eq!(count("other", None), 4);
        placements.forget(&ResourceKey::of(&database("new")));
        assert_eq!(count("other", None), 3);
    }
}
