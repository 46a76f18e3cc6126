//! Metrics of the engines: what is rendered where they are asked for, what is refused, and what goes when they are turned
//! off.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use std::sync::Arc;

use kidp_core::size::Size;
use kidp_drift::Consequence;
use kidp_provisioners::{Instance, Manifests, Options, Prepared, Provisioner, Registry, TlsMaterial};
use serde_json::{Value, json};
use support::api_server::ApiServer;
use support::{PASSWORD, assert_refused, build, connection_secret, credentials, instance_of, of_kind};

const MONITOR: &str = "/apis/monitoring.coreos.com/v1/namespaces/shop/servicemonitors/orders-postgresql";
const POD_MONITOR: &str = "/apis/monitoring.coreos.com/v1/namespaces/shop/podmonitors/orders-postgresql";
const SET: &str = "/apis/apps/v1/namespaces/shop/statefulsets/orders-postgresql";
const CLUSTER: &str = "/apis/postgresql.cnpg.io/v1/namespaces/shop/clusters/orders-postgresql";

/// Engine, kind of resource, version.
const SERVED: [(&str, &str, &str); 4] = [
    ("postgresql", "Database", "17"),
    ("mysql", "Database", "9"),
    ("redis", "Cache", "8"),
    ("rabbitmq", "MessageQueue", "4"),
];

fn engine(name: &str, kind: &str) -> Arc<dyn Provisioner> {
    let registry = Registry::standard();
    let found = registry
        .iter()
        .find(|p| p.engine().as_str() == name && p.resource_type().as_str() == kind);
    Arc::clone(found.unwrap())
}

/// An instance with metrics, where the Prometheus Operator is installed.
fn monitored(name: &str, kind: &str, version: &str, extra: &Value) -> Instance {
    let mut spec = json!({"monitoring": {"enabled": true}});
    spec.as_object_mut()
        .unwrap()
        .extend(extra.as_object().cloned().unwrap_or_default());
    let mut instance = instance_of(engine(name, kind).as_ref(), "orders", version, Size::Small, &spec);
    instance.features.prometheus_operator = true;
    instance
}

fn faults(name: &str, kind: &str, version: &str, extra: &Value) -> Vec<(String, String)> {
    let instance = monitored(name, kind, version, extra);
    let faults = engine(name, kind).validate(&instance).err();
    let faults = faults.unwrap_or_default().into_iter();
    faults.map(|f| (f.field, f.message)).collect()
}

fn pod(manifests: &Manifests<Prepared>) -> Value {
    of_kind(manifests, "StatefulSet")[0]["spec"]["template"]["spec"].clone()
}

/// What is there with metrics, and not without: every object that differs, whole where it is new.
fn added(instance: &Instance) -> Value {
    let plain = Instance {
        spec: kidp_core::instance::InstanceSpec {
            monitoring: kidp_core::instance::MonitoringSpec::default(),
            ..instance.spec.clone()
        },
        ..instance.clone()
    };
    let (with, without) = (build(instance), build(&plain));
    let mut differs = serde_json::Map::new();
    for object in with.objects() {
        let twin = without.objects().iter().find(|old| old.key() == object.key());
        if twin == Some(object) || object.is_secret() {
            continue;
        }
        let part = match object.kind() {
            "StatefulSet" => {
                let pod = &object.json()["spec"]["template"]["spec"];
                let engine = &pod["containers"][0];
                let beside = &pod["containers"].as_array().unwrap()[1..];
                let volumes = pod["volumes"].as_array().unwrap().iter();
                let for_it: Vec<_> = volumes.filter(|volume| volume["name"] == "exporter").collect();
                json!({"ports": engine["ports"], "beside": beside, "volumes": for_it})
            }
            "NetworkPolicy" => object.json()["spec"]["ingress"].clone(),
            "Service" => object.json()["spec"]["ports"].clone(),
            "Cluster" => object.json()["spec"]["monitoring"].clone(),
            _ => object.json().clone(),
        };
        differs.insert(object.key(), part);
    }
    Value::Object(differs)
}

#[test]
fn every_engine_serves_metrics() {
    for (name, kind, version) in SERVED {
        let instance = monitored(name, kind, version, &json!({}));
        assert_eq!(engine(name, kind).validate(&instance), Ok(()), "{name}");
        insta::assert_yaml_snapshot!(name, added(&instance));
    }
}

#[test]
fn every_engine_serves_metrics_with_tls() {
    let encryption = json!({"inTransit": true, "certificate": {"secretName": "cert"}});
    for (name, kind, version) in SERVED {
        let instance = Instance {
            tls: Some(TlsMaterial {
                ca: "a CA".to_owned(),
                checksum: "c0ffee".to_owned(),
            }),
            ..monitored(name, kind, version, &json!({"encryption": encryption}))
        };
        assert_eq!(engine(name, kind).validate(&instance), Ok(()), "{name}");
        let beside = added(&instance)[format!("StatefulSet/orders-{name}")]["beside"].clone();
        insta::assert_yaml_snapshot!(format!("{name}-tls"), beside);
    }
}

#[test]
fn members_serve_metrics_each() {
    for (name, kind, version) in [
        ("postgresql", "Database", "17"),
        ("redis", "Cache", "8"),
        ("rabbitmq", "MessageQueue", "4"),
    ] {
        let mut instance = monitored(name, kind, version, &json!({"highAvailability": true}));
        instance.features.cloudnative_pg = true;
        assert_eq!(engine(name, kind).validate(&instance), Ok(()), "{name}");
        insta::assert_yaml_snapshot!(format!("{name}-members"), added(&instance));
    }
}

/// Beside what clients have, the Secret has what an exporter reads, in its own form.
#[test]
fn what_an_exporter_logs_in_by_is_in_the_secret_alone() {
    let entry = |name, kind, version, entry: &str| {
        let manifests = build(&monitored(name, kind, version, &json!({})));
        let entries = connection_secret(&manifests)["entries"].clone();
        entries[entry].as_str().map(ToOwned::to_owned)
    };
    assert_eq!(
        entry("redis", "Cache", "8", "exporter.json").unwrap(),
        format!(r#"{{"redis://127.0.0.1:6379":"{PASSWORD}"}}"#)
    );
    assert_eq!(
        entry("mysql", "Database", "9", "exporter.cnf").unwrap(),
        format!("[client]\nuser = app\npassword = {PASSWORD}\nsocket = /var/run/mysqld/mysqld.sock\n")
    );
    let plain = instance_of(
        engine("redis", "Cache").as_ref(),
        "orders",
        "8",
        Size::Small,
        &json!({}),
    );
    let entries = connection_secret(&build(&plain))["entries"].clone();
    assert!(entries["exporter.json"].is_null());
}

/// The engine's own container is the first, by which an instance is observed and priced.
#[test]
fn an_exporter_stands_behind_its_engine_and_does_not_gate_it() {
    for (name, kind, version) in SERVED {
        let pod = pod(&build(&monitored(name, kind, version, &json!({}))));
        let containers = pod["containers"].as_array().unwrap();
        assert_eq!(containers[0]["name"], name);
        for beside in &containers[1..] {
            assert!(beside["readinessProbe"].is_null(), "{name}");
            assert_eq!(
                beside["securityContext"], containers[0]["securityContext"],
                "{name}"
            );
        }
    }
}

#[test]
fn what_tells_of_metrics_is_there_where_it_is_served() {
    let mut instance = monitored("redis", "Cache", "8", &json!({}));
    assert_eq!(of_kind(&build(&instance), "ServiceMonitor").len(), 1);
    instance.features.prometheus_operator = false;
    let manifests = build(&instance);
    assert!(of_kind(&manifests, "ServiceMonitor").is_empty());
    assert_eq!(pod(&manifests)["containers"][1]["name"], "exporter");
}

#[test]
fn who_may_read_is_asked_for() {
    let named = json!({"monitoring": {"enabled": true, "fromNamespaces": ["observability", "ops"]}});
    let policy = &of_kind(&build(&monitored("redis", "Cache", "8", &named)), "NetworkPolicy")[0];
    let values =
        &policy["spec"]["ingress"][1]["from"][0]["namespaceSelector"]["matchExpressions"][0]["values"];
    assert_eq!(*values, json!(["observability", "ops"]));
}

#[test]
fn what_cannot_be_is_refused_by_its_field() {
    let none = json!({});
    let mongodb = faults("mongodb", "Database", "8", &none);
    assert_refused(
        &mongodb,
        "spec.monitoring.enabled",
        "takes a password as a variable",
    );
    let alone = json!({"monitoring": {"fromNamespaces": ["ops"]}});
    let refused = faults("redis", "Cache", "8", &alone);
    assert_refused(
        &refused,
        "spec.monitoring.fromNamespaces",
        "set spec.monitoring.enabled",
    );
    let wrong = json!({"monitoring": {"enabled": true, "fromNamespaces": ["ops", "A B"]}});
    let refused = faults("redis", "Cache", "8", &wrong);
    assert_refused(&refused, "spec.monitoring.fromNamespaces[1]", "");
    let adopt = json!({"adopt": {"statefulSet": "old", "podTemplate": "Keep", "secretRef": {"name": "old"},
        "username": "app", "database": "app"}});
    let refused = faults("postgresql", "Database", "17", &adopt);
    assert_refused(&refused, "spec.monitoring.enabled", "spec.adopt.podTemplate");
}

async fn provision(server: &ApiServer, instance: &Instance) -> Vec<String> {
    let engine = engine("postgresql", "Database");
    assert_eq!(engine.validate(instance), Ok(()));
    let options = Options::default();
    let applied = engine.provision(&server.client(), instance, &options).await;
    applied.unwrap().written
}

fn without(instance: &Instance) -> Instance {
    let mut instance = instance.clone();
    instance.spec.monitoring.enabled = false;
    instance
}

/// Turned off, nothing is left that a Prometheus would go on to ask, whatever write fails on the way.
#[tokio::test]
async fn what_tells_of_metrics_goes_with_them() {
    let alone = monitored("postgresql", "Database", "17", &json!({}));
    let mut three = monitored("postgresql", "Database", "17", &json!({"highAvailability": true}));
    three.features.cloudnative_pg = true;
    for (instance, monitor, workload) in [(alone, MONITOR, SET), (three, POD_MONITOR, CLUSTER)] {
        for failing in 0..4 {
            let server = ApiServer::default();
            provision(&server, &instance).await;
            assert!(server.with(|s| s.objects.contains_key(monitor)));
            server.take_writes();
            assert_eq!(provision(&server, &instance).await, [""; 0]);
            server.with(|s| s.fail_write = Some((failing, 500)));
            let engine = engine("postgresql", "Database");
            let off = without(&instance);
            let options = Options::default();
            let failed = engine.provision(&server.client(), &off, &options).await;
            assert!(
                failed.is_err() || server.with(|s| s.writes.len()) <= failing,
                "{failing}"
            );
            server.with(|s| s.fail_write = None);
            provision(&server, &off).await;
            assert!(!server.with(|s| s.objects.contains_key(monitor)), "{failing}");
            let left = server.with(|s| s.objects[workload].to_string());
            assert!(!left.contains("exporter"), "{left}");
            server.take_writes();
            let reads = server.with(|s| s.reads);
            assert_eq!(provision(&server, &off).await, [""; 0]);
            let steady = server.with(|s| s.reads) - reads;
            // As many as an instance that never had any.
            let fresh = ApiServer::default();
            provision(&fresh, &off).await;
            let reads = fresh.with(|s| s.reads);
            provision(&fresh, &off).await;
            assert_eq!(steady, fresh.with(|s| s.reads) - reads);
        }
    }
}

#[tokio::test]
async fn a_plan_says_that_pods_restart() {
    let server = ApiServer::default();
    let on = monitored("postgresql", "Database", "17", &json!({}));
    provision(&server, &without(&on)).await;
    let engine = engine("postgresql", "Database");
    let plan = engine.plan(&server.client(), &on).await.unwrap();
    assert!(
        plan.created
            .contains(&"ServiceMonitor/orders-postgresql".to_owned()),
        "{plan:?}"
    );
    let worst = plan.changes.iter().map(|change| change.consequence).max();
    assert_eq!(worst, Some(Consequence::RollingRestart), "{plan:?}");
}

/// No exporter's container shows the password, nor anything that was made of it.
#[test]
fn passwords_are_files() {
    for (name, kind, version) in SERVED {
        let instance = monitored(name, kind, version, &json!({}));
        let engine = engine(name, kind);
        let manifests = engine
            .build(&instance, &credentials(engine.as_ref(), &instance))
            .unwrap();
        let text = pod(&manifests).to_string();
        assert!(
            !text.contains(PASSWORD) && !text.contains("secretKeyRef"),
            "{name}"
        );
    }
}
