//! What the operator knows of the management cluster: one watch and one store for each kind, shared by all
//! reconcilers and the callback receiver, and the questions that are asked of it.
//!
//! Questions scan a store. That is linear in the number of objects, and cheap against one request to a broker.

use std::sync::Arc;

use kidp_core::crd::{Application, Broker, Database, LocalRef, Phase, Team, Tenant};
use kidp_core::instance::{OwnerKind, OwnerRef};
use kube::ResourceExt;
use kube::runtime::reflector::store::{Writer, WriterDropped};
use kube::runtime::reflector::{ObjectRef, Store, store};

/// Readers of every store.
#[derive(Clone)]
pub struct Caches {
    /// Databases.
    pub databases: Store<Database>,
    /// Teams.
    pub teams: Store<Team>,
    /// Applications.
    pub applications: Store<Application>,
    /// Tenants.
    pub tenants: Store<Tenant>,
    /// Brokers.
    pub brokers: Store<Broker>,
}

/// Writers of every store; whoever watches has them.
pub struct Writers {
    /// Databases.
    pub databases: Writer<Database>,
    /// Teams.
    pub teams: Writer<Team>,
    /// Applications.
    pub applications: Writer<Application>,
    /// Tenants.
    pub tenants: Writer<Tenant>,
    /// Brokers.
    pub brokers: Writer<Broker>,
}

/// Empty stores.
pub fn caches() -> (Caches, Writers) {
    let ((databases, dw), (teams, tw), (applications, aw)) = (store(), store(), store());
    let ((tenants, nw), (brokers, bw)) = (store(), store());
    let readers = Caches {
        databases,
        teams,
        applications,
        tenants,
        brokers,
    };
    let writers = Writers {
        databases: dw,
        teams: tw,
        applications: aw,
        tenants: nw,
        brokers: bw,
    };
    (readers, writers)
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
        self.databases.wait_until_ready().await
    }

    /// The broker of that namespace and name.
    pub fn broker(&self, namespace: &str, name: &str) -> Option<Arc<Broker>> {
        self.brokers.get(&ObjectRef::new(name).within(namespace))
    }

    /// The team of that namespace and name.
    pub fn team(&self, namespace: &str, name: &str) -> Option<Arc<Team>> {
        self.teams.get(&ObjectRef::new(name).within(namespace))
    }

    /// The application of that namespace and name.
    pub fn application(&self, namespace: &str, name: &str) -> Option<Arc<Application>> {
        self.applications.get(&ObjectRef::new(name).within(namespace))
    }

    /// The tenant of that namespace and name.
    pub fn tenant(&self, namespace: &str, name: &str) -> Option<Arc<Tenant>> {
        self.tenants.get(&ObjectRef::new(name).within(namespace))
    }

    /// The database of that namespace and name.
    pub fn database(&self, namespace: &str, name: &str) -> Option<Arc<Database>> {
        self.databases.get(&ObjectRef::new(name).within(namespace))
    }

    /// Databases that the broker serves.
    pub fn databases_of_broker(&self, namespace: &str, name: &str) -> Vec<Arc<Database>> {
        self.databases
            .state_filter(|db| placed_at(db).is_some_and(|at| at == (namespace.to_owned(), name.to_owned())))
    }

    /// Databases that no broker was chosen for yet, the oldest first.
    pub fn waiting_databases(&self) -> Vec<Arc<Database>> {
        let mut waiting = self
            .databases
            .state_filter(|db| placed_at(db).is_none() && db.metadata.deletion_timestamp.is_none());
        waiting.sort_by_key(|db| (db.creation_timestamp(), namespace_of(db.as_ref()), db.name_any()));
        waiting
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

    /// Databases that name exactly this owner.
    pub fn databases_of_owner(&self, kind: OwnerKind, namespace: &str, name: &str) -> Vec<Arc<Database>> {
        let owner = (kind, namespace.to_owned(), name.to_owned());
        self.databases
            .state_filter(|db| resolve_owner(&db.spec.owner, &namespace_of(db)) == owner)
    }
}

/// Namespace and name of the broker that a database was given to.
pub fn placed_at(database: &Database) -> Option<(String, String)> {
    let status = database.status.as_ref()?;
    let broker = status.broker_ref.as_ref()?;
    Some(resolve(broker, &namespace_of(database)))
}

/// The phase in an object's status.
pub fn phase_of(database: &Database) -> Phase {
    database.status.as_ref().map(|s| s.phase).unwrap_or_default()
}

/// The recorded answer of a broker.
pub fn heartbeat_of(broker: &Broker) -> Option<jiff::Timestamp> {
    Some(broker.status.as_ref()?.last_heartbeat.as_ref()?.0)
}
