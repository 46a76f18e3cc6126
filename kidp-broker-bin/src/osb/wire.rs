//! Bodies of the Open Service Broker API, as far as KIDP reads and writes them. Fields that are not known are ignored, as
//! the specification asks; only `parameters` are KIDP's own, and strict.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::parameters::InstanceParameters;

/// What a platform says of the place that it asks from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Context {
    /// `kubernetes`, `cloudfoundry` or another.
    #[serde(default)]
    pub platform: Option<String>,
    /// Namespace, of the platform `kubernetes`.
    #[serde(default)]
    pub namespace: Option<String>,
}

/// Which rendering a plan has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MaintenanceInfo {
    /// A semantic version; its major number is the render revision.
    pub version: String,
    /// For a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Body of `PUT /v2/service_instances/{instance_id}`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
pub struct ProvisionInstance {
    /// Service offering.
    pub service_id: String,
    /// Service plan.
    pub plan_id: String,
    /// The place.
    #[serde(default)]
    pub context: Option<Context>,
    /// The specification's; not used.
    #[schemars(length(min = 1))]
    pub organization_guid: String,
    /// The specification's; not used.
    #[schemars(length(min = 1))]
    pub space_guid: String,
    /// What the plan leaves open.
    #[serde(default)]
    pub parameters: Option<InstanceParameters>,
    /// The rendering that the client expects.
    #[serde(default)]
    pub maintenance_info: Option<MaintenanceInfo>,
}

/// Body of `PATCH /v2/service_instances/{instance_id}`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
pub struct UpdateInstance {
    /// Service offering.
    pub service_id: String,
    /// Service plan; stays when absent.
    #[serde(default)]
    pub plan_id: Option<String>,
    /// What is to change of what the plan leaves open.
    #[serde(default)]
    pub parameters: Option<InstanceParameters>,
    /// The rendering that the instance is to have.
    #[serde(default)]
    pub maintenance_info: Option<MaintenanceInfo>,
}

/// What is bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct BindResource {
    /// The application.
    #[serde(default)]
    pub app_guid: Option<String>,
}

/// Body of `PUT …/service_bindings/{binding_id}`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
pub struct BindInstance {
    /// Service offering of the instance.
    pub service_id: String,
    /// Service plan of the instance.
    pub plan_id: String,
    /// What is bound.
    #[serde(default)]
    pub bind_resource: Option<BindResource>,
    /// The application, as older platforms say it.
    #[serde(default)]
    pub app_guid: Option<String>,
    /// A binding takes none.
    #[serde(default)]
    pub parameters: Option<Map<String, Value>>,
}

/// Query of what may take longer than a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Incomplete {
    /// Whether the client can wait.
    #[serde(default, deserialize_with = "truth")]
    pub accepts_incomplete: bool,
}

/// Query of a removal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Removal {
    /// Service offering of the instance.
    pub service_id: String,
    /// Service plan of the instance.
    pub plan_id: String,
    /// Whether the client can wait.
    #[serde(default, deserialize_with = "truth")]
    pub accepts_incomplete: bool,
}

/// Query of a poll or a look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Hints {
    /// Service offering of the instance.
    #[serde(default)]
    pub service_id: Option<String>,
    /// Service plan of the instance.
    #[serde(default)]
    pub plan_id: Option<String>,
    /// What the answer to the request was given.
    #[serde(default)]
    pub operation: Option<String>,
}

/// In a query, a truth value is a word.
fn truth<'de, D: Deserializer<'de>>(reader: D) -> Result<bool, D::Error> {
    let word = String::deserialize(reader)?;
    word.parse()
        .map_err(|_| serde::de::Error::custom("must be `true` or `false`"))
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// An instance is being made.
    Provision,
    /// An instance is being changed.
    Update,
    /// An instance is being removed.
    Deprovision,
    /// A binding is being made.
    Bind,
    /// A binding is being removed.
    Unbind,
}

/// Answer to a request that is being carried out, or was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Outcome {
    /// What to poll `last_operation` with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum State {
    /// On its way.
    #[serde(rename = "in progress")]
    InProgress,
    /// Done.
    #[serde(rename = "succeeded")]
    Succeeded,
    /// It will not get there without help.
    #[serde(rename = "failed")]
    Failed,
}

/// Answer of `last_operation`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LastOperation {
    /// How far it is.
    pub state: State,
    /// For a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether the instance can be used after a failed update or removal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_usable: Option<bool>,
    /// Whether the failed update may be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_repeatable: Option<bool>,
}

/// Answer of `GET /v2/service_instances/{instance_id}`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct InstanceView {
    /// Service offering.
    pub service_id: String,
    /// Service plan.
    pub plan_id: String,
    /// What the plan leaves open.
    pub parameters: InstanceParameters,
    /// The rendering.
    pub maintenance_info: MaintenanceInfo,
}

/// Where a binding's client connects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Endpoint {
    /// Host name.
    pub host: String,
    /// Ports, as text.
    pub ports: Vec<String>,
    /// Always `tcp`.
    pub protocol: String,
}

/// Answer with a binding's login.
#[derive(Clone, PartialEq, Serialize, JsonSchema)]
pub struct BindingView {
    /// The entries of the binding's Secret.
    pub credentials: BTreeMap<String, Value>,
    /// Where clients connect.
    pub endpoints: Vec<Endpoint>,
}

/// A catalog.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Catalog {
    /// An offering for each kind and engine.
    pub services: Vec<ServiceOffering>,
}

/// A kind and engine.
#[expect(clippy::struct_excessive_bools, reason = "the specification's fields")]
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ServiceOffering {
    /// Name, such as `postgresql-database`.
    pub name: String,
    /// A UUID that depends on broker, kind and engine alone.
    pub id: String,
    /// For a person.
    pub description: String,
    /// For finding it.
    pub tags: Vec<String>,
    /// Whether a login of one's own can be had.
    pub bindable: bool,
    /// Always, where `GET` of an instance is concerned.
    pub instances_retrievable: bool,
    /// As `bindable`.
    pub bindings_retrievable: bool,
    /// Always: the size may change.
    pub plan_updateable: bool,
    /// For a marketplace.
    pub metadata: BTreeMap<String, Value>,
    /// Sizes, alone and with failover.
    pub plans: Vec<ServicePlan>,
}

/// A size.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ServicePlan {
    /// Name, such as `small` or `small-ha`.
    pub name: String,
    /// A UUID that depends on broker, kind, engine and name alone.
    pub id: String,
    /// For a person.
    pub description: String,
    /// Nothing here has a price.
    pub free: bool,
    /// Whether a login of one's own can be had.
    pub bindable: bool,
    /// The rendering that new instances have.
    pub maintenance_info: MaintenanceInfo,
    /// What parameters it takes.
    pub schemas: Schemas,
}

/// JSON Schemas of parameters.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Schemas {
    /// Of instances.
    pub service_instance: InstanceSchemas,
    /// Of bindings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_binding: Option<BindingSchemas>,
}

/// JSON Schemas of an instance's parameters.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct InstanceSchemas {
    /// When it is made.
    pub create: InputSchema,
    /// When it is changed.
    pub update: InputSchema,
}

/// JSON Schemas of a binding's parameters.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct BindingSchemas {
    /// When it is made.
    pub create: InputSchema,
}

/// A JSON Schema.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct InputSchema {
    /// Of `parameters`.
    pub parameters: Value,
}
