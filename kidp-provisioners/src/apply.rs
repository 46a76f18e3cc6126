//! Server-side apply of manifests, and their removal: the only code that writes to a cluster.
//!
//! # Flow
//! ```text
//! read Secret ─> credentials ─> build ─> read the rest ─> whose is it? ─> volumes ─> wave 1 ─> wave 2
//! ```
//!
//! # Guarantees
//! - Nothing is written before every object of the instance is known to be missing or its own, so a collision
//!   leaves nothing half-created.
//! - An object is written only when it is missing, its rendering changed (`applied-hash`) or a field of it was
//!   changed by someone else. In steady state there are only reads.
//! - A password is made once, with the Secret (a create, not an apply). One that exists is never replaced.
//! - Repeating a call that failed at any point is safe and completes it.
//!
//! # Caveats
//! Fields that others added to an object are left alone, as server-side apply does.

mod adopt;
mod credentials;
mod drift;
mod ownership;
mod remove;
mod request;
mod volumes;

use std::time::Duration;

use futures::future::{join_all, try_join_all};
use kube::Client;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::Selector;
use serde_json::Value;
use thiserror::Error;

use crate::instance::Instance;
use crate::manifests::{Applied, BuildError, Manifests, Object, Prepared, Wave};
use crate::provisioner::Provisioner;
use crate::resources::meta::Scope;
use credentials::Found;
use ownership::Ownership;
use request::Cluster;

pub(crate) use drift::drift;
pub(crate) use remove::deprovision;
pub(crate) use request::get;

/// How objects are applied.
#[derive(Clone, Debug)]
pub struct Options {
    /// Field manager for server-side apply.
    pub field_manager: String,
    /// Longest wait for one request.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            field_manager: kidp_core::group::BROKER_FIELD_MANAGER.to_owned(),
            timeout: REQUEST_TIMEOUT,
        }
    }
}

/// Longest wait for one request where the caller gives none.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

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
        key: &'static str,
    },
    /// A smaller volume was asked for than there is.
    #[error("storage.size cannot shrink from {from} to {to}")]
    StorageShrink {
        /// Current size.
        from: String,
        /// Size asked for.
        to: String,
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

impl ApplyError {
    /// Whether the same call can succeed later, without a change of the instance.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::StillDeleting { .. } | Self::NamespaceMissing { .. } | Self::Timeout { .. } => true,
            Self::Kube { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => matches!(status.code, 409 | 429 | 500..),
                kube::Error::Service(_) | kube::Error::HyperError(_) => true,
                _ => false,
            },
            _ => false,
        }
    }
}

/// How often a call starts over when another one made the Secret in the meantime.
const ATTEMPTS: usize = 3;

pub(crate) async fn provision<P: Provisioner + ?Sized>(
    provisioner: &P,
    client: &Client,
    instance: &Instance,
    options: &Options,
) -> Result<Manifests<Applied>, ApplyError> {
    let cluster = Cluster::new(client, instance, options.timeout);
    let scope = Scope::new(instance);
    let mut attempt = 1;
    loop {
        match provision_once(provisioner, &cluster, &scope, options).await {
            Err(ApplyError::Kube { object, source }) if attempt < ATTEMPTS && request::is_taken(&source) => {
                tracing::debug!(%object, "created by another call; starting over");
                attempt += 1;
            }
            result => return result,
        }
    }
}

async fn provision_once<P: Provisioner + ?Sized>(
    provisioner: &P,
    cluster: &Cluster<'_>,
    scope: &Scope<'_>,
    options: &Options,
) -> Result<Manifests<Applied>, ApplyError> {
    let found = credentials::find(cluster, scope).await?;
    let credentials = match &found {
        Found::None => provisioner.credentials(scope.instance, credentials::password()),
        Found::Ours(credentials, _) | Found::Retained(credentials, _) => credentials.clone(),
    };
    let manifests = provisioner.build(scope.instance, &credentials)?;
    let (secret, retained) = match found {
        Found::None => (None, false),
        Found::Ours(_, secret) => (Some(secret), false),
        Found::Retained(_, secret) => (Some(secret), true),
    };
    let mut live = read(cluster, scope, &manifests, secret).await?;
    let claims = volumes::read(cluster, scope, &manifests).await?;
    volumes::check(
        scope,
        &claims,
        live.iter().any(|(o, l)| o.is_secret() && l.is_some()),
    )?;
    if retained
        || claims
            .iter()
            .any(|claim| ownership::of(&claim.metadata, scope) == Ownership::Retained)
    {
        adopt::adopt(cluster, scope, &mut live, &claims).await?;
    }
    volumes::grow(cluster, &mut live, &claims).await?;
    let mut written = Vec::new();
    for wave in [Wave::Foundation, Wave::Workload] {
        let due: Vec<_> = live
            .iter()
            .filter(|(object, live)| object.wave() == wave && is_due(object, live.as_ref()))
            .collect();
        // All of a wave are awaited before an error is returned, so that no request is cut off half-way.
        let results = join_all(
            due.iter()
                .map(|(object, live)| write(cluster, options, object, live.as_ref())),
        );
        for result in results.await {
            written.push(result?);
        }
    }
    drop(live);
    Ok(manifests.applied(written))
}

/// An object and what the cluster has of it.
type Pair<'a> = (&'a Object, Option<DynamicObject>);

/// Reads every object, and refuses when one is not the instance's own.
async fn read<'a>(
    cluster: &Cluster<'_>,
    scope: &Scope<'_>,
    manifests: &'a Manifests<Prepared>,
    mut secret: Option<DynamicObject>,
) -> Result<Vec<Pair<'a>>, ApplyError> {
    let others: Vec<_> = manifests.objects().iter().filter(|o| !o.is_secret()).collect();
    let found = try_join_all(others.iter().map(|o| cluster.get(o.resource(), o.name()))).await?;
    for (object, live) in others.iter().zip(&found) {
        if let Some(live) = live {
            ownership::of(&live.metadata, scope).require_ours(|| object.key())?;
        }
    }
    let mut found = found.into_iter();
    Ok(manifests
        .objects()
        .iter()
        .map(|object| {
            let live = if object.is_secret() {
                secret.take()
            } else {
                found.next().flatten()
            };
            (object, live)
        })
        .collect())
}

/// Whether an object is to be written.
fn is_due(object: &Object, live: Option<&DynamicObject>) -> bool {
    live.is_none_or(|live| !kidp_drift::diff(object.json(), &as_json(live)).is_empty())
}

/// A live object as JSON. What cannot be represented differs from everything and is written again.
fn as_json(live: &DynamicObject) -> Value {
    serde_json::to_value(live).unwrap_or_default()
}

/// Creates the Secret, applies anything else; answers `Kind/name`.
async fn write(
    cluster: &Cluster<'_>,
    options: &Options,
    object: &Object,
    live: Option<&DynamicObject>,
) -> Result<String, ApplyError> {
    let key = object.key();
    let api = cluster.api(object.resource());
    if object.is_secret() && live.is_none() {
        let body: DynamicObject =
            serde_json::from_value(object.json().clone()).map_err(|source| BuildError::Serialise {
                object: key.clone(),
                source,
            })?;
        let params = PostParams {
            field_manager: Some(options.field_manager.clone()),
            ..PostParams::default()
        };
        cluster.request(&key, api.create(&params, &body)).await?;
    } else {
        let mut body = object.json().clone();
        // The UID makes it an update of what was read: not of another object, and not a creation.
        if let Some(uid) = live.and_then(|live| live.metadata.uid.clone()) {
            body["metadata"]["uid"] = Value::from(uid);
        }
        let params = PatchParams::apply(&options.field_manager).force();
        cluster
            .request(&key, api.patch(object.name(), &params, &Patch::Apply(&body)))
            .await?;
    }
    tracing::debug!(object = %key, "written");
    Ok(key)
}

/// Selects the instance's pods.
pub(crate) fn pod_selector(scope: &Scope<'_>) -> Selector {
    scope.selector().into_iter().collect()
}
