//! What a changed spec would do, from its rendering alone: no cluster is asked.
//!
//! What others did to the objects, and what an API server would refuse, is not in it; [`crate::Provisioner::plan`] asks for
//! that. The password takes no part: both are rendered with the same one.

use kidp_core::group::APPLIED_HASH_ANNOTATION;
use kidp_drift::Change;
use serde_json::Value;

use super::{Plan, Refusal, Requested};
use crate::instance::Instance;
use crate::manifests::{BuildError, Manifests, Object, Prepared};
use crate::provisioner::Provisioner;
use crate::revision;

/// Stands for every password.
const NO_PASSWORD: &str = "0";

/// What making `after` of `before` would do, or making it where there is none. Pure.
pub fn between<P: Provisioner + ?Sized>(
    provisioner: &P,
    before: Option<&Instance>,
    after: &Instance,
) -> Result<Plan, BuildError> {
    let then = rendered(provisioner, after)?;
    let now = before.map(|before| rendered(provisioner, before)).transpose()?;
    let mut plan = Plan::default();
    for object in then.objects() {
        plan.resources.after = plan.resources.after.plus(Requested::of(object.json()));
        match now.as_ref().and_then(|now| twin(now, object)) {
            None => plan.created.push(object.key()),
            Some(old) => {
                let found = changes(provisioner, after, object, old.json(), object.json());
                plan.changes.extend(found);
            }
        }
    }
    for object in now.iter().flat_map(Manifests::objects) {
        plan.resources.before = plan.resources.before.plus(Requested::of(object.json()));
    }
    if let Some(before) = before {
        let faults = provisioner.change_faults(&before.spec, &after.spec);
        plan.refusals = faults
            .iter()
            .map(|fault| Refusal {
                object: String::new(),
                message: fault.to_string(),
            })
            .collect();
    }
    let gravest = plan.changes.iter().map(|change| change.consequence).max();
    plan.consequence = gravest.unwrap_or_default();
    Ok(plan)
}

fn rendered<P: Provisioner + ?Sized>(
    provisioner: &P,
    instance: &Instance,
) -> Result<Manifests<Prepared>, BuildError> {
    let credentials = provisioner.credentials(instance, NO_PASSWORD.to_owned());
    revision::build(provisioner, instance, &credentials)
}

/// The object of the same kind and name.
pub(crate) fn twin<'a>(among: &'a Manifests<Prepared>, object: &Object) -> Option<&'a Object> {
    let is_twin = |other: &&Object| other.resource() == object.resource() && other.name() == object.name();
    among.objects().iter().find(is_twin)
}

/// The fields in which `object` then differs from what it is now, and those that go: with what each does, and without
/// the values of a Secret.
pub(crate) fn changes<P: Provisioner + ?Sized>(
    provisioner: &P,
    instance: &Instance,
    object: &Object,
    now: &Value,
    then: &Value,
) -> Vec<Change> {
    let judged = both_ways(now, then).into_iter().map(|change| Change {
        consequence: provisioner.consequence(instance, &change),
        ..change
    });
    let shown = judged.map(|change| {
        if object.is_secret() {
            change.redacted()
        } else {
            change
        }
    });
    shown.map(turned).collect()
}

/// What `then` has otherwise than `now`, and what it no longer has; as `kidp_drift` says it, `before` is of `then`.
fn both_ways(now: &Value, then: &Value) -> Vec<Change> {
    let (plain_now, plain_then) = (plain(now), plain(then));
    let gone = kidp_drift::diff(&plain_now, &plain_then)
        .into_iter()
        .filter(|change| change.after.is_null())
        .map(turned);
    kidp_drift::diff(&plain_then, now)
        .into_iter()
        .chain(gone)
        .collect()
}

/// A change seen from what is there: `before` is now, `after` is then.
pub(crate) fn turned(change: Change) -> Change {
    Change {
        before: change.after,
        after: change.before,
        ..change
    }
}

/// An object without the hash of its rendering, which follows from the rest.
fn plain(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(notes) = object
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        notes.remove(APPLIED_HASH_ANNOTATION);
    }
    object
}

#[cfg(test)]
mod tests {
    use kidp_core::instance::ResourceType;
    use kidp_drift::Consequence;
    use serde_json::json;

    use super::*;
    use crate::registry::Registry;

    fn instance(changes: &Value) -> Instance {
        let mut spec = json!({"engine": "postgresql", "version": "15", "storage": {"size": "10Gi"}});
        for (name, value) in changes.as_object().into_iter().flatten() {
            spec[name] = value.clone();
        }
        let spec = serde_json::from_value(spec).unwrap();
        Instance::new(ResourceType::Database, "shop", "orders", spec)
    }

    fn plan(before: Option<&Value>, after: &Value) -> Plan {
        let (before, after) = (before.map(instance), instance(after));
        let registry = Registry::standard();
        let provisioner = registry.get(after.resource_type, after.spec.engine).unwrap();
        between(provisioner.as_ref(), before.as_ref(), &after).unwrap()
    }

    #[test]
    fn what_is_new_is_made_and_what_is_the_same_is_left() {
        let new = plan(None, &json!({}));
        assert!(new.created.contains(&"StatefulSet/orders-postgresql".to_owned()));
        assert!(new.changes.is_empty() && new.consequence == Consequence::None);
        assert!(plan(Some(&json!({})), &json!({})).is_empty());
    }

    #[test]
    fn each_change_has_the_consequence_that_it_has_in_a_cluster() {
        for (change, consequence) in [
            (json!({"size": "medium"}), Consequence::RollingRestart),
            // The write-ahead log may take a share of the volume, which is in the configuration.
            (json!({"storage": {"size": "20Gi"}}), Consequence::RollingRestart),
            (json!({"version": "16"}), Consequence::DataLoss),
            (json!({"deletionPolicy": "Retain"}), Consequence::None),
        ] {
            let planned = plan(Some(&json!({})), &change);
            assert_eq!(planned.consequence, consequence, "{change}: {planned}");
        }
    }

    #[test]
    fn a_plan_shows_what_is_there_first_and_no_password() {
        let planned = plan(Some(&json!({})), &json!({"size": "medium"}));
        let text = planned.to_string();
        assert!(text.contains("requests: "), "{text}");
        let cpu = planned
            .changes
            .iter()
            .find(|c| c.path.ends_with("limits.cpu"))
            .unwrap();
        assert_eq!((&cpu.before, &cpu.after), (&json!("1"), &json!("2")));
    }
}
