//! What a path names, and what may not be changed there.

use serde_json::Value;

use super::{Answer, failure};

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `/api/v1` or `/apis/group/version`.
    pub prefix: String,
    /// The namespace; empty for all of them.
    pub namespace: String,
    /// The kind, as a path has it.
    pub plural: String,
    /// The name; empty for a collection.
    pub name: String,
    /// The subresource; empty for the object itself.
    pub subresource: String,
}

impl Target {
    /// The target of a path.
    pub fn parse(path: &str) -> Option<Self> {
        let parts: Vec<_> = path.trim_matches('/').split('/').collect();
        let (prefix, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => (format!("/api/{version}"), rest),
            ["apis", group, version, rest @ ..] => (format!("/apis/{group}/{version}"), rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let of = |index: usize| rest.get(index).map(ToString::to_string).unwrap_or_default();
        (!rest.is_empty()).then(|| Self {
            prefix,
            namespace: namespace.to_owned(),
            plural: of(0),
            name: of(1),
            subresource: of(2),
        })
    }

    /// The same with a name.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..self.clone()
        }
    }

    /// Where the object is.
    pub fn object_path(&self) -> String {
        let Self {
            prefix,
            namespace,
            plural,
            name,
            ..
        } = self;
        format!("{prefix}/namespaces/{namespace}/{plural}/{name}")
    }

    /// Whether the object of that path is in this collection.
    pub(super) fn covers(&self, path: &str) -> bool {
        let mut parts = path.rsplit('/').skip(1);
        let is_kind = parts.next() == Some(&self.plural) && path.starts_with(&self.prefix);
        is_kind && (self.namespace.is_empty() || parts.next() == Some(&self.namespace))
    }

    /// Whether the status is written by itself.
    pub(super) fn has_status(&self) -> bool {
        self.prefix.contains("platform.company.com") || self.plural == "statefulsets"
    }

    /// Whether the API server counts changes of the spec.
    pub(super) fn has_generation(&self) -> bool {
        self.prefix != "/api/v1" && self.plural != "events"
    }
}

/// Fields of a StatefulSet's spec that may change.
const MUTABLE: [&str; 6] = [
    "replicas",
    "template",
    "updateStrategy",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
    "revisionHistoryLimit",
];

/// The refusal of a change that the API server does not allow.
pub(super) fn immutable(target: &Target, old: &Value, new: &Value) -> Option<Answer> {
    match target.plural.as_str() {
        "statefulsets" => {
            let fixed = |value: &Value| {
                let mut spec = value["spec"].clone();
                if let Some(spec) = spec.as_object_mut() {
                    for key in MUTABLE {
                        spec.remove(key);
                    }
                }
                spec
            };
            let message = "updates to statefulset spec for fields other than 'replicas', ... are forbidden";
            (fixed(old) != fixed(new)).then(|| failure(422, "Invalid", message, "StatefulSet"))
        }
        "serviceinstances" => (old["spec"]["deploymentId"] != new["spec"]["deploymentId"]).then(|| {
            failure(
                422,
                "Invalid",
                "deploymentId is fixed at creation",
                "ServiceInstance",
            )
        }),
        _ => None,
    }
}
