//! Instances that another operator runs: PostgreSQL with failover is what is asked of CloudNativePG, which the kit judges
//! as it judges pods.

use kidp_core::size::Size;
use kidp_provisioners::conformance::{self, Check, Samples};
use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::resources::cloudnative_pg::MAX_NAME;
use kidp_provisioners::{Instance, Provisioner};
use serde_json::{Value, json};

use crate::broken::{Broken, Fault, cluster, of};

fn orders(provisioner: &dyn Provisioner) -> Instance {
    let mut instance = Samples::standard(provisioner).instances()[0].clone();
    instance.spec.high_availability = true;
    instance.features.cloudnative_pg = true;
    instance
}

#[test]
fn an_instance_that_another_operator_runs_is_conformant() {
    let postgresql = Postgresql::default();
    let samples = Samples::around(&postgresql, &orders(&postgresql));
    let several = samples.instances().iter().filter(|i| i.spec.high_availability);
    assert!(several.count() > 30);
    let report = conformance::check(&postgresql, &samples);
    assert!(report.is_conformant(), "{report}");
}

/// A fault in a `Cluster` is found by its check, with these words.
fn breaks(
    check: Check,
    words: &str,
    change: fn(&mut Vec<Value>, &Instance, &kidp_provisioners::Credentials),
) {
    let broken = Broken::new(Fault::Objects(change));
    let (small, mut medium) = (orders(&broken), orders(&broken));
    medium.spec.size = Size::Medium;
    let samples = Samples::default().with(small).with(medium);
    let report = conformance::check(&broken, &samples);
    let found = report.of(check).any(|finding| finding.message.contains(words));
    assert!(found, "`{words}`: {report}");
}

/// The `Cluster`'s spec; the kit renders instances of one member too.
fn changed(objects: &mut [Value], change: impl FnOnce(&mut Value)) {
    if let Some(spec) = cluster(objects) {
        change(spec);
    }
}

#[test]
fn what_is_wrong_with_a_cluster_is_found() {
    breaks(Check::Pods, "enableSuperuserAccess", |o, _, _| {
        changed(o, |spec| spec["enableSuperuserAccess"] = json!(true));
    });
    breaks(Check::Pods, "seccompProfile", |o, _, _| {
        changed(o, |spec| spec["seccompProfile"] = json!({"type": "Unconfined"}));
    });
    breaks(Check::Pods, "securityContext is", |o, _, _| {
        changed(o, |spec| spec["securityContext"] = json!({"privileged": true}));
    });
    breaks(Check::Pods, "no NetworkPolicy", |o, _, _| {
        o.retain(|object| object["kind"] != "NetworkPolicy");
    });
    breaks(Check::Sizing, "needs a memory limit", |o, _, _| {
        changed(o, |spec| spec["resources"]["requests"]["memory"] = json!("64Gi"));
    });
    breaks(Check::Sizing, "not those of size", |o, _, _| {
        changed(o, |spec| spec["resources"]["limits"]["cpu"] = json!("7"));
    });
    breaks(Check::Sizing, "does not have the size", |o, _, _| {
        changed(o, |spec| spec["storage"]["size"] = json!("3Gi"));
    });
    breaks(Check::Sizing, "nor a Cluster", |o, _, _| {
        o.retain(|object| object["kind"] != "Cluster");
    });
    breaks(Check::Naming, "lack the labels", |o, _, _| {
        changed(o, |spec| {
            spec["inheritedMetadata"]["labels"]["app.kubernetes.io/instance"] = json!("x");
        });
    });
    breaks(Check::Naming, "which CloudNativePG refuses", |o, _, _| {
        let name = format!("orders-postgresql-{}", "x".repeat(MAX_NAME));
        of(o, "Cluster")["metadata"]["name"] = json!(name);
    });
    breaks(Check::Deletion, "deployment-id is missing", |o, _, _| {
        changed(o, |spec| spec["inheritedMetadata"]["labels"] = json!({}));
    });
    breaks(Check::Deletion, "its operator's to set", |o, _, _| {
        changed(o, |spec| {
            spec["inheritedMetadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("kidp");
        });
    });
    breaks(Check::Secrets, "shows the password", |o, _, credentials| {
        changed(o, |spec| spec["imageName"] = json!(credentials.password));
    });
    breaks(Check::Secrets, "variables", |o, _, _| {
        changed(o, |spec| spec["env"] = json!([{"name": "A", "value": "b"}]));
    });
    breaks(Check::Secrets, "no Service has the host", |o, _, _| {
        of(o, "Cluster")["metadata"]["name"] = json!("orders-postgresql-2");
    });
    breaks(Check::Immutability, "spec.bootstrap changes", |o, instance, _| {
        changed(o, |spec| {
            spec["bootstrap"]["initdb"]["owner"] = json!(instance.spec.size);
        });
    });
    breaks(
        Check::Immutability,
        "spec.storage.storageClass changes",
        |o, instance, _| {
            changed(o, |spec| {
                spec["storage"]["storageClass"] = json!(instance.spec.size);
            });
        },
    );
}
