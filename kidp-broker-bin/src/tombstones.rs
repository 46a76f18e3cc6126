//! Deployments that were removed for good: a request to make one that comes after its removal is refused.
//!
//! # Why
//! A request can be delayed on its way: a leader of the operator sends it, loses its lease, and the next one deletes the
//! resource and is told that nothing is left. If the delayed request were then taken, there would be an instance that
//! nobody owns. Its UID and generation tell nothing, since they are those of the resource when it was alive. So the
//! broker remembers what it was asked to remove with `permanent`: the id goes into a ConfigMap of its own namespace **before** it looks
//! for a record. A request that is recorded before that look is found by it and removed; one that is recorded after it
//! finds the tombstone, at the latest when the controller first looks at its record, before anything is made.
//!
//! # Guarantees
//! A tombstone holds for [`KEEP`], longer than anything stays on the wire. A removal without `permanent`, such as one by hand,
//! leaves none: the operator makes the instance of a living resource again. There are at most [`MOST`]; beyond that the
//! oldest go. Records without a UID, of clients that name nothing but a name, are never covered: to make such a one
//! again under its old id is right.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kidp_core::crd::ServiceInstanceSpec;
use kidp_core::deployment::DeploymentId;
use kidp_core::group::BROKER_FIELD_MANAGER;
use kidp_core::labels;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Map, Value, json};

use crate::records::post_params;

/// Name of the ConfigMap.
pub const NAME: &str = "kidp-broker-tombstones";
/// How long a tombstone holds.
pub const KEEP: Duration = Duration::from_hours(1);
/// Most tombstones: some 400 KiB of a ConfigMap's 1 MiB.
pub const MOST: usize = 5_000;

/// The tombstones of one broker.
#[derive(Clone)]
pub struct Tombstones {
    api: Api<ConfigMap>,
    namespace: String,
}

impl Tombstones {
    /// The tombstones in this namespace, the broker's own.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
        }
    }

    /// Whether a request for this record comes after its removal.
    pub async fn covers(&self, spec: &ServiceInstanceSpec) -> Result<bool, kube::Error> {
        if spec.resource_uid.is_empty() {
            return Ok(false);
        }
        let held = self.api.get_opt(NAME).await?.and_then(|map| map.data);
        let set = held.and_then(|mut data| data.remove(spec.deployment_id.as_str()));
        Ok(set.is_some_and(|at| holds(&at, Timestamp::now())))
    }

    /// Remembers a removal, durably; a repeat writes nothing.
    pub async fn set(&self, id: &DeploymentId) -> Result<(), kube::Error> {
        let now = Timestamp::now();
        let Some(map) = self.api.get_opt(NAME).await? else {
            return self.create(id, now).await;
        };
        let held = map.data.unwrap_or_default();
        if held.get(id.as_str()).is_some_and(|at| holds(at, now)) {
            return Ok(());
        }
        self.patch(changes(&held, id, now)).await
    }

    async fn create(&self, id: &DeploymentId, now: Timestamp) -> Result<(), kube::Error> {
        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: Some(self.namespace.clone()),
                labels: Some(labels::labels([(labels::NAME, "kidp-broker")])),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(id.to_string(), now.to_string())])),
            ..ConfigMap::default()
        };
        match self.api.create(&post_params(), &map).await {
            Ok(_) => Ok(()),
            // Somebody made it in between; one more entry does no harm to theirs.
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                self.patch(changes(&BTreeMap::new(), id, now)).await
            }
            Err(error) => Err(error),
        }
    }

    async fn patch(&self, changes: Map<String, Value>) -> Result<(), kube::Error> {
        let params = PatchParams {
            field_manager: Some(BROKER_FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        // Entries are independent of each other, so no resource version is needed.
        let patch = Patch::Merge(json!({"data": changes}));
        self.api.patch(NAME, &params, &patch).await.map(|_| ())
    }
}

/// Whether a tombstone of that time still holds. What cannot be read does not.
fn holds(set: &str, now: Timestamp) -> bool {
    let keep = i64::try_from(KEEP.as_secs()).unwrap_or(i64::MAX);
    set.parse::<Timestamp>()
        .is_ok_and(|at| now.as_second().saturating_sub(at.as_second()) < keep)
}

/// The entries that change when `id` is added: it comes, what has expired goes, and so does the oldest beyond [`MOST`].
fn changes(held: &BTreeMap<String, String>, id: &DeploymentId, now: Timestamp) -> Map<String, Value> {
    let mut kept: Vec<_> = held.iter().filter(|(_, at)| holds(at, now)).collect();
    kept.sort_by_key(|(_, at)| at.parse::<Timestamp>().unwrap_or_default());
    let surplus = (kept.len() + 1).saturating_sub(MOST);
    let kept: std::collections::BTreeSet<_> = kept[surplus..].iter().map(|(id, _)| *id).collect();
    let mut changes: Map<String, Value> = held
        .keys()
        .filter(|id| !kept.contains(id))
        .map(|id| (id.clone(), Value::Null))
        .collect();
    changes.insert(id.to_string(), now.to_string().into());
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::spec;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn apply(held: &mut BTreeMap<String, String>, changes: Map<String, Value>) {
        for (id, value) in changes {
            match value {
                Value::String(at) => held.insert(id, at),
                _ => held.remove(&id),
            };
        }
    }

    fn id(n: usize) -> DeploymentId {
        DeploymentId::derive("eu", "shop", "Database", &n.to_string(), "uid")
    }

    #[test]
    fn tombstones_expire() {
        let mut held = BTreeMap::new();
        apply(&mut held, changes(&BTreeMap::new(), &id(1), at(0)));
        assert!(holds(&held[id(1).as_str()], at(3599)));
        assert!(!holds(&held[id(1).as_str()], at(3600)));
        assert!(!holds("nonsense", at(0)));
        let next = changes(&held, &id(2), at(4000));
        apply(&mut held, next);
        assert_eq!(held.keys().collect::<Vec<_>>(), [id(2).as_str()]);
    }

    #[test]
    fn a_flood_drops_the_oldest_and_stays_within_a_config_map() {
        let mut held: BTreeMap<_, _> = (0..MOST)
            .map(|n| (id(n).to_string(), at(i64::try_from(n / 10).unwrap()).to_string()))
            .collect();
        let oldest = held.values().min().cloned();
        for n in MOST..MOST + 3 {
            let next = changes(&held, &id(n), at(3000));
            apply(&mut held, next);
            assert!(held.contains_key(id(n).as_str()));
        }
        assert_eq!(held.len(), MOST);
        assert_eq!(held.values().filter(|at| Some(*at) == oldest.as_ref()).count(), 7);
        let size: usize = held.iter().map(|(k, v)| k.len() + v.len()).sum();
        assert!(size < 512 * 1024, "{size}");
    }

    #[tokio::test]
    async fn a_client_without_uids_may_make_its_instance_again() {
        let held = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME},
            "data": {spec().deployment_id.as_str(): Timestamp::now().to_string()}});
        let client = crate::testing::client(move |_, _| (200, held.clone()));
        let tombstones = Tombstones::new(client, "kidp");
        assert!(tombstones.covers(&spec()).await.unwrap());
        let mut nameless = spec();
        nameless.resource_uid = String::new();
        assert!(!tombstones.covers(&nameless).await.unwrap());
    }
}
