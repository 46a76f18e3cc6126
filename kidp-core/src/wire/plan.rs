//! Answer of `POST /v1/plan`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::deployment::DeploymentId;

/// What a request would do if it were made. Nothing of it is recorded or written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanView {
    /// The deployment that the request would make or change.
    pub deployment_id: DeploymentId,
    /// What the request would be to the broker's record.
    pub action: PlanAction,
    /// The gravest of what all of it does.
    pub consequence: Severity,
    /// Objects that would be made, as `Kind/name`.
    pub created: Vec<String>,
    /// Fields that would change. Values of Secrets are hidden.
    pub changes: Vec<PlannedChange>,
    /// Objects that the broker may not read, as `Kind/name`: they may change or not.
    pub unknown: Vec<PlanNote>,
    /// What stands in the way: with any of these, nothing or not all would be applied.
    pub refusals: Vec<PlanNote>,
    /// What all members of the instance request together, now and then: what a price is put on.
    pub resources: PlannedResources,
    /// The StatefulSet that would be taken over, where that is to be decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adoption: Option<PlannedAdoption>,
}

/// What is to be decided before a StatefulSet is taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedAdoption {
    /// What stands in the way of taking it over.
    pub blockers: Vec<PlanNote>,
    /// Where pods would be replaced: the digest of this plan, by which that is accepted (`spec.adopt.acceptPlan`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// What a request would be to the broker's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PlanAction {
    /// There is none yet.
    Create,
    /// It would take the new spec.
    Update,
    /// It asks for this already; whatever would change has drifted.
    Unchanged,
    /// A newer generation is recorded, so that the request would be ignored.
    Stale,
}

/// What a change does to an instance, from harmless to grave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Nothing that a client notices.
    None,
    /// The engine takes it on while it runs.
    Reload,
    /// Pods are replaced, one after another where there are several.
    RollingRestart,
    /// An object is deleted and made again; its data stays.
    Recreate,
    /// Data is lost, or would be: it is refused or left to a person.
    DataLoss,
}

/// A field that would change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedChange {
    /// The object, as `Kind/name`.
    pub object: String,
    /// Path of the field in it; empty for the object as a whole.
    pub path: String,
    /// What is there; null when nothing is.
    pub before: Value,
    /// What would be there; null when nothing would.
    pub after: Value,
    /// What that does.
    pub consequence: Severity,
}

/// Something to be said of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanNote {
    /// The object, as `Kind/name`; empty for the instance as a whole.
    pub object: String,
    /// For a person.
    pub message: String,
}

/// What is requested before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedResources {
    /// By what is there; zeros for an instance that is new.
    pub before: RequestedResources,
    /// By what would be there.
    pub after: RequestedResources,
}

/// What nodes and volumes are filled by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestedResources {
    /// CPU, in cores.
    pub cpu_cores: f64,
    /// Memory, in GiB.
    pub memory_gib: f64,
    /// Storage, in GiB.
    pub storage_gib: f64,
}
