//! The `Provisioner` trait: what an engine must say, and what it gets for it.
//!
//! The required methods are pure: the same input gives the same output, with no clock, randomness or I/O. The
//! provided ones do the I/O, the same way for every engine.
//!
//! ```text
//! validate ─> credentials (read, or made once) ─> build ─> apply ─> observe ─> readiness
//! ```

use async_trait::async_trait;
use kidp_core::instance::{DeletionPolicy, Engine, InstanceSpec, ResourceType};
use kidp_core::problem::FieldError;
use kidp_core::revision::Revision;
use kidp_core::wire::EngineCapability;
use kidp_drift::{Change, Consequence};
use kube::Client;

use crate::adoption::Adopter;
use crate::apply::{self, ApplyError};
use crate::binding::Binder;
use crate::consequence;
use crate::engines::parameters::Parameter;
use crate::features::ClusterFeatures;
use crate::instance::{Credentials, Instance};
use crate::manifests::{Applied, BuildError, Manifests, Prepared};
use crate::observe::{self, Observed};
use crate::plan::Plan;

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

    /// What it supports in a cluster that offers these. Everywhere the same, unless an engine says otherwise.
    fn capabilities_with(&self, _features: ClusterFeatures) -> Capabilities {
        self.capabilities()
    }

    /// What its parameters take, in the order of their names; nothing, unless an engine says so. It is for documents and
    /// forms: [`Provisioner::validate`] decides.
    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    /// Checks a request; every fault is reported, each with the path of its field (`spec.version`).
    fn validate(&self, instance: &Instance) -> Result<(), Vec<FieldError>>;

    /// Login and database of a new instance, around a password that was generated for it.
    fn credentials(&self, instance: &Instance, password: String) -> Credentials;

    /// The newest of its render revisions, see [`crate::revision`]. An engine renders each from the first to this one
    /// as it always did.
    fn latest_revision(&self) -> Revision {
        Revision::FIRST
    }

    /// Renders every object of the instance, in the instance's render revision.
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

    /// What keeps an instance of one spec from becoming one of another that is sound by itself; each fault has the path
    /// of its field. That storage does not shrink, and has the class that it has, holds for every engine and is not
    /// said here.
    fn change_faults(&self, _from: &InstanceSpec, _to: &InstanceSpec) -> Vec<FieldError> {
        Vec::new()
    }

    /// What putting a change right does to the instance: `change.before` is asked for, `change.after` is there. What
    /// Kubernetes decides is [`consequence::of`]; an engine says what it does otherwise.
    fn consequence(&self, instance: &Instance, change: &Change) -> Consequence {
        consequence::of(self, instance, change)
    }

    /// Judges what was observed.
    fn readiness(&self, instance: &Instance, observed: &Observed) -> Readiness;

    /// Where clients connect.
    fn connection(&self, instance: &Instance) -> Connection;

    /// How it takes over a StatefulSet that is there already, where it can; see [`crate::adoption`].
    fn adopter(&self) -> Option<&dyn Adopter> {
        None
    }

    /// How it makes logins beside the instance's own, where it can; see [`crate::binding`].
    fn binder(&self) -> Option<&dyn Binder> {
        None
    }

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

    /// Puts back what `judge` says of an instance that was provisioned before, and leaves what else differs as it is.
    async fn remediate(
        &self,
        client: &Client,
        instance: &Instance,
        options: &apply::Options,
        judge: &apply::Judge<'_>,
    ) -> Result<apply::Remediated, ApplyError> {
        apply::remediate(self, client, instance, options, judge).await
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

    /// What differs between the instance and the cluster, field by field; values of Secrets are hidden. What may not be
    /// read is in it as unknown; a namespace that is not there is an error. Writes nothing.
    async fn drift(&self, client: &Client, instance: &Instance) -> Result<kidp_drift::Drift, ApplyError> {
        apply::drift(self, client, instance).await
    }

    /// What [`Provisioner::provision`] would change, by dry runs: writes nothing.
    async fn plan(&self, client: &Client, instance: &Instance) -> Result<Plan, ApplyError> {
        apply::plan(self, client, instance).await
    }

    /// The engine as it is listed in the root document of a broker, whose cluster offers these.
    fn catalog_entry(&self, features: ClusterFeatures) -> EngineCapability {
        let capabilities = self.capabilities_with(features);
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
