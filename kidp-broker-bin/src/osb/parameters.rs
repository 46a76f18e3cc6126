//! What a plan leaves open: the parameters of an instance, and the spec that they and the plan make. Pure.

use kidp_core::instance::{
    BackupSpec, DeletionPolicy, DriftSpec, EncryptionSpec, InstanceSpec, MonitoringSpec, Parameters,
    StorageSpec,
};
use kidp_provisioners::Capabilities;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::catalog::Choice;

/// Storage of an instance that is asked for without.
const STORAGE: &str = "10Gi";

/// Parameters of an instance. At an update, what is absent stays, and what is given is taken as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct InstanceParameters {
    /// Namespace of the instance, for platforms other than `kubernetes`, which say it in their context. Fixed at
    /// creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// The team; the namespace's name when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub team: Option<String>,
    /// Major version, or a full one; the newest when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    pub version: Option<String>,
    /// The volume; 10Gi of the default class when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageSpec>,
    /// Backups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupSpec>,
    /// Encryption.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<EncryptionSpec>,
    /// Metrics of the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<MonitoringSpec>,
    /// Engine parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
    /// What happens to the data at deletion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Drift settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftSpec>,
}

/// The spec of a new instance.
pub fn create(choice: &Choice, capabilities: &Capabilities, given: InstanceParameters) -> InstanceSpec {
    let newest = || capabilities.versions.last().cloned().unwrap_or_default();
    InstanceSpec {
        engine: choice.engine,
        version: given.version.unwrap_or_else(newest),
        size: choice.size,
        high_availability: choice.high_availability,
        storage: given.storage.unwrap_or_else(|| StorageSpec {
            size: STORAGE.to_owned(),
            class: None,
        }),
        backup: given.backup.unwrap_or_default(),
        encryption: given.encryption.unwrap_or_default(),
        monitoring: given.monitoring.unwrap_or_default(),
        parameters: given.parameters.unwrap_or_default(),
        deletion_policy: given.deletion_policy.unwrap_or_default(),
        drift: given.drift.unwrap_or_default(),
        adopt: None,
    }
}

/// The spec of an instance that is changed.
pub fn update(known: &InstanceSpec, choice: Option<&Choice>, given: InstanceParameters) -> InstanceSpec {
    let known = known.clone();
    InstanceSpec {
        engine: known.engine,
        version: given.version.unwrap_or(known.version),
        size: choice.map_or(known.size, |choice| choice.size),
        high_availability: choice.map_or(known.high_availability, |choice| choice.high_availability),
        storage: given.storage.unwrap_or(known.storage),
        backup: given.backup.unwrap_or(known.backup),
        encryption: given.encryption.unwrap_or(known.encryption),
        monitoring: given.monitoring.unwrap_or(known.monitoring),
        parameters: given.parameters.unwrap_or(known.parameters),
        deletion_policy: given.deletion_policy.unwrap_or(known.deletion_policy),
        drift: given.drift.unwrap_or(known.drift),
        adopt: known.adopt,
    }
}

/// The parameters of an instance, in full.
pub fn of(namespace: &str, team: &str, spec: &InstanceSpec) -> InstanceParameters {
    let spec = spec.clone();
    InstanceParameters {
        namespace: Some(namespace.to_owned()),
        team: Some(team.to_owned()),
        version: Some(spec.version),
        storage: Some(spec.storage),
        backup: Some(spec.backup),
        encryption: Some(spec.encryption),
        monitoring: Some(spec.monitoring),
        parameters: Some(spec.parameters),
        deletion_policy: Some(spec.deletion_policy),
        drift: Some(spec.drift),
    }
}

/// The JSON Schema of an engine's parameters. Nothing in it refers to anything else, since platforms need not follow
/// references.
pub fn schema(capabilities: &Capabilities) -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let schema = settings
        .into_generator()
        .into_root_schema_for::<InstanceParameters>();
    let mut schema = Value::from(schema);
    let names: serde_json::Map<_, _> = capabilities
        .parameters
        .iter()
        .map(|name| (name.clone(), json!({"type": "string"})))
        .collect();
    schema["properties"]["parameters"] = json!({
        "type": "object", "description": "Engine parameters.", "additionalProperties": false, "properties": names});
    let say = format!(
        "Major version, one of {}, or a full one.",
        capabilities.versions.join(", ")
    );
    schema["properties"]["version"]["description"] = say.into();
    if let Some(newest) = capabilities.versions.last() {
        schema["properties"]["version"]["default"] = newest.as_str().into();
    }
    schema
}

/// The JSON Schema of no parameters.
pub fn nothing() -> Value {
    json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "additionalProperties": false})
}
