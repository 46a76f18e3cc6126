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
mod error;
mod ownership;
mod remove;
mod request;
mod volumes;
mod write;

use std::time::Duration;

use futures::future::{join_all, try_join_all};
use kube::Client;
use kube::api::DynamicObject;
use kube::core::Selector;

use crate::instance::Instance;
use crate::manifests::{Applied, Manifests, Object, Prepared, Wave};
use crate::provisioner::Provisioner;
use crate::resources::meta::Scope;
use credentials::Found;
use request::Cluster;

pub(crate) use drift::drift;
pub use error::ApplyError;
pub(crate) use remove::{deprovision, removed_kinds};
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
        Some(found) => found.credentials.clone(),
        None => provisioner.credentials(scope.instance, credentials::password()),
    };
    let manifests = provisioner.build(scope.instance, &credentials)?;
    let data_version = found
        .as_ref()
        .and_then(Found::data_version)
        .map(ToOwned::to_owned);
    let has_secret = found.is_some();
    let members = found.as_ref().map_or(1, Found::members);
    let (mut live, claims, ()) = tokio::try_join!(
        read(cluster, scope, &manifests, found.map(|found| found.secret)),
        volumes::read(cluster, scope, &manifests),
        volumes::check_members(cluster, scope, &manifests, members),
    )?;
    volumes::check(scope, &claims, has_secret)?;
    check_version(provisioner, scope, data_version.filter(|_| !claims.is_empty()))?;
    adopt::adopt(cluster, scope, &mut live, &claims).await?;
    volumes::grow(cluster, &mut live, &claims).await?;
    let mut written = Vec::new();
    for wave in [Wave::Foundation, Wave::Workload] {
        let due: Vec<_> = live
            .iter()
            .filter(|(object, live)| object.wave() == wave && write::is_due(object, live.as_ref()))
            .collect();
        // All of a wave are awaited before an error is returned, so that no request is cut off half-way.
        let results = join_all(
            due.iter()
                .map(|(object, live)| write::write(cluster, options, object, live.as_ref())),
        );
        for result in results.await {
            written.push(result?);
        }
    }
    drop(live);
    Ok(manifests.applied(written))
}

/// Refuses a version that does not open the data.
fn check_version<P: Provisioner + ?Sized>(
    provisioner: &P,
    scope: &Scope<'_>,
    from: Option<String>,
) -> Result<(), ApplyError> {
    let to = &scope.instance.spec.version;
    match from {
        Some(from) if !provisioner.opens_data(&from, to) => {
            Err(ApplyError::VersionChange { from, to: to.clone() })
        }
        _ => Ok(()),
    }
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

/// Selects the instance's pods.
pub(crate) fn pod_selector(scope: &Scope<'_>) -> Selector {
    scope.selector().into_iter().collect()
}
