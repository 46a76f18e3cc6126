//! Lists whose items are told apart by a key and not by their position.
//!
//! The API server's schema says so with `x-kubernetes-list-map-keys`; these are the ones that KIDP renders.

use serde_json::{Map, Value};

/// The keys of the list in field `name`, or none where the list is ordered or its keys do not tell items apart.
///
/// The first set that the items have is used: a Service's `ports` are keyed by `port`, a container's by
/// `containerPort`.
pub(crate) fn of(name: &str, items: &[Value]) -> Option<&'static [&'static str]> {
    let candidates: &[&'static [&'static str]] = match name {
        "containers" | "initContainers" | "ephemeralContainers" | "env" | "volumes" | "imagePullSecrets" => {
            &[&["name"]]
        }
        "volumeMounts" => &[&["mountPath"]],
        "volumeDevices" => &[&["devicePath"]],
        "ports" => &[&["containerPort", "protocol"], &["port", "protocol"]],
        "conditions" => &[&["type"]],
        "ownerReferences" => &[&["uid"]],
        "topologySpreadConstraints" => &[&["topologyKey", "whenUnsatisfiable"]],
        "hostAliases" => &[&["ip"]],
        _ => return None,
    };
    let keys = candidates
        .iter()
        .find(|keys| items.first().is_some_and(|item| item.get(keys[0]).is_some()))?;
    let identities: Vec<_> = items.iter().map(|item| identity(item, keys)).collect();
    let unique = identities
        .iter()
        .enumerate()
        .all(|(index, id)| !identities[..index].contains(id));
    unique.then_some(*keys)
}

/// The values of `keys` in an item; `protocol` is TCP unless said otherwise.
pub(crate) fn identity(item: &Value, keys: &[&str]) -> Value {
    let value = |key: &str| match item.get(key) {
        Some(value) => value.clone(),
        None if key == "protocol" => Value::from("TCP"),
        None => Value::Null,
    };
    Value::Object(
        keys.iter()
            .map(|key| ((*key).to_owned(), value(key)))
            .collect::<Map<_, _>>(),
    )
}
