//! What a request says about the metrics of its engine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names;
use crate::problem::FieldError;

/// Most namespaces that metrics are read from.
pub const MAX_NAMESPACES: usize = 8;

/// The namespace that metrics are read from where none is named: that of the Prometheus Operator's own manifests
/// (<https://github.com/prometheus-operator/kube-prometheus>).
const SCRAPERS: &str = "monitoring";

/// Metrics of the engine, in Prometheus' format.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MonitoringSpec {
    /// Whether they are served, on the port `metrics` of every pod. Turning it on or off restarts the pods.
    #[serde(default)]
    pub enabled: bool,
    /// Namespaces whose pods may read them; `monitoring` when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_NAMESPACES), inner(length(min = 1, max = 63)))]
    pub from_namespaces: Vec<String>,
}

impl MonitoringSpec {
    /// Whether it says what an absent one says. Such a one is not written.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The namespaces whose pods may read the metrics. Never none, which a policy would take for everybody.
    pub fn scrapers(&self) -> Vec<&str> {
        if self.from_namespaces.is_empty() {
            return vec![SCRAPERS];
        }
        self.from_namespaces.iter().map(String::as_str).collect()
    }

    /// Everything that is wrong with it; `path` is its own place in the request.
    pub fn faults(&self, path: &str) -> Vec<FieldError> {
        let field = format!("{path}.fromNamespaces");
        if !self.enabled && !self.from_namespaces.is_empty() {
            let say = format!("is of use with metrics only; set {path}.enabled to true, or leave it out");
            return vec![FieldError::new(field, say)];
        }
        let mut faults = Vec::new();
        if self.from_namespaces.len() > MAX_NAMESPACES {
            let say = format!("has more than {MAX_NAMESPACES} entries");
            faults.push(FieldError::new(field.clone(), say));
        }
        for (index, name) in self.from_namespaces.iter().enumerate() {
            if let Err(error) = names::validate_label(name) {
                faults.push(FieldError::new(format!("{field}[{index}]"), error.to_string()));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(enabled: bool, from: &[&str]) -> MonitoringSpec {
        MonitoringSpec {
            enabled,
            from_namespaces: from.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn there_is_always_somebody_who_may_read() {
        assert_eq!(spec(true, &[]).scrapers(), ["monitoring"]);
        assert_eq!(spec(true, &["a", "b"]).scrapers(), ["a", "b"]);
    }

    #[test]
    fn faults_name_their_field() {
        let fields = |spec: &MonitoringSpec| -> Vec<String> {
            let faults = spec.faults("spec.monitoring").into_iter();
            faults.map(|fault| fault.field).collect()
        };
        assert_eq!(fields(&spec(true, &["metrics", "team-a"])), [""; 0]);
        assert_eq!(fields(&spec(false, &[])), [""; 0]);
        assert_eq!(fields(&spec(false, &["a"])), ["spec.monitoring.fromNamespaces"]);
        assert_eq!(
            fields(&spec(true, &["a", "Not one", ""])),
            [
                "spec.monitoring.fromNamespaces[1]",
                "spec.monitoring.fromNamespaces[2]"
            ]
        );
        assert_eq!(
            fields(&spec(true, &["a"; MAX_NAMESPACES + 1])),
            ["spec.monitoring.fromNamespaces"]
        );
    }

    #[test]
    fn what_is_not_asked_for_is_not_written() {
        let absent: MonitoringSpec = serde_json::from_str("{}").unwrap();
        assert!(absent.is_default());
        assert!(!spec(true, &[]).is_default());
        assert!(serde_json::from_str::<MonitoringSpec>(r#"{"namespaces": []}"#).is_err());
    }
}
