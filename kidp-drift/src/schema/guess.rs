//! Where no schema is known: lists and quantities by the names that Kubernetes gives them everywhere.

use serde_json::Value;

use super::{Keys, List, Type};

/// How a list in field `name` is compared.
///
/// The first set of keys that every item has is used: a Service's `ports` are keyed by `port`, a container's by
/// `containerPort`.
pub(super) fn list(name: &str, items: &[Value]) -> List {
    let candidates: &[Keys] = match name {
        "containers" | "initContainers" | "ephemeralContainers" | "env" | "volumes" | "imagePullSecrets" => {
            &[&[("name", "")]]
        }
        "volumeMounts" => &[&[("mountPath", "")]],
        "volumeDevices" => &[&[("devicePath", "")]],
        "ports" => &[
            &[("containerPort", ""), ("protocol", "TCP")],
            &[("port", ""), ("protocol", "TCP")],
        ],
        "conditions" => &[&[("type", "")]],
        "ownerReferences" => &[&[("uid", "")]],
        "topologySpreadConstraints" => &[&[("topologyKey", ""), ("whenUnsatisfiable", "")]],
        "hostAliases" => &[&[("ip", "")]],
        "finalizers" => return List::Set,
        _ => &[],
    };
    let fits = |keys: &&Keys| {
        let first = keys.first().map_or("", |(key, _)| key);
        items.iter().all(|item| item.get(first).is_some())
    };
    candidates
        .iter()
        .find(fits)
        .map_or(List::Ordered(Type::Guessed), |keys| {
            List::Keyed(keys, Type::Guessed)
        })
}

/// Whether a field holds a quantity, by where it stands.
pub(crate) fn is_quantity(parent: &str, name: &str) -> bool {
    matches!(
        parent,
        "limits" | "requests" | "capacity" | "hard" | "allocatedResources"
    ) || matches!(name, "sizeLimit" | "divisor")
}
