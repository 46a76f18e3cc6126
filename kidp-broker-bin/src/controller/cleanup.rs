//! Cleanup: removes an instance that is being deleted, then lets its record go.
//!
//! The spec is not validated, so that a bad one never keeps its instance in the cluster. The finalizer leaves
//! only when the provisioner has confirmed that nothing is left that was to go. The farewell callback comes
//! after that, once: the operator that reads the broker then finds nothing, which is the truth.

use std::time::Duration;

use kidp_core::crd::ServiceInstance;
use kidp_core::group::SERVICE_INSTANCE_FINALIZER;
use kidp_provisioners::provisioner::Deprovisioned;
use kube::ResourceExt as _;
use kube::runtime::controller::Action;

use super::dereference::dereference;
use super::status::{self, Verdict};
use super::{Context, POLL_FAILED, ReconcileError, key, write};
use crate::bindings::{self, Bindings};

/// When a removal under way is looked at again.
const POLL: Duration = Duration::from_millis(500);
/// The same, once it takes long.
const SLOW_POLL: Duration = Duration::from_secs(5);
/// From when on a removal takes long.
const SLOW: Duration = Duration::from_secs(20);

/// Removes the instance as far as that is possible now.
pub async fn cleanup(record: &ServiceInstance, context: &Context) -> Result<Action, ReconcileError> {
    if !record
        .finalizers()
        .iter()
        .any(|f| f == SERVICE_INSTANCE_FINALIZER)
    {
        context.memory.forget(&key(record));
        return Ok(Action::await_change());
    }
    let subject = match dereference(record, &context.registry, context.features.current()) {
        Ok(subject) => subject,
        // Objects whose engine this broker does not know cannot be removed by it; an operator of it must act.
        Err(refusal) => return report(record, context, &refusal).await,
    };
    if let Some(waiting) = bindings_first(record, context).await? {
        return Ok(waiting);
    }
    let policy = record.spec.instance.deletion_policy;
    match subject
        .provisioner
        .deprovision(&context.client, &subject.instance, policy)
        .await?
    {
        Deprovisioned::InProgress(left) => {
            tracing::debug!(id = record.name_any(), ?left, "removal under way");
            wait_for(record, context, &left.join(", ")).await
        }
        Deprovisioned::Done => {
            if write::release(&context.client, record, SERVICE_INSTANCE_FINALIZER).await? {
                tracing::info!(id = record.name_any(), "removed");
            }
            context.memory.forget(&key(record));
            context.fights.forget(&key(record));
            context.outbox.farewell(record);
            Ok(Action::await_change())
        }
    }
}

/// Removes the bindings of the instance before it: with data that stays, a login would stay too. What to do meanwhile,
/// while there are any.
async fn bindings_first(
    record: &ServiceInstance,
    context: &Context,
) -> Result<Option<Action>, ReconcileError> {
    let bindings = Bindings::new(context.client.clone(), context.broker.as_str());
    let left = bindings.list(record).await.map_err(Box::new)?;
    if left.is_empty() {
        return Ok(None);
    }
    for binding in left.iter().filter(|binding| !bindings::is_deleting(binding)) {
        bindings.delete(record, binding).await.map_err(Box::new)?;
    }
    let waiting = wait_for(record, context, &format!("{} bindings", left.len())).await?;
    Ok(Some(waiting))
}

/// When to look again at what is being removed; it is told once it takes long.
async fn wait_for(record: &ServiceInstance, context: &Context, left: &str) -> Result<Action, ReconcileError> {
    if context.memory.unsettled(&key(record), true) < SLOW {
        return Ok(Action::requeue(POLL));
    }
    let say = Verdict::Progressing(format!("waiting for the removal of {left}"));
    report(record, context, &say).await?;
    Ok(Action::requeue(SLOW_POLL))
}

/// Says in the status why the record is still there; the API shows its phase as `Deleting` all the same.
async fn report(
    record: &ServiceInstance,
    context: &Context,
    verdict: &Verdict,
) -> Result<Action, ReconcileError> {
    let quiet = ServiceInstance {
        spec: kidp_core::crd::ServiceInstanceSpec {
            callback_url: None,
            ..record.spec.clone()
        },
        ..record.clone()
    };
    if let Some(next) = status::next(&quiet, verdict, None, context.clock.now(), SLOW) {
        status::write(&context.client, record, next).await?;
    }
    Ok(Action::requeue(POLL_FAILED))
}
