//! Rendered objects, in a type that says whether they have been applied.
//!
//! ```text
//! build() ─> Manifests<Prepared> ─ apply ─> Manifests<Applied>
//! ```

use std::marker::PhantomData;

use kidp_core::group::APPLIED_HASH_ANNOTATION;
use kidp_core::names::short_hash;
use kidp_core::revision::Revision;
use kube::Resource;
use kube::api::ApiResource;
use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

/// Rendered, not yet applied.
#[derive(Clone, Copy, Debug)]
pub enum Prepared {}
/// In the cluster.
#[derive(Clone, Copy, Debug)]
pub enum Applied {}

/// When an object is applied. Objects of a wave are applied at the same time, a wave after the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wave {
    /// What cert-manager makes the certificate from, without which nothing else is applied.
    Certificate,
    /// What pods mount, are named by or are protected by.
    Foundation,
    /// What makes pods.
    Workload,
}

/// The objects of one instance.
#[derive(Clone, Debug)]
pub struct Manifests<State> {
    /// `Kind/name` of the objects that this call wrote; empty while prepared and in steady state.
    pub written: Vec<String>,
    objects: Vec<Object>,
    state: PhantomData<State>,
}

/// One rendered object.
///
/// `Debug` shows its name only, since it may be a Secret.
#[derive(Clone, PartialEq)]
pub struct Object {
    resource: ApiResource,
    wave: Wave,
    json: Value,
}

/// Why objects could not be rendered.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The instance is pinned to a rendering that this version of the library does not have, as after a downgrade.
    #[error("render revision {asked} is not known here; the newest is {latest}")]
    UnknownRevision {
        /// The instance's.
        asked: Revision,
        /// The newest of its engine.
        latest: Revision,
    },
    /// An object could not be turned into JSON.
    #[error("cannot serialise {object}: {source}")]
    Serialise {
        /// `Kind/name`.
        object: String,
        /// The serialiser's error.
        source: serde_json::Error,
    },
    /// An object could not be written as YAML.
    #[error("cannot write {object} as YAML: {source}")]
    Yaml {
        /// `Kind/name`.
        object: String,
        /// The writer's error.
        source: serde_yaml_ng::Error,
    },
}

impl Manifests<Prepared> {
    /// No objects yet.
    pub fn new() -> Self {
        Self {
            written: Vec::new(),
            objects: Vec::new(),
            state: PhantomData,
        }
    }

    /// Adds an object, with the hash of itself as an annotation.
    pub fn with<K>(mut self, wave: Wave, object: &K) -> Result<Self, BuildError>
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        self.objects.push(Object::new(wave, object)?);
        Ok(self)
    }

    /// Adds an object where there is one.
    pub fn with_option<K>(self, wave: Wave, object: Option<&K>) -> Result<Self, BuildError>
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        match object {
            Some(object) => self.with(wave, object),
            None => Ok(self),
        }
    }

    /// The same objects, now in the cluster.
    pub(crate) fn applied(self, written: Vec<String>) -> Manifests<Applied> {
        Manifests {
            written,
            objects: self.objects,
            state: PhantomData,
        }
    }
}

impl Default for Manifests<Prepared> {
    fn default() -> Self {
        Self::new()
    }
}

impl<State> Manifests<State> {
    /// The objects, in the order they are applied.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// The objects for `kubectl apply -f`, with the Secret and its password.
    pub fn to_yaml(&self) -> Result<String, BuildError> {
        self.documents(|object| object.json.clone())
    }

    /// The objects without secret values, to show or to compare.
    pub fn to_yaml_redacted(&self) -> Result<String, BuildError> {
        self.documents(Object::redacted)
    }

    fn documents(&self, json: impl Fn(&Object) -> Value) -> Result<String, BuildError> {
        let mut text = String::new();
        for object in &self.objects {
            let document = serde_yaml_ng::to_string(&json(object)).map_err(|source| BuildError::Yaml {
                object: object.key(),
                source,
            })?;
            text.push_str("---\n");
            text.push_str(&document);
        }
        Ok(text)
    }
}

impl Object {
    fn new<K>(wave: Wave, object: &K) -> Result<Self, BuildError>
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        let name = object.meta().name.clone().unwrap_or_default();
        let mut json = serde_json::to_value(object).map_err(|source| BuildError::Serialise {
            object: format!("{}/{name}", K::kind(&())),
            source,
        })?;
        let hash = short_hash(&[&json.to_string()], 32);
        annotate(&mut json, APPLIED_HASH_ANNOTATION, hash);
        Ok(Self {
            resource: ApiResource::erase::<K>(&()),
            wave,
            json,
        })
    }

    /// Its API resource.
    pub fn resource(&self) -> &ApiResource {
        &self.resource
    }

    /// Its wave.
    pub fn wave(&self) -> Wave {
        self.wave
    }

    /// The object as it is sent.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// Its kind.
    pub fn kind(&self) -> &str {
        &self.resource.kind
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.json
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// `Kind/name`, as errors and logs call it.
    pub fn key(&self) -> String {
        format!("{}/{}", self.kind(), self.name())
    }

    /// Whether its values must not be shown.
    pub fn is_secret(&self) -> bool {
        self.kind() == "Secret"
    }

    /// The object without secret values.
    pub fn redacted(&self) -> Value {
        let mut json = self.json.clone();
        if self.is_secret() {
            if let Some(data) = json.get_mut("data").and_then(Value::as_object_mut) {
                data.values_mut()
                    .for_each(|value| *value = Value::from("KHJlZGFjdGVkKQ=="));
            }
            annotate(&mut json, APPLIED_HASH_ANNOTATION, "(redacted)".to_owned());
        }
        json
    }
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Object").field(&self.key()).finish()
    }
}

fn annotate(json: &mut Value, key: &str, value: String) {
    let metadata = json.as_object_mut().and_then(|o| o.get_mut("metadata"));
    let Some(metadata) = metadata.and_then(Value::as_object_mut) else {
        return;
    };
    let annotations = metadata
        .entry("annotations")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.insert(key.to_owned(), Value::from(value));
    }
}
