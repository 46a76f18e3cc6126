//! The exchange with the broker: ask, plan, submit.

use kidp_core::conditions::Statement;
use kidp_core::crd::{Broker, ServiceResource};
use kidp_core::deployment::DeploymentId;
use kidp_core::wire::{Accepted, DeploymentStatus, ProvisionRequest};
use kube::ResourceExt;

use super::dereference::Owner;
use super::place::Placement;
use super::plan::{Step, Wanted, plan_step};
use super::status::{Outcome, unavailable};
use super::validate::MAX_MESSAGE;
use crate::broker::ConnectError;
use crate::broker_client::{BrokerClient, BrokerError};
use crate::cache::namespace_of;
use crate::context::Context;
use crate::events::truncated;
use crate::kind::{QUEUED, ResourceKey};
use crate::trace;

/// What the broker is to have: the spec, with the team's settings where it has none of its own.
fn wanted<K: ServiceResource>(resource: &K, id: &DeploymentId, owner: &Owner) -> Wanted {
    let mut spec = resource.instance();
    if let Owner::Found { drift, .. } = owner {
        spec.drift = spec.drift.over(drift.as_ref());
    }
    Wanted {
        id: id.clone(),
        generation: resource.meta().generation.unwrap_or_default(),
        spec,
    }
}

/// The same, as far as it can be known: while the team cannot be asked, what it said last goes on to hold.
fn wanted_beside<K: ServiceResource>(
    resource: &K,
    id: &DeploymentId,
    owner: &Owner,
    found: Option<&DeploymentStatus>,
) -> Wanted {
    let mut wanted = wanted(resource, id, owner);
    if let (Owner::Missing(_) | Owner::NotAllowed(_), Some(found)) = (owner, found)
        && found.resource_generation == wanted.generation
    {
        wanted.spec.drift = found.spec.drift.clone();
    }
    wanted
}

/// A client of the broker for the resource, or what it means that there is none.
pub async fn connect<K: ServiceResource>(
    resource: &K,
    placement: &Placement,
    ctx: &Context,
) -> Result<(BrokerClient, std::sync::Arc<Broker>), ConnectError> {
    let broker = ctx
        .caches
        .broker(&placement.namespace, &placement.name)
        .ok_or(ConnectError::NoBroker)?;
    let client = ctx.connections.client(&broker).await?;
    Ok((client.within(trace::of(resource)), broker))
}

/// Takes a placed resource one step further.
pub async fn advance<K: ServiceResource>(
    resource: &K,
    placement: &Placement,
    owner: &Owner,
    ctx: &Context,
) -> Outcome {
    let (client, broker) = match connect(resource, placement, ctx).await {
        Ok(connected) => connected,
        Err(error) => return unconnected(resource, placement, &error, ctx),
    };
    let answer = match client.status(&placement.id).await {
        Ok(answer) => answer,
        Err(error) => return failed(resource, placement, &error, ctx),
    };
    let wanted = wanted_beside(resource, &placement.id, owner, answer.as_ref());
    let changes = answer.as_ref().and_then(|found| found.changes);
    let changes = changes.filter(|changes| changes.generation == wanted.generation);
    match plan_step(&wanted, answer) {
        Step::Submit => submit_to((&client, &broker), resource, placement, owner, ctx).await,
        Step::Wait => changes.map_or(Outcome::InProgress, Outcome::Changing),
        Step::Queued { message } => {
            let message = format!("queued at broker `{}`: {message}", placement.name);
            Outcome::Waiting(Statement::new(QUEUED, truncated(&message, MAX_MESSAGE)))
        }
        Step::Finish(found) => Outcome::Ready(found),
        Step::Drifted(found) => Outcome::Drifted(found),
        Step::Held(found) => Outcome::Held(found),
        Step::Fail { reason, message } => {
            let reason = reason.map_or("ProvisioningFailed", kidp_core::problem::Reason::as_str);
            let message = format!("broker `{}` gave up: {message}", placement.name);
            Outcome::Refused(Statement::new(reason, truncated(&message, MAX_MESSAGE)))
        }
        Step::Mismatch => mismatch(placement),
    }
}

/// Submits a resource that was placed a moment ago: the broker cannot have it yet.
pub async fn submit<K: ServiceResource>(
    resource: &K,
    placement: &Placement,
    owner: &Owner,
    ctx: &Context,
) -> Outcome {
    match connect(resource, placement, ctx).await {
        Ok((client, broker)) => submit_to((&client, &broker), resource, placement, owner, ctx).await,
        Err(error) => unconnected(resource, placement, &error, ctx),
    }
}

async fn submit_to<K: ServiceResource>(
    (client, broker): (&BrokerClient, &Broker),
    resource: &K,
    placement: &Placement,
    owner: &Owner,
    ctx: &Context,
) -> Outcome {
    let team = match owner {
        Owner::Found { team, .. } => team.clone(),
        Owner::Missing(message) => {
            return Outcome::Waiting(Statement::new("OwnerNotFound", message.as_str()));
        }
        Owner::NotAllowed(message) => {
            return Outcome::Refused(Statement::new("OwnerNotAllowed", message.as_str()));
        }
    };
    let wanted = wanted(resource, &placement.id, owner);
    let request = ProvisionRequest {
        resource_type: K::TYPE,
        resource_name: resource.name_any(),
        namespace: namespace_of(resource),
        team,
        owner: Some(resource.owner().clone()),
        callback_url: ctx.callback_url.clone(),
        spec: wanted.spec,
        resource_uid: resource.uid(),
        resource_generation: Some(wanted.generation),
        requested_by: ctx.orphans.requested_by(broker),
    };
    let first = ctx.placements.send(&placement.id);
    match client.provision(&request).await {
        Ok(Accepted { deployment_id, .. }) if deployment_id == placement.id => {
            let key = ResourceKey::of(resource);
            tracing::info!(resource = %key, broker = %placement.name, deployment = %deployment_id, "provision sent");
            Outcome::InProgress
        }
        Ok(_) => mismatch(placement),
        Err(error) => {
            if first && !error.is_sent() {
                ctx.placements.keep_unsent(&placement.id);
            }
            failed(resource, placement, &error, ctx)
        }
    }
}

fn mismatch(placement: &Placement) -> Outcome {
    let message = format!(
        "broker `{}` answers with another deploymentId than {}: check the name it was started with",
        placement.name, placement.id
    );
    Outcome::Refused(Statement::new("BrokerMismatch", message))
}

fn unconnected<K: ServiceResource>(
    resource: &K,
    placement: &Placement,
    error: &ConnectError,
    ctx: &Context,
) -> Outcome {
    tracing::warn!(broker = %placement.name, resource = %ResourceKey::of(resource), %error, "no client");
    Outcome::Unavailable {
        say: Statement::new(
            "BrokerUnavailable",
            format!("broker `{}`: {error}", placement.name),
        ),
        failures: ctx.failures.count(&ResourceKey::of(resource)),
    }
}

/// What a failed exchange means for the resource.
fn failed<K: ServiceResource>(
    resource: &K,
    placement: &Placement,
    error: &BrokerError,
    ctx: &Context,
) -> Outcome {
    let key = ResourceKey::of(resource);
    if let Some(wait) = error.busy() {
        tracing::debug!(broker = %placement.name, resource = %key, %error, "waiting");
        return Outcome::Busy(wait);
    }
    if let BrokerError::Refused(problem) = error
        && !error.is_retryable()
    {
        let message = format!("broker `{}` refuses: {}", placement.name, problem.message);
        let say = Statement::new(problem.error.as_str(), truncated(&message, MAX_MESSAGE));
        return Outcome::Refused(say);
    }
    tracing::warn!(broker = %placement.name, resource = %key, %error, "broker unavailable, trying again");
    Outcome::Unavailable {
        say: unavailable(&placement.name),
        failures: ctx.failures.count(&key),
    }
}
