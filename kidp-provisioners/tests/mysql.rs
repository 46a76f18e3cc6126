//! MySQL: the rendered objects, checked in under `snapshots/`, and what is accepted and refused.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use kidp_core::size::Size;
use kidp_provisioners::Provisioner;
use kidp_provisioners::engines::mysql::{Mysql, PARAMETERS, VERSIONS};
use serde_json::{Value, json};
use support::{assert_refused, build, connection_secret, instance_of, of_kind, parameter_fault};

fn instance(version: &str, size: Size, extra: &Value) -> kidp_provisioners::Instance {
    instance_of(&Mysql::default(), "orders", version, size, extra)
}

fn faults(extra: &Value) -> Vec<(String, String)> {
    let instance = instance("8.4", Size::Small, extra);
    let faults = Mysql::default().validate(&instance).err().unwrap_or_default();
    faults.into_iter().map(|f| (f.field, f.message)).collect()
}

fn parameter(name: &str, value: &str) -> Option<String> {
    parameter_fault(faults(&json!({"parameters": {name: value}})), name)
}

#[test]
fn plain() {
    let manifests = build(&instance("8.4", Size::Small, &json!({})));
    insta::assert_snapshot!("plain", manifests.to_yaml_redacted().unwrap());
    insta::assert_yaml_snapshot!("connection_secret", connection_secret(&manifests));
}

#[test]
fn every_option() {
    let extra = json!({
        "storage": {"size": "100Gi", "class": "fast"},
        "parameters": {"max-connections": "300", "SQL_MODE": "STRICT_TRANS_TABLES,NO_ZERO_DATE", "slow_query_log": "ON"},
        "deletionPolicy": "Retain"
    });
    let manifests = build(&instance("9.7.1", Size::Xlarge, &extra));
    insta::assert_snapshot!("every_option", manifests.to_yaml_redacted().unwrap());
}

/// What a size and a version change, for each pair of them.
#[test]
fn sizes_and_versions() {
    for size in Size::ALL {
        for version in VERSIONS {
            let manifests = build(&instance(version, size, &json!({})));
            let container =
                of_kind(&manifests, "StatefulSet")[0]["spec"]["template"]["spec"]["containers"][0].clone();
            let config = of_kind(&manifests, "ConfigMap")[0]["data"]["kidp.cnf"].clone();
            let settings: Vec<_> = config.as_str().unwrap().lines().collect();
            insta::assert_yaml_snapshot!(
                format!("{size}-{version}"),
                json!({"image": container["image"], "resources": container["resources"], "kidp.cnf": settings})
            );
        }
    }
}

#[test]
fn versions() {
    for version in ["8.0", "8.0.44", "8.4", "8.4.7", "9", "9.7", "9.7.1"] {
        let instance = instance(version, Size::Small, &json!({}));
        assert_eq!(Mysql::default().validate(&instance), Ok(()), "{version}");
    }
    for version in [
        "5.7",
        "8",
        "8.1",
        "8.4.",
        "8.4.1.1",
        "9.x",
        "10",
        "latest",
        "lts",
        "9.7-oracle",
        "",
    ] {
        let faults = Mysql::default()
            .validate(&instance(version, Size::Small, &json!({})))
            .unwrap_err();
        assert_eq!(faults.len(), 1, "{version}");
        assert_eq!(faults[0].field, "spec.version");
        assert!(faults[0].message.contains("8.0, 8.4, 9"), "{}", faults[0].message);
    }
    let opens = |from: &str, to: &str| Mysql::default().opens_data(from, to);
    assert!(opens("8.0", "8.4") && opens("8.4", "9") && opens("9.1", "9.7"));
    assert!(!opens("8.0", "9") && !opens("8.4", "8.0") && !opens("9.7", "9.1"));
}

#[test]
fn what_cannot_be_honoured_is_refused_by_field() {
    let cases = [
        (
            json!({"highAvailability": true}),
            "spec.highAvailability",
            "Group Replication",
        ),
        (
            json!({"backup": {"enabled": true}}),
            "spec.backup.enabled",
            "MySQL",
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
        ("max_connections", "250"),
        ("Max-Connections", "250"),
        ("innodb_buffer_pool_size", "1G"),
        ("innodb_buffer_pool_size", "1073741824"),
        ("sort_buffer_size", "512k"),
        ("slow_query_log", "ON"),
        ("long_query_time", "0.5"),
        ("sql_mode", "STRICT_ALL_TABLES, ANSI_QUOTES"),
        ("transaction_isolation", "READ-COMMITTED"),
        ("default_time_zone", "Europe/Berlin"),
        ("collation_server", "utf8mb4_0900_as_cs"),
    ];
    for (name, value) in accepted {
        assert_eq!(parameter(name, value), None, "{name}={value}");
    }
    let refused = [
        ("max_connections", "1", "from 10 to 10000"),
        ("innodb_buffer_pool_size", "1800M", "at most 75 %"),
        ("innodb_buffer_pool_size", "1GB", "K, M, G, T"),
        ("tmp_table_size", "1G", "at most 25 %"),
        ("slow_query_log", "2", "on or off"),
        ("sql_mode", "EVERYTHING", "STRICT_ALL_TABLES"),
        ("collation_server", "latin1_swedish_ci", "utf8mb4_0900_ai_ci"),
        ("sort_buffer_size", "1M\nskip_grant_tables", "K, M, G, T"),
        ("datadir", "/x", "mounts depend on it"),
        ("skip-grant-tables", "1", "is set by KIDP"),
        ("skip_grant_tables", "1", "is set by KIDP"),
        ("loose_skip_grant_tables", "1", "is set by KIDP"),
        ("plugin_load_add", "x", "is set by KIDP"),
        ("init_connect", "drop", "is set by KIDP"),
        ("port", "1", "the Service"),
        ("require_secure_transport", "ON", "spec.encryption"),
        ("log_bin", "x", "spec.backup"),
        ("innodb_doublewrite", "OFF", "lose data"),
        ("lower_case_table_names", "1", "not be opened again"),
        ("max_conections", "1", "did you mean `max_connections`"),
    ];
    for (name, value, says) in refused {
        let message = parameter(name, value).unwrap_or_else(|| panic!("{name}={value} was accepted"));
        assert!(message.contains(says), "{name}={value}: {message}");
    }
    let twice = faults(&json!({"parameters": {"max_connections": "20", "max-connections": "30"}}));
    assert!(twice[0].1.contains("twice"), "{twice:?}");
}

#[test]
fn the_list_is_sorted_and_long_enough() {
    assert!(PARAMETERS.len() > 30);
    assert!(PARAMETERS.is_sorted_by(|a, b| a.name < b.name));
}
