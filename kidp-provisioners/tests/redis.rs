//! Redis: the rendered objects, checked in under `snapshots/`, and what is accepted and refused.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use kidp_core::size::Size;
use kidp_provisioners::engines::redis::{PARAMETERS, Redis, VERSIONS};
use kidp_provisioners::{Instance, Manifests, Prepared, Provisioner};
use serde_json::{Value, json};
use support::{assert_refused, build, connection_secret, instance_of, of_kind, parameter_fault};

fn cache(version: &str, size: Size, extra: &Value) -> Instance {
    instance_of(&Redis::cache(), "orders", version, size, extra)
}

fn config(manifests: &Manifests<Prepared>) -> String {
    let file = &of_kind(manifests, "ConfigMap")[0]["data"]["redis.conf"];
    file.as_str().unwrap().to_owned()
}

fn faults(extra: &Value) -> Vec<(String, String)> {
    let faults = Redis::cache().validate(&cache("8", Size::Small, extra)).err();
    let faults = faults.unwrap_or_default().into_iter();
    faults.map(|f| (f.field, f.message)).collect()
}

fn parameter(name: &str, value: &str) -> Option<String> {
    parameter_fault(faults(&json!({"parameters": {name: value}})), name)
}

#[test]
fn plain() {
    let manifests = build(&cache("8", Size::Small, &json!({})));
    insta::assert_snapshot!("plain", manifests.to_yaml_redacted().unwrap());
    insta::assert_yaml_snapshot!("connection_secret", connection_secret(&manifests));
}

#[test]
fn members() {
    let manifests = build(&cache("8", Size::Medium, &json!({"highAvailability": true})));
    insta::assert_snapshot!("members", manifests.to_yaml_redacted().unwrap());
    insta::assert_yaml_snapshot!("members_connection_secret", connection_secret(&manifests));
}

/// One member that becomes three keeps its address, its claim and its login.
#[test]
fn three_members_are_reached_where_one_was() {
    let (one, three) = (json!({}), json!({"highAvailability": true}));
    let [one, three] = [one, three].map(|extra| cache("8", Size::Small, &extra));
    assert_eq!(Redis::cache().connection(&one), Redis::cache().connection(&three));
    let entries = |instance: &Instance| connection_secret(&build(instance))["entries"].clone();
    let (before, after) = (entries(&one), entries(&three));
    for (name, value) in before.as_object().unwrap() {
        assert_eq!(after[name], *value, "{name}");
    }
    let set = &of_kind(&build(&three), "StatefulSet")[0]["spec"];
    assert_eq!(set["replicas"], 3);
    assert_eq!(set["volumeClaimTemplates"][0]["metadata"]["name"], "data");
    // The Service's port leads to the router.
    let pod = &set["template"]["spec"];
    let ports = |list: &str| -> Vec<(String, i64)> {
        let containers = pod[list].as_array().unwrap().iter();
        let ports = containers.flat_map(|c| c["ports"].as_array().cloned().unwrap_or_default());
        ports
            .map(|p| {
                (
                    p["name"].as_str().unwrap().to_owned(),
                    p["containerPort"].as_i64().unwrap(),
                )
            })
            .collect()
    };
    assert_eq!(ports("containers"), [("member".to_owned(), 6379)]);
    assert_eq!(
        ports("initContainers"),
        [("sentinel".to_owned(), 26379), ("redis".to_owned(), 6380)]
    );
}

/// No name of a pod's own is in the files that all share, and each template's gaps are filled by `prepare.sh`.
#[test]
fn what_is_filled_in_is_known_to_the_script() {
    let manifests = build(&cache("8", Size::Small, &json!({"highAvailability": true})));
    let files = of_kind(&manifests, "ConfigMap")[0]["data"].clone();
    let script = files["prepare.sh"].as_str().unwrap();
    for (name, text) in files.as_object().unwrap() {
        let text = text.as_str().unwrap();
        if name.contains(".sh") {
            continue;
        }
        let gaps = text.split('@').skip(1).step_by(2);
        for gap in gaps.filter(|gap| gap.bytes().all(|c| c.is_ascii_uppercase())) {
            assert!(script.contains(&format!("@{gap}@")), "{name}: {gap}");
        }
    }
}

#[test]
fn every_option() {
    let extra = json!({
        "storage": {"size": "100Gi", "class": "fast"},
        "parameters": {"save": "3600 1 300 100", "Maxmemory-Policy": "volatile-ttl", "notify-keyspace-events": "KEA",
            "timeout": "300"},
        "deletionPolicy": "Retain"
    });
    let manifests = build(&cache("7.4.2", Size::Xlarge, &extra));
    insta::assert_snapshot!("every_option", manifests.to_yaml_redacted().unwrap());
}

/// What a size and a version change, for each pair of them.
#[test]
fn sizes_and_versions() {
    for size in Size::ALL {
        for version in VERSIONS {
            let manifests = build(&cache(version, size, &json!({})));
            let container =
                of_kind(&manifests, "StatefulSet")[0]["spec"]["template"]["spec"]["containers"][0].clone();
            let config = config(&manifests);
            let settings: Vec<_> = config.lines().collect();
            insta::assert_yaml_snapshot!(
                format!("{size}-{version}"),
                json!({"image": container["image"], "resources": container["resources"], "redis.conf": settings})
            );
        }
    }
}

#[test]
fn a_database_differs_from_a_cache_in_what_is_evicted_and_in_labels_alone() {
    let cache = build(&cache("8", Size::Small, &json!({})));
    let database = build(&instance_of(
        &Redis::database(),
        "orders",
        "8",
        Size::Small,
        &json!({}),
    ));
    let other = |text: String| text.replace("allkeys-lru", "noeviction");
    assert!(config(&cache).contains("maxmemory-policy \"allkeys-lru\""));
    assert_eq!(other(config(&cache)), config(&database));
    let component = |m: &Manifests<Prepared>| {
        of_kind(m, "StatefulSet")[0]["metadata"]["labels"]["app.kubernetes.io/component"].clone()
    };
    assert_eq!(component(&cache), "cache");
    assert_eq!(component(&database), "database");
}

#[test]
fn versions() {
    for version in ["7", "7.4", "7.4.2", "8", "8.2", "8.2.1"] {
        let instance = cache(version, Size::Small, &json!({}));
        assert_eq!(Redis::cache().validate(&instance), Ok(()), "{version}");
    }
    for version in ["6", "6.2", "70", "7.", "8.2.1.1", "8-alpine", "latest", ""] {
        let faults = Redis::cache()
            .validate(&cache(version, Size::Small, &json!({})))
            .unwrap_err();
        assert_eq!(faults.len(), 1, "{version}");
        assert_eq!(faults[0].field, "spec.version");
    }
    let opens = |from: &str, to: &str| Redis::cache().opens_data(from, to);
    assert!(opens("7", "8") && opens("7.2", "7.4.1") && !opens("8", "7") && !opens("7.4", "7.2"));
}

#[test]
fn what_cannot_be_honoured_is_refused_by_field() {
    let cases = [
        (
            json!({"backup": {"enabled": true}}),
            "spec.backup.enabled",
            "Redis",
        ),
        (
            json!({"encryption": {"inTransit": true}}),
            "spec.encryption.inTransit",
            "cert-manager",
        ),
        (
            json!({"encryption": {"atRest": true}}),
            "spec.encryption.atRest",
            "storage class",
        ),
        (
            json!({"deletionPolicy": "Snapshot"}),
            "spec.deletionPolicy",
            "Snapshot",
        ),
        (
            json!({"storage": {"size": "100Mi"}}),
            "spec.storage.size",
            "at least 256Mi",
        ),
    ];
    for (extra, field, says) in cases {
        assert_refused(&faults(&extra), field, says);
    }
}

#[test]
fn parameters_of_every_type() {
    let accepted = [
        ("maxmemory", "1gb"),
        ("maxmemory", "1073741824"),
        ("MaxMemory", "1GB"),
        ("maxmemory-policy", "allkeys-lfu"),
        ("appendfsync", "always"),
        ("save", ""),
        ("save", "3600 1 300 100"),
        ("notify-keyspace-events", "Kx"),
        ("notify-keyspace-events", ""),
        ("timeout", "0"),
        ("list-max-listpack-size", "-2"),
    ];
    for (name, value) in accepted {
        assert_eq!(parameter(name, value), None, "{name}={value}");
    }
    let refused = [
        ("maxmemory", "1900mb", "at most 90 %"),
        ("maxmemory", "1g", "kb, mb, gb"),
        ("maxmemory", "0", "from 16mb"),
        ("maxmemory-policy", "lru", "allkeys-lru"),
        ("appendonly", "no", "drop the data"),
        ("rdbcompression", "true", "yes, no"),
        ("save", "3600", "groups of 2"),
        ("save", "a b", "groups of 2"),
        ("notify-keyspace-events", "KQ", "letters of"),
        ("databases", "0", "from 1"),
        ("timeout", "1\nport 1", "whole number"),
        ("requirepass", "x", "who may do what"),
        ("aclfile", "/x", "who may do what"),
        ("rename-command", "x", "who may do what"),
        ("enable-debug-command", "yes", "who may do what"),
        ("dir", "/", "mounts depend on it"),
        ("bind-source-addr", "x", "the Service"),
        ("tls-port", "1", "spec.encryption"),
        ("replicaof", "x", "spec.highAvailability"),
        ("activedefrag", "yes", "does not start"),
        ("maxmemmory", "1", "did you mean `maxmemory`"),
    ];
    for (name, value, says) in refused {
        let message = parameter(name, value).unwrap_or_else(|| panic!("{name}={value} was accepted"));
        assert!(message.contains(says), "{name}={value}: {message}");
    }
}

#[test]
fn the_list_is_sorted_and_long_enough() {
    assert!(PARAMETERS.len() > 30);
    assert!(PARAMETERS.is_sorted_by(|a, b| a.name < b.name));
}
