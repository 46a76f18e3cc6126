//! What every render revision renders, kept under `revisions/<kind>-<engine>/r<revision>/`: an upgrade of the library
//! must not restart a database, so each is rendered byte for byte as when it was new.
//!
//! After adding a revision, or a case, `KIDP_WRITE_REVISIONS=1 cargo test -p kidp-provisioners --test revisions`
//! writes the files that are not there. It replaces none: a rendering that has changed is a new revision.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kidp_core::size::Size;
use kidp_provisioners::manifests::BuildError;
use kidp_provisioners::revision::{self, Move};
use kidp_provisioners::{ClusterFeatures, Instance, Provisioner, Registry, Revision, TlsMaterial};
use serde_json::{Value, json};
use support::{credentials, instance_of};

const WRITE: &str = "KIDP_WRITE_REVISIONS";

fn engines() -> Vec<Arc<dyn Provisioner>> {
    Registry::standard().iter().cloned().collect()
}

fn rabbitmq(extra: &Value) -> (Arc<dyn Provisioner>, Instance) {
    let engine = engines()
        .into_iter()
        .find(|p| p.engine().as_str() == "rabbitmq")
        .unwrap();
    let instance = instance_of(engine.as_ref(), "orders", "4", Size::Small, extra);
    (engine, instance)
}

/// What is rendered in every revision: each version, the largest size with everything set, and several members.
fn cases(engine: &dyn Provisioner) -> Vec<(String, Instance)> {
    let versions = engine.capabilities().versions;
    let make = |version: &str, size, extra: Value| instance_of(engine, "orders", version, size, &extra);
    let mut cases: Vec<_> = versions
        .iter()
        .map(|version| (format!("{version}-small"), make(version, Size::Small, json!({}))))
        .collect();
    let last = versions.last().unwrap();
    let storage = json!({"size": "100Gi", "class": "fast"});
    let all = json!({"storage": storage, "parameters": parameters(engine), "deletionPolicy": "Retain"});
    cases.push((format!("{last}-xlarge-parameters"), make(last, Size::Xlarge, all)));
    for (name, several) in [
        (
            "medium-members",
            make(last, Size::Medium, json!({"highAvailability": true})),
        ),
        (
            "xlarge-members-parameters",
            make(
                last,
                Size::Xlarge,
                json!({"highAvailability": true, "storage": storage, "parameters": parameters(engine)}),
            ),
        ),
    ] {
        // Where another operator is needed for it, it is there.
        let several = Instance {
            features: ClusterFeatures {
                cloudnative_pg: true,
                ..ClusterFeatures::default()
            },
            ..several
        };
        if engine.validate(&several).is_ok() {
            cases.push((format!("{last}-{name}"), several));
        }
    }
    cases.extend(encrypted(engine, last));
    cases
}

/// TLS with a Secret that is named and there, and with cert-manager, before there is one.
fn encrypted(engine: &dyn Provisioner, version: &str) -> Vec<(String, Instance)> {
    let make = |encryption: Value| {
        let extra = json!({"encryption": encryption});
        instance_of(engine, "orders", version, Size::Small, &extra)
    };
    let source = json!({"secretName": "orders-certificate"});
    let named = Instance {
        tls: Some(TlsMaterial {
            ca: "a CA".to_owned(),
            checksum: "c0ffee".to_owned(),
        }),
        ..make(json!({"inTransit": true, "minTLSVersion": "1.3", "certificate": source}))
    };
    let mut own = make(json!({"inTransit": true}));
    own.features.cert_manager = true;
    vec![
        (format!("{version}-small-tls-named"), named),
        (format!("{version}-small-tls-own"), own),
    ]
}

fn parameters(engine: &dyn Provisioner) -> Value {
    match engine.engine().as_str() {
        "postgresql" => json!({"work_mem": "32MB", "timezone": "Europe/Berlin"}),
        "mysql" => json!({"max_connections": "500"}),
        "mongodb" => json!({"operationProfiling.mode": "slowOp"}),
        "redis" => json!({"maxmemory-policy": "allkeys-lru"}),
        _ => json!({"heartbeat": "30"}),
    }
}

fn folder(engine: &dyn Provisioner) -> PathBuf {
    let name = format!(
        "{}-{}",
        engine.resource_type().as_str().to_lowercase(),
        engine.engine()
    );
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/revisions")
        .join(name)
}

#[test]
fn every_revision_is_rendered_as_when_it_was_new() {
    for engine in engines() {
        for at in engine.latest_revision().up_to() {
            let folder = folder(engine.as_ref()).join(format!("r{at}"));
            for (name, instance) in cases(engine.as_ref()) {
                assert_eq!(engine.validate(&instance), Ok(()), "{name}");
                let instance = Instance {
                    revision: at,
                    ..instance
                };
                let manifests = engine
                    .build(&instance, &credentials(engine.as_ref(), &instance))
                    .unwrap();
                same_as_kept(
                    &folder.join(format!("{name}.yaml")),
                    &manifests.to_yaml_redacted().unwrap(),
                );
            }
        }
    }
}

fn same_as_kept(path: &Path, rendered: &str) {
    if !path.exists() && std::env::var_os(WRITE).is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, rendered).unwrap();
    }
    let kept = std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("{error}: {}; {WRITE}=1 writes it", path.display()));
    let differs = kept
        .lines()
        .zip(rendered.lines())
        .find(|(kept, rendered)| kept != rendered);
    let where_ = path.display();
    assert!(
        kept == rendered,
        "{where_} has changed, first at {differs:?}: make it a new revision"
    );
}

/// No file is left that nothing renders, as would be with an engine whose old revision was dropped.
#[test]
fn nothing_is_kept_that_is_not_rendered() {
    for engine in engines() {
        let kept = std::fs::read_dir(folder(engine.as_ref())).unwrap().count();
        assert_eq!(
            kept,
            engine.latest_revision().up_to().count(),
            "{}",
            engine.engine()
        );
        for at in engine.latest_revision().up_to() {
            let files = std::fs::read_dir(folder(engine.as_ref()).join(format!("r{at}")))
                .unwrap()
                .count();
            assert_eq!(files, cases(engine.as_ref()).len(), "{} r{at}", engine.engine());
        }
    }
}

#[test]
fn a_revision_that_is_not_known_is_not_rendered() {
    for engine in engines() {
        let next = Revision::new(engine.latest_revision().number() + 1);
        for wrong in [Revision::new(0), next] {
            let (_, instance) = cases(engine.as_ref()).remove(0);
            let instance = Instance {
                revision: wrong,
                ..instance
            };
            let refusal = revision::build(
                engine.as_ref(),
                &instance,
                &credentials(engine.as_ref(), &instance),
            );
            assert!(matches!(refusal, Err(BuildError::UnknownRevision { asked, .. }) if asked == wrong));
        }
    }
}

/// Only several nodes are told to keep apart, so that only they restart.
#[test]
fn a_move_says_whether_pods_restart() {
    let to = |extra: &Value, from: u32, to: u32| {
        let (engine, instance) = rabbitmq(extra);
        let instance = Instance {
            revision: Revision::new(from),
            ..instance
        };
        let credentials = credentials(engine.as_ref(), &instance);
        revision::compare(engine.as_ref(), &instance, &credentials, Revision::new(to)).unwrap()
    };
    let one = json!({});
    let three = json!({"highAvailability": true});
    assert_eq!(to(&one, 1, 2), Move::default());
    assert_eq!(to(&three, 2, 2), Move::default());
    let moved = Move {
        changed: vec!["StatefulSet/orders-rabbitmq".to_owned()],
        restarts: true,
    };
    assert_eq!(to(&three, 1, 2), moved);
    assert_eq!(to(&three, 2, 1), moved);
}
