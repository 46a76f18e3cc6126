//! The reconciler of every kind of service: from a `Database`, `Cache` or `MessageQueue` object to an instance at a
//! broker, and back to nothing. It is generic over [`Served`]; no step knows which kind it has.
//!
//! # Flow
//! One reconcile looks at one object and takes it as far as it goes:
//!
//! 1. [`cleanup`], if it is being deleted, and nothing else. A bad spec never blocks deletion.
//! 2. Finalizer, before anything that would have to be cleaned up.
//! 3. [`dereference`]: the owner, and through it the team.
//! 4. [`place`]: a broker is chosen once, by [`crate::select`]; the choice and the deployment id go into the
//!    status **before** the broker is asked for anything.
//! 5. [`provision`]: the broker is asked what it has, and [`plan`] says what to do about the answer: submit the
//!    spec, wait, or take the result over.
//! 6. [`status`]: what became of it, as phase and conditions; written only if it differs.
//!
//! [`validate`] turns what the operator itself can see to be impossible into a refusal, before a broker is asked.
//!
//! # Guarantees
//! - At every moment that a broker may hold an instance, the object has the finalizer and `status.brokerRef`.
//! - `status.brokerRef` never changes once anything may have been sent to that broker. Where its broker goes offline before,
//!   a resource is given to another one.
//! - The deployment id is derived from broker, namespace, kind, name and UID, so a step that is repeated after a
//!   crash is the same operation.
//! - Three writes take a new object to Ready: finalizer, Provisioning, Ready. A settled object causes none.
//! - A spec that was refused is submitted again when it changes, and otherwise only once every resync interval.
//! - A corrected spec is always submitted, whatever the phase.
//! - A request that is delayed on its way makes no instance after its resource is gone: the last removal asks the
//!   broker to refuse it.
//!
//! # Assumptions
//! - One operator reconciles at a time (leader election), and one object is reconciled by one task at a time
//!   (`kube`'s controller). Both are backed by resource versions on every write.
//! - Cached objects may be old. A decision on an old copy is refused by the API server and taken again.
//!
//! # Caveats
//! - The operator cannot tell a broker that is away for an hour from one that is gone for good. A `Database` whose
//!   broker does not come back keeps its finalizer until somebody who knows that the instance is gone sets the
//!   annotation [`ABANDON_ANNOTATION`] to `true`. What the broker then still holds is an orphan, see
//!   [`crate::broker::orphans`].

pub mod cleanup;
pub mod dereference;
pub mod place;
pub mod plan;
pub mod provision;
pub mod residency;
pub mod status;
pub mod validate;

use std::sync::Arc;
use std::time::Duration;

use kidp_core::crd::{Phase, ResourceStatus, ServiceResource};
use kidp_core::mutation;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use thiserror::Error;
use tracing::Instrument as _;

use crate::backoff::{exponential, jitter};
use crate::cache::Caches;
use crate::context::Context;
use crate::kind::{AnyResource, ResourceKey, Served};
use crate::kube_io::{self, WriteError};
use crate::{costs, events, trace};
use place::Placement;
use status::{Outcome, Pace};

/// Annotation by which a person declares, with the value `true`, that the instance need not be removed.
pub const ABANDON_ANNOTATION: &str = "platform.company.com/abandon";

/// How soon a decision on an old copy is taken again: by then the watch has caught up.
const CATCH_UP: Duration = Duration::from_millis(200);

/// Why a reconcile ended early.
#[derive(Debug, Error)]
pub enum Error {
    /// A write failed. [`error_policy`] tries again.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The object has no namespace, name or UID, so the API server never saw it. Not retried.
    #[error("the object has no namespace, name or UID")]
    Identity,
}

/// Looks at one resource and takes it as far as it goes, in the trace of its generation, and notes how long that took.
pub async fn reconcile<K: Served>(resource: Arc<K>, ctx: Arc<Context>) -> Result<Action, Error> {
    let (span, metrics) = (trace::span_of(resource.as_ref()), ctx.metrics.clone());
    let look = metrics.measured(K::TYPE.as_str(), take(resource, ctx));
    look.instrument(span).await
}

/// Takes it as far as it goes, and notes when what a callback told was shown.
async fn take<K: Served>(resource: Arc<K>, ctx: Arc<Context>) -> Result<Action, Error> {
    let key = ResourceKey::of(resource.as_ref());
    // Taken out before anything is read: what is heard meanwhile is shown by the next look.
    let news = ctx.metrics.news(&key);
    let done = look(resource, &ctx).await;
    match (news, &done) {
        (Some(event), Ok(_)) => ctx.metrics.told(K::TYPE.as_str(), event, ctx.clock.now()),
        (Some(event), Err(_)) => ctx.metrics.heard(key, event),
        (None, _) => {}
    }
    done
}

async fn look<K: Served>(resource: Arc<K>, ctx: &Context) -> Result<Action, Error> {
    if resource.is_deleting() {
        return cleanup::run(&resource, ctx).await;
    }
    let mut current = resource;
    if !current.finalizers().iter().any(|f| f == K::FINALIZER) {
        current = Arc::new(kube_io::add_finalizer(&ctx.client, current.as_ref(), K::FINALIZER).await?);
    }
    let owner = dereference::owner(current.as_ref(), &ctx.caches);
    let placed = Placement::of(current.as_ref())?.filter(|_| !mutation::active("pick-anew"));
    let stays = placed.filter(|placement| !place::may_move(placement, ctx));
    let outcome = match stays {
        Some(placement) => provision::advance(current.as_ref(), &placement, &owner, ctx).await,
        None => match place::run(current.as_ref(), &owner, ctx)? {
            Ok(placement) => {
                current = record(&current, &placement, ctx).await?;
                if is_gone(current.as_ref(), &ctx.caches) {
                    ctx.placements.forget(&ResourceKey::of(current.as_ref()));
                    return Ok(Action::await_change());
                }
                provision::submit(current.as_ref(), &placement, &owner, ctx).await
            }
            Err(outcome) => outcome,
        },
    };
    settle(&current, &outcome, ctx).await
}

/// Whether a resource went while its first finalizer was written. The API server reads an object before it deletes it: one
/// that had none then goes, whatever was written meanwhile, and nobody would remove what a broker made for it.
fn is_gone<K: Served>(resource: &K, caches: &Caches) -> bool {
    let known = K::store(caches).get(&ObjectRef::from_obj(resource));
    known.is_none_or(|known| known.uid() != resource.uid())
}

/// Writes a placement down, before anything is sent for it.
async fn record<K: Served>(
    resource: &Arc<K>,
    placement: &Placement,
    ctx: &Context,
) -> Result<Arc<K>, WriteError> {
    let old = Placement::of(resource.as_ref()).ok().flatten();
    if let Some(old) = &old {
        ctx.placements.send(&old.id);
    }
    let now = ctx.clock.now();
    let planned = status::next(resource.as_ref(), Some(placement), &Outcome::InProgress, now);
    let written = write(resource, planned, ctx).await.inspect_err(|_| {
        ctx.placements.forget(&ResourceKey::of(resource.as_ref()));
    })?;
    ctx.placements.keep_unsent(&placement.id);
    if let (None, Some(created)) = (old, resource.created()) {
        ctx.metrics.placed(K::TYPE.as_str(), created.0, now);
    }
    Ok(written)
}

/// Records the outcome and says when to look again.
async fn settle<K: Served>(resource: &Arc<K>, outcome: &Outcome, ctx: &Context) -> Result<Action, Error> {
    let placement = Placement::of(resource.as_ref())?;
    let next = status::next(resource.as_ref(), placement.as_ref(), outcome, ctx.clock.now());
    let written = write(resource, next, ctx).await?;
    costs::usage::record(written.as_ref(), ctx).await?;
    if !Arc::ptr_eq(&written, resource) {
        catch_up(resource.as_ref(), ctx).await;
    }
    Ok(Action::requeue(pace(resource.as_ref(), outcome.pace(), ctx)))
}

/// Waits a moment for the watch to bring what was just written, so that a trigger that is queued already does not
/// decide on the copy from before. Correctness does not rest on it: an old copy cannot be written from.
async fn catch_up<K: Served>(before: &K, ctx: &Context) {
    let key = ObjectRef::from_obj(before);
    let old = |now: Arc<K>| now.resource_version() == before.resource_version();
    for _ in 0..20 {
        if !K::store(&ctx.caches).get(&key).is_some_and(old) {
            return;
        }
        tokio::time::sleep(CATCH_UP / 20).await;
    }
}

/// Writes the status if it says something new, and tells of a transition.
async fn write<K: ServiceResource>(
    resource: &Arc<K>,
    next: ResourceStatus,
    ctx: &Context,
) -> Result<Arc<K>, WriteError> {
    let next = if resource.is_deleting() {
        next
    } else {
        costs::status::estimated(next, resource.as_ref(), ctx)
    };
    if resource.status() == Some(&next) && !mutation::active("write-always") {
        return Ok(Arc::clone(resource));
    }
    let old = resource.phase();
    let written = kube_io::apply_status(&ctx.client, resource.as_ref(), &next).await?;
    let note = next
        .conditions
        .first()
        .map(|c| c.message.clone())
        .unwrap_or_default();
    tracing::info!(resource = %ResourceKey::of(resource.as_ref()), phase = ?next.phase, %note, "status written");
    count(resource.as_ref(), &next, ctx);
    events::transition(&ctx.recorder, &written, old, next.phase, &note).await;
    if old != Phase::Provisioning || next.phase != Phase::Provisioning {
        ctx.polls.reset(&ResourceKey::of(&written));
    }
    Ok(Arc::new(written))
}

/// Counts what a status that was written says anew.
fn count<K: ServiceResource>(resource: &K, next: &ResourceStatus, ctx: &Context) {
    ctx.metrics.moved(K::TYPE.as_str(), resource.phase(), next.phase);
    let is_first = is_first_ready(resource.status(), next);
    if let Some(created) = resource.created().filter(|_| is_first) {
        let (engine, size) = (resource.engine(), resource.instance().size);
        ctx.metrics.became_ready(engine, size, created.0, ctx.clock.now());
    }
}

/// Whether a resource is usable for the first time: who has an endpoint was so before, and keeps it in its status.
fn is_first_ready(old: Option<&ResourceStatus>, next: &ResourceStatus) -> bool {
    next.phase == Phase::Ready && next.endpoint.is_some() && old.is_none_or(|old| old.endpoint.is_none())
}

/// When to look again: soon and ever later while something is under way, seldom when it is settled.
fn pace<K: ServiceResource>(resource: &K, pace: Pace, ctx: &Context) -> Duration {
    let key = ResourceKey::of(resource);
    let waits = ctx.waits;
    if pace != Pace::BackOff {
        ctx.failures.reset(&key);
    }
    jitter(match pace {
        Pace::Poll => exponential(ctx.polls.next(key), waits.poll_min, waits.poll_max),
        // The more ask, the longer each waits: the broker's limit is for all of them together.
        Pace::After(wait) => wait.max(exponential(ctx.polls.next(key), waits.poll_min, waits.poll_max)),
        Pace::BackOff => exponential(ctx.failures.next(key), waits.poll_min, waits.backoff_max),
        Pace::Settled => {
            ctx.polls.reset(&key);
            waits.resync
        }
    })
}

/// When to look again after a reconcile that ended early.
pub fn error_policy<K: ServiceResource>(resource: &K, error: &Error, ctx: &Context) -> Action {
    let key = ResourceKey::of(resource);
    match error {
        Error::Identity | Error::Write(WriteError::Gone) => Action::await_change(),
        Error::Write(WriteError::Conflict) => Action::requeue(jitter(CATCH_UP)),
        Error::Write(WriteError::Api(_) | WriteError::Timeout | WriteError::Unserialisable(_)) => {
            tracing::warn!(resource = %key, %error, "reconcile failed, trying again");
            let attempt = ctx.failures.next(key);
            Action::requeue(jitter(exponential(
                attempt,
                ctx.waits.poll_min,
                ctx.waits.backoff_max,
            )))
        }
    }
}

#[cfg(test)]
mod tests;
