//! What holds for every request, whatever its name, size and parameters.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use kidp_core::instance::Engine;
use kidp_core::size::Size;
use kidp_provisioners::conformance::{self, Samples};
use kidp_provisioners::{Instance, TlsMaterial};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::specs::{engines, instances_of, parameters};
use support::{build, instance_of, of_kind};

/// Any `spec.encryption` that is of its type.
fn encryption() -> impl Strategy<Value = Value> {
    let name = "[a-z0-9]([a-z0-9.-]{0,60}[a-z0-9])?|.{0,20}";
    let kind = prop::sample::select(vec!["Issuer", "ClusterIssuer"]);
    let version = prop::option::of(prop::sample::select(vec!["1.2", "1.3"]));
    let issuer = prop::option::of((name, kind));
    let source = prop::option::of((prop::option::of(name), issuer));
    (any::<bool>(), version, source).prop_map(|(in_transit, version, source)| {
        let mut spec = json!({"inTransit": in_transit});
        if let Some(version) = version {
            spec["minTLSVersion"] = json!(version);
        }
        if let Some((secret, issuer)) = source {
            spec["certificate"] = json!({});
            if let Some(secret) = secret {
                spec["certificate"]["secretName"] = json!(secret);
            }
            if let Some((name, kind)) = issuer {
                spec["certificate"]["issuerRef"] = json!({"name": name, "kind": kind});
            }
        }
        spec
    })
}

fn instances() -> impl Strategy<Value = Instance> {
    (0..engines().len()).prop_flat_map(instances_of)
}

/// The place of an engine; an instance, the same one asked for differently, and another of its engine.
fn samples() -> impl Strategy<Value = (usize, Samples)> {
    let of = |place| {
        (
            Just(place),
            instances_of(place),
            instances_of(place),
            instances_of(place),
        )
    };
    (0..engines().len())
        .prop_flat_map(of)
        .prop_map(|(place, first, later, other)| {
            let later = Instance {
                name: first.name.clone(),
                deployment_id: first.deployment_id.clone(),
                ..later
            };
            let samples = [first, later, other]
                .into_iter()
                .fold(Samples::default(), Samples::with);
            (place, samples)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Also of what `validate` refuses: rendering takes anything.
    #[test]
    fn every_promise_is_kept_whatever_is_asked((place, samples) in samples()) {
        let provisioner = engines().remove(place);
        let checks = [
            conformance::determinism, conformance::immutability, conformance::naming, conformance::pods,
            conformance::sizing, conformance::secrets, conformance::readiness, conformance::deletion,
        ];
        for check in checks {
            let findings = check(provisioner.as_ref(), &samples);
            prop_assert!(findings.is_empty(), "{findings:#?}");
        }
    }

    #[test]
    fn a_configuration_has_one_setting_a_line(instance in instances()) {
        // File, what stands between name and value, and the quote around a value.
        let (file, between, quote) = match instance.spec.engine {
            Engine::Postgresql => ("postgresql.conf", " = ", '\''),
            Engine::Mysql => ("kidp.cnf", " = ", '"'),
            Engine::Redis => ("redis.conf", " ", '"'),
            _ => return Ok(()),
        };
        let mut instance = instance;
        // Several members of PostgreSQL have no file of ours.
        instance.spec.high_availability &= instance.spec.engine != Engine::Postgresql;
        let manifests = build(&instance);
        let text = of_kind(&manifests, "ConfigMap")[0]["data"][file].clone();
        let mut names = Vec::new();
        for line in text.as_str().unwrap().lines().filter(|line| !line.starts_with(['#', '['])) {
            let (name, value) = line.split_once(between).unwrap();
            prop_assert!(value.len() >= 2 && value.starts_with(quote) && value.ends_with(quote), "{line}");
            names.push(name.to_owned());
        }
        let count = names.len();
        names.sort();
        names.dedup();
        prop_assert_eq!(names.len(), count);
    }

    #[test]
    fn validation_never_panics(
        version in ".{0,20}", storage in ".{0,20}", name in ".{0,80}", parameters in parameters(),
        several in any::<bool>(), cloudnative_pg in any::<bool>()
    ) {
        let extra = json!({"storage": {"size": storage}, "parameters": parameters, "highAvailability": several});
        for provisioner in engines() {
            let mut instance = instance_of(provisioner.as_ref(), &name, &version, Size::Small, &extra);
            instance.features.cloudnative_pg = cloudnative_pg;
            let _ = provisioner.validate(&instance);
            let _ = build(&instance);
        }
    }

    /// What is accepted has a certificate to serve: of a Secret that is named, or of cert-manager's.
    #[test]
    fn encryption_never_panics_and_is_never_pretended(
        spec in encryption(), cert_manager in any::<bool>(), high_availability in any::<bool>(),
        tls in prop::option::of((".{0,40}", "[0-9a-f]{0,16}"))
    ) {
        let extra = json!({"encryption": spec, "highAvailability": high_availability});
        for provisioner in engines() {
            let version = provisioner.capabilities().versions.remove(0);
            let mut instance = instance_of(provisioner.as_ref(), "orders", &version, Size::Small, &extra);
            instance.features.cert_manager = cert_manager;
            instance.tls = tls.clone().map(|(ca, checksum)| TlsMaterial { ca, checksum });
            let accepted = provisioner.validate(&instance).is_ok();
            let manifests = build(&instance);
            let encrypted = instance.spec.encryption.in_transit;
            if accepted && encrypted {
                let source = instance.spec.encryption.certificate.clone().unwrap_or_default();
                let made = !of_kind(&manifests, "Certificate").is_empty();
                prop_assert!(made != source.secret_name.is_some());
                let pod = &of_kind(&manifests, "StatefulSet")[0]["spec"]["template"]["spec"];
                let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
                prop_assert!(mounts.iter().any(|mount| mount["mountPath"] == "/etc/kidp/tls"));
            }
            if !encrypted {
                prop_assert!(of_kind(&manifests, "Certificate").is_empty());
            }
        }
    }
}
