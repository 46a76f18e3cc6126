//! The rendered objects, checked in under `snapshots/`: a change of them is seen in review.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kidp_core::instance::{OwnerKind, OwnerRef};
use kidp_core::size::Size;
use kidp_provisioners::engines::postgresql::{Postgresql, PostgresqlConfig, VERSIONS};
use kidp_provisioners::engines::{Image, PullPolicy};
use kidp_provisioners::resources::compute::RequestShare;
use kidp_provisioners::{Instance, Provisioner};
use serde_json::json;
use support::{build, connection_secret, credentials, instance, of_kind};

#[test]
fn plain() {
    let manifests = build(&instance("orders", "15", Size::Small, &json!({})));
    insta::assert_snapshot!("plain", manifests.to_yaml_redacted().unwrap());
}

#[test]
fn every_option() {
    let extra = json!({
        "storage": {"size": "100Gi", "class": "fast"},
        "parameters": {"work_mem": "32MB", "timezone": "Europe/Berlin", "statement_timeout": "30s"},
        "deletionPolicy": "Retain"
    });
    let instance = Instance {
        owner: Some(OwnerRef {
            kind: OwnerKind::Application,
            name: "checkout".to_owned(),
            namespace: None,
        }),
        owner_reference: Some(OwnerReference {
            api_version: "broker.platform.company.com/v1alpha1".to_owned(),
            kind: "ServiceInstance".to_owned(),
            name: "deploy-0".to_owned(),
            uid: "1".to_owned(),
            controller: Some(true),
            ..OwnerReference::default()
        }),
        ..instance(&"a-very-long.name".repeat(5), "17.2", Size::Xlarge, &extra)
    };
    let mut image = Image::official("mirror/postgres");
    image.registry = "registry.internal:5000".to_owned();
    image.tags.insert("17.2".to_owned(), "17.2-alpine".to_owned());
    image
        .digests
        .insert("17.2".to_owned(), format!("sha256:{}", "0".repeat(64)));
    image.pull_policy = PullPolicy::Always;
    let request_share = RequestShare {
        cpu_percent: 100,
        memory_percent: 100,
    };
    let provisioner = Postgresql::new(PostgresqlConfig {
        image,
        uid: 70,
        request_share,
        ..PostgresqlConfig::default()
    });
    let manifests = provisioner
        .build(&instance, &credentials(&provisioner, &instance))
        .unwrap();
    insta::assert_snapshot!("every_option", manifests.to_yaml_redacted().unwrap());
}

/// What a size and a version change, for each pair of them.
#[test]
fn sizes_and_versions() {
    for size in Size::ALL {
        for version in VERSIONS {
            let manifests = build(&instance("orders", version, size, &json!({})));
            let pod = &of_kind(&manifests, "StatefulSet")[0]["spec"]["template"]["spec"];
            let container = &pod["containers"][0];
            let shm = pod["volumes"]
                .as_array()
                .unwrap()
                .iter()
                .find(|v| v["name"] == "shm");
            let config = of_kind(&manifests, "ConfigMap")[0]["data"]["postgresql.conf"].clone();
            let settings: Vec<_> = config.as_str().unwrap().lines().collect();
            insta::assert_yaml_snapshot!(
                format!("{size}-{version}"),
                json!({"image": container["image"], "resources": container["resources"], "shm": shm,
                    "postgresql.conf": settings})
            );
        }
    }
}

/// The Secret, whose values the other snapshots do not show.
#[test]
fn secret_entries() {
    let manifests = build(&instance("orders", "15", Size::Small, &json!({})));
    insta::assert_yaml_snapshot!("connection_secret", connection_secret(&manifests));
}

/// An instance with failover, where CloudNativePG is installed.
fn three(name: &str, version: &str, size: Size, extra: &serde_json::Value) -> Instance {
    let mut spec = json!({"highAvailability": true});
    let more = extra.as_object().cloned().unwrap_or_default();
    spec.as_object_mut().unwrap().extend(more);
    let mut instance = instance(name, version, size, &spec);
    instance.features.cloudnative_pg = true;
    instance
}

#[test]
fn failover() {
    let manifests = build(&three("orders", "17", Size::Small, &json!({})));
    insta::assert_snapshot!("failover", manifests.to_yaml_redacted().unwrap());
    insta::assert_yaml_snapshot!("failover_connection_secret", connection_secret(&manifests));
}

#[test]
fn failover_with_every_option() {
    let extra = json!({
        "storage": {"size": "100Gi", "class": "fast"},
        "parameters": {"work_mem": "32MB", "shared_buffers": "9000MB",
            "shared_preload_libraries": "pg_stat_statements, auto_explain"}
    });
    let instance = three(&"a-very-long.name".repeat(5), "17.2", Size::Xlarge, &extra);
    let provisioner = Postgresql::new(PostgresqlConfig {
        ha_image: Image {
            registry: "registry.internal:5000".to_owned(),
            pull_policy: PullPolicy::Always,
            ..Image::official("mirror/cnpg")
        },
        ha_uid: 999,
        ..PostgresqlConfig::default()
    });
    assert_eq!(provisioner.validate(&instance), Ok(()));
    let manifests = provisioner
        .build(&instance, &credentials(&provisioner, &instance))
        .unwrap();
    insta::assert_snapshot!("failover_every_option", manifests.to_yaml_redacted().unwrap());
}
