//! Pods have what their size says, and volumes what was asked for.

use kidp_core::instance::Engine;
use kidp_core::quantity::parse_bytes;
use serde_json::Value;

use super::objects::{Notes, clusters, containers, items, judge, templates, text};
use super::report::{Check, Finding};
use super::samples::Samples;
use crate::instance::Instance;
use crate::manifests::{Manifests, Object, Prepared};
use crate::provisioner::Provisioner;
use crate::resources::meta::Scope;

/// Checks requests and limits of every container, and the volume claims.
///
/// The first container of the StatefulSet that has the base name is the engine's: it has the size's CPU and memory.
/// Others, of the same pod or another, have limits of their own. A `Cluster` of CloudNativePG takes the StatefulSet's
/// place.
pub fn sizing(provisioner: &dyn Provisioner, samples: &Samples) -> Vec<Finding> {
    judge(
        provisioner,
        samples,
        Check::Sizing,
        |instance, manifests, notes| {
            every_container(instance, manifests, notes);
            // What is refused is not charged; nor is an engine of someone else's, which no spec can ask for.
            let is_ours = !matches!(instance.spec.engine, Engine::Other(_));
            let is_charged = is_ours && provisioner.validate(instance).is_ok();
            engine(instance, manifests, is_charged, notes);
            volumes(instance, manifests, notes);
        },
    )
}

fn every_container(instance: &Instance, manifests: &Manifests<Prepared>, notes: &mut Notes) {
    for pod in templates(manifests) {
        let key = pod.object.key();
        for (list, container) in containers(pod.spec).filter(|(list, _)| *list != "ephemeralContainers") {
            let what = format!("{list} `{}`", text(container, "/name"));
            within(instance, &key, &what, &container["resources"], notes);
        }
    }
    for cluster in clusters(manifests) {
        within(
            instance,
            &cluster.key(),
            "a member",
            &cluster.json()["spec"]["resources"],
            notes,
        );
    }
}

fn within(instance: &Instance, key: &str, what: &str, resources: &Value, notes: &mut Notes) {
    for (resource, parse) in [("cpu", millis as fn(&str) -> Option<u64>), ("memory", bytes)] {
        let of = |list: &str| parse(text(&resources[list], &format!("/{resource}")));
        let (request, limit) = (of("requests"), of("limits"));
        let fits = matches!((request, limit), (Some(r), Some(l)) if 0 < r && r <= l);
        notes.require(fits, instance, key, || {
            format!("{what} needs a {resource} limit, and a request within it")
        });
    }
}

fn engine(instance: &Instance, manifests: &Manifests<Prepared>, is_charged: bool, notes: &mut Notes) {
    let base = Scope::new(instance).base;
    let sets = manifests.objects().iter().filter(|o| o.kind() == "StatefulSet");
    let Some(set) = sets.chain(clusters(manifests)).find(|o| o.name() == base) else {
        notes.add(
            instance,
            "",
            "there is no StatefulSet of the base name, nor a Cluster, by which an instance is observed",
        );
        return;
    };
    let spec = &set.json()["spec"];
    let limits = match set.kind() {
        "StatefulSet" => &spec["template"]["spec"]["containers"][0]["resources"]["limits"],
        _ => &spec["resources"]["limits"],
    };
    let size = instance.spec.size;
    let as_promised = millis(text(limits, "/cpu")) == Some(u64::from(size.cpu_cores()) * 1000)
        && bytes(text(limits, "/memory")) == Some(size.memory_bytes());
    notes.require(as_promised, instance, &set.key(), || {
        format!("the limits of its first container are not those of size {size}")
    });
    if is_charged {
        members(instance, set, notes);
    }
}

/// What is charged for is what is there, see `kidp_core::cost`.
fn members(instance: &Instance, set: &Object, notes: &mut Notes) {
    let spec = &set.json()["spec"];
    let members = spec["replicas"].as_u64().or_else(|| spec["instances"].as_u64());
    let charged = instance.spec.members();
    notes.require(members == Some(u64::from(charged)), instance, &set.key(), || {
        format!("it has {members:?} members, and is charged for {charged}")
    });
}

fn volumes(instance: &Instance, manifests: &Manifests<Prepared>, notes: &mut Notes) {
    for object in manifests.objects().iter().filter(|o| o.kind() == "StatefulSet") {
        for claim in items(&object.json()["spec"]["volumeClaimTemplates"]) {
            let spec = &claim["spec"];
            let size = text(spec, "/resources/requests/storage");
            volume(instance, &object.key(), size, &spec["storageClassName"], notes);
        }
    }
    for cluster in clusters(manifests) {
        let storage = &cluster.json()["spec"]["storage"];
        let size = text(storage, "/size");
        volume(instance, &cluster.key(), size, &storage["storageClass"], notes);
    }
}

fn volume(instance: &Instance, key: &str, size: &str, class: &Value, notes: &mut Notes) {
    let storage = &instance.spec.storage;
    notes.require(bytes(size) == bytes(&storage.size), instance, key, || {
        "its volume does not have the size that was asked for".to_owned()
    });
    notes.require(class.as_str() == storage.class.as_deref(), instance, key, || {
        "its volume does not have the storage class that was asked for".to_owned()
    });
}

fn bytes(quantity: &str) -> Option<u64> {
    parse_bytes(quantity).ok()
}

/// CPU in thousandths; of the quantity's forms, those in which CPU is written.
fn millis(quantity: &str) -> Option<u64> {
    match quantity.strip_suffix('m') {
        Some(millis) => millis.parse().ok(),
        None => quantity.parse::<u64>().ok().map(|cores| cores * 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::millis;

    #[test]
    fn cpu_is_read_in_both_forms() {
        assert_eq!(
            [millis("2"), millis("250m"), millis("")],
            [Some(2000), Some(250), None]
        );
    }
}
