//! Objects for tests.

use kidp_core::crd::{Broker, BrokerPhase, Database};
use kidp_core::deployment::DeploymentId;
use kidp_core::wire::DeploymentStatus;
use kube::runtime::reflector::Lookup;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use serde_json::json;

/// Fills a store as a first list would.
pub fn fill<K: Lookup<DynamicType = ()> + Clone + 'static>(
    writer: &mut Writer<K>,
    objects: impl IntoIterator<Item = K>,
) {
    writer.apply_watcher_event(&Event::Init);
    for object in objects {
        writer.apply_watcher_event(&Event::InitApply(object));
    }
    writer.apply_watcher_event(&Event::InitDone);
}

/// Any object of the platform's API group in namespace `shop`, generation 1.
pub fn object<K: serde::de::DeserializeOwned>(kind: &str, name: &str, spec: &serde_json::Value) -> K {
    serde_json::from_value(json!({
        "apiVersion": "platform.company.com/v1", "kind": kind, "spec": spec,
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "generation": 1},
    }))
    .unwrap()
}

/// A database of Team `payments`.
pub fn database(name: &str) -> Database {
    let spec = json!({
        "owner": {"kind": "Team", "name": "payments"}, "engine": "postgresql", "version": "15",
        "storage": {"size": "1Gi"},
    });
    object("Database", name, &spec)
}

/// A ready broker.
pub fn broker(name: &str, key: Option<String>) -> Broker {
    let spec = json!({
        "endpoint": "http://127.0.0.1:9", "region": "eu", "cloudProvider": "metal",
        "capabilities": [{"resourceType": "Database", "providers": ["postgresql"]}],
    });
    let mut broker: Broker = object("Broker", name, &spec);
    let status = broker.status.get_or_insert_default();
    status.phase = BrokerPhase::Ready;
    status.callback_public_key = key;
    broker
}

/// The id that broker `eu` has for the database.
pub fn id_at_eu(database: &Database) -> DeploymentId {
    let name = database.metadata.name.as_deref().unwrap();
    DeploymentId::derive(
        "eu",
        "shop",
        "Database",
        name,
        database.metadata.uid.as_deref().unwrap(),
    )
}

/// What broker `eu` says of the database when all is well.
pub fn answer(database: &Database) -> DeploymentStatus {
    serde_json::from_value(json!({
        "deploymentId": id_at_eu(database), "resourceType": "Database",
        "resourceName": database.metadata.name, "namespace": "shop", "phase": "Ready",
        "resourceGeneration": 1, "observedGeneration": 1, "spec": database.spec.instance(),
        "endpoint": "orders-postgresql.shop.svc", "port": 5432, "connectionSecret": "orders-connection",
    }))
    .unwrap()
}
