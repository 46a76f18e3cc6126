//! Server-side apply of manifests, and their removal: the only code that writes to a cluster.
//!
//! # Flow
//! ```text
//! read certificate ─> read Secret ─> credentials ─> build ─> read the rest ─> whose is it? ─> volumes ─> waves
//! ```
//!
//! # Guarantees
//! - Nothing is written before every object of the instance is known to be missing or its own, so a collision
//!   leaves nothing half-created.
//! - An object is written only when it is missing, its rendering changed (`applied-hash`) or a field of it was
//!   changed by someone else. In steady state there are only reads.
//! - A password is made once, with the Secret (a create, not an apply). One that exists is never replaced.
//! - With TLS, only what the certificate is made from is applied before there is one, so that no pod waits for it, and a
//!   running instance goes on as it is. Where that is all, the manifests that are returned were not all applied yet;
//!   `readiness` says what is waited for.
//! - Repeating a call that failed at any point is safe and completes it.
//!
//! # Caveats
//! Fields that others added to an object are left alone, as server-side apply does.

mod adopt;
mod certificate;
mod credentials;
mod drift;
mod error;
mod ownership;
mod plan;
mod remediate;
mod remove;
mod request;
mod shape;
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
use crate::resources::monitor;
use crate::revision;
use credentials::Found;
use remediate::Plan;
use request::Cluster;
use shape::Shape;

pub use credentials::password as generate_password;
pub(crate) use drift::drift;
pub use error::ApplyError;
pub(crate) use plan::plan;
pub use remediate::{Judge, Remediated};
pub(crate) use remove::{deprovision, removed_kinds};
pub(crate) use request::{get, is_404, is_absent};

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
    let done = attempt(provisioner, client, instance, options, None).await?;
    Ok(done.0)
}

/// Puts back what `judge` says of an instance that was applied before, and leaves the rest as it is.
pub(crate) async fn remediate<P: Provisioner + ?Sized>(
    provisioner: &P,
    client: &Client,
    instance: &Instance,
    options: &Options,
    judge: &Judge<'_>,
) -> Result<Remediated, ApplyError> {
    let (manifests, mut done) = attempt(provisioner, client, instance, options, Some(judge)).await?;
    done.written = manifests.written;
    Ok(done)
}

async fn attempt<P: Provisioner + ?Sized>(
    provisioner: &P,
    client: &Client,
    instance: &Instance,
    options: &Options,
    judge: Option<&Judge<'_>>,
) -> Result<(Manifests<Applied>, Remediated), ApplyError> {
    let cluster = Cluster::new(client, instance, options.timeout);
    let mut attempt = 1;
    loop {
        match provision_once(provisioner, &cluster, instance, options, judge).await {
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
    instance: &Instance,
    options: &Options,
    judge: Option<&Judge<'_>>,
) -> Result<(Manifests<Applied>, Remediated), ApplyError> {
    let instance = certificate::dereference(cluster, instance).await?;
    let scope = &Scope::new(&instance);
    let found = credentials::find(cluster, scope).await?;
    let credentials = match &found {
        Some(found) => found.credentials.clone(),
        None => credentials::first(provisioner, cluster, scope).await?,
    };
    let manifests = revision::build(provisioner, scope.instance, &credentials)?;
    let data_version = found
        .as_ref()
        .and_then(Found::data_version)
        .map(ToOwned::to_owned);
    let has_secret = found.is_some() || scope.adopted().is_some();
    let members = found.as_ref().map_or(1, Found::members);
    let shape = shape::of(&manifests);
    let (mut live, claims, (), ()) = tokio::try_join!(
        read(cluster, scope, &manifests, found.map(|found| found.secret)),
        volumes::read(cluster, scope, &manifests, shape),
        volumes::check_members(cluster, scope, &manifests, members),
        shape::check(cluster, scope, shape, members),
    )?;
    volumes::check(scope, &claims, has_secret)?;
    // The claims of a `Cluster` are its own; where there is one, there is data.
    let has_data = !claims.is_empty() || (shape == Shape::Cluster && is_running(&live));
    check_version(provisioner, scope, data_version.filter(|_| has_data))?;
    let waves = waves(scope.instance);
    live.retain(|(object, _)| waves.contains(&object.wave()));
    if waves.contains(&Wave::Workload) {
        adopt::adopt(cluster, scope, &mut live, &claims).await?;
    }
    let judged = judge.map(|judge| Plan::judged(provisioner, scope, &live, &claims, options, judge));
    if waves.contains(&Wave::Workload) && judged.as_ref().is_none_or(|plan| plan.grows) {
        volumes::grow(cluster, &mut live, &claims).await?;
    }
    let plan = judged.unwrap_or_else(|| Plan::everything(&live));
    if ends_metrics(scope, &live) {
        remove::monitors_of(cluster, scope.instance).await?;
    }
    let mut written = Vec::new();
    for &wave in waves {
        if wave == Wave::Workload && scope.adopted().is_some() {
            adopt::adopt_set(cluster, scope, &mut live).await?;
        }
        let due: Vec<_> = live
            .iter()
            .filter(|(object, _)| object.wave() == wave && plan.is_due(object))
            .collect();
        // All of a wave are awaited before an error is returned, so that no request is cut off half-way.
        let left: Vec<_> = due.iter().map(|(object, _)| plan.left_in(object)).collect();
        let results = join_all(
            due.iter()
                .zip(&left)
                .map(|((object, live), left)| write::write(cluster, options, object, live.as_ref(), left)),
        );
        for result in results.await {
            written.push(result?);
        }
    }
    drop(live);
    Ok((manifests.applied(written), plan.outcome()))
}

/// Whether what makes the pods is there.
fn is_running(live: &[Pair<'_>]) -> bool {
    live.iter()
        .any(|(object, found)| object.wave() == Wave::Workload && found.is_some())
}

/// Whether an instance served metrics and is not to any more. What lets a Prometheus in is there for as long as that has
/// not been seen to, since it is written after.
fn ends_metrics(scope: &Scope<'_>, live: &[Pair<'_>]) -> bool {
    let serves = |found: &DynamicObject| monitor::admits_scrapers(&found.data);
    !monitor::is_on(scope)
        && live
            .iter()
            .any(|(object, found)| object.kind() == "NetworkPolicy" && found.as_ref().is_some_and(serves))
}

/// What is applied at present, in order.
fn waves(instance: &Instance) -> &'static [Wave] {
    if certificate::is_awaited(instance) {
        &[Wave::Certificate]
    } else {
        &[Wave::Certificate, Wave::Foundation, Wave::Workload]
    }
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
            adopt::check(scope, object, live)?;
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

/// Selects the instance's claims.
pub(crate) fn claim_selector(scope: &Scope<'_>) -> Selector {
    scope.identity().into_iter().collect()
}

/// Selects the instance's pods.
pub(crate) fn pod_selector(scope: &Scope<'_>) -> Selector {
    scope.selector().into_iter().collect()
}
