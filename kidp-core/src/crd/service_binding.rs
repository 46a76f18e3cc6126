//! `ServiceBinding`: the broker's durable record of one login of its own to an instance.
//!
//! It stands beside the `ServiceInstance` that it is a login to, is owned by it, and is written before the request is
//! accepted. Its finalizer leaves when the login no longer works. It is a provisioned service in the sense of
//! servicebinding.io: `status.binding.name` is the Secret with the login.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LocalRef, Phase};
use crate::deployment::DeploymentId;

/// An accepted request for a login.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "broker.platform.company.com",
    version = "v1alpha1",
    kind = "ServiceBinding",
    plural = "servicebindings",
    shortname = "sb",
    category = "kidp",
    namespaced,
    status = "ServiceBindingStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Instance","type":"string","jsonPath":".spec.deploymentId"}"#,
    printcolumn = r#"{"name":"User","type":"string","jsonPath":".spec.username"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("a binding is fixed at creation: unbind and bind again"))]
#[serde(rename_all = "camelCase")]
pub struct ServiceBindingSpec {
    /// The instance; also the name of its record.
    pub deployment_id: DeploymentId,
    /// The id that the platform gave the binding.
    #[schemars(length(min = 1, max = 63))]
    pub binding_id: String,
    /// The application that the platform binds, as the platform calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub app_guid: Option<String>,
    /// The user in the engine.
    #[schemars(length(min = 1, max = 63))]
    pub username: String,
}

/// How far the broker has come with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceBindingStatus {
    /// Where the binding is in its life.
    pub phase: Phase,
    /// `metadata.generation` that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What happened, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Stable reason of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Secret with the login, in the form of servicebinding.io.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<LocalRef>,
    /// Ready, Reconciling and Stalled, as kstatus reads them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
