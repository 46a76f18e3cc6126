//! `UsageRecord`: what an instance was, from when to when, and who it was for. The operator writes it; costs are derived
//! from it and nothing else, so that no restart loses or doubles any.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cost::{Location, Shape};
use crate::instance::ResourceType;

/// Most intervals of one record; a resource that changes more often gets another record.
pub const MAX_INTERVALS: usize = 100;

/// Usage of one resource.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "platform.company.com",
    version = "v1",
    kind = "UsageRecord",
    plural = "usagerecords",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Kind","type":"string","jsonPath":".spec.resource.kind"}"#,
    printcolumn = r#"{"name":"Namespace","type":"string","jsonPath":".spec.resource.namespace"}"#,
    printcolumn = r#"{"name":"Resource","type":"string","jsonPath":".spec.resource.name"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct UsageRecordSpec {
    /// The resource.
    pub resource: UsedResource,
    /// Where its instance is.
    pub location: Location,
    /// Which record of the resource this is, from 0.
    #[serde(default)]
    pub part: u32,
    /// What it was and when, the oldest first. They do not overlap; the last is open while it goes on.
    #[schemars(length(min = 1, max = 100))]
    pub intervals: Vec<UsageInterval>,
}

/// The resource that a record is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsedResource {
    /// Its namespace.
    pub namespace: String,
    /// Its kind.
    pub kind: ResourceType,
    /// Its name.
    pub name: String,
    /// Its UID: one that is made anew under the name is another.
    pub uid: String,
}

/// A time in which nothing changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageInterval {
    /// Its first second.
    pub from: Time,
    /// The second after its last; absent while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Time>,
    /// Generation of the resource when it began.
    pub generation: i64,
    /// What was there.
    pub shape: Shape,
    /// Who it was for.
    pub charge_to: ChargeTo,
}

/// Who pays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChargeTo {
    /// Namespace of the team.
    pub team_namespace: String,
    /// The team.
    pub team: String,
    /// The application, where the resource belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// The team's tenant, as `namespace/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The team's cost centre.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_center: Option<String>,
}
