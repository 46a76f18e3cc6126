//! How many instances each broker is at work on, including those placed a moment ago that the cache does not
//! show yet: without them a burst of requests would all see an idle broker.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kidp_core::crd::{Database, Phase};
use kube::runtime::reflector::ObjectRef;

use crate::cache::{Caches, phase_of, placed_at};

type BrokerName = (String, String);
type Key = ObjectRef<Database>;

/// Placements that were decided here and are not in the cache yet.
#[derive(Debug, Default)]
pub struct Placements {
    recent: Mutex<HashMap<Key, BrokerName>>,
}

impl Placements {
    /// Decides a placement with the current numbers, and remembers it before the next one is decided.
    pub fn decide<T>(
        &self,
        key: &Key,
        caches: &Caches,
        decide: impl FnOnce(&HashMap<BrokerName, u32>) -> (Option<BrokerName>, T),
    ) -> T {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|key, _| {
            caches
                .databases
                .get(key)
                .is_some_and(|db| placed_at(&db).is_none())
        });
        recent.remove(key);
        let mut active: HashMap<BrokerName, u32> = HashMap::new();
        for database in caches.databases.state() {
            if let Some(broker) = placed_at(&database).filter(|_| phase_of(&database) == Phase::Provisioning)
            {
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
    pub fn forget(&self, key: &Key) {
        self.recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }
}
