//! Faults of objects: what differs between renderings, and what they are called.

use std::sync::atomic::{AtomicU64, Ordering};

use kidp_provisioners::conformance::Check;
use serde_json::json;

use crate::breaks;
use crate::broken::{Fault, labels, of, set};

static COUNTER: AtomicU64 = AtomicU64::new(0);
static LAST: AtomicU64 = AtomicU64::new(0);

#[test]
fn determinism_notices() {
    let cases: [(&str, Fault); 5] = [
        (
            "differently when asked again",
            Fault::Objects(|o, _, _| {
                let count = COUNTER.fetch_add(1, Ordering::Relaxed);
                of(o, "ConfigMap")["data"]["count"] = json!(count.to_string());
            }),
        ),
        (
            "differently when asked again",
            Fault::Objects(|o, _, _| {
                let words: std::collections::HashSet<_> = (0..20).map(|n| n.to_string()).collect();
                of(o, "ConfigMap")["data"]["words"] = json!(words.into_iter().collect::<String>());
            }),
        ),
        (
            "has a date and time",
            Fault::Objects(|o, _, _| {
                of(o, "ConfigMap")["data"]["built"] = json!("2026-01-01T00:00:00Z");
            }),
        ),
        (
            "has the current time in it",
            Fault::Objects(|o, _, _| {
                let day = std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap()
                    .as_secs()
                    / 60
                    * 60;
                of(o, "ConfigMap")["data"]["built"] = json!(day.to_string());
            }),
        ),
        (
            "differently after other instances",
            Fault::Objects(|o, i, _| {
                // Counts how often another instance's turn comes.
                let turn = i.name.len() as u64;
                if LAST.swap(turn, Ordering::Relaxed) != turn {
                    COUNTER.fetch_add(1, Ordering::Relaxed);
                }
                of(o, "ConfigMap")["data"]["turns"] = json!(COUNTER.load(Ordering::Relaxed).to_string());
            }),
        ),
    ];
    for (words, fault) in cases {
        breaks(Check::Determinism, words, fault);
    }
}

#[test]
fn immutability_notices() {
    let cases: [(&str, Fault); 8] = [
        (
            "the set of workloads, Services and Secrets changes",
            Fault::Objects(|o, i, _| {
                let name = of(o, "Service")["metadata"]["name"].clone();
                let name = format!("{}-{}", name.as_str().unwrap(), i.spec.size);
                of(o, "Service")["metadata"]["name"] = json!(name);
            }),
        ),
        (
            "spec.podManagementPolicy changes",
            Fault::Objects(|o, i, _| {
                if i.spec.version == "16" {
                    set(o)["spec"]["podManagementPolicy"] = json!("OrderedReady");
                }
            }),
        ),
        (
            "spec.volumeClaimTemplates changes",
            Fault::Objects(|o, i, _| {
                let claim = &mut set(o)["spec"]["volumeClaimTemplates"][0];
                claim["metadata"]["labels"]["size"] = json!(i.spec.size);
            }),
        ),
        (
            "spec.serviceName changes",
            Fault::Objects(|o, i, _| {
                set(o)["spec"]["serviceName"] = json!(format!("orders-{}", i.spec.size));
            }),
        ),
        (
            "spec.selector changes",
            Fault::Objects(|o, i, _| {
                set(o)["spec"]["selector"]["matchLabels"]["version"] = json!(i.spec.version);
            }),
        ),
        (
            "spec.template labels changes",
            Fault::Objects(|o, i, _| {
                set(o)["spec"]["template"]["metadata"]["labels"]["version"] = json!(i.spec.version);
            }),
        ),
        (
            "spec.clusterIP changes",
            Fault::Objects(|o, i, _| {
                if i.spec.version == "16" {
                    of(o, "Service")["spec"]["clusterIP"] = json!(null);
                }
            }),
        ),
        (
            "immutable changes",
            Fault::Objects(|o, i, _| {
                if i.spec.size.cpu_cores() > 1 {
                    of(o, "ConfigMap")["immutable"] = json!(true);
                }
            }),
        ),
    ];
    for (words, fault) in cases {
        breaks(Check::Immutability, words, fault);
    }
}

#[test]
fn naming_notices() {
    let cases: [(&str, Fault); 9] = [
        (
            "its name must be at most 63",
            Fault::Objects(|o, _, _| {
                let name = of(o, "ConfigMap")["metadata"]["name"]
                    .as_str()
                    .unwrap()
                    .to_owned();
                of(o, "ConfigMap")["metadata"]["name"] = json!(format!("{name}-{}", "x".repeat(60)));
            }),
        ),
        (
            "is not the base name",
            Fault::Objects(|o, i, _| {
                of(o, "ConfigMap")["metadata"]["name"] =
                    json!(format!("config-{}", kidp_core::names::short_hash(&[&i.name], 8)));
            }),
        ),
        (
            "is also an object of the instance",
            Fault::Objects(|o, _, _| {
                of(o, "ConfigMap")["metadata"]["name"] = json!("config");
            }),
        ),
        (
            "is rendered twice",
            Fault::Objects(|o, _, _| {
                let again = of(o, "ConfigMap").clone();
                o.push(again);
            }),
        ),
        (
            "is not in the instance's namespace",
            Fault::Objects(|o, _, _| {
                of(o, "ConfigMap")["metadata"]["namespace"] = json!("default");
            }),
        ),
        (
            "app.kubernetes.io/instance is missing",
            Fault::Objects(|o, _, _| {
                labels(of(o, "ConfigMap")).remove("app.kubernetes.io/instance");
            }),
        ),
        (
            "has a value that Kubernetes refuses",
            Fault::Objects(|o, i, _| {
                labels(of(o, "ConfigMap")).insert("platform.company.com/team".to_owned(), json!(i.team));
            }),
        ),
        (
            "selects pods of other instances",
            Fault::Objects(|o, _, _| {
                for service in o.iter_mut().filter(|o| o["kind"] == "Service") {
                    service["spec"]["selector"]
                        .as_object_mut()
                        .unwrap()
                        .remove("app.kubernetes.io/instance");
                }
            }),
        ),
        (
            "a Service's name starts with a letter",
            Fault::Objects(|o, i, _| {
                of(o, "Service")["metadata"]["name"] =
                    json!(format!("1-{}", kidp_core::names::short_hash(&[&i.name], 8)));
            }),
        ),
    ];
    for (words, fault) in cases {
        breaks(Check::Naming, words, fault);
    }
}
