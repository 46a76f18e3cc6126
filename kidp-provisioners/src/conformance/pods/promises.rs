//! What KIDP promises about pods beyond the standard.

use serde_json::{Value, json};

use crate::conformance::objects::{containers, items, text};

/// What a pod, given as JSON, has that it does not need: a writable root, a token for the API server, variables for
/// every Service of its namespace, the root group.
pub fn promise_violations(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for field in ["automountServiceAccountToken", "enableServiceLinks"] {
        if pod[field] != json!(false) {
            found.push(format!("{field} must be false"));
        }
    }
    if pod["shareProcessNamespace"] == json!(true) {
        found.push("shareProcessNamespace lets containers read each other's secrets".to_owned());
    }
    let projected = items(&pod["volumes"]).flat_map(|volume| items(&volume["projected"]["sources"]));
    if projected
        .into_iter()
        .any(|source| !source["serviceAccountToken"].is_null())
    {
        found.push("a volume holds a service account token".to_owned());
    }
    let context = &pod["securityContext"];
    for field in ["runAsGroup", "fsGroup"] {
        if context[field] == json!(0) {
            found.push(format!("{field} 0 is the group of root"));
        }
    }
    for (list, container) in containers(pod) {
        let name = text(container, "/name");
        let own = &container["securityContext"];
        if own["readOnlyRootFilesystem"] != json!(true) {
            found.push(format!("{list} `{name}`: readOnlyRootFilesystem must be true"));
        }
        if own["runAsGroup"] == json!(0) {
            found.push(format!("{list} `{name}`: runAsGroup 0 is the group of root"));
        }
    }
    found
}
