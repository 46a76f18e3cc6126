//! What the operator knows of the management cluster: one watch and one store for each kind, shared by all
//! reconcilers and the callback receiver, and the questions that are asked of it.
//!
//! Questions scan a store. That is linear in the number of objects, and cheap against one request to a broker.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kidp_core::crd::{Application, Broker, Cache, Database, LocalRef, MessageQueue, Team, Tenant};
use kidp_core::instance::{OwnerKind, OwnerRef, ResourceType};
use kidp_core::labels;
use kube::ResourceExt;
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::store::{Writer, WriterDropped};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::watcher::Event;

use crate::costs::CostWriters;
use crate::kind::{AnyResource, ResourceKey, Served};
use crate::queue::Ticket;

/// Readers of every store.
#[derive(Clone)]
pub struct Caches {
    /// Databases.
    pub databases: Store<Database>,
    /// Caches.
    pub caches: Store<Cache>,
    /// Message queues.
    pub message_queues: Store<MessageQueue>,
    /// Teams.
    pub teams: Store<Team>,
    /// Applications.
    pub applications: Store<Application>,
    /// Tenants.
    pub tenants: Store<Tenant>,
    /// Brokers.
    pub brokers: Store<Broker>,
    /// Namespaces of teams.
    pub namespaces: Store<PartialObjectMeta<Namespace>>,
}

/// Writers of every store; whoever watches has them.
pub struct Writers {
    /// Databases.
    pub databases: Writer<Database>,
    /// Caches.
    pub caches: Writer<Cache>,
    /// Message queues.
    pub message_queues: Writer<MessageQueue>,
    /// Teams.
    pub teams: Writer<Team>,
    /// Applications.
    pub applications: Writer<Application>,
    /// Tenants.
    pub tenants: Writer<Tenant>,
    /// Brokers.
    pub brokers: Writer<Broker>,
    /// Prices and usage, where costs are on.
    pub costs: Option<CostWriters>,
    /// Namespaces of teams.
    pub namespaces: Writer<PartialObjectMeta<Namespace>>,
}

/// Empty stores.
pub fn caches() -> (Caches, Writers) {
    let ((databases, dw), (caches, cw), (message_queues, mw)) = (store(), store(), store());
    let ((teams, tw), (applications, aw)) = (store(), store());
    let ((tenants, nw), (brokers, bw), (namespaces, sw)) = (store(), store(), store());
    let readers = Caches {
        databases,
        caches,
        message_queues,
        teams,
        applications,
        tenants,
        brokers,
        namespaces,
    };
    let writers = Writers {
        databases: dw,
        caches: cw,
        message_queues: mw,
        teams: tw,
        applications: aw,
        tenants: nw,
        brokers: bw,
        costs: None,
        namespaces: sw,
    };
    (readers, writers)
}

/// Fills a store with nothing, so that nobody waits for what is not watched.
pub fn nothing<K>(mut writer: Writer<K>)
where
    K: kube::runtime::reflector::Lookup<DynamicType = ()> + Clone + 'static,
{
    writer.apply_watcher_event(&Event::Init);
    writer.apply_watcher_event(&Event::InitDone);
}

/// The namespace of an object that has one; empty only for what no API server ever sent.
pub fn namespace_of<K: ResourceExt>(object: &K) -> String {
    object.namespace().unwrap_or_default()
}

/// Namespace and name that `reference` in an object of `namespace` means.
pub fn resolve(reference: &LocalRef, namespace: &str) -> (String, String) {
    let namespace = reference.namespace.as_deref().unwrap_or(namespace);
    (namespace.to_owned(), reference.name.clone())
}

/// Kind, namespace and name of the owner of an object of `namespace`.
pub fn resolve_owner(owner: &OwnerRef, namespace: &str) -> (OwnerKind, String, String) {
    let namespace = owner.namespace.as_deref().unwrap_or(namespace);
    (owner.kind, namespace.to_owned(), owner.name.clone())
}

impl Caches {
    /// Waits until every store was listed once, so that "not there" means it.
    pub async fn wait_until_ready(&self) -> Result<(), WriterDropped> {
        self.brokers.wait_until_ready().await?;
        self.tenants.wait_until_ready().await?;
        self.teams.wait_until_ready().await?;
        self.applications.wait_until_ready().await?;
        self.databases.wait_until_ready().await?;
        self.caches.wait_until_ready().await?;
        self.namespaces.wait_until_ready().await?;
        self.message_queues.wait_until_ready().await
    }

    /// The broker of that namespace and name.
    pub fn broker(&self, namespace: &str, name: &str) -> Option<Arc<Broker>> {
        self.brokers.get(&ObjectRef::new(name).within(namespace))
    }

    /// The team of that namespace and name.
    pub fn team(&self, namespace: &str, name: &str) -> Option<Arc<Team>> {
        self.teams.get(&ObjectRef::new(name).within(namespace))
    }

    /// The team that a resource belongs to, directly or through an application.
    pub fn team_of<R: AnyResource + ?Sized>(&self, resource: &R) -> Option<Arc<Team>> {
        let (kind, namespace, name) = resource.owned_by();
        match kind {
            OwnerKind::Team => self.team(&namespace, &name),
            OwnerKind::Application => {
                let application = self.application(&namespace, &name)?;
                let (namespace, name) = resolve(&application.spec.team_ref, &namespace);
                self.team(&namespace, &name)
            }
        }
    }

    /// The application of that namespace and name.
    pub fn application(&self, namespace: &str, name: &str) -> Option<Arc<Application>> {
        self.applications.get(&ObjectRef::new(name).within(namespace))
    }

    /// The tenant of that namespace and name.
    pub fn tenant(&self, namespace: &str, name: &str) -> Option<Arc<Tenant>> {
        self.tenants.get(&ObjectRef::new(name).within(namespace))
    }

    /// UID of the team that the namespace was made for, as its label has it.
    pub fn holder(&self, namespace: &str) -> Option<String> {
        let found = self.namespaces.get(&ObjectRef::new(namespace))?;
        found.labels().get(labels::TEAM_UID).cloned()
    }

    /// The namespaces that were made for the team of that UID.
    pub fn namespaces_of(&self, uid: &str) -> Vec<Arc<PartialObjectMeta<Namespace>>> {
        let uid = labels::value(uid);
        self.namespaces
            .state_filter(|namespace| namespace.labels().get(labels::TEAM_UID) == Some(&uid))
    }

    /// The team of that UID, as labels have it.
    pub fn team_of_uid(&self, uid: &str) -> Option<Arc<Team>> {
        let is_it = |team: &Team| team.metadata.uid.as_deref().map(labels::value).as_deref() == Some(uid);
        self.teams.state_filter(is_it).pop()
    }

    /// The resource of that key.
    pub fn resource(&self, key: &ResourceKey) -> Option<Arc<dyn AnyResource>> {
        fn find<K: Served>(caches: &Caches, key: &ResourceKey) -> Option<Arc<dyn AnyResource>> {
            let found = K::store(caches).get(&key.to_ref())?;
            Some(found)
        }
        match key.kind {
            ResourceType::Database => find::<Database>(self, key),
            ResourceType::Cache => find::<Cache>(self, key),
            ResourceType::MessageQueue => find::<MessageQueue>(self, key),
        }
    }

    /// Resources of every kind that `keep` holds for.
    pub fn resources(&self, keep: impl Fn(&dyn AnyResource) -> bool) -> Vec<Arc<dyn AnyResource>> {
        fn of<K: Served>(
            caches: &Caches,
            keep: &dyn Fn(&dyn AnyResource) -> bool,
        ) -> impl Iterator<Item = Arc<dyn AnyResource>> {
            let kept = K::store(caches).state_filter(|resource| keep(resource));
            kept.into_iter().map(|resource| resource as Arc<dyn AnyResource>)
        }
        of::<Database>(self, &keep)
            .chain(of::<Cache>(self, &keep))
            .chain(of::<MessageQueue>(self, &keep))
            .collect()
    }

    /// Resources that the broker serves.
    pub fn resources_of_broker(&self, namespace: &str, name: &str) -> Vec<Arc<dyn AnyResource>> {
        let broker = Some((namespace.to_owned(), name.to_owned()));
        self.resources(|resource| resource.placed_at() == broker)
    }

    /// Resources that no broker was chosen for yet, the oldest first.
    pub fn waiting_resources(&self) -> Vec<Arc<dyn AnyResource>> {
        let mut waiting =
            self.resources(|resource| resource.placed_at().is_none() && !resource.is_deleting());
        waiting.sort_by_key(|resource| {
            let ResourceKey {
                kind,
                namespace,
                name,
            } = resource.key();
            (resource.created(), namespace, name, kind)
        });
        waiting
    }

    /// The same, as they queue for places.
    pub fn tickets(&self) -> Vec<Ticket> {
        let waiting = self.waiting_resources();
        let ticket = |resource: &Arc<dyn AnyResource>| Ticket {
            key: resource.key(),
            created: resource.created().map(|at| at.0).unwrap_or_default(),
        };
        waiting.iter().map(ticket).collect()
    }

    /// When a resource of each namespace was last given to a broker.
    pub fn served(&self) -> BTreeMap<String, Timestamp> {
        let mut served: BTreeMap<String, Timestamp> = BTreeMap::new();
        for resource in self.resources(|resource| resource.placed_since().is_some()) {
            if let Some(at) = resource.placed_since() {
                let last = served.entry(resource.key().namespace).or_insert(at);
                *last = at.max(*last);
            }
        }
        served
    }

    /// Applications of a team.
    pub fn applications_of_team(&self, namespace: &str, name: &str) -> Vec<Arc<Application>> {
        let team = (namespace.to_owned(), name.to_owned());
        self.applications
            .state_filter(|app| resolve(&app.spec.team_ref, &namespace_of(app)) == team)
    }

    /// Teams of a tenant.
    pub fn teams_of_tenant(&self, namespace: &str, name: &str) -> Vec<Arc<Team>> {
        let tenant = (namespace.to_owned(), name.to_owned());
        self.teams.state_filter(|team| {
            team.spec
                .tenant_ref
                .as_ref()
                .is_some_and(|r| resolve(r, &namespace_of(team)) == tenant)
        })
    }

    /// Resources that name exactly this owner.
    pub fn resources_of_owner(
        &self,
        kind: OwnerKind,
        namespace: &str,
        name: &str,
    ) -> Vec<Arc<dyn AnyResource>> {
        let owner = (kind, namespace.to_owned(), name.to_owned());
        self.resources(|resource| resource.owned_by() == owner)
    }
}

/// The recorded answer of a broker.
pub fn heartbeat_of(broker: &Broker) -> Option<jiff::Timestamp> {
    Some(broker.status.as_ref()?.last_heartbeat.as_ref()?.0)
}
