//! The `Provisioner` trait: what an engine must say, and what it gets for it.
//!
//! The required methods are pure: the same input gives the same output, with no clock, randomness or I/O. The
//! provided ones do the I/O, the same way for every engine.
//!
//! ```text
//! validate ─> credentials (read, or made once) ─> build ─> apply ─> observe ─> readiness
//! ```

use async_trait::async_trait;
use kidp_core::instance::{DeletionPolicy, Engine, ResourceType};
use kidp_core::problem::FieldError;
use kidp_core::wire::EngineCapability;
use kube::Client;

use crate::apply::{self, ApplyError};
use crate::instance::{Credentials, Instance};
use crate::manifests::{Applied, BuildError, Manifests, Prepared};
use crate::observe::{self, Observed};

/// What an engine supports, for catalogs and for validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Major versions.
    pub versions: Vec<String>,
    /// Whether `highAvailability: true` is honoured.
    pub high_availability: bool,
    /// Names of accepted parameters.
    pub parameters: Vec<String>,
}

/// Where a client connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Host name, resolvable inside the cluster.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Name of the Secret with the credentials, in the instance's namespace.
    pub secret: String,
}

/// Whether an instance can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It answers its protocol, in the shape that was last asked for.
    Ready,
    /// Not yet; the message says what is missing.
    Progressing(String),
    /// It will not get there without help; the message says why (a pod that crashes, a claim that is refused).
    Failed(String),
}

/// How far a removal has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deprovisioned {
    /// These objects (`Kind/name`) are still there.
    InProgress(Vec<String>),
    /// Nothing that was to go is left.
    Done,
}

/// An engine.
#[async_trait]
pub trait Provisioner: Send + Sync {
    /// The engine's name.
    fn engine(&self) -> Engine;

    /// The kind of resource it serves.
    fn resource_type(&self) -> ResourceType;

    /// What it supports.
    fn capabilities(&self) -> Capabilities;

    /// Checks a request; every fault is reported, each with the path of its field (`spec.version`).
    fn validate(&self, instance: &Instance) -> Result<(), Vec<FieldError>>;

    /// Login and database of a new instance, around a password that was generated for it.
    fn credentials(&self, instance: &Instance, password: String) -> Credentials;

    /// Renders every object of the instance.
    fn build(
        &self,
        instance: &Instance,
        credentials: &Credentials,
    ) -> Result<Manifests<Prepared>, BuildError>;

    /// Whether the engine at version `to` opens data that version `from` wrote. Within a major version, unless an
    /// engine says otherwise: an image that cannot would crash over and over in place of a database that runs.
    fn opens_data(&self, from: &str, to: &str) -> bool {
        let major = |version: &str| version.split('.').next().map(ToOwned::to_owned);
        major(from) == major(to)
    }

    /// Judges what was observed.
    fn readiness(&self, instance: &Instance, observed: &Observed) -> Readiness;

    /// Where clients connect.
    fn connection(&self, instance: &Instance) -> Connection;

    /// Makes the cluster hold the instance: reads or creates the credentials, builds, applies what differs.
    /// Writes nothing when nothing differs.
    async fn provision(
        &self,
        client: &Client,
        instance: &Instance,
        options: &apply::Options,
    ) -> Result<Manifests<Applied>, ApplyError> {
        apply::provision(self, client, instance, options).await
    }

    /// Reads the state of the instance's objects.
    async fn observe(&self, client: &Client, instance: &Instance) -> Result<Observed, ApplyError> {
        observe::observe(client, instance).await
    }

    /// Removes the instance. Level-triggered: called again until it answers [`Deprovisioned::Done`].
    async fn deprovision(
        &self,
        client: &Client,
        instance: &Instance,
        policy: DeletionPolicy,
    ) -> Result<Deprovisioned, ApplyError> {
        apply::deprovision(client, instance, policy).await
    }

    /// What differs between the instance and the cluster, field by field; values of Secrets are hidden. Reads only.
    async fn drift(
        &self,
        client: &Client,
        instance: &Instance,
    ) -> Result<Vec<kidp_drift::Change>, ApplyError> {
        apply::drift(self, client, instance).await
    }

    /// The engine as it is listed in a broker's root document.
    fn catalog_entry(&self) -> EngineCapability {
        let capabilities = self.capabilities();
        EngineCapability {
            resource_type: self.resource_type(),
            provider: self.engine().to_string(),
            versions: capabilities.versions,
            sizes: kidp_core::size::Size::ALL
                .iter()
                .map(ToString::to_string)
                .collect(),
            high_availability: capabilities.high_availability,
            parameters: capabilities.parameters,
        }
    }
}
