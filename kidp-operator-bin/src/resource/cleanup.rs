//! Deletion: the finalizer leaves when the broker itself has confirmed that it holds nothing.
//!
//! # Flow
//! Ask the broker for the deployment. Unless it is at its removal, ask to remove it, for good; then poll. When there is
//! nothing to remove, ask for its name, since a wrong address also answers "not found"; only the right broker's word
//! lets the finalizer go. The removal is asked for even where the broker knows of nothing: a request of ours may still
//! be on its way, and is refused from then on.
//!
//! # Caveats
//! A broker that cannot be asked, or whose `Broker` object is gone, keeps the object here, with the condition
//! `BrokerUnavailable`, for as long as that lasts. See [`super::ABANDON_ANNOTATION`] for the way out.

use std::sync::Arc;
use std::time::Duration;

use kidp_core::conditions::Statement;
use kidp_core::crd::ServiceResource;
use kidp_core::problem::Problem;
use kidp_core::wire::DeprovisionRequest;
use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::place::Placement;
use super::plan::{Removal, plan_removal};
use super::status::{Pace, deleting, unavailable};
use super::validate::MAX_MESSAGE;
use super::{ABANDON_ANNOTATION, Error, pace, provision, write};
use crate::broker_client::{BrokerClient, BrokerError, is_final};
use crate::cache::namespace_of;
use crate::context::Context;
use crate::events::truncated;
use crate::kind::ResourceKey;
use crate::{costs, kube_io};

/// How far the removal is.
#[derive(Debug)]
enum Progress {
    /// Nothing is left at the broker.
    Gone,
    /// The broker is at it.
    UnderWay,
    /// The broker refuses to remove it; only a change helps.
    Refused(Problem),
    /// The broker wants to be left alone for so long.
    Busy(Duration),
    /// The broker cannot be asked, or is another one.
    Unavailable(Statement),
}

/// Takes a deletion one step further.
pub async fn run<K: ServiceResource>(resource: &Arc<K>, ctx: &Context) -> Result<Action, Error> {
    if !resource.finalizers().iter().any(|f| f == K::FINALIZER) {
        return Ok(Action::await_change());
    }
    let Some(placement) = Placement::of(resource.as_ref())? else {
        return release(resource, "no broker was asked for it", ctx).await;
    };
    if resource
        .annotations()
        .get(ABANDON_ANNOTATION)
        .is_some_and(|v| v == "true")
    {
        return release(resource, "abandoned by annotation", ctx).await;
    }
    if ctx.placements.send(&placement.id) {
        return release(resource, "nothing was sent to its broker", ctx).await;
    }
    let (say, stalled, pace_of) = match remove(resource.as_ref(), &placement, ctx).await {
        Progress::Gone => return release(resource, "the broker confirmed that it is gone", ctx).await,
        Progress::UnderWay => {
            let message = format!("broker `{}` removes the instance", placement.name);
            (Statement::new("Deprovisioning", message), false, Pace::Poll)
        }
        Progress::Refused(problem) => {
            let message = format!(
                "broker `{}` refuses to remove it: {}",
                placement.name, problem.message
            );
            let say = Statement::new(problem.error.as_str(), truncated(&message, MAX_MESSAGE));
            (say, true, Pace::Settled)
        }
        Progress::Busy(wait) => {
            return Ok(Action::requeue(pace(resource.as_ref(), Pace::After(wait), ctx)));
        }
        Progress::Unavailable(say) => (say, false, Pace::BackOff),
    };
    write(
        resource,
        deleting(resource.as_ref(), &say, stalled, ctx.clock.now()),
        ctx,
    )
    .await?;
    Ok(Action::requeue(pace(resource.as_ref(), pace_of, ctx)))
}

async fn release<K: ServiceResource>(resource: &Arc<K>, why: &str, ctx: &Context) -> Result<Action, Error> {
    let key = ResourceKey::of(resource.as_ref());
    costs::usage::end(resource.as_ref(), ctx).await?;
    kube_io::remove_finalizer(&ctx.client, resource.as_ref(), K::FINALIZER).await?;
    tracing::info!(resource = %key, why, "released");
    ctx.polls.reset(&key);
    ctx.failures.reset(&key);
    Ok(Action::await_change())
}

async fn remove<K: ServiceResource>(resource: &K, placement: &Placement, ctx: &Context) -> Progress {
    let client = match provision::connect(resource, placement, ctx).await {
        Ok((client, _)) => client,
        Err(error) => {
            let message = format!("broker `{}`: {error}", placement.name);
            return Progress::Unavailable(Statement::new("BrokerUnavailable", message));
        }
    };
    match exchange(&client, resource, placement, ctx).await {
        Ok(progress) => progress,
        Err(BrokerError::Busy(wait)) => Progress::Busy(wait),
        Err(BrokerError::Refused(problem)) if is_final(&problem) => Progress::Refused(problem),
        Err(error) => {
            tracing::warn!(broker = %placement.name, %error, "broker unavailable, trying again");
            Progress::Unavailable(unavailable(&placement.name))
        }
    }
}

async fn exchange<K: ServiceResource>(
    client: &BrokerClient,
    resource: &K,
    placement: &Placement,
    ctx: &Context,
) -> Result<Progress, BrokerError> {
    let answer = client.status(&placement.id).await?;
    match plan_removal(answer.as_ref()) {
        Removal::Wait => Ok(Progress::UnderWay),
        Removal::Ask => {
            let request = DeprovisionRequest {
                deployment_id: placement.id.clone(),
                namespace: Some(namespace_of(resource)),
                deletion_policy: Some(resource.deletion_policy()),
                permanent: true,
            };
            match client.deprovision(&request).await? {
                Some(_) => Ok(Progress::UnderWay),
                None => confirm(client, placement, ctx).await,
            }
        }
    }
}

/// Whether it was the right broker that knows of nothing.
async fn confirm(
    client: &BrokerClient,
    placement: &Placement,
    ctx: &Context,
) -> Result<Progress, BrokerError> {
    let root = client.root(ctx.connections.timeout()).await?;
    if root.name == placement.name {
        return Ok(Progress::Gone);
    }
    let message = format!(
        "the broker at the endpoint of Broker `{}` calls itself `{}`",
        placement.name,
        truncated(&root.name, 100)
    );
    Ok(Progress::Unavailable(Statement::new(
        "BrokerUnavailable",
        message,
    )))
}
