//! What holds for every request, whatever its name, size and parameters.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use kidp_core::instance::{DeletionPolicy, Engine};
use kidp_core::size::Size;
use kidp_provisioners::engines::parameters::{Kind, Parameter};
use kidp_provisioners::engines::{mongodb, mysql, postgresql, rabbitmq, redis};
use kidp_provisioners::{Instance, Provisioner, Registry};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{PASSWORD, build, instance_of, of_kind, restricted};

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

/// Two wishes for the same instance.
fn changes() -> impl Strategy<Value = (Instance, Instance)> {
    (0..engines().len()).prop_flat_map(|place| (instances_of(place), instances_of(place)))
}

fn pod(instance: &Instance) -> Value {
    of_kind(&build(instance), "StatefulSet")[0]["spec"]["template"]["spec"].clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_same_request_renders_the_same_objects(instance in instances()) {
        let (first, second) = (build(&instance), build(&instance));
        prop_assert_eq!(first.objects(), second.objects());
    }

    #[test]
    fn names_and_labels_are_within_limits(instance in instances()) {
        for object in build(&instance).objects() {
            prop_assert!(object.name().len() <= 63, "{}", object.name());
            for (key, value) in object.json()["metadata"]["labels"].as_object().unwrap() {
                prop_assert!(value.as_str().unwrap().len() <= 63, "{key}");
            }
        }
        // A member's pod name plus the StatefulSet's revision hash goes into labels, too.
        let set = &of_kind(&build(&instance), "StatefulSet")[0];
        prop_assert!(set["metadata"]["name"].as_str().unwrap().len() + 11 <= 63);
    }

    #[test]
    fn distinct_names_never_share_an_object(a in instances(), b in names()) {
        prop_assume!(a.name != b);
        let b = Instance { name: b, ..a.clone() };
        let keys = |instance: &Instance| -> Vec<String> {
            build(instance).objects().iter().map(kidp_provisioners::Object::key).collect()
        };
        let (a, b) = (keys(&a), keys(&b));
        prop_assert!(a.iter().all(|key| !b.contains(key)));
    }

    #[test]
    fn what_kubernetes_forbids_to_change_does_not_change((a, b) in changes()) {
        // The same instance, asked for differently.
        let b = Instance { name: a.name.clone(), deployment_id: a.deployment_id.clone(), ..b };
        let fixed = |instance: &Instance| {
            let set = of_kind(&build(instance), "StatefulSet").remove(0);
            let spec = &set["spec"];
            let claim = &spec["volumeClaimTemplates"][0];
            json!([spec["selector"], spec["serviceName"], spec["podManagementPolicy"], claim["metadata"],
                claim["spec"]["accessModes"], spec["template"]["metadata"]["labels"]])
        };
        prop_assert_eq!(fixed(&a), fixed(&b));
        let selectors = |instance: &Instance| -> Vec<Value> {
            of_kind(&build(instance), "Service").iter().map(|s| s["spec"]["selector"].clone()).collect()
        };
        prop_assert_eq!(selectors(&a), selectors(&b));
    }

    #[test]
    fn every_pod_is_restricted(instance in instances()) {
        let pod = pod(&instance);
        prop_assert_eq!(restricted::violations(&pod), Vec::<String>::new());
        prop_assert_eq!(restricted::beyond(&pod), Vec::<String>::new());
    }

    #[test]
    fn the_password_is_in_the_secret_alone(instance in instances()) {
        let manifests = build(&instance);
        for object in manifests.objects().iter().filter(|o| !o.is_secret()) {
            prop_assert!(!object.json().to_string().contains(PASSWORD), "{}", object.key());
        }
        prop_assert!(!manifests.to_yaml_redacted().unwrap().contains(PASSWORD));
        let debug = format!("{manifests:?}");
        prop_assert!(!debug.contains(PASSWORD));
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
