//! What holds for every request, whatever its name, size and parameters.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use std::collections::BTreeMap;

use kidp_core::instance::{DeletionPolicy, Engine, ResourceType};
use kidp_core::size::Size;
use kidp_provisioners::engines::postgresql::{Kind, PARAMETERS, VERSIONS};
use kidp_provisioners::{Instance, Registry};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{PASSWORD, build, instance, of_kind, restricted};

fn names() -> impl Strategy<Value = String> {
    "[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?"
}

/// A value that a parameter accepts, or any text.
fn parameters() -> impl Strategy<Value = BTreeMap<String, String>> {
    let known = prop::sample::select(PARAMETERS).prop_map(|parameter| {
        let value = match parameter.kind {
            Kind::Integer { max, .. } => max.to_string(),
            Kind::Real { max, .. } => max.to_string(),
            Kind::Memory { .. } => "64MB".to_owned(),
            Kind::Duration { .. } => "30s".to_owned(),
            Kind::Bool => "on".to_owned(),
            Kind::Choice(words) | Kind::List(words) => words[0].to_owned(),
            Kind::TimeZone => "Europe/Berlin".to_owned(),
            Kind::Letters(letters) => letters.to_owned(),
            Kind::Numbers(group) => "60 ".repeat(group),
        };
        (parameter.name.to_owned(), value)
    });
    let any = (prop::sample::select(PARAMETERS), "\\PC{0,40}|[\n'\\\\# =a]{0,12}");
    let any = any.prop_map(|(parameter, value)| (parameter.name.to_owned(), value));
    prop::collection::btree_map("[a-z_]{1,20}", prop_oneof![known, any], 0..6)
        .prop_map(|pairs| pairs.into_values().collect())
}

fn instances() -> impl Strategy<Value = Instance> {
    let size = prop::sample::select(&Size::ALL[..]);
    let version = prop::sample::select(&VERSIONS[..]);
    let policy = prop::sample::select(vec![DeletionPolicy::Delete, DeletionPolicy::Retain]);
    (names(), version, size, 1_u32..4000, parameters(), policy, ".{0,80}").prop_map(
        |(name, version, size, storage, parameters, policy, team)| {
            let extra = json!({
                "storage": {"size": format!("{storage}Gi")}, "parameters": parameters, "deletionPolicy": policy
            });
            Instance { team, ..instance(&name, version, size, &extra) }
        },
    )
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
    fn distinct_names_never_share_an_object(a in names(), b in names()) {
        prop_assume!(a != b);
        let keys = |name: &str| -> Vec<String> {
            let instance = instance(name, "16", Size::Small, &json!({}));
            build(&instance).objects().iter().map(kidp_provisioners::Object::key).collect()
        };
        let (a, b) = (keys(&a), keys(&b));
        prop_assert!(a.iter().all(|key| !b.contains(key)));
    }

    #[test]
    fn what_kubernetes_forbids_to_change_does_not_change(a in instances(), b in instances()) {
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
        let manifests = build(&instance);
        let text = of_kind(&manifests, "ConfigMap")[0]["data"]["postgresql.conf"].clone();
        let mut names = Vec::new();
        for line in text.as_str().unwrap().lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.split_once(" = ").unwrap();
            prop_assert!(value.starts_with('\'') && value.ends_with('\''), "{line}");
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
        let instance = instance(&name, &version, Size::Small, &extra);
        let registry = Registry::standard();
        let _ = registry.get(ResourceType::Database, Engine::Postgresql).unwrap().validate(&instance);
        let _ = build(&instance);
    }
}
