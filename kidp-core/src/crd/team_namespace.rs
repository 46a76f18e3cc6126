//! A namespace of a team: what it may hold and how its pods are guarded.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A namespace that is made for a team, and removed with it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TeamNamespace {
    /// Its name. One that exists already is not taken over.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')").message("a namespace is lower-case letters, digits and -"),
        validation = Rule::new("!self.startsWith('kube-') && self != 'default'").message("a namespace of Kubernetes itself cannot be a team's")
    )]
    pub name: String,
    /// The Pod Security level that is enforced in it.
    #[serde(default)]
    pub pod_security: PodSecurity,
    /// Entries of its `ResourceQuota` beside the defaults, or in their place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 20}))]
    #[x_kube(validation = Rule::new("self.all(key, isQuantity(self[key]) && !quantity(self[key]).isLessThan(quantity('0')))")
        .message("an entry of quota must be a quantity of at least 0, such as 10 or 64Gi"))]
    pub quota: BTreeMap<String, String>,
    /// What containers get that ask for nothing themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ContainerLimits>,
}

/// A level of the Pod Security standards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PodSecurity {
    /// All that KIDP's own pods need.
    #[default]
    Restricted,
    /// For software that does not comply with `restricted`.
    Baseline,
}

impl PodSecurity {
    /// As the label of a namespace has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restricted => "restricted",
            Self::Baseline => "baseline",
        }
    }
}

/// What containers get that ask for nothing themselves.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerLimits {
    /// Limits, such as `memory: 512Mi`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8, "additionalProperties" = {"type": "string", "maxLength": 20}))]
    #[x_kube(validation = Rule::new("self.all(key, isQuantity(self[key]) && !quantity(self[key]).isLessThan(quantity('0')))")
        .message("a limit must be a quantity of at least 0, such as 512Mi"))]
    pub default: BTreeMap<String, String>,
    /// Requests, such as `cpu: 100m`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8, "additionalProperties" = {"type": "string", "maxLength": 20}))]
    #[x_kube(validation = Rule::new("self.all(key, isQuantity(self[key]) && !quantity(self[key]).isLessThan(quantity('0')))")
        .message("a request must be a quantity of at least 0, such as 100m"))]
    pub default_request: BTreeMap<String, String>,
}
