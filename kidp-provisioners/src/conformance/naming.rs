//! Names and labels are within Kubernetes' limits and belong to the instance alone.

use std::collections::{BTreeMap, BTreeSet};

use kidp_core::instance::Engine;
use kidp_core::labels;
use kidp_core::names::{self, MAX_LABEL};
use serde_json::Value;

use super::objects::{Notes, clusters, inherited_labels, judge, templates};
use super::report::{Check, Finding};
use super::samples::Samples;
use crate::instance::Instance;
use crate::manifests::{Manifests, Object, Prepared};
use crate::provisioner::Provisioner;
use crate::resources::cloudnative_pg;
use crate::resources::meta::Scope;

/// What a StatefulSet's controller appends to its name for a label: a dash and a hash of up to ten characters.
const REVISION: usize = 11;

/// Longest name of an engine that leaves room for the instance's own in [`names::base_name`].
const LONGEST_ENGINE: usize = 20;

/// Engines of KIDP, whose names are taken.
const KNOWN: [Engine; 6] = [
    Engine::Postgresql,
    Engine::Mysql,
    Engine::Mongodb,
    Engine::Redis,
    Engine::Rabbitmq,
    Engine::Sqlserver,
];

/// Checks names, namespaces and labels of every object, and that no two instances share one.
pub fn naming(provisioner: &dyn Provisioner, samples: &Samples) -> Vec<Finding> {
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    let engine = provisioner.engine();
    judge(
        provisioner,
        samples,
        Check::Naming,
        |instance, manifests, notes| {
            of_engine(engine, instance, notes);
            let scope = Scope::new(instance);
            let mut seen = BTreeSet::new();
            for object in manifests.objects() {
                let key = object.key();
                name(&scope, object, notes);
                required_labels(&scope, engine, &key, &object.json()["metadata"]["labels"], notes);
                notes.require(seen.insert(key.clone()), instance, &key, || {
                    "is rendered twice".to_owned()
                });
                let place = format!("{}/{key}", instance.namespace);
                let owner = owners.entry(place).or_insert_with(|| instance.name.clone());
                notes.require(*owner == instance.name, instance, &key, || {
                    format!("is also an object of the instance `{owner}`")
                });
            }
            selectors(&scope, manifests, notes);
        },
    )
}

fn of_engine(engine: Engine, instance: &Instance, notes: &mut Notes) {
    let name = engine.as_str();
    let is_good = names::validate_label(name).is_ok() && name.len() <= LONGEST_ENGINE;
    notes.require(is_good, instance, "", || {
        format!("the engine's name `{name}` is not a DNS label of at most {LONGEST_ENGINE} characters")
    });
    let taken = KNOWN
        .iter()
        .any(|known| *known != engine && known.as_str() == name);
    notes.require(!taken, instance, "", || {
        format!("the engine's name `{name}` is that of an engine that KIDP has")
    });
}

/// A name is the base, with or without a suffix, so that it is found by it and met by nobody else's.
fn name(scope: &Scope<'_>, object: &Object, notes: &mut Notes) {
    let (instance, name, key) = (scope.instance, object.name(), object.key());
    if let Err(error) = names::validate_label(name) {
        notes.add(instance, &key, format!("its name {error}"));
    }
    if object.kind() == "Service" {
        // <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#rfc-1035-label-names>
        let letter = name.starts_with(|c: char| c.is_ascii_lowercase());
        notes.require(letter, instance, &key, || {
            "a Service's name starts with a letter".to_owned()
        });
    }
    if object.kind() == "StatefulSet" {
        notes.require(name.len() + REVISION <= MAX_LABEL, instance, &key, || {
            "its name and the hash of its revision do not fit a label".to_owned()
        });
    }
    if object.resource().group == cloudnative_pg::GROUP {
        notes.require(name.len() <= cloudnative_pg::MAX_NAME, instance, &key, || {
            format!(
                "its name is longer than {} characters, which CloudNativePG refuses",
                cloudnative_pg::MAX_NAME
            )
        });
    }
    let rest = name.strip_prefix(scope.base.as_str());
    let derived = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    notes.require(derived, instance, &key, || {
        "its name is not the base name of `Scope`, with or without a suffix".to_owned()
    });
    let namespace = object.json()["metadata"]["namespace"].as_str();
    notes.require(namespace == Some(&instance.namespace), instance, &key, || {
        "is not in the instance's namespace".to_owned()
    });
}

/// The labels that say whose an object is; those that removal needs are checked with it.
fn required_labels(scope: &Scope<'_>, engine: Engine, key: &str, found: &Value, notes: &mut Notes) {
    let instance = scope.instance;
    let expected = [
        (labels::NAME, Some(engine.as_str())),
        (labels::INSTANCE, Some(scope.base.as_str())),
        (labels::COMPONENT, None),
        (labels::PART_OF, None),
        (labels::TEAM, None),
    ];
    // An instance of no team has no label of one.
    let has_team = !instance.team.is_empty();
    for (label, value) in expected
        .into_iter()
        .filter(|(label, _)| has_team || *label != labels::TEAM)
    {
        let is_there = match value {
            Some(value) => found[label] == value,
            None => found[label].is_string(),
        };
        notes.require(is_there, instance, key, || {
            format!("its label {label} is missing or another's")
        });
    }
    for (label, value) in found.as_object().into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        notes.require(labels::value(text) == text, instance, key, || {
            format!("its label {label} has a value that Kubernetes refuses")
        });
    }
}

/// A selector without the instance's label leads to pods of other instances.
fn selectors(scope: &Scope<'_>, manifests: &Manifests<Prepared>, notes: &mut Notes) {
    let instance = scope.instance;
    for object in manifests.objects() {
        let spec = &object.json()["spec"];
        let selector = match object.kind() {
            "Service" => &spec["selector"],
            "NetworkPolicy" => &spec["podSelector"]["matchLabels"],
            "StatefulSet" | "Deployment" | "DaemonSet" | "PodDisruptionBudget" => {
                &spec["selector"]["matchLabels"]
            }
            _ => continue,
        };
        let own = selector[labels::INSTANCE] == scope.base.as_str();
        notes.require(own, instance, &object.key(), || {
            format!(
                "selects pods of other instances: its selector lacks {}",
                labels::INSTANCE
            )
        });
    }
    let templates = templates(manifests).into_iter();
    let pods = templates.map(|pod| (pod.object, &pod.metadata["labels"]));
    let inherited = |cluster| (cluster, inherited_labels(cluster));
    for (object, found) in pods.chain(clusters(manifests).map(inherited)) {
        let selected = scope
            .selector()
            .iter()
            .all(|(key, value)| found[key] == value.as_str());
        notes.require(selected, instance, &object.key(), || {
            "its pods lack the labels of `Scope::selector`, by which they are observed".to_owned()
        });
    }
}
