//! Pods have what their size says, and volumes what was asked for.

use kidp_core::quantity::parse_bytes;

use super::objects::{Notes, containers, items, judge, templates, text};
use super::report::{Check, Finding};
use super::samples::Samples;
use crate::instance::Instance;
use crate::manifests::{Manifests, Prepared};
use crate::provisioner::Provisioner;
use crate::resources::meta::Scope;

/// Checks requests and limits of every container, and the volume claims.
///
/// The first container of the StatefulSet that has the base name is the engine's: it has the size's CPU and memory.
/// Others, of the same pod or another, have limits of their own.
pub fn sizing(provisioner: &dyn Provisioner, samples: &Samples) -> Vec<Finding> {
    judge(
        provisioner,
        samples,
        Check::Sizing,
        |instance, manifests, notes| {
            every_container(instance, manifests, notes);
            engine(instance, manifests, notes);
            volumes(instance, manifests, notes);
        },
    )
}

fn every_container(instance: &Instance, manifests: &Manifests<Prepared>, notes: &mut Notes) {
    for pod in templates(manifests) {
        let key = pod.object.key();
        for (list, container) in containers(pod.spec).filter(|(list, _)| *list != "ephemeralContainers") {
            let name = text(container, "/name");
            for (resource, parse) in [("cpu", millis as fn(&str) -> Option<u64>), ("memory", bytes)] {
                let of = |what: &str| parse(text(&container["resources"][what], &format!("/{resource}")));
                let (request, limit) = (of("requests"), of("limits"));
                let fits = matches!((request, limit), (Some(r), Some(l)) if 0 < r && r <= l);
                notes.require(fits, instance, &key, || {
                    format!("{list} `{name}` needs a {resource} limit, and a request within it")
                });
            }
        }
    }
}

fn engine(instance: &Instance, manifests: &Manifests<Prepared>, notes: &mut Notes) {
    let base = Scope::new(instance).base;
    let objects = manifests.objects();
    let Some(set) = objects
        .iter()
        .find(|object| object.kind() == "StatefulSet" && object.name() == base)
    else {
        notes.add(
            instance,
            "",
            "there is no StatefulSet of the base name, by which an instance is observed",
        );
        return;
    };
    let limits = &set.json()["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"];
    let size = instance.spec.size;
    let as_promised = millis(text(limits, "/cpu")) == Some(u64::from(size.cpu_cores()) * 1000)
        && bytes(text(limits, "/memory")) == Some(size.memory_bytes());
    notes.require(as_promised, instance, &set.key(), || {
        format!("the limits of its first container are not those of size {size}")
    });
}

fn volumes(instance: &Instance, manifests: &Manifests<Prepared>, notes: &mut Notes) {
    let storage = &instance.spec.storage;
    for object in manifests.objects().iter().filter(|o| o.kind() == "StatefulSet") {
        for claim in items(&object.json()["spec"]["volumeClaimTemplates"]) {
            let spec = &claim["spec"];
            let size = bytes(text(spec, "/resources/requests/storage"));
            notes.require(size == bytes(&storage.size), instance, &object.key(), || {
                "its volume does not have the size that was asked for".to_owned()
            });
            let class = spec["storageClassName"].as_str();
            notes.require(class == storage.class.as_deref(), instance, &object.key(), || {
                "its volume does not have the storage class that was asked for".to_owned()
            });
        }
    }
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
