//! The password is in the connection Secret and nowhere else, and a client finds its way with that Secret.

mod connection;

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::objects::{Notes, PASSWORD, clusters, containers, items, render, templates};
use super::report::{Check, Finding};
use super::samples::Samples;
use crate::instance::Instance;
use crate::manifests::{Manifests, Object, Prepared};
use crate::provisioner::Provisioner;

/// Another password of the same length and alphabet.
const OTHER_PASSWORD: &str = "0ther0ther0ther0ther0ther0ther00";

/// Checks where the password is, what depends on it, and the connection Secret.
///
/// What depends on a password shows something of it, even as a hash, to those who may not read the Secret. So nothing
/// but Secrets may change with it: no checksum on pods, no script, no name.
pub fn secrets(provisioner: &dyn Provisioner, samples: &Samples) -> Vec<Finding> {
    let mut notes = Notes::new(Check::Secrets);
    for instance in samples.instances() {
        let one = render(provisioner, instance, PASSWORD);
        let again = render(provisioner, instance, PASSWORD);
        let other = render(provisioner, instance, OTHER_PASSWORD);
        let (Ok(one), Ok(again), Ok(other)) = (one, again, other) else {
            continue;
        };
        places(instance, &one, &mut notes);
        // What changes by itself is a finding of determinism.
        if one.objects() == again.objects() {
            dependents(instance, &one, &other, &mut notes);
        }
        environment(instance, &one, &mut notes);
        connection::connection(provisioner, instance, &one, &mut notes);
    }
    notes.findings()
}

/// A Secret without its values, and without the hash over them, which who may read one may read as well.
fn without_values(secret: &Object) -> Value {
    let mut json = secret.redacted();
    let keys: Vec<String> = items_of(&json["data"]);
    json["data"] = json!(keys);
    json
}

fn items_of(map: &Value) -> Vec<String> {
    map.as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.clone())
        .collect()
}

/// The password as it is, and as a Secret's `data` has it.
fn places(instance: &Instance, manifests: &Manifests<Prepared>, notes: &mut Notes) {
    let encoded = serde_json::to_value(ByteString(PASSWORD.as_bytes().to_vec())).unwrap_or_default();
    let encoded = encoded.as_str().unwrap_or(PASSWORD);
    for object in manifests.objects() {
        let json = if object.is_secret() {
            without_values(object)
        } else {
            object.json().clone()
        };
        let text = json.to_string();
        let shows = text.contains(PASSWORD) || text.contains(encoded);
        notes.require(!shows, instance, &object.key(), || {
            "shows the password outside a Secret's data".to_owned()
        });
    }
    let redacted = manifests
        .objects()
        .iter()
        .map(|object| object.redacted().to_string());
    let shown = format!("{manifests:?}{}", redacted.collect::<String>());
    notes.require(!shown.contains(PASSWORD), instance, "", || {
        "shows the password when it is redacted or printed for debugging".to_owned()
    });
}

/// What changes with the password.
fn dependents(
    instance: &Instance,
    one: &Manifests<Prepared>,
    other: &Manifests<Prepared>,
    notes: &mut Notes,
) {
    notes.require(one.objects().len() == other.objects().len(), instance, "", || {
        "another password gives another number of objects".to_owned()
    });
    for (one, other) in one.objects().iter().zip(other.objects()) {
        let same = if one.is_secret() {
            without_values(one) == without_values(other)
        } else {
            one == other
        };
        notes.require(same, instance, &one.key(), || {
            "changes with the password, and shows something of it".to_owned()
        });
    }
}

/// Files, not variables: those are shown by `describe`, in dumps and to every child process.
fn environment(instance: &Instance, manifests: &Manifests<Prepared>, notes: &mut Notes) {
    for cluster in clusters(manifests) {
        let spec = &cluster.json()["spec"];
        let is_plain = spec["env"].is_null() && spec["envFrom"].is_null();
        notes.require(is_plain, instance, &cluster.key(), || {
            "gives its members variables; it has files for secrets".to_owned()
        });
    }
    for pod in templates(manifests) {
        for (list, container) in containers(pod.spec) {
            let name = &container["name"];
            let variables = items(&container["env"]).filter(|v| !v["valueFrom"]["secretKeyRef"].is_null());
            let whole = items(&container["envFrom"]).filter(|v| !v["secretRef"].is_null());
            notes.require(
                variables.chain(whole).next().is_none(),
                instance,
                &pod.object.key(),
                || format!("{list} {name} has variables from a Secret; mount it as files"),
            );
        }
    }
}
