//! Every check that can be made of one document without a cluster. Pure.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kidp_core::crd::{broker_crds, operator_crds};
use kidp_core::names;
use kidp_core::problem::FieldError;
use kidp_provisioners::{ClusterFeatures, Instance, Registry};
use kube_cel::{ErrorKind, Validator, apply_defaults};
use serde_json::Value;

use super::schema;
use crate::documents::Document;
use crate::error::{Error, Result};
use crate::kinds::Subject;

/// What documents are checked with.
pub struct Checker {
    crds: Vec<CustomResourceDefinition>,
    registry: Registry,
    features: ClusterFeatures,
    rules: Validator,
    namespace: String,
}

/// What a check says of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is of a kind that KIDP does not have.
    NotOurs,
    /// It was checked; nothing is wrong where this is empty.
    Faults(Vec<FieldError>),
}

impl Checker {
    /// Checks against a cluster with these features; a document without a namespace is taken to be in `namespace`.
    pub fn new(features: ClusterFeatures, namespace: &str) -> Self {
        Self {
            crds: operator_crds().into_iter().chain(broker_crds()).collect(),
            registry: Registry::standard(),
            features,
            rules: Validator::new(),
            namespace: namespace.to_owned(),
        }
    }

    /// The registry that services are checked with.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Checks a document as if it were created, or where there is an `old` one, as an update of it.
    pub fn check(&self, document: &Document, old: Option<&Value>) -> Result<Checked> {
        let Some(schema) = self.schema(document)? else {
            return Ok(unserved(document));
        };
        let value = apply_defaults(&schema, &document.value);
        let mut faults = envelope(document, &schema);
        faults.extend(schema::faults(
            &schema["properties"]["spec"],
            &value["spec"],
            "spec",
        ));
        if !faults.is_empty() {
            return Ok(Checked::Faults(faults));
        }
        faults.extend(self.rules(&schema, &value, old));
        match document.subject() {
            Some(Ok(subject)) => faults.extend(self.engine(&subject)),
            Some(Err(fault)) => faults.push(fault),
            None => {}
        }
        // A rule of the schema and the engine may say the same of a field; once is enough.
        let mut told: Vec<FieldError> = Vec::new();
        for fault in faults {
            if !told.iter().any(|known| known.field == fault.field) {
                told.push(fault);
            }
        }
        Ok(Checked::Faults(told))
    }

    /// The schema of a document's kind and version.
    fn schema(&self, document: &Document) -> Result<Option<Value>> {
        let (group, version) = document.api_version().split_once('/').unwrap_or_default();
        let crd = self
            .crds
            .iter()
            .find(|crd| crd.spec.group == group && crd.spec.names.kind == document.kind());
        let served = crd.and_then(|crd| crd.spec.versions.iter().find(|served| served.name == version));
        let schema = served.and_then(|served| served.schema.as_ref()?.open_api_v3_schema.as_ref());
        schema
            .map(serde_json::to_value)
            .transpose()
            .map_err(|error| Error::Output(error.to_string()))
    }

    fn rules(&self, schema: &Value, value: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let Err(errors) = self.rules.validate(schema, value, old) else {
            return Vec::new();
        };
        let told = errors.into_vec().into_iter().map(|error| match error.kind {
            ErrorKind::ValidationFailure => FieldError::new(error.field_path, error.message),
            _ => FieldError::new(
                error.field_path,
                format!("cannot be judged here ({}): {}", error.rule, error.message),
            ),
        });
        told.collect()
    }

    /// What the engine says of a service.
    fn engine(&self, subject: &Subject) -> Vec<FieldError> {
        let instance = self.instance(subject);
        let Some(provisioner) = self.registry.get(instance.resource_type, instance.spec.engine) else {
            let say = format!("has no provisioner for a {}", subject.kind.noun());
            return vec![FieldError::new("spec.engine", say)];
        };
        provisioner.validate(&instance).err().unwrap_or_default()
    }

    /// What a provisioner would be given.
    pub fn instance(&self, subject: &Subject) -> Instance {
        let namespace = match subject.namespace() {
            "" => self.namespace.as_str(),
            namespace => namespace,
        };
        Instance {
            features: self.features,
            owner: Some(subject.owner.clone()),
            resource_uid: subject.metadata.uid.clone().unwrap_or_default(),
            ..Instance::new(subject.kind, namespace, subject.name(), subject.instance.clone())
        }
    }
}

/// A document whose kind there is no schema of: of others, unless its group is KIDP's.
fn unserved(document: &Document) -> Checked {
    let group = document.api_version().split('/').next().unwrap_or_default();
    if group.ends_with(kidp_core::group::GROUP) {
        let say = format!(
            "there is no kind `{}` in {}",
            document.kind(),
            document.api_version()
        );
        return Checked::Faults(vec![FieldError::new("kind", say)]);
    }
    if document.kind().is_empty() || document.api_version().is_empty() {
        return Checked::Faults(vec![FieldError::new(
            "kind",
            "a document needs apiVersion and kind",
        )]);
    }
    Checked::NotOurs
}

/// What stands around a spec.
fn envelope(document: &Document, schema: &Value) -> Vec<FieldError> {
    let mut faults = Vec::new();
    let known = |name: &str| {
        ["apiVersion", "kind", "metadata"].contains(&name) || schema["properties"].get(name).is_some()
    };
    for name in document
        .value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
    {
        if !known(name) {
            faults.push(FieldError::new(name, "is no field"));
        }
    }
    let metadata = &document.value["metadata"];
    match metadata["name"].as_str() {
        None if metadata["generateName"].is_string() => {}
        None => faults.push(FieldError::new("metadata.name", "is required")),
        Some(name) => {
            if let Err(error) = names::validate_subdomain(name) {
                faults.push(FieldError::new("metadata.name", error.to_string()));
            }
        }
    }
    if document.value.get("spec").is_none() {
        faults.push(FieldError::new("spec", "is required"));
    }
    faults
}

#[cfg(test)]
mod tests;
