//! What `provision` would do, before it does anything.

mod renders;

use std::fmt;

use kidp_drift::{Change, Consequence, Unknown};
use serde::Serialize;
use serde_json::Value;

pub use renders::between;
pub(crate) use renders::{changes, turned, twin};

/// What applying an instance would change. Nothing of it is in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// Objects that would be made, as `Kind/name`.
    pub created: Vec<String>,
    /// Fields that would change: `before` is there now, `after` would take its place. Values of Secrets are hidden.
    pub changes: Vec<Change>,
    /// Objects that may not be read, so that nothing can be said of them.
    pub unknown: Vec<Unknown>,
    /// What stands in the way: with any of these, nothing or not all would be applied.
    pub refusals: Vec<Refusal>,
    /// The gravest of what all of it does.
    pub consequence: Consequence,
    /// What the instance asks of its cluster, now and then.
    pub resources: ResourceDifference,
}

/// Why something would not be applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The object, as `Kind/name`; empty where it is the instance.
    pub object: String,
    /// The reason, in the API server's words or the library's.
    pub message: String,
}

/// What is requested before and after: the difference is what a price is put on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ResourceDifference {
    /// By what is there now; nothing for an instance that is new.
    pub before: Requested,
    /// By what would be there.
    pub after: Requested,
}

/// What all members of an instance request together: what nodes and volumes are filled by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Requested {
    /// CPU, in cores.
    pub cpu_cores: f64,
    /// Memory, in GiB.
    pub memory_gib: f64,
    /// Storage, in GiB.
    pub storage_gib: f64,
}

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

impl Plan {
    /// Whether there is nothing to do, and nothing that is not known.
    pub fn is_empty(&self) -> bool {
        self.created.is_empty()
            && self.changes.is_empty()
            && self.unknown.is_empty()
            && self.refusals.is_empty()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for object in &self.created {
            writeln!(f, "+ {object}")?;
        }
        write!(f, "{}", kidp_drift::listing(&self.changes))?;
        for unknown in &self.unknown {
            writeln!(f, "? {unknown}")?;
        }
        for refusal in &self.refusals {
            writeln!(f, "! {refusal}")?;
        }
        let (now, then) = (self.resources.before, self.resources.after);
        if now != then {
            writeln!(f, "requests: {now} -> {then}")?;
        }
        let (created, changed) = (self.created.len(), self.changes.len());
        write!(
            f,
            "{created} to create, {changed} to change; consequence: {}",
            self.consequence
        )
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.object.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.object, self.message)
        }
    }
}

impl fmt::Display for Requested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu_cores,
            memory_gib,
            storage_gib,
        } = self;
        write!(
            f,
            "{cpu_cores} CPU, {memory_gib} GiB memory, {storage_gib} GiB storage"
        )
    }
}

impl Requested {
    /// What an object's pods and claims request: a StatefulSet's, or a `Cluster`'s of CloudNativePG; others request
    /// nothing.
    pub(crate) fn of(object: &Value) -> Self {
        let spec = &object["spec"];
        match object["kind"].as_str() {
            Some("StatefulSet") => {
                let (cpu, memory) = pod(&spec["template"]["spec"]);
                let templates = spec["volumeClaimTemplates"].as_array();
                let claims = templates.into_iter().flatten();
                let storage =
                    claims.map(|claim| quantity(&claim["spec"]["resources"]["requests"]["storage"]));
                Self::times(
                    spec["replicas"].as_f64().unwrap_or(1.0),
                    cpu,
                    memory,
                    storage.sum(),
                )
            }
            Some("Cluster") => {
                let requests = &spec["resources"]["requests"];
                let (cpu, memory) = (quantity(&requests["cpu"]), quantity(&requests["memory"]));
                let storage = quantity(&spec["storage"]["size"]);
                Self::times(spec["instances"].as_f64().unwrap_or(1.0), cpu, memory, storage)
            }
            _ => Self::default(),
        }
    }

    fn times(members: f64, cpu: f64, memory: f64, storage: f64) -> Self {
        Self {
            cpu_cores: members * cpu,
            memory_gib: members * memory / GIB,
            storage_gib: members * storage / GIB,
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            cpu_cores: self.cpu_cores + other.cpu_cores,
            memory_gib: self.memory_gib + other.memory_gib,
            storage_gib: self.storage_gib + other.storage_gib,
        }
    }
}

/// CPU and memory that a pod requests: its containers together, or the largest of those that run before them.
/// <https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers>
fn pod(spec: &Value) -> (f64, f64) {
    let of = |list: &str, name: &str| -> Vec<f64> {
        let containers = spec[list].as_array().into_iter().flatten();
        containers
            .map(|container| quantity(&container["resources"]["requests"][name]))
            .collect()
    };
    let total = |name: &str| {
        let together: f64 = of("containers", name).iter().sum();
        of("initContainers", name).into_iter().fold(together, f64::max)
    };
    (total("cpu"), total("memory"))
}

/// A quantity as a number, `0.25` of `250m`; nothing of what an API server would not take.
#[expect(
    clippy::cast_precision_loss,
    reason = "what is requested is told, not counted to the last byte"
)]
fn quantity(value: &Value) -> f64 {
    const ONE: i128 = 1_000_000_000;
    let billionths = kidp_drift::amount(value).unwrap_or_default();
    (billionths / ONE) as f64 + (billionths % ONE) as f64 / ONE as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        for (text, number) in [
            (json!("250m"), 0.25),
            (json!(2), 2.0),
            (json!("0.5"), 0.5),
            (json!("1Gi"), GIB),
            (json!("1e3"), 1000.0),
            (json!("1E"), 1e18),
            (json!("12k"), 12_000.0),
            (Value::Null, 0.0),
        ] {
            assert!((quantity(&text) - number).abs() < 1e-9, "{text}");
        }
    }

    #[test]
    fn members_and_helpers_are_counted() {
        let container = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu, "memory": "512Mi"}}});
        let set = json!({"kind": "StatefulSet", "spec": {
            "replicas": 3,
            "template": {"spec": {
                "containers": [container("250m"), container("250m")],
                "initContainers": [container("2")]
            }},
            "volumeClaimTemplates": [{"spec": {"resources": {"requests": {"storage": "10Gi"}}}}]
        }});
        let requested = Requested::of(&set);
        assert_eq!(requested.to_string(), "6 CPU, 3 GiB memory, 30 GiB storage");
        assert_eq!(Requested::of(&json!({"kind": "Service"})), Requested::default());
    }
}
