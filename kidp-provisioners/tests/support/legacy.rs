//! A PostgreSQL that somebody made by hand: names, labels, port name, container and folders of its own.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use serde_json::{Value, json};

pub const NAME: &str = "legacy-db";
pub const CLAIM: &str = "pgdata-legacy-db-0";
pub const PASSWORD: &str = "CanaryOfTheOldWorld7";

/// What a request says of it.
pub fn adopt(pod_template: &str) -> Value {
    json!({"adopt": {
        "statefulSet": NAME, "podTemplate": pod_template,
        "secretRef": {"name": NAME, "keys": {"password": "postgres-password", "username": "user"}},
        "database": "shop",
    }})
}

pub fn secret() -> Secret {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME},
        "data": {"postgres-password": base64(PASSWORD), "user": base64("shopkeeper")}});
    serde_json::from_value(secret).unwrap()
}

fn base64(text: &str) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec())).unwrap()
}

/// The StatefulSet, with what the API server adds that is of interest here.
pub fn set() -> StatefulSet {
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": NAME, "labels": {"app": NAME, "app.kubernetes.io/managed-by": "Helm"}},
        "spec": {
            "replicas": 1, "serviceName": NAME, "podManagementPolicy": "OrderedReady",
            "selector": {"matchLabels": {"app": NAME, "app.kubernetes.io/instance": "release"}},
            "template": {
                "metadata": {"labels": {"app": NAME, "app.kubernetes.io/instance": "release"}},
                "spec": pod(),
            },
            "volumeClaimTemplates": [{
                "metadata": {"name": "pgdata", "labels": {"app": NAME}},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "512Mi"}}},
            }],
        },
    });
    serde_json::from_value(set).unwrap()
}

fn pod() -> Value {
    let from_secret = |key: &str| json!({"secretKeyRef": {"name": NAME, "key": key}});
    json!({
        "terminationGracePeriodSeconds": 5,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 999, "runAsGroup": 999, "fsGroup": 999,
            "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "db", "image": "docker.io/library/postgres:15", "imagePullPolicy": "IfNotPresent",
            "ports": [{"name": "sql", "containerPort": 5432}],
            "env": [
                {"name": "POSTGRES_USER", "valueFrom": from_secret("user")},
                {"name": "POSTGRES_PASSWORD", "valueFrom": from_secret("postgres-password")},
                {"name": "POSTGRES_DB", "value": "shop"},
                {"name": "PGDATA", "value": "/data/pg"},
            ],
            "readinessProbe": {"exec": {"command": ["pg_isready", "-h", "127.0.0.1"]}, "periodSeconds": 1},
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "pgdata", "mountPath": "/data", "subPath": "main"},
                {"name": "run", "mountPath": "/var/run/postgresql"}],
        }],
        "volumes": [{"name": "run", "emptyDir": {}}],
    })
}

/// The same as they are in a cluster, at rest.
pub fn settled() -> (StatefulSet, PersistentVolumeClaim) {
    let mut set = serde_json::to_value(set()).unwrap();
    set["metadata"]["uid"] = json!("set-uid");
    set["metadata"]["resourceVersion"] = json!("70");
    set["metadata"]["generation"] = json!(3);
    set["status"] = json!({"observedGeneration": 3, "replicas": 1, "readyReplicas": 1,
        "currentRevision": "legacy-db-1", "updateRevision": "legacy-db-1"});
    let mut claim = set["spec"]["volumeClaimTemplates"][0].clone();
    claim["apiVersion"] = json!("v1");
    claim["kind"] = json!("PersistentVolumeClaim");
    claim["metadata"] =
        json!({"name": CLAIM, "uid": "claim-uid", "resourceVersion": "71", "labels": {"app": NAME}});
    claim["spec"]["storageClassName"] = json!("fast");
    claim["status"] = json!({"phase": "Bound"});
    (
        serde_json::from_value(set).unwrap(),
        serde_json::from_value(claim).unwrap(),
    )
}
