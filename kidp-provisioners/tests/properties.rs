//! What holds for every request, whatever its name, size and parameters.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use kidp_core::instance::{DeletionPolicy, Engine};
use kidp_core::size::Size;
use kidp_provisioners::conformance::{self, Samples};
use kidp_provisioners::engines::parameters::{Kind, Parameter};
use kidp_provisioners::engines::{mongodb, mysql, postgresql, rabbitmq, redis};
use kidp_provisioners::{Instance, Provisioner, Registry};
use proptest::prelude::*;
use serde_json::json;
use support::{build, instance_of, of_kind};

/// Every engine, by its place.
fn engines() -> Vec<Arc<dyn Provisioner>> {
    Registry::standard().iter().cloned().collect()
}

fn parameters_of(engine: Engine) -> &'static [Parameter] {
    match engine {
        Engine::Postgresql => postgresql::PARAMETERS,
        Engine::Mysql => mysql::PARAMETERS,
        Engine::Redis => redis::PARAMETERS,
        Engine::Rabbitmq => rabbitmq::PARAMETERS,
        Engine::Mongodb => mongodb::PARAMETERS,
        Engine::Sqlserver | Engine::Other(_) => &[],
    }
}

fn names() -> impl Strategy<Value = String> {
    "[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?"
}

/// A value that a parameter accepts.
fn example(kind: Kind) -> String {
    match kind {
        Kind::Integer { max, .. } => max.to_string(),
        Kind::Real { max, .. } => max.to_string(),
        Kind::Memory { min, units, .. } => units.shown(min),
        Kind::Duration { .. } => "30s".to_owned(),
        Kind::Bool => "on".to_owned(),
        Kind::Choice(words) | Kind::List(words) => words[0].to_owned(),
        Kind::TimeZone => "Europe/Berlin".to_owned(),
        Kind::Letters(letters) => letters.to_owned(),
        Kind::Numbers(group) => "60 ".repeat(group),
    }
}

/// A value that a parameter accepts, or any text, for the names of any engine.
fn parameters() -> impl Strategy<Value = BTreeMap<String, String>> {
    let every: Vec<Parameter> = engines()
        .iter()
        .flat_map(|p| parameters_of(p.engine()).iter().copied())
        .collect();
    let known = prop::sample::select(every.clone());
    let known = known.prop_map(|parameter| (parameter.name.to_owned(), example(parameter.kind)));
    let any = (prop::sample::select(every), "\\PC{0,40}|[\n'\"\\\\# =a]{0,12}");
    let any = any.prop_map(|(parameter, value)| (parameter.name.to_owned(), value));
    prop::collection::btree_map("[a-z_]{1,20}", prop_oneof![known, any], 0..8)
        .prop_map(|pairs| pairs.into_values().collect())
}

/// An instance of the engine of a place.
fn instances_of(place: usize) -> impl Strategy<Value = Instance> {
    let provisioner = engines().remove(place);
    let size = prop::sample::select(&Size::ALL[..]);
    let version = prop::sample::select(provisioner.capabilities().versions);
    let policy = prop::sample::select(vec![DeletionPolicy::Delete, DeletionPolicy::Retain]);
    (names(), version, size, 1_u32..4000, parameters(), policy, ".{0,80}").prop_map(
        move |(name, version, size, storage, parameters, policy, team)| {
            let extra = json!({
                "storage": {"size": format!("{storage}Gi")}, "parameters": parameters, "deletionPolicy": policy
            });
            Instance { team, ..instance_of(provisioner.as_ref(), &name, &version, size, &extra) }
        },
    )
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
        version in ".{0,20}", storage in ".{0,20}", name in ".{0,80}", parameters in parameters()
    ) {
        let extra = json!({"storage": {"size": storage}, "parameters": parameters});
        for provisioner in engines() {
            let instance = instance_of(provisioner.as_ref(), &name, &version, Size::Small, &extra);
            let _ = provisioner.validate(&instance);
            let _ = build(&instance);
        }
    }
}
