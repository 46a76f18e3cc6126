//! Bodies of the broker's HTTP API. Field names are fixed: existing clients use them.
//!
//! `resourceUid`, `resourceGeneration`, `observedGeneration` and `requestedBy` go beyond the first contract; they are optional
//! in requests, so that a client that does not know them is served as before.

mod plan;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::crd::{PendingChanges, Phase};
use crate::deployment::DeploymentId;
use crate::instance::{DeletionPolicy, InstanceSpec, OwnerRef, ResourceType};

pub use plan::{
    PlanAction, PlanNote, PlanView, PlannedAdoption, PlannedChange, PlannedResources, RequestedResources,
    Severity,
};

/// Largest body that the broker and the callback receiver read, in bytes.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// Body of `POST /v1/provision` and of `POST /v1/plan`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProvisionRequest {
    /// Kind of the resource.
    pub resource_type: ResourceType,
    /// Name of the resource.
    pub resource_name: String,
    /// Namespace that the instance lives in.
    pub namespace: String,
    /// The team that asks.
    pub team: String,
    /// The owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerRef>,
    /// Where callbacks go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// What is to be there.
    pub spec: InstanceSpec,
    /// UID of the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_uid: Option<String>,
    /// Generation of the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_generation: Option<i64>,
    /// Who asks, so that a client can tell its own instances from those of others at the same broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
}

/// Body of `POST /v1/deprovision`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeprovisionRequest {
    /// The deployment to remove.
    pub deployment_id: DeploymentId,
    /// Namespace of the instance; looked up by the id when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What happens to the data; the instance's own policy when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Whether the resource itself is gone, so that nothing may be made under this id again: a request for it that was
    /// delayed on its way is then refused. Without it, the same resource may be provisioned anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub permanent: bool,
}

/// Body of a 202 answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// Always `accepted`.
    pub status: String,
    /// The deployment.
    pub deployment_id: DeploymentId,
    /// For a person.
    pub message: String,
}

/// Answer of `GET /v1/status?id=`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStatus {
    /// The deployment.
    pub deployment_id: DeploymentId,
    /// Kind of the resource.
    pub resource_type: ResourceType,
    /// Name of the resource.
    pub resource_name: String,
    /// Namespace of the instance.
    pub namespace: String,
    /// Where the instance is in its life.
    pub phase: Phase,
    /// Generation of the resource that the broker holds.
    pub resource_generation: i64,
    /// Generation of the resource that `phase` speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What a changed spec does that is not in effect yet; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<PendingChanges>,
    /// Whether the broker's record equals the spec of that generation is for the client to see.
    pub spec: InstanceSpec,
    /// For a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Stable reason of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Host name that clients connect to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Port that clients connect to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Name of the Secret with the credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_secret: Option<String>,
}

/// How well an instance does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HealthStatus {
    /// As asked for, and usable.
    Healthy,
    /// On its way, or usable but not as asked for.
    Degraded,
    /// Not usable.
    Unhealthy,
}

/// Query of `GET /v1/resources` and body of its `POST` form. Every field narrows the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceQuery {
    /// Only this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Only this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<ResourceType>,
    /// Only this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    /// Only this deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<DeploymentId>,
    /// Only what this client asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// How much is told of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Detail>,
    /// Only those whose ids come after this one; the answer is then in the order of ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<DeploymentId>,
}

/// How much is told of a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// What the cluster holds as well.
    #[default]
    Full,
    /// The record alone, in the order of ids: cheap enough to list every one, page by page.
    Record,
}

/// One resource in the answer of `/v1/resources`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceView {
    /// The deployment.
    pub deployment_id: DeploymentId,
    /// Kind of the resource.
    pub resource_type: ResourceType,
    /// Name of the resource.
    pub resource_name: String,
    /// Namespace of the instance.
    pub namespace: String,
    /// The team.
    pub team: String,
    /// UID of the resource that asked, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_uid: Option<String>,
    /// The client that asked, where it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// Where it is in its life.
    pub phase: Phase,
    /// What a changed spec does that is not in effect yet; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<PendingChanges>,
    /// How well it does.
    pub health_status: HealthStatus,
    /// What the cluster holds, as far as the broker can read it: replicas, image, resources, storage.
    pub actual_spec: Value,
    /// What was asked for.
    pub desired_spec: InstanceSpec,
    /// Whether live objects differ from what was applied.
    pub drift_detected: bool,
    /// What differs, one line a field; never a secret value.
    pub drift_details: Vec<String>,
    /// Objects that could not be compared, one line each; whether they drifted is unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift_unknown: Vec<String>,
    /// Measured use, where the cluster has metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_usage: Option<Value>,
    /// Expected cost a month; absent while no price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_monthly_cost: Option<f64>,
    /// Host name that clients connect to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Port that clients connect to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Name of the Secret with the credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_secret: Option<String>,
}

/// Answer of `/v1/resources`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceList {
    /// The resources, by namespace and name.
    pub resources: Vec<ResourceView>,
    /// How many there are.
    pub total: usize,
    /// The namespace that was asked for, or empty for all.
    pub namespace: String,
}

/// Answer of `GET /`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BrokerRoot {
    /// Always `kidp-broker`.
    pub service: String,
    /// Name of this broker; equals the name of its `Broker` object.
    pub name: String,
    /// Version of the broker.
    pub version: String,
    /// Key that its callbacks are verified with, as `whpk_` and base64.
    pub callback_public_key: String,
    /// What its registry provisions.
    pub capabilities: Vec<EngineCapability>,
    /// Every route with an example.
    pub endpoints: Vec<EndpointDoc>,
    /// Links by relation.
    #[serde(rename = "_links")]
    pub links: std::collections::BTreeMap<String, Link>,
}

/// Answer of `GET /health` and `GET /readiness`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// `healthy` or `ready`.
    pub status: String,
    /// Always `kidp-broker`.
    pub service: String,
    /// Name of this broker.
    pub name: String,
    /// Version of the broker.
    pub version: String,
}

/// An engine of a broker's registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EngineCapability {
    /// Kind of the resource.
    pub resource_type: ResourceType,
    /// The engine.
    pub provider: String,
    /// Versions that it provisions.
    pub versions: Vec<String>,
    /// Sizes that it provisions.
    pub sizes: Vec<String>,
    /// Whether it supports high availability.
    pub high_availability: bool,
    /// Parameters that it takes.
    pub parameters: Vec<String>,
}

/// One route of a broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointDoc {
    /// HTTP method.
    pub method: String,
    /// Path, with its query.
    pub path: String,
    /// What it does.
    pub description: String,
    /// A body that it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<Value>,
}

/// A link of a HATEOAS document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// Where to.
    pub href: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_only_the_first_contract_fields_is_read() {
        let request: ProvisionRequest = serde_json::from_value(serde_json::json!({
            "resourceType": "database", "resourceName": "orders", "namespace": "shop", "team": "payments",
            "owner": {"kind": "Team", "name": "payments"}, "callbackUrl": "http://operator:9090/v1/callback",
            "spec": {"engine": "postgresql", "version": "15", "storage": {"size": "1Gi"}}
        }))
        .unwrap();
        assert_eq!(request.resource_type, ResourceType::Database);
        assert_eq!(request.resource_uid, None);
    }

    #[test]
    fn an_unknown_field_is_named() {
        let error = serde_json::from_value::<DeprovisionRequest>(
            serde_json::json!({"deploymentId": "deploy-00000000000000000000000000000000", "force": true}),
        )
        .unwrap_err();
        assert!(error.to_string().contains("force"), "{error}");
    }
}
