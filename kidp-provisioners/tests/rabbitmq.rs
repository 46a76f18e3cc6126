//! RabbitMQ: the rendered objects, checked in under `snapshots/`, and what is accepted and refused.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use kidp_core::size::Size;
use kidp_provisioners::engines::rabbitmq::{Kind, PARAMETERS, Rabbitmq, VERSIONS};
use kidp_provisioners::{Instance, Manifests, Prepared, Provisioner};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{assert_refused, build, connection_secret, instance_of, of_kind, parameter_fault};

fn queue(version: &str, size: Size, extra: &Value) -> Instance {
    instance_of(&Rabbitmq::default(), "orders", version, size, extra)
}

fn file(manifests: &Manifests<Prepared>, name: &str) -> String {
    let file = &of_kind(manifests, "ConfigMap")[0]["data"][name];
    file.as_str().unwrap().to_owned()
}

fn faults_of(instance: &Instance) -> Vec<(String, String)> {
    let faults = Rabbitmq::default().validate(instance).err().unwrap_or_default();
    faults.into_iter().map(|f| (f.field, f.message)).collect()
}

fn faults(extra: &Value) -> Vec<(String, String)> {
    faults_of(&queue("4", Size::Small, extra))
}

fn parameter(name: &str, value: &str) -> Option<String> {
    parameter_fault(faults(&json!({"parameters": {name: value}})), name)
}

#[test]
fn plain() {
    let manifests = build(&queue("4", Size::Small, &json!({})));
    insta::assert_snapshot!("plain", manifests.to_yaml_redacted().unwrap());
    insta::assert_yaml_snapshot!("connection_secret", connection_secret(&manifests));
}

#[test]
fn every_option() {
    let extra = json!({
        "storage": {"size": "100Gi", "class": "fast"},
        "highAvailability": true,
        "parameters": {"Heartbeat": "30", "enabled_plugins": "rabbitmq_management, rabbitmq_shovel",
            "disk_free_limit.absolute": "4GiB", "log.console.formatter": "json", "queue_leader_locator": "client-local"},
        "deletionPolicy": "Retain"
    });
    let manifests = build(&queue("4.1.3", Size::Xlarge, &extra));
    insta::assert_snapshot!("every_option", manifests.to_yaml_redacted().unwrap());
}

/// What a size, a version and the number of nodes change, for each of them.
#[test]
fn sizes_versions_and_nodes() {
    for size in Size::ALL {
        for version in VERSIONS {
            for available in [false, true] {
                let manifests = build(&queue(version, size, &json!({"highAvailability": available})));
                let set = of_kind(&manifests, "StatefulSet").remove(0);
                let container = &set["spec"]["template"]["spec"]["containers"][0];
                let config = file(&manifests, "rabbitmq.conf");
                let settings: Vec<_> = config.lines().collect();
                let nodes = set["spec"]["replicas"].clone();
                insta::assert_yaml_snapshot!(
                    format!("{size}-{version}-{nodes}"),
                    json!({"image": container["image"], "resources": container["resources"], "nodes": nodes,
                        "plugins": file(&manifests, "enabled_plugins"), "rabbitmq.conf": settings})
                );
            }
        }
    }
}

/// One node becomes three in place: what names its data, and what the first node's pods share with the others, is the
/// same.
#[test]
fn a_node_keeps_its_name_and_cookie_when_it_becomes_one_of_three() {
    let pod = |available: bool| {
        let manifests = build(&queue("4", Size::Small, &json!({"highAvailability": available})));
        let spec = of_kind(&manifests, "StatefulSet")[0]["spec"]["template"]["spec"].clone();
        let env = spec["containers"][0]["env"].as_array().unwrap().clone();
        let name = env
            .into_iter()
            .find(|v| v["name"] == "RABBITMQ_NODENAME")
            .unwrap();
        let init = &spec["initContainers"][0];
        (
            name,
            init["command"].clone(),
            init["volumeMounts"].clone(),
            file(&manifests, "prepare.sh"),
        )
    };
    assert_eq!(pod(false), pod(true));
}

/// Nodes reach each other, and clients only what is for them.
#[test]
fn members_have_ports_that_clients_do_not() {
    let one = build(&queue("4", Size::Small, &json!({})));
    assert_eq!(of_kind(&one, "NetworkPolicy").len(), 1);
    assert_eq!(of_kind(&one, "PodDisruptionBudget").len(), 0);
    let three = build(&queue("4", Size::Small, &json!({"highAvailability": true})));
    let policies = of_kind(&three, "NetworkPolicy");
    let ports = |policy: &Value| -> Vec<u64> {
        let ports = policy["spec"]["ingress"][0]["ports"].as_array().unwrap();
        ports.iter().map(|p| p["port"].as_u64().unwrap()).collect()
    };
    assert_eq!(ports(&policies[0]), [5672]);
    assert_eq!(ports(&policies[1]), [4369, 25672, 6000]);
    assert_eq!(of_kind(&three, "PodDisruptionBudget").len(), 1);
}

#[test]
fn versions() {
    for version in ["4", "4.0", "4.1", "4.2.1", "4.3.6"] {
        assert_eq!(
            faults_of(&queue(version, Size::Small, &json!({}))),
            [],
            "{version}"
        );
    }
    for version in ["3", "3.13", "40", "4.", "4.1.1.1", "4-alpine", "latest", ""] {
        let faults = faults_of(&queue(version, Size::Small, &json!({})));
        assert_eq!(faults.len(), 1, "{version}");
        assert_eq!(faults[0].0, "spec.version");
    }
    let opens = |from: &str, to: &str| Rabbitmq::default().opens_data(from, to);
    assert!(opens("4", "4.3") && opens("4.1.2", "4.2") && !opens("4.2", "4.1") && !opens("3.13", "4"));
}

#[test]
fn three_nodes_need_a_version_that_does_not_ask_the_api_server() {
    let available = json!({"highAvailability": true});
    for version in ["4", "4.1", "4.10", "4.3.6"] {
        assert_eq!(
            faults_of(&queue(version, Size::Small, &available)),
            [],
            "{version}"
        );
    }
    for version in ["4.0", "4.0.9"] {
        let faults = faults_of(&queue(version, Size::Small, &available));
        assert_eq!(faults[0].0, "spec.highAvailability");
        assert!(faults[0].1.contains("4.1"), "{faults:?}");
    }
}

#[test]
fn what_cannot_be_honoured_is_refused_by_field() {
    let cases = [
        (
            json!({"backup": {"enabled": true}}),
            "spec.backup.enabled",
            "RabbitMQ",
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
            json!({"storage": {"size": "256Mi"}}),
            "spec.storage.size",
            "at least 512Mi",
        ),
    ];
    for (extra, field, says) in cases {
        assert_refused(&faults(&extra), field, says);
    }
}

#[test]
fn parameters_of_every_type() {
    let accepted = [
        ("heartbeat", "0"),
        ("HEARTBEAT", "60"),
        ("disk_free_limit.absolute", "1GiB"),
        ("disk_free_limit.absolute", "500MB"),
        ("disk_free_limit.absolute", "1073741824"),
        ("default_queue_type", "quorum"),
        ("vm_memory_high_watermark.relative", "0.4"),
        ("enabled_plugins", "rabbitmq_management"),
        ("enabled_plugins", "rabbitmq_top, rabbitmq_shovel"),
        ("tcp_listen_options.nodelay", "true"),
        ("raft.wal_max_size_bytes", "67108864"),
    ];
    for (name, value) in accepted {
        assert_eq!(parameter(name, value), None, "{name}={value}");
    }
    let refused = [
        ("heartbeat", "-1", "from 0 to 3600"),
        ("heartbeat", "60\nlisteners.tcp.default = 1", "whole number"),
        ("disk_free_limit.absolute", "8GiB", "half of spec.storage.size"),
        ("disk_free_limit.absolute", "1Gi", "GiB"),
        ("raft.wal_max_size_bytes", "1073741824", "a quarter of its memory"),
        ("default_queue_type", "mirrored", "classic, quorum, stream"),
        ("vm_memory_high_watermark.relative", "0.95", "from 0.1 to 0.8"),
        ("enabled_plugins", "rabbitmq_mqtt", "rabbitmq_management"),
        ("tcp_listen_options.nodelay", "on", "true, false"),
        ("listeners.tcp.default", "1", "NetworkPolicy"),
        ("management.tcp.port", "1", "NetworkPolicy"),
        ("cluster_formation.node_type", "ram", "spec.highAvailability"),
        ("default_pass", "x", "connection Secret"),
        ("auth_backends.1", "http", "spec.encryption"),
        ("ssl_options.verify", "verify_none", "spec.encryption"),
        ("load_definitions", "/x", "the application's own"),
        ("vm_memory_high_watermark.absolute", "1GiB", "spec.size"),
        ("log.file", "/x", "the container's"),
        ("hartbeat", "1", "did you mean `heartbeat`"),
        ("x = 1\nlisteners.tcp", "1", "not an accepted parameter"),
    ];
    for (name, value, says) in refused {
        let message = parameter(name, value).unwrap_or_else(|| panic!("{name}={value} was accepted"));
        assert!(message.contains(says), "{name}={value}: {message}");
    }
}

#[test]
fn the_list_is_sorted_and_its_ranges_are_ranges() {
    assert!(PARAMETERS.len() > 25);
    assert!(PARAMETERS.is_sorted_by(|a, b| a.name < b.name));
    for parameter in PARAMETERS {
        let ordered = match parameter.kind {
            Kind::Integer { min, max } => min < max,
            Kind::Real { min, max } => min < max,
            Kind::Memory { min, max, .. } => min < max,
            _ => true,
        };
        assert!(ordered, "{}", parameter.name);
    }
}

proptest! {
    /// The format has no quotes: a value that could end its line is left out, also when nothing was validated.
    #[test]
    fn a_configuration_has_one_setting_a_line(
        place in 0..PARAMETERS.len(), value in "\\PC{0,40}|[\n\r'\"\\\\#= a0-9]{0,12}", available: bool
    ) {
        let parameters = json!({PARAMETERS[place].name: value});
        let instance = queue("4", Size::Small, &json!({"parameters": parameters, "highAvailability": available}));
        let manifests = build(&instance);
        let text = file(&manifests, "rabbitmq.conf");
        let mut names = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.split_once(" = ").unwrap();
            prop_assert!(!name.contains(' ') && !value.contains(['#', '\'', '"']), "{line}");
            names.push(name.to_owned());
        }
        let count = names.len();
        names.sort();
        names.dedup();
        prop_assert_eq!(names.len(), count);
        let plugins = file(&manifests, "enabled_plugins");
        let inner = plugins.strip_prefix('[').and_then(|p| p.strip_suffix("].\n")).unwrap();
        prop_assert!(inner.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_,".contains(&b)));
    }
}
