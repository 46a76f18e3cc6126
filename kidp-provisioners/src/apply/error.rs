//! What can go wrong, and what to do about it.

use std::time::Duration;

use thiserror::Error;

use crate::manifests::BuildError;
use crate::tls::CertificateFault;

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
    /// An object of an earlier instance of this name is on its way out. Retried.
    #[error("{object} of an earlier instance is still being deleted")]
    StillDeleting {
        /// `Kind/name`.
        object: String,
    },
    /// The namespace does not exist. Retried, since it may be made later; nothing else is created meanwhile.
    #[error("namespace {namespace} does not exist")]
    NamespaceMissing {
        /// Its name.
        namespace: String,
    },
    /// The namespace is being deleted, with all that is in it. Nothing can be made in it any more.
    #[error("namespace {namespace} is being deleted")]
    NamespaceTerminating {
        /// Its name.
        namespace: String,
    },
    /// There is data, but not the Secret with its password. The Secret is restored, or the claim deleted.
    #[error(
        "{claim} holds data of an earlier instance whose Secret {secret} is gone: restore it, or delete the claim"
    )]
    DataWithoutCredentials {
        /// `Kind/name` of the claim.
        claim: String,
        /// Name of the missing Secret.
        secret: String,
    },
    /// The Secret lacks an entry that the instance is built from. It is restored, or deleted with the data.
    #[error("Secret/{secret} has no usable entry `{key}`: restore it")]
    BrokenSecret {
        /// Its name.
        secret: String,
        /// The entry.
        key: String,
    },
    /// The Secret that the password of what was taken over came from is gone, and so is the connection Secret. One of the
    /// two is restored.
    #[error("Secret/{secret}, which the password came from, is gone: restore it")]
    AdoptedSecretMissing {
        /// Its name.
        secret: String,
    },
    /// What was to be taken over has changed since it was looked at. It is looked at again.
    #[error("{object} has changed since it was decided to take it over")]
    AdoptionStale {
        /// `Kind/name`.
        object: String,
    },
    /// The data of an earlier instance of this name is that of a StatefulSet that was taken over, and not where a new
    /// instance would look. The StatefulSet is made again and taken over; or Secret and claim are deleted.
    #[error(
        "Secret/{secret} belongs to the data of StatefulSet/{stateful_set}: make that again and take it over, or delete \
         the Secret and the data"
    )]
    AdoptedData {
        /// Name of the Secret.
        secret: String,
        /// Name of the StatefulSet.
        stateful_set: String,
    },
    /// The certificate's Secret cannot be served. Whoever made it mends it; what runs goes on meanwhile.
    #[error("Secret/{secret}: {fault}")]
    BrokenCertificate {
        /// Its name.
        secret: String,
        /// What is wrong with it.
        fault: CertificateFault,
    },
    /// The engine at the version asked for does not open the data. A new instance is made and the data moved.
    #[error(
        "data of version {from} is not opened by version {to}: dump it and restore it into a new instance"
    )]
    VersionChange {
        /// Version of the data.
        from: String,
        /// Version asked for.
        to: String,
    },
    /// A smaller volume was asked for than there is.
    #[error("storage.size cannot shrink from {from} to {to}")]
    StorageShrink {
        /// Current size.
        from: String,
        /// Size asked for.
        to: String,
    },
    /// Fewer members were asked for than share the data: those that stay would miss the others for a majority. The
    /// members are asked for again; or, where the data of one was never used, its claim is deleted.
    #[error("{from} members share the data and cannot become {to}: {claim} holds one's part")]
    MembersShrink {
        /// Members that there are.
        from: i32,
        /// Members asked for.
        to: i32,
        /// `Kind/name` of a claim that would be left out.
        claim: String,
    },
    /// The instance has its data where the shape that is asked for does not look: one member of a StatefulSet does not
    /// become several that another operator runs, nor the other way round. A new instance is made and the data moved.
    #[error(
        "spec.highAvailability is fixed by the data that there is, of {found}: set it back, or dump the data and \
         restore it into a new instance"
    )]
    ShapeChange {
        /// `Kind/name` of what there is.
        found: String,
    },
    /// The volume cannot grow; most often its storage class does not allow it.
    #[error("{claim} cannot grow to {to}: {message}")]
    StorageResize {
        /// `Kind/name` of the claim.
        claim: String,
        /// Size asked for.
        to: String,
        /// The API server's reason.
        message: String,
    },
    /// The API server refused or did not answer. Retried where [`ApplyError::is_retryable`].
    #[error("{object}: {}", said(.source))]
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

/// What the API server said, without the debug form that the client's own text adds.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}

impl ApplyError {
    /// Whether the same call can succeed later, without a change of the instance.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::StillDeleting { .. }
            | Self::NamespaceMissing { .. }
            | Self::NamespaceTerminating { .. }
            | Self::Timeout { .. } => true,
            Self::Kube { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => matches!(status.code, 409 | 429 | 500..),
                kube::Error::Service(_) | kube::Error::HyperError(_) => true,
                _ => false,
            },
            _ => false,
        }
    }
}
