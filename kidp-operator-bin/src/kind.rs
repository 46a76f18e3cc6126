//! The kinds of service: known by type where one is reconciled, and by this trait object where all of them are
//! looked at together.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kidp_core::crd::{Cache, Database, MessageQueue, Phase, ServiceResource};
use kidp_core::deployment::DeploymentId;
use kidp_core::instance::{OwnerKind, ResourceType};
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::cache::{Caches, namespace_of, resolve, resolve_owner};

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
