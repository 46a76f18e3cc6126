//! The CRDs' CEL rules against the real API server: what is accepted, what is refused, and that a refusal
//! names its field.
#![allow(clippy::unwrap_used, clippy::panic)]

use kidp_core::crd::{Broker, Cache, Database, MessageQueue, ServiceResource, Tenant};
use kidp_e2e::cluster::{connect, create_namespace, delete_namespace, install_crds};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::{Client, Resource};
use serde_json::{Value, json};

const NAMESPACE: &str = "kidp-e2e-cel";

/// What a merge patch of a valid object must lead to: `None` for accepted, else a part of the refusal.
type Row = (Value, Option<&'static str>);

fn valid(engine: &str, version: &str) -> Value {
    json!({"owner": {"kind": "Team", "name": "payments"}, "engine": engine, "version": version,
        "storage": {"size": "1Gi", "class": "fast"}, "target": {"region": "eu"}})
}

fn merged(mut base: Value, patch: &Value) -> Value {
    if let (Some(base), Some(patch)) = (base.as_object_mut(), patch.as_object()) {
        for (key, value) in patch {
            let old = base.remove(key).unwrap_or(Value::Null);
            let new = if value.is_object() && old.is_object() {
                merged(old, value)
            } else {
                value.clone()
            };
            if !new.is_null() {
                base.insert(key.clone(), new);
            }
        }
    }
    base
}

fn object<K: Resource<DynamicType = ()>>(name: &str, spec: &Value) -> DynamicObject {
    serde_json::from_value(json!({"apiVersion": K::api_version(&()), "kind": K::kind(&()),
        "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}))
    .unwrap()
}

fn api<K: Resource<DynamicType = ()>>(client: &Client) -> Api<DynamicObject> {
    Api::namespaced_with(
        client.clone(),
        NAMESPACE,
        &kube::api::ApiResource::erase::<K>(&()),
    )
}

fn judge(context: &Value, result: kube::Result<DynamicObject>, expected: Option<&str>) {
    match (result, expected) {
        (Ok(_), None) => {}
        (Err(kube::Error::Api(status)), Some(part)) => {
            assert!(
                status.message.contains(part),
                "{context}: refused with: {}",
                status.message
            );
        }
        (result, expected) => panic!("{context}: expected {expected:?}, got {result:?}"),
    }
}

/// Creates `base` merged with each row as a server-side dry run.
async fn on_create<K: Resource<DynamicType = ()>>(client: &Client, base: &Value, rows: &[Row]) {
    let params = PostParams {
        dry_run: true,
        ..Default::default()
    };
    for (patch, expected) in rows {
        let result = api::<K>(client)
            .create(&params, &object::<K>("sample", &merged(base.clone(), patch)))
            .await;
        judge(patch, result, *expected);
    }
}

/// What holds for every kind.
fn creations() -> Vec<Row> {
    vec![
        (json!({}), None),
        (json!({"storage": {"class": null}, "target": null}), None),
        (json!({"engine": "oracle"}), Some("spec.engine")),
        (json!({"engine": null}), Some("spec.engine")),
        (json!({"owner": null}), Some("spec.owner")),
        (json!({"owner": {"kind": "Person"}}), Some("spec.owner.kind")),
        (json!({"owner": {"name": ""}}), Some("spec.owner.name")),
        (json!({"version": "latest"}), Some("version must be numbers")),
        (json!({"version": "15.4"}), None),
        (json!({"version": "15."}), Some("version must be numbers")),
        (json!({"size": "medium"}), None),
        (json!({"size": "huge"}), Some("spec.size")),
        (
            json!({"storage": {"size": "ten"}}),
            Some("storage.size must be a positive quantity"),
        ),
        (
            json!({"storage": {"size": "0"}}),
            Some("storage.size must be a positive quantity"),
        ),
        (
            json!({"storage": {"size": "-1Gi"}}),
            Some("storage.size must be a positive quantity"),
        ),
        (
            json!({"encryption": {"minTLSVersion": "1.3"}}),
            Some("minTLSVersion needs encryption.inTransit"),
        ),
        (
            json!({"encryption": {"inTransit": true, "minTLSVersion": "1.1"}}),
            Some("minTLSVersion"),
        ),
        (
            json!({"encryption": {"inTransit": true, "minTLSVersion": "1.3"}}),
            None,
        ),
        (
            json!({"encryption": {"certificate": {"secretName": "orders-tls"}}}),
            Some("certificate needs encryption.inTransit"),
        ),
        (
            json!({"encryption": {"inTransit": true, "certificate": {"secretName": "orders-tls"}}}),
            None,
        ),
        (
            json!({"encryption": {"inTransit": true, "certificate": {"issuerRef": {"name": "company", "kind": "ClusterIssuer"}}}}),
            None,
        ),
        (
            json!({"encryption": {"inTransit": true, "certificate": {"issuerRef": {"name": "company", "kind": "Vault"}}}}),
            Some("spec.encryption.certificate.issuerRef.kind"),
        ),
        (
            json!({"encryption": {"inTransit": true,
                "certificate": {"secretName": "orders-tls", "issuerRef": {"name": "company"}}}}),
            Some("secretName or issuerRef, not both"),
        ),
        (json!({"deletionPolicy": "Keep"}), Some("spec.deletionPolicy")),
        (json!({"drift": {"policy": "alert"}}), None),
        (json!({"drift": {"policy": "maybe"}}), Some("spec.drift.policy")),
        (
            json!({"drift": {"rules": [{"object": "ConfigMap/*", "path": "data", "policy": "ignore"}],
                "maintenanceWindow": {"days": ["Sat", "Sun"], "start": "02:30", "duration": "24h"}}}),
            None,
        ),
        (
            json!({"drift": {"rules": [{"object": "a b", "policy": "alert"}]}}),
            Some("spec.drift.rules[0].object"),
        ),
        (
            json!({"drift": {"rules": [{"object": "Service"}]}}),
            Some("spec.drift.rules[0].policy"),
        ),
        (
            json!({"drift": {"rules": vec![json!({"object": "Service", "policy": "alert"}); 33]}}),
            Some("drift.rules can have at most 32 entries"),
        ),
        (
            json!({"drift": {"maintenanceWindow": {"start": "24:00", "duration": "1h"}}}),
            Some("spec.drift.maintenanceWindow.start"),
        ),
        (
            json!({"drift": {"maintenanceWindow": {"start": "02:00", "duration": "1d"}}}),
            Some("spec.drift.maintenanceWindow.duration"),
        ),
        (
            json!({"drift": {"maintenanceWindow": {"start": "02:00", "duration": "25h"}}}),
            Some("duration can be at most 24h"),
        ),
        (
            json!({"drift": {"maintenanceWindow": {"days": ["Mon", "Mon"], "start": "02:00", "duration": "1h"}}}),
            Some("spec.drift.maintenanceWindow.days"),
        ),
    ]
}

fn database_creations() -> Vec<Row> {
    let engine = |name: &str| json!({"engine": name});
    vec![
        (engine("mysql"), None),
        (engine("mongodb"), None),
        (engine("redis"), None),
        (engine("sqlserver"), None),
        (
            engine("rabbitmq"),
            Some("rabbitmq is a message queue, not a database"),
        ),
        (
            json!({"backup": {"enabled": true}}),
            Some("backup.enabled needs backup.schedule"),
        ),
        (
            json!({"backup": {"enabled": true, "schedule": "0 3 * * *", "retention": "30d"}}),
            None,
        ),
        (
            json!({"backup": {"schedule": "every day"}}),
            Some("backup.schedule must be five cron fields"),
        ),
        (
            json!({"backup": {"retention": "month"}}),
            Some("backup.retention must be"),
        ),
        (
            json!({"backup": {"pointInTimeRestore": true}}),
            Some("pointInTimeRestore needs backup.enabled"),
        ),
    ]
}

fn cache_creations() -> Vec<Row> {
    let engine = |name: &str| json!({"engine": name});
    vec![
        (
            engine("postgresql"),
            Some("spec.engine: Invalid value: \"postgresql\": postgresql is a database, not a cache"),
        ),
        (engine("sqlserver"), Some("sqlserver is a database, not a cache")),
        (
            engine("rabbitmq"),
            Some("rabbitmq is a message queue, not a cache"),
        ),
    ]
}

fn message_queue_creations() -> Vec<Row> {
    let engine = |name: &str| json!({"engine": name});
    vec![
        (
            engine("mysql"),
            Some("spec.engine: Invalid value: \"mysql\": mysql is a database, not a message queue"),
        ),
        (engine("redis"), Some("redis is a cache, not a message queue")),
    ]
}

/// What holds for every kind, whatever the engine is changed to.
fn updates() -> Vec<Row> {
    vec![
        (json!({"size": "large"}), None),
        (json!({"version": "16"}), None),
        (json!({"storage": {"size": "2Gi"}}), None),
        (json!({"storage": {"size": "1024Mi"}}), None),
        (
            json!({"storage": {"size": "1023Mi"}}),
            Some("storage.size can grow, but never shrink"),
        ),
        (
            json!({"storage": {"class": "slow"}}),
            Some("storage.class is fixed at creation"),
        ),
        (
            json!({"storage": {"class": null}}),
            Some("storage.class is fixed at creation"),
        ),
        (json!({"engine": "mongodb"}), Some("engine is fixed at creation")),
        (
            json!({"target": {"region": "us"}}),
            Some("target is fixed at creation"),
        ),
        (json!({"target": null}), Some("target is fixed at creation")),
    ]
}

/// The rules of one kind of service: those that it shares, and its own.
async fn rules_of<K: ServiceResource>(client: &Client, base: &Value, own: &[Row]) {
    on_create::<K>(client, base, &creations()).await;
    on_create::<K>(client, base, own).await;
    let api = api::<K>(client);
    api.create(&PostParams::default(), &object::<K>("live", base))
        .await
        .unwrap();
    let params = PatchParams {
        dry_run: true,
        ..Default::default()
    };
    for (patch, expected) in updates() {
        let result = api
            .patch("live", &params, &Patch::Merge(json!({"spec": patch})))
            .await;
        judge(&patch, result, expected);
    }
}

/// A backup is asked for of what has none. A client that does not check fields has it dropped, so this applies.
async fn has_no_backup<K: ServiceResource>(client: &Client, base: &Value) {
    let spec = merged(base.clone(), &json!({"backup": {"enabled": false}}));
    let patch = Patch::Apply(object::<K>("backup", &spec));
    let params = PatchParams::apply("kidp-e2e").dry_run();
    let result = api::<K>(client).patch("backup", &params, &patch).await;
    judge(&spec, result, Some(".spec.backup"));
}

#[tokio::test]
async fn rules_hold_on_the_api_server() {
    let client = connect().await.unwrap();
    install_crds(&client).await.unwrap();
    create_namespace(&client, NAMESPACE).await.unwrap();

    rules_of::<Database>(&client, &valid("postgresql", "15"), &database_creations()).await;
    rules_of::<Cache>(&client, &valid("redis", "7"), &cache_creations()).await;
    rules_of::<MessageQueue>(&client, &valid("rabbitmq", "4"), &message_queue_creations()).await;

    has_no_backup::<Cache>(&client, &valid("redis", "7")).await;
    has_no_backup::<MessageQueue>(&client, &valid("rabbitmq", "4")).await;

    let broker = json!({"endpoint": "http://broker:8082", "region": "eu", "cloudProvider": "own",
        "capabilities": [{"resourceType": "Database"}]});
    let rows = [
        (json!({}), None),
        (
            json!({"endpoint": "ftp://broker"}),
            Some("endpoint must be an http or https URL"),
        ),
        (
            json!({"endpoint": "no url at all"}),
            Some("endpoint must be an http or https URL"),
        ),
        (json!({"capabilities": []}), Some("spec.capabilities")),
        (
            json!({"authentication": {"type": "api-key"}}),
            Some("authentication.secretRef is needed"),
        ),
        (
            json!({"authentication": {"type": "api-key", "secretRef": {"name": "key"}}}),
            None,
        ),
        (
            json!({"healthCheck": {"intervalSeconds": 0}}),
            Some("spec.healthCheck.intervalSeconds"),
        ),
    ];
    on_create::<Broker>(&client, &broker, &rows).await;

    let tenant = json!({"displayName": "Acme", "domain": "acme.example"});
    let rows = [
        (json!({}), None),
        (
            json!({"domain": "Not A Domain"}),
            Some("domain must be a DNS name"),
        ),
    ];
    on_create::<Tenant>(&client, &tenant, &rows).await;

    delete_namespace(&client, NAMESPACE).await.unwrap();
}
