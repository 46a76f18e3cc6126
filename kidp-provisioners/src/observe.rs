//! The state of an instance's objects, read from the cluster: what readiness is judged by.

mod certificate;
mod cluster;
mod read;
mod rollout;

use serde_json::{Value, json};

pub(crate) use cluster::observe as cluster;
pub(crate) use read::observe;

/// What was read. Every field is plain data, so that readiness is a pure function of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The StatefulSet, or the object of another operator that takes its place; none before it is made.
    pub workload: Option<Workload>,
    /// Its pods, by name.
    pub pods: Vec<Pod>,
    /// Its volume claims, by name.
    pub claims: Vec<Claim>,
    /// Whether the Service that clients connect to exists.
    pub service: bool,
    /// The certificate; none without TLS.
    pub certificate: Option<Certificate>,
}

/// How far the certificate is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Certificate {
    /// The Secret that it is in, or will be.
    pub secret: String,
    /// Its state.
    pub state: CertificateState,
}

/// States of a certificate.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum CertificateState {
    /// The Secret is not there.
    #[default]
    Missing,
    /// It cannot be served; the text says why.
    Broken(String),
    /// It is there, and the connection Secret has another CA, or none.
    Changed,
    /// It is there, and clients are given its CA.
    Current,
}

/// What a StatefulSet, or what takes its place, says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workload {
    /// Generation of its spec.
    pub generation: i64,
    /// Generation that its status speaks of.
    pub observed_generation: i64,
    /// Members asked for.
    pub replicas: i32,
    /// Members ready.
    pub ready: i32,
    /// Members of the latest revision.
    pub updated: i32,
    /// Revision that members come from.
    pub current_revision: String,
    /// Revision that members go to.
    pub update_revision: String,
    /// Image of the engine's container.
    pub image: String,
    /// CPU limit.
    pub cpu: String,
    /// Memory limit.
    pub memory: String,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// What the operator that runs it says; none for a StatefulSet.
    pub operator: Option<OperatorState>,
}

/// What another operator says of an instance that it runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OperatorState {
    /// Whether it has nothing left to do, and the instance is well.
    pub settled: bool,
    /// Whether it does not go on without help.
    pub stuck: bool,
    /// What it is doing, or why it does not go on.
    pub message: String,
}

/// What a pod says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Revision of the StatefulSet that it was made from.
    pub revision: String,
    /// Whether its condition `Ready` is true.
    pub ready: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Why no node takes it.
    pub unschedulable: Option<String>,
    /// Why a container is not running: reason and message.
    pub waiting: Option<(String, String)>,
    /// Exit code and reason of the last end of a container.
    pub last_exit: Option<(i32, String)>,
    /// Restarts of its containers.
    pub restarts: i32,
}

/// What a volume claim says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    /// Its name.
    pub name: String,
    /// `Pending`, `Bound` or `Lost`.
    pub phase: String,
    /// Size that it has; empty before it is bound.
    pub capacity: String,
    /// Size that was asked for.
    pub requested: String,
}

impl Observed {
    /// What runs, in the words of a spec: replicas, image, limits and storage.
    pub fn actual_spec(&self) -> Value {
        let workload = self.workload.as_ref();
        let storage = self.claims.first().map(|c| {
            if c.capacity.is_empty() {
                &c.requested
            } else {
                &c.capacity
            }
        });
        json!({
            "replicas": workload.map(|w| w.replicas),
            "readyReplicas": workload.map(|w| w.ready),
            "image": workload.map(|w| &w.image),
            "cpu": workload.map(|w| &w.cpu),
            "memory": workload.map(|w| &w.memory),
            "storage": storage,
        })
    }
}
