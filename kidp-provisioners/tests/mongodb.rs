//! MongoDB: the rendered objects, checked in under `snapshots/`, and what is accepted and refused.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use kidp_core::size::Size;
use kidp_provisioners::engines::mongodb::{Kind, Mongodb, PARAMETERS, VERSIONS};
use kidp_provisioners::{Instance, Manifests, Prepared, Provisioner};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{assert_refused, build, connection_secret, instance_of, of_kind, parameter_fault};

fn database(version: &str, size: Size, extra: &Value) -> Instance {
    instance_of(&Mongodb::default(), "orders", version, size, extra)
}

fn config(manifests: &Manifests<Prepared>) -> String {
    let file = &of_kind(manifests, "ConfigMap")[0]["data"]["mongod.conf"];
    file.as_str().unwrap().to_owned()
}

fn faults_of(instance: &Instance) -> Vec<(String, String)> {
    let faults = Mongodb::default().validate(instance).err().unwrap_or_default();
    faults.into_iter().map(|f| (f.field, f.message)).collect()
}

fn faults(extra: &Value) -> Vec<(String, String)> {
    faults_of(&database("7", Size::Small, extra))
}

fn parameter(name: &str, value: &str) -> Option<String> {
    parameter_fault(faults(&json!({"parameters": {name: value}})), name)
}

#[test]
fn plain() {
    let manifests = build(&database("7", Size::Small, &json!({})));
    insta::assert_snapshot!("plain", manifests.to_yaml_redacted().unwrap());
    insta::assert_yaml_snapshot!("connection_secret", connection_secret(&manifests));
}

#[test]
fn members() {
    let manifests = build(&database("8", Size::Medium, &json!({"highAvailability": true})));
    insta::assert_snapshot!("members", manifests.to_yaml_redacted().unwrap());
    insta::assert_yaml_snapshot!("members_connection_secret", connection_secret(&manifests));
}

/// A server alone that becomes the first member keeps its address, its claim and its login.
#[test]
fn a_set_is_reached_where_a_server_alone_was() {
    let (alone, set) = (json!({}), json!({"highAvailability": true}));
    let [alone, set] = [alone, set].map(|extra| database("7", Size::Small, &extra));
    assert_eq!(
        Mongodb::default().connection(&alone),
        Mongodb::default().connection(&set)
    );
    let entries = |instance: &Instance| connection_secret(&build(instance))["entries"].clone();
    let (before, after) = (entries(&alone), entries(&set));
    for (name, value) in before
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| *name != "uri")
    {
        assert_eq!(after[name], *value, "{name}");
    }
    let uri = after["uri"].as_str().unwrap();
    for ordinal in 0..3 {
        let host = format!("orders-mongodb-{ordinal}.orders-mongodb-headless.shop.svc:27017");
        assert!(uri.contains(&host), "{uri}");
    }
    assert!(uri.ends_with("/app?authSource=admin&replicaSet=rs0"), "{uri}");
    // Only the first member makes the user, so the image must not be told of it for all.
    let pod = &of_kind(&build(&set), "StatefulSet")[0]["spec"]["template"]["spec"];
    assert!(!pod["containers"][0]["env"].to_string().contains("MONGO_INITDB"));
}

#[test]
fn every_option() {
    let extra = json!({
        "storage": {"size": "100Gi", "class": "fast"},
        "parameters": {"storage.wiredTiger.engineConfig.cacheSizeGB": "4.5", "operationProfiling.mode": "off",
            "SETPARAMETER.NOTABLESCAN": "true", "net.compression.compressors": "zstd,snappy"},
        "deletionPolicy": "Retain"
    });
    let manifests = build(&database("7.0.14", Size::Xlarge, &extra));
    insta::assert_snapshot!("every_option", manifests.to_yaml_redacted().unwrap());
}

/// What a size and a version change, for each pair of them.
#[test]
fn sizes_and_versions() {
    for size in Size::ALL {
        for version in VERSIONS {
            let manifests = build(&database(version, size, &json!({})));
            let container =
                of_kind(&manifests, "StatefulSet")[0]["spec"]["template"]["spec"]["containers"][0].clone();
            let config = config(&manifests);
            let settings: Vec<_> = config.lines().collect();
            insta::assert_yaml_snapshot!(
                format!("{size}-{version}"),
                json!({"image": container["image"], "resources": container["resources"], "mongod.conf": settings})
            );
        }
    }
}

#[test]
fn versions() {
    for version in ["6", "6.0", "7", "7.0", "7.0.14", "8", "8.0.4"] {
        assert_eq!(
            faults_of(&database(version, Size::Small, &json!({}))),
            [],
            "{version}"
        );
    }
    for version in [
        "5", "5.0", "7.1", "7.3.1", "7.", "7.0.1.1", "7-jammy", "70", "latest", "",
    ] {
        let faults = faults_of(&database(version, Size::Small, &json!({})));
        assert_eq!(faults.len(), 1, "{version}");
        assert_eq!(faults[0].0, "spec.version");
    }
    let opens = |from: &str, to: &str| Mongodb::default().opens_data(from, to);
    assert!(opens("7", "7.0") && opens("7.0.1", "7.0.14") && !opens("7.0.14", "7.0.1"));
    assert!(!opens("6", "7") && !opens("7", "6") && !opens("6.0", "8.0"));
}

#[test]
fn what_cannot_be_honoured_is_refused_by_field() {
    let cases = [
        (
            json!({"backup": {"enabled": true}}),
            "spec.backup.enabled",
            "MongoDB",
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
            json!({"storage": {"size": "512Mi"}}),
            "spec.storage.size",
            "at least 1Gi",
        ),
    ];
    for (extra, field, says) in cases {
        assert_refused(&faults(&extra), field, says);
    }
}

#[test]
fn parameters_of_every_type() {
    let accepted = [
        ("storage.wiredTiger.engineConfig.cacheSizeGB", "1.2"),
        ("storage.wiredtiger.engineconfig.cachesizegb", "0.25"),
        ("net.maxIncomingConnections", "2000"),
        ("operationProfiling.mode", "slowOp"),
        ("setParameter.notablescan", "false"),
        ("net.compression.compressors", "zstd, zlib"),
    ];
    for (name, value) in accepted {
        assert_eq!(parameter(name, value), None, "{name}={value}");
    }
    let refused = [
        (
            "storage.wiredTiger.engineConfig.cacheSizeGB",
            "1.5",
            "at most 60 %",
        ),
        ("storage.wiredTiger.engineConfig.cacheSizeGB", "0.1", "from 0.25"),
        ("storage.wiredTiger.engineConfig.cacheSizeGB", "1GB", "a number"),
        ("net.maxIncomingConnections", "0", "from 10"),
        ("operationProfiling.mode", "on", "slowOp"),
        ("setParameter.notablescan", "1", "true, false"),
        ("storage.dbPath", "/x", "from the first start on"),
        ("storage.journal.enabled", "false", "lose data"),
        ("net.bindIp", "127.0.0.1", "the Service"),
        ("net.tls.mode", "disabled", "spec.encryption"),
        ("security.authorization", "disabled", "anyone could read"),
        ("replication.replSetName", "rs0", "spec.highAvailability"),
        ("systemLog.path", "/x", "the container"),
        (
            "setParameter.noTableScan2",
            "1",
            "did you mean `setParameter.notablescan`",
        ),
        ("x: 1\nnet.port", "1", "not an accepted parameter"),
    ];
    for (name, value, says) in refused {
        let message = parameter(name, value).unwrap_or_else(|| panic!("{name}={value} was accepted"));
        assert!(message.contains(says), "{name}={value}: {message}");
    }
}

#[test]
fn the_list_is_sorted_and_its_ranges_are_ranges() {
    assert!(PARAMETERS.len() > 20);
    assert!(PARAMETERS.is_sorted_by(|a, b| a.name < b.name));
    for parameter in PARAMETERS {
        let ordered = match parameter.kind {
            Kind::Integer { min, max } => min < max,
            Kind::Real { min, max } => min < max,
            _ => true,
        };
        assert!(ordered, "{}", parameter.name);
    }
}

/// What the pod depends on is not to be changed, whatever is asked for and not validated.
fn depended_on(config: &Value) -> Value {
    json!([
        config["net"]["port"],
        config["net"]["bindIpAll"],
        config["security"]["authorization"],
        config["storage"]["dbPath"]
    ])
}

proptest! {
    #[test]
    fn a_configuration_is_yaml_with_the_types_that_the_server_reads(
        place in 0..PARAMETERS.len(), value in "\\PC{0,40}|[\n\r'\"\\\\#:{} a0-9.]{0,12}|(true|false|off|[0-9]{1,4})"
    ) {
        let parameter = &PARAMETERS[place];
        let parameters = json!({parameter.name: value});
        let text = config(&build(&database("7", Size::Small, &json!({"parameters": parameters}))));
        let read: Value = serde_yaml_ng::from_str(&text).unwrap();
        prop_assert_eq!(depended_on(&read), json!([27017, true, "enabled", "/data/db"]));
        let pointer = format!("/{}", parameter.name.replace('.', "/"));
        if let Some(found) = read.pointer(&pointer) {
            let fits = match parameter.kind {
                Kind::Integer { .. } | Kind::Real { .. } => found.is_number(),
                Kind::Choice(["true", "false"]) => found.is_boolean(),
                _ => found.is_string(),
            };
            prop_assert!(fits, "{found}");
        }
    }
}
