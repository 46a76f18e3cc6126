//! What is accepted and what is refused, field by field.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use kidp_core::problem::FieldError;
use kidp_core::size::Size;
use kidp_provisioners::engines::postgresql::{Kind, PARAMETERS, Postgresql};
use kidp_provisioners::{Instance, Provisioner};
use serde_json::{Value, json};
use support::instance;

fn faults(instance: &Instance) -> Vec<FieldError> {
    Postgresql::default().validate(instance).err().unwrap_or_default()
}

fn with(extra: &Value) -> Vec<FieldError> {
    faults(&instance("orders", "16", Size::Small, extra))
}

fn parameter(name: &str, value: &str) -> Option<String> {
    let faults = with(&json!({"parameters": {name: value}}));
    assert!(faults.len() <= 1, "{faults:?}");
    faults.into_iter().next().map(|fault| {
        assert_eq!(fault.field, format!("spec.parameters.{name}"));
        fault.message
    })
}

#[test]
fn versions() {
    for version in ["15", "16", "17", "15.4", "17.10"] {
        assert_eq!(faults(&instance("orders", version, Size::Small, &json!({}))), []);
    }
    for version in [
        "14", "18", "9.6", "", "15.", "15.4.1", "15.x", "latest", "16 ", "16.100",
    ] {
        let faults = faults(&instance("orders", version, Size::Small, &json!({})));
        assert_eq!(faults.len(), 1, "{version}");
        assert_eq!(faults[0].field, "spec.version");
        assert!(faults[0].message.contains("15, 16, 17"), "{}", faults[0].message);
    }
}

#[test]
fn what_cannot_be_honoured_is_refused_by_field() {
    let cases = [
        (json!({"highAvailability": true}), "spec.highAvailability"),
        (
            json!({"backup": {"enabled": true, "schedule": "0 3 * * *"}}),
            "spec.backup.enabled",
        ),
        (
            json!({"encryption": {"inTransit": true}}),
            "spec.encryption.inTransit",
        ),
        (json!({"encryption": {"atRest": true}}), "spec.encryption.atRest"),
        (json!({"deletionPolicy": "Snapshot"}), "spec.deletionPolicy"),
        (json!({"storage": {"size": "ten"}}), "spec.storage.size"),
        (json!({"storage": {"size": "1Mi"}}), "spec.storage.size"),
        (
            json!({"storage": {"size": "1Gi", "class": "Not A Class"}}),
            "spec.storage.class",
        ),
    ];
    for (extra, field) in cases {
        let fields: Vec<_> = with(&extra).into_iter().map(|f| f.field).collect();
        assert_eq!(fields, [field], "{extra}");
    }
}

/// With failover, where CloudNativePG is installed or not.
fn three(installed: bool, extra: &Value) -> Vec<FieldError> {
    let mut spec = json!({"highAvailability": true});
    let more = extra.as_object().cloned().unwrap_or_default();
    spec.as_object_mut().unwrap().extend(more);
    let mut instance = instance("orders", "16", Size::Small, &spec);
    instance.features.cloudnative_pg = installed;
    faults(&instance)
}

#[test]
fn failover_needs_cloudnative_pg() {
    assert_eq!(three(true, &json!({})), []);
    assert_eq!(three(true, &json!({"deletionPolicy": "Retain"})), []);
    let refused = three(false, &json!({}));
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].field, "spec.highAvailability");
    assert!(
        refused[0]
            .message
            .contains("CloudNativePG, which is not installed"),
        "{}",
        refused[0].message
    );
}

#[test]
fn with_failover_more_is_refused() {
    let parameter = |name: &str, value: &str| three(true, &json!({"parameters": {name: value}}));
    let accepted = [
        ("shared_preload_libraries", "pg_stat_statements"),
        ("shared_buffers", "1200MB"),
        ("max_wal_senders", "10"),
        ("wal_level", "replica"),
    ];
    for (name, value) in accepted {
        assert_eq!(parameter(name, value), [], "{name}");
    }
    let refused = [
        ("max_wal_senders", "2", "at least 10"),
        ("MAX_REPLICATION_SLOTS", "0", "at least 10"),
        ("max_wal_size", "32MB", "below max_wal_size"),
        ("min_wal_size", "100GB", "below max_wal_size"),
        ("archive_mode", "on", "is set by CloudNativePG"),
        ("synchronous_standby_names", "*", "is set by CloudNativePG"),
        ("temp_tablespaces", "x", "is set by CloudNativePG"),
        ("fsync", "off", "lose data"),
    ];
    for (name, value, says) in refused {
        let faults = parameter(name, value);
        assert_eq!(faults.len(), 1, "{name}: {faults:?}");
        assert_eq!(faults[0].field, format!("spec.parameters.{name}"));
        assert!(faults[0].message.contains(says), "{name}: {}", faults[0].message);
    }
    let small = three(true, &json!({"storage": {"size": "512Mi"}}));
    assert_eq!(small[0].field, "spec.storage.size");
    let smaller = three(true, &json!({"storage": {"size": "1Mi"}}));
    assert_eq!(smaller.len(), 1, "{smaller:?}");
}

#[test]
fn one_member_does_not_become_three() {
    let (one, three) = (
        instance("orders", "16", Size::Small, &json!({})).spec,
        instance("orders", "16", Size::Small, &json!({"highAvailability": true})).spec,
    );
    let engine = Postgresql::default();
    assert_eq!(engine.change_faults(&one, &one), []);
    for (from, to) in [(&one, &three), (&three, &one)] {
        assert_eq!(engine.change_faults(from, to)[0].field, "spec.highAvailability");
    }
}

#[test]
fn every_fault_is_reported_at_once() {
    let extra =
        json!({"highAvailability": true, "storage": {"size": "x"}, "parameters": {"port": "1", "nope": "1"}});
    let instance = Instance {
        namespace: "No".to_owned(),
        ..instance("Orders", "8", Size::Small, &extra)
    };
    let fields: Vec<_> = faults(&instance).into_iter().map(|f| f.field).collect();
    assert_eq!(
        fields,
        [
            "metadata.name",
            "metadata.namespace",
            "spec.version",
            "spec.storage.size",
            "spec.parameters.nope",
            "spec.parameters.port",
            "spec.highAvailability"
        ]
    );
}

#[test]
fn parameters_of_every_type() {
    let accepted = [
        ("max_connections", "250"),
        ("MAX_CONNECTIONS", "250"),
        ("shared_buffers", "1GB"),
        ("work_mem", "16 MB"),
        ("work_mem", " 16MB "),
        ("statement_timeout", "30s"),
        ("statement_timeout", "0"),
        ("jit", "off"),
        ("random_page_cost", "1.1"),
        ("wal_level", "logical"),
        ("autovacuum_work_mem", "-1"),
        ("shared_preload_libraries", "pg_stat_statements, auto_explain"),
        ("timezone", "Europe/Berlin"),
        ("default_transaction_isolation", "read committed"),
        ("checkpoint_timeout", "15min"),
    ];
    for (name, value) in accepted {
        assert_eq!(parameter(name, value), None, "{name}={value}");
    }
    let refused = [
        ("max_connections", "many", "from 20 to 10000"),
        ("max_connections", "1", "from 20 to 10000"),
        ("max_connections", "1e3", "from 20"),
        ("shared_buffers", "1048576", "with its unit"),
        ("shared_buffers", "1500MB", "at most 60 %"),
        ("work_mem", "16mb", "kB, MB"),
        ("work_mem", "99999999999999999999GB", "kB, MB"),
        ("statement_timeout", "-5s", "with its unit"),
        ("jit", "perhaps", "on or off"),
        ("random_page_cost", "NaN", "a number"),
        ("random_page_cost", "inf", "a number"),
        ("wal_level", "minimal", "replica, logical"),
        ("timezone", "UTC'; x", "time zone"),
        ("shared_preload_libraries", "evil", "pg_stat_statements"),
        ("work_mem", "1MB\nport = 1", "kB, MB"),
        ("checkpoint_timeout", "2d", "30s to 1d"),
    ];
    for (name, value, says) in refused {
        let message = parameter(name, value).unwrap_or_else(|| panic!("{name}={value} was accepted"));
        assert!(message.contains(says), "{name}={value}: {message}");
    }
}

#[test]
fn unknown_and_reserved_parameters_say_why() {
    let cases = [
        ("max_conections", "did you mean `max_connections`"),
        ("data_directory", "is set by KIDP"),
        ("listen_addresses", "is set by KIDP"),
        ("ssl_cert_file", "spec.encryption"),
        ("fsync", "lose data"),
        ("archive_command", "spec.backup"),
        ("something_else_entirely", "not an accepted parameter"),
        ("x = 1\nport", "not an accepted parameter"),
    ];
    for (name, says) in cases {
        let message = parameter(name, "1").unwrap_or_default();
        assert!(message.contains(says), "{name}: {message}");
    }
    let twice = with(&json!({"parameters": {"work_mem": "8MB", "WORK_MEM": "16MB"}}));
    assert!(twice[0].message.contains("twice"), "{twice:?}");
}

#[test]
fn the_list_is_sorted_and_its_ranges_are_ranges() {
    assert!(PARAMETERS.len() > 30);
    assert!(PARAMETERS.is_sorted_by(|a, b| a.name < b.name));
    for parameter in PARAMETERS {
        let ordered = match parameter.kind {
            Kind::Integer { min, max } => min < max,
            Kind::Real { min, max } => min < max,
            Kind::Memory { min, max, .. } | Kind::Duration { min, max, .. } => min < max,
            _ => true,
        };
        assert!(ordered, "{}", parameter.name);
    }
}
