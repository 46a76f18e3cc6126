//! The kinds of service: known by type where one is reconciled, and by this trait object where all of them are
//! looked at together.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kidp_core::crd::{Cache, CostStatus, Database, MessageQueue, Phase, ResourceStatus, ServiceResource};
use kidp_core::deployment::DeploymentId;
use kidp_core::instance::{InstanceSpec, OwnerKind, ResourceType};
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::cache::{Caches, namespace_of, resolve, resolve_owner};
use crate::costs::budget;
use crate::select::PlacementRequest;

/// Reason of a resource that waits for its turn, here or at its broker.
pub const QUEUED: &str = "Queued";

/// How long an instance that does not become ready takes a place at its broker. After that it is stuck rather than on
/// its way, and must not keep others out.
const PLACE_LIMIT: SignedDuration = SignedDuration::from_mins(30);

/// Names one resource of any kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResourceKey {
    /// Its kind.
    pub kind: ResourceType,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ResourceKey {
    /// The key of a resource.
    pub fn of<K: ServiceResource>(resource: &K) -> Self {
        Self {
            kind: K::TYPE,
            namespace: namespace_of(resource),
            name: resource.name_any(),
        }
    }

    /// The same as a reference to an object of kind `K`, which has to be the key's.
    pub fn to_ref<K: ServiceResource>(&self) -> ObjectRef<K> {
        ObjectRef::new(&self.name).within(&self.namespace)
    }
}

impl std::fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// What can be asked of a resource without knowing its kind.
pub trait AnyResource: Send + Sync {
    /// Its kind.
    fn kind(&self) -> ResourceType;

    /// Its key.
    fn key(&self) -> ResourceKey;

    /// Kind, namespace and name of its owner.
    fn owned_by(&self) -> (OwnerKind, String, String);

    /// Namespace and name of the broker that it was given to.
    fn placed_at(&self) -> Option<(String, String)>;

    /// The phase in its status.
    fn phase(&self) -> Phase;

    /// The generation that its status speaks of.
    fn observed_generation(&self) -> Option<i64>;

    /// When its broker was chosen.
    fn placed_since(&self) -> Option<Timestamp>;

    /// Whether it takes one of the places that its broker has for instances that are being made.
    fn holds_place(&self, now: Timestamp) -> bool;

    /// The part of its spec that a provisioner is asked for.
    fn instance_spec(&self) -> InstanceSpec;

    /// What it is expected to cost.
    fn cost(&self) -> Option<&CostStatus>;

    /// Whether it is known that its cost is not known.
    fn is_unpriced(&self) -> bool;

    /// What a broker is chosen for, as far as the resource itself says it.
    fn placement_request(&self) -> PlacementRequest;

    /// Its labels.
    fn labelled(&self) -> &BTreeMap<String, String>;

    /// Its UID.
    fn identity(&self) -> Option<String>;

    /// Whether it is being deleted.
    fn is_deleting(&self) -> bool;

    /// When it was created.
    fn created(&self) -> Option<Time>;

    /// The id that a broker of this name has for it. `None` for what no API server ever sent.
    fn deployment_at(&self, broker: &str) -> Option<DeploymentId>;
}

impl<K: ServiceResource> AnyResource for K {
    fn kind(&self) -> ResourceType {
        K::TYPE
    }

    fn key(&self) -> ResourceKey {
        ResourceKey::of(self)
    }

    fn owned_by(&self) -> (OwnerKind, String, String) {
        resolve_owner(self.owner(), &namespace_of(self))
    }

    fn placed_at(&self) -> Option<(String, String)> {
        let broker = self.status()?.broker_ref.as_ref()?;
        Some(resolve(broker, &namespace_of(self)))
    }

    fn phase(&self) -> Phase {
        self.status().map(|s| s.phase).unwrap_or_default()
    }

    fn observed_generation(&self) -> Option<i64> {
        self.status()?.observed_generation
    }

    fn placed_since(&self) -> Option<Timestamp> {
        Some(self.status()?.placed_at.as_ref()?.0)
    }

    fn holds_place(&self, now: Timestamp) -> bool {
        let queued = |status: &ResourceStatus| status.conditions.iter().any(|c| c.reason == QUEUED);
        let recent = || {
            self.placed_since()
                .is_none_or(|since| now.duration_since(since) < PLACE_LIMIT)
        };
        self.placed_at().is_some()
            && match self.phase() {
                Phase::Provisioning => recent(),
                Phase::Pending => self.status().is_some_and(queued),
                _ => false,
            }
    }

    fn instance_spec(&self) -> InstanceSpec {
        self.instance()
    }

    fn cost(&self) -> Option<&CostStatus> {
        self.status()?.cost.as_ref()
    }

    fn is_unpriced(&self) -> bool {
        self.status().is_some_and(|s| budget::is_unpriced(&s.conditions))
    }

    fn placement_request(&self) -> PlacementRequest {
        PlacementRequest {
            resource_type: K::TYPE,
            engine: self.engine(),
            target: self.target().cloned(),
            tenant_residency: None,
            apart: Vec::new(),
            monthly: HashMap::new(),
        }
    }

    fn labelled(&self) -> &BTreeMap<String, String> {
        self.labels()
    }

    fn identity(&self) -> Option<String> {
        self.uid()
    }

    fn is_deleting(&self) -> bool {
        self.meta().deletion_timestamp.is_some()
    }

    fn created(&self) -> Option<Time> {
        self.creation_timestamp()
    }

    fn deployment_at(&self, broker: &str) -> Option<DeploymentId> {
        let (uid, namespace) = (self.uid()?, self.namespace()?);
        let kind = K::TYPE.as_str();
        Some(DeploymentId::derive(
            broker,
            &namespace,
            kind,
            &self.name_any(),
            &uid,
        ))
    }
}

/// A kind that this operator reconciles. Every other part of the operator is generic over it, or goes through
/// [`Caches::resources`]; a further kind needs an entry here, in [`crate::cache`] and in [`crate::queues`].
pub trait Served: ServiceResource {
    /// Where its objects are cached.
    fn store(caches: &Caches) -> &Store<Self>;
}

impl Served for Database {
    fn store(caches: &Caches) -> &Store<Self> {
        &caches.databases
    }
}

impl Served for Cache {
    fn store(caches: &Caches) -> &Store<Self> {
        &caches.caches
    }
}

impl Served for MessageQueue {
    fn store(caches: &Caches) -> &Store<Self> {
        &caches.message_queues
    }
}
