//! Server-side apply of manifests, and their removal: the only code that writes to a cluster.

use std::time::Duration;

use kidp_core::instance::DeletionPolicy;
use kube::Client;
use thiserror::Error;

use crate::instance::Instance;
use crate::manifests::{Applied, BuildError, Manifests};
use crate::provisioner::{Deprovisioned, Provisioner};

/// How objects are applied.
#[derive(Clone, Debug)]
pub struct Options {
    /// Field manager for server-side apply.
    pub field_manager: String,
    /// Longest wait for one request.
    pub timeout: Duration,
}

/// Why objects could not be applied, read or removed.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The manifests could not be rendered.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// An object of that name exists and belongs to something else. The user renames one of the two.
    #[error("{object} exists and is not managed by this instance")]
    NameCollision {
        /// `Kind/name`.
        object: String,
    },
    /// The API server refused or did not answer. Retried where [`ApplyError::is_retryable`].
    #[error("{object}: {source}")]
    Kube {
        /// `Kind/name`.
        object: String,
        /// The client's error.
        source: Box<kube::Error>,
    },
    /// No answer in time. Retried.
    #[error("{object}: no answer within {}s", .after.as_secs())]
    Timeout {
        /// `Kind/name`.
        object: String,
        /// The limit.
        after: Duration,
    },
}

pub(crate) async fn provision<P: Provisioner + ?Sized>(
    _provisioner: &P,
    _client: &Client,
    _instance: &Instance,
    _options: &Options,
) -> Result<Manifests<Applied>, ApplyError> {
    todo!("helper B")
}

pub(crate) async fn deprovision(
    _client: &Client,
    _instance: &Instance,
    _policy: DeletionPolicy,
) -> Result<Deprovisioned, ApplyError> {
    todo!("helper B")
}
