//! Objects as an API server serves them, for tests; the messages are those of Kubernetes 1.36.
#![allow(clippy::unwrap_used, missing_docs)]

use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use kidp_core::crd::Database;
use serde_json::{Value, json};

use super::Seen;
use crate::kinds::Subject;

pub const NOW: &str = "2026-11-26T20:10:00Z";

pub fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A database on its way, whose conditions are these.
pub fn subject(phase: &str, conditions: &Value) -> Subject {
    let database: Database = from(json!({
        "apiVersion": "platform.company.com/v1", "kind": "Database",
        "metadata": {"name": "orders", "namespace": "shop", "generation": 2, "uid": "u1"},
        "spec": {"owner": {"kind": "Team", "name": "payments"}, "engine": "postgresql", "version": "15", "storage": {"size": "1Gi"}},
        "status": {"phase": phase, "observedGeneration": 2, "conditions": conditions,
            "deploymentId": "deploy-00000000000000000000000000000000", "brokerRef": {"name": "local"}}
    }));
    database.into()
}

pub fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": NOW})
}

/// The same, with a StatefulSet of one member, that member's status and its claim.
pub fn made(pod_status: Option<Value>, claim_phase: &str) -> Seen {
    let conditions = json!([
        condition(
            "Ready",
            "False",
            "Provisioning",
            "broker `local` is at work on it"
        ),
        condition(
            "Reconciling",
            "True",
            "Provisioning",
            "broker `local` is at work on it"
        ),
    ]);
    let mut seen = Seen::of(subject("Provisioning", &conditions));
    seen.set = Some(from(json!({"metadata": {"name": "orders-postgresql"},
        "spec": {"replicas": 1, "serviceName": "orders-postgresql-headless", "selector": {}, "template": {}}})));
    let pod = |status: Value| -> Pod {
        from(json!({"metadata": {"name": "orders-postgresql-0", "uid": "p1"}, "status": status}))
    };
    seen.pods = pod_status.map(pod).into_iter().collect();
    let claim: PersistentVolumeClaim = from(json!({"metadata": {"name": "data-orders-postgresql-0"},
        "spec": {"storageClassName": "fast"}, "status": {"phase": claim_phase}}));
    seen.claims = vec![claim];
    seen
}

pub fn event(kind: &str, name: &str, reason: &str, count: i32, message: &str) -> Event {
    from(
        json!({"metadata": {"name": format!("{name}.1")}, "involvedObject": {"kind": kind, "name": name},
        "type": "Warning", "reason": reason, "count": count, "message": message, "lastTimestamp": NOW}),
    )
}

pub fn unready(containers: &Value) -> Value {
    json!({"phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}],
        "containerStatuses": containers})
}

pub fn waiting(reason: &str, message: &str) -> Value {
    unready(
        &json!([{"name": "postgresql", "image": "docker.io/library/postgres:15.99", "imageID": "", "ready": false,
        "restartCount": 4, "state": {"waiting": {"reason": reason, "message": message}}, "lastState": {}}]),
    )
}
