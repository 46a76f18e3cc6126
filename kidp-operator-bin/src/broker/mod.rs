//! The broker reconciler: asks every broker how it does, and records what changes.
//!
//! # Flow
//! At once when a `Broker` appears or changes, and then at its interval: ask its health endpoint, then its root
//! document for its name, version and callback key. [`status`] turns the answers into a phase. Now and then its
//! instances are compared with the resources there are, see [`orphans`].
//!
//! # Guarantees
//! - A broker that answers under another name than its object's is never used.
//! - Authentication that is not possible as it is configured is refused, never skipped.
//! - The status is written when it says something new, so a healthy fleet causes no writes.
//!
//! # Caveats
//! Failures are counted in memory: after a restart of the operator a broker gets its full threshold again. Until
//! then its recorded phase holds.

pub mod connect;
pub mod health;
pub mod orphans;
pub mod status;

use std::sync::Arc;

use kidp_core::crd::{Broker, BrokerPhase};
use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;

pub use connect::{ConnectError, Connections, OwnCredentials};
pub use health::HealthBoard;
pub use orphans::OrphanBoard;

use crate::backoff::jitter;
use crate::cache::namespace_of;
use crate::context::Context;
use crate::events;
use crate::kube_io::{self, WriteError};

/// Checks one broker, if it is time, and records what changed.
pub async fn reconcile(broker: Arc<Broker>, ctx: Arc<Context>) -> Result<Action, WriteError> {
    let key = ObjectRef::from_obj(broker.as_ref());
    if broker.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    ctx.health.retain(|key| ctx.caches.brokers.get(key).is_some());
    ctx.orphans.retain(|key| ctx.caches.brokers.get(key).is_some());
    let health = match ctx.health.not_yet_due(&key, &broker) {
        Ok(wait) => return Ok(Action::requeue(wait)),
        Err(before) => {
            let observation = health::check(&broker, &ctx.connections).await;
            ctx.metrics.checked(observation.word());
            before.after(observation)
        }
    };
    let active = ctx
        .caches
        .resources_of_broker(&namespace_of(broker.as_ref()), &broker.name_any());
    let active = u32::try_from(active.len()).unwrap_or(u32::MAX);
    let now = ctx.clock.now();
    let mut next = status::next(&broker, &health, active, now);
    let found = if next.phase == BrokerPhase::Ready && health.failures == 0 {
        orphans::look(&broker, &ctx).await
    } else {
        None
    };
    let old = broker.status.clone().unwrap_or_default();
    next = orphans::told(next, &old, found.as_deref(), now);
    let wait = jitter(status::interval(&broker, next.phase, health.failures));
    ctx.health.record(key.clone(), &broker, health, wait);
    if broker.status.as_ref() != Some(&next) {
        tracing::info!(broker = %key, phase = ?next.phase, active, "status");
        kube_io::apply_status(&ctx.client, broker.as_ref(), &next).await?;
        if let Some(event) = events::of_broker(old.phase, &next) {
            events::publish(&ctx.recorder, broker.as_ref(), &event).await;
        }
    }
    Ok(Action::requeue(wait))
}
