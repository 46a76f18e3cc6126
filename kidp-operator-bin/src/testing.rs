//! Objects for tests.

use kidp_core::crd::{Broker, BrokerPhase, Cache, Database, MessageQueue, ServiceResource};
use kidp_core::deployment::DeploymentId;
use kidp_core::wire::DeploymentStatus;
use kube::ResourceExt;
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

fn service<K: ServiceResource>(name: &str, engine: &str, version: &str) -> K {
    let spec = json!({
        "owner": {"kind": "Team", "name": "payments"}, "engine": engine, "version": version,
        "storage": {"size": "1Gi"},
    });
    object(K::TYPE.as_str(), name, &spec)
}

/// A database of Team `payments`.
pub fn database(name: &str) -> Database {
    service(name, "postgresql", "15")
}

/// A cache of Team `payments`.
pub fn cache(name: &str) -> Cache {
    service(name, "redis", "7")
}

/// A message queue of Team `payments`.
pub fn message_queue(name: &str) -> MessageQueue {
    service(name, "rabbitmq", "4")
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

/// The id that broker `eu` has for the resource.
pub fn id_at_eu<K: ServiceResource>(resource: &K) -> DeploymentId {
    let (name, uid) = (resource.name_any(), resource.meta().uid.clone().unwrap());
    DeploymentId::derive("eu", "shop", K::TYPE.as_str(), &name, &uid)
}

/// What broker `eu` says of the resource when all is well.
pub fn answer<K: ServiceResource>(resource: &K) -> DeploymentStatus {
    serde_json::from_value(json!({
        "deploymentId": id_at_eu(resource), "resourceType": K::TYPE,
        "resourceName": resource.name_any(), "namespace": "shop", "phase": "Ready",
        "resourceGeneration": 1, "observedGeneration": 1, "spec": resource.instance(),
        "endpoint": "orders-postgresql.shop.svc", "port": 5432, "connectionSecret": "orders-connection",
    }))
    .unwrap()
}
