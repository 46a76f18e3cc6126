//! What putting a change right does, for every engine: each object of a rendered instance is changed as if by hand, and
//! compared.
//!
//! That pods really do what is said here is tested on a real cluster, in `consequences_cluster.rs`.

#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

use kidp_core::instance::{InstanceSpec, ResourceType};
use kidp_provisioners::Consequence::{DataLoss, None, Recreate, Reload, RollingRestart};
use kidp_provisioners::{Change, Consequence, Credentials, Instance, Registry};
use serde_json::{Value, json};

fn instance(engine: &str, version: &str, more: &Value) -> Instance {
    let mut spec =
        json!({"engine": engine, "version": version, "storage": {"size": "10Gi", "class": "fast"}});
    spec.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let spec: InstanceSpec = serde_json::from_value(spec).unwrap();
    let kind = match engine {
        "redis" => ResourceType::Cache,
        "rabbitmq" => ResourceType::MessageQueue,
        _ => ResourceType::Database,
    };
    Instance::new(kind, "shop", "orders", spec)
}

fn every() -> Vec<Instance> {
    let spec = json!({});
    [
        ("postgresql", "17"),
        ("mysql", "8.4"),
        ("mongodb", "8"),
        ("redis", "8"),
        ("rabbitmq", "4"),
    ]
    .map(|(engine, version)| instance(engine, version, &spec))
    .to_vec()
}

/// Changes the object of a kind as if by hand, and tells the gravest consequence of putting it right.
fn of(instance: &Instance, kind: &str, by_hand: impl Fn(&mut Value)) -> Option<Consequence> {
    let registry = Registry::standard();
    let engine = registry
        .get(instance.resource_type, instance.spec.engine)
        .unwrap();
    let credentials = Credentials::new("app", "secret".to_owned(), "app");
    let manifests = engine.build(instance, &credentials).unwrap();
    let object = manifests.objects().iter().find(|o| o.kind() == kind).unwrap();
    let mut live = object.json().clone();
    by_hand(&mut live);
    let changes = kidp_drift::diff(object.json(), &live);
    changes
        .iter()
        .map(|change| engine.consequence(instance, change))
        .max()
}

/// Puts a value at a pointer.
fn set(pointer: &str, value: Value) -> impl Fn(&mut Value) {
    move |live| *live.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value.clone()
}

#[test]
fn what_kubernetes_decides_is_the_same_for_every_engine() {
    let pod = "/spec/template/spec";
    let claim = "/spec/volumeClaimTemplates/0/spec";
    for instance in every() {
        for (kind, pointer, value, consequence) in [
            ("StatefulSet", "/metadata/labels", json!({}), None),
            ("StatefulSet", "/spec/replicas", json!(0), None),
            ("StatefulSet", "/spec/replicas", json!(3), None),
            (
                "StatefulSet",
                "/spec/updateStrategy/type",
                json!("OnDelete"),
                None,
            ),
            ("StatefulSet", "/spec/revisionHistoryLimit", json!(9), None),
            ("StatefulSet", "/spec/serviceName", json!("other"), Recreate),
            (
                "StatefulSet",
                "/spec/podManagementPolicy",
                json!("OrderedReady"),
                Recreate,
            ),
            (
                "StatefulSet",
                "/spec/template/metadata/annotations",
                json!({}),
                RollingRestart,
            ),
            (
                "StatefulSet",
                &format!("{pod}/containers/0/resources/limits/cpu"),
                json!("9"),
                RollingRestart,
            ),
            (
                "StatefulSet",
                &format!("{pod}/containers/0/image"),
                json!("docker.io/library/busybox:1"),
                RollingRestart,
            ),
            (
                "StatefulSet",
                &format!("{pod}/containers"),
                json!([]),
                RollingRestart,
            ),
            (
                "StatefulSet",
                &format!("{claim}/resources/requests/storage"),
                json!("1Gi"),
                None,
            ),
            (
                "StatefulSet",
                &format!("{claim}/resources/requests/storage"),
                json!("99Gi"),
                DataLoss,
            ),
            (
                "StatefulSet",
                &format!("{claim}/storageClassName"),
                json!("slow"),
                DataLoss,
            ),
            (
                "StatefulSet",
                &format!("{claim}/accessModes"),
                json!(["ReadWriteMany"]),
                Recreate,
            ),
            ("ConfigMap", "/metadata/labels", json!({}), None),
            ("Service", "/spec/ports/0/port", json!(1), None),
            ("Service", "/spec/clusterIP", json!("10.0.0.1"), Recreate),
            ("Secret", "/type", json!("Opaque"), Recreate),
            ("Secret", "/data/host", json!("eA=="), None),
            ("NetworkPolicy", "/spec", json!({}), None),
            ("ServiceAccount", "/metadata/labels", json!({}), None),
        ] {
            assert_eq!(
                of(&instance, kind, set(pointer, value.clone())),
                Some(consequence),
                "{} {kind} {pointer} {value}",
                instance.spec.engine
            );
        }
    }
}

#[test]
fn what_is_missing_is_as_grave_as_what_went_with_it() {
    for instance in every() {
        let registry = Registry::standard();
        let engine = registry
            .get(instance.resource_type, instance.spec.engine)
            .unwrap();
        let base = format!("orders-{}", instance.spec.engine);
        for (object, consequence) in [
            (format!("StatefulSet/{base}"), Recreate),
            (format!("PersistentVolumeClaim/data-{base}-0"), DataLoss),
            (format!("Secret/{base}-connection"), DataLoss),
            (format!("ConfigMap/{base}-config"), None),
            (format!("Service/{base}"), None),
            (format!("PodDisruptionBudget/{base}"), None),
            (format!("NetworkPolicy/{base}"), None),
        ] {
            let change = Change::missing(object);
            assert_eq!(
                engine.consequence(&instance, &change),
                consequence,
                "{}",
                change.object
            );
        }
    }
}

/// The version in the image is what the data was opened by; what the wanted one opens of it differs.
#[test]
fn an_image_is_judged_by_what_it_does_to_data() {
    for (engine, wanted, present, consequence) in [
        ("postgresql", "17", "17.2-alpine", RollingRestart),
        ("postgresql", "17", "18", DataLoss),
        ("postgresql", "17", "latest", DataLoss),
        ("mysql", "8.4", "8.4.1", RollingRestart),
        ("mysql", "8.4", "9", DataLoss),
        ("mysql", "9", "8.4", RollingRestart),
        ("mongodb", "8", "7", DataLoss),
        ("redis", "8", "7", RollingRestart),
        ("redis", "7", "8", DataLoss),
        ("rabbitmq", "4.0", "4.1", DataLoss),
        ("rabbitmq", "4.1", "4.0", RollingRestart),
    ] {
        let instance = instance(engine, wanted, &json!({}));
        let by_hand = |live: &mut Value| {
            let image = live
                .pointer_mut("/spec/template/spec/containers/0/image")
                .unwrap();
            let name = image.as_str().unwrap().rsplit_once(':').unwrap().0.to_owned();
            *image = json!(format!("{name}:{present}"));
        };
        let found = of(&instance, "StatefulSet", by_hand);
        assert_eq!(found, Some(consequence), "{engine} {wanted} {present}");
    }
}

#[test]
fn a_member_that_may_lead_is_not_taken_away_unnoticed() {
    for (engine, version) in [("redis", "8"), ("mongodb", "8"), ("rabbitmq", "4")] {
        let instance = instance(engine, version, &json!({"highAvailability": true}));
        let scaled = |replicas| of(&instance, "StatefulSet", set("/spec/replicas", json!(replicas)));
        assert_eq!(scaled(5), Some(RollingRestart), "{engine}");
        assert_eq!(scaled(2), Some(None), "{engine}");
    }
}

/// Servers read their configuration at their start; what probes and hooks run is read each time.
#[test]
fn files_of_probes_are_taken_on_at_once_and_configurations_are_not() {
    let members = json!({"highAvailability": true});
    for (engine, version, spec, live, at_start) in [
        ("postgresql", "17", &json!({}), vec![], vec!["postgresql.conf"]),
        (
            "mongodb",
            "8",
            &json!({}),
            vec!["hello.sh", "login.js"],
            vec!["mongod.conf"],
        ),
        (
            "mongodb",
            "8",
            &members,
            vec!["ready.sh", "alive.sh", "ask.sh"],
            vec!["start.sh"],
        ),
        ("redis", "8", &json!({}), vec![], vec!["redis.conf"]),
        (
            "redis",
            "8",
            &members,
            vec!["ready.sh", "leave.sh"],
            vec!["redis.conf", "start.sh"],
        ),
        (
            "rabbitmq",
            "4",
            &json!({}),
            vec!["ready.sh"],
            vec!["rabbitmq.conf", "prepare.sh"],
        ),
    ] {
        let instance = instance(engine, version, spec);
        let changed = |file: &str| of(&instance, "ConfigMap", set(&format!("/data/{file}"), json!("x")));
        for file in live {
            assert_eq!(changed(file), Some(Reload), "{engine} {file}");
        }
        for file in at_start {
            assert_eq!(changed(file), Some(None), "{engine} {file}");
        }
    }
}

/// A new parameter restarts pods by the hash on their template, whichever the engine.
#[test]
fn a_parameter_that_is_asked_for_restarts_pods() {
    for (engine, version, parameter) in [
        ("postgresql", "17", json!({"work_mem": "8MB"})),
        ("mysql", "8.4", json!({"max_connections": "99"})),
        ("mongodb", "8", json!({"net.maxIncomingConnections": "999"})),
        ("redis", "8", json!({"maxmemory-policy": "allkeys-lfu"})),
        ("rabbitmq", "4", json!({"heartbeat": "30"})),
    ] {
        let registry = Registry::standard();
        let (now, then) = (
            instance(engine, version, &json!({})),
            instance(engine, version, &json!({"parameters": parameter})),
        );
        let engine = registry.get(now.resource_type, now.spec.engine).unwrap();
        assert_eq!(engine.validate(&then), Ok(()));
        let credentials = Credentials::new("app", "secret".to_owned(), "app");
        let (live, wanted) = (
            engine.build(&now, &credentials).unwrap(),
            engine.build(&then, &credentials).unwrap(),
        );
        let pairs = wanted.objects().iter().zip(live.objects());
        let gravest = pairs
            .flat_map(|(wanted, live)| kidp_drift::diff(wanted.json(), live.json()))
            .map(|change| engine.consequence(&then, &change))
            .max();
        assert_eq!(gravest, Some(RollingRestart), "{}", now.spec.engine);
    }
}
