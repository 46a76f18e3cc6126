//! Cleanup: removes an instance that is being deleted, then lets its record go.
//!
//! The spec is not validated, so that a bad one never keeps its instance in the cluster. The finalizer leaves
//! only when the provisioner has confirmed that nothing is left that was to go. The farewell callback comes
//! after that, once: the operator that reads the broker then finds nothing, which is the truth.

use std::time::Duration;

use kidp_core::crd::ServiceInstance;
use kidp_core::group::{BROKER_FIELD_MANAGER, SERVICE_INSTANCE_FINALIZER};
use kidp_provisioners::provisioner::Deprovisioned;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::dereference::dereference;
use super::status::{self, Verdict};
use super::{Context, POLL_FAILED, ReconcileError, key};

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
    let subject = match dereference(record, &context.registry) {
        Ok(subject) => subject,
        // Objects whose engine this broker does not know cannot be removed by it; an operator of it must act.
        Err(refusal) => return report(record, context, &refusal).await,
    };
    let policy = record.spec.instance.deletion_policy;
    match subject
        .provisioner
        .deprovision(&context.client, &subject.instance, policy)
        .await?
    {
        Deprovisioned::InProgress(left) => {
            let since = context.memory.unsettled(&key(record), true);
            tracing::debug!(id = record.name_any(), ?left, "removal under way");
            if since < SLOW {
                return Ok(Action::requeue(POLL));
            }
            let say = Verdict::Progressing(format!("waiting for the removal of {}", left.join(", ")));
            report(record, context, &say).await?;
            Ok(Action::requeue(SLOW_POLL))
        }
        Deprovisioned::Done => {
            release(record, context).await?;
            context.memory.forget(&key(record));
            context.outbox.farewell(record);
            Ok(Action::await_change())
        }
    }
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
    if let Some(next) = status::next(&quiet, verdict, jiff::Timestamp::now(), SLOW) {
        status::write(&context.client, record, next).await?;
    }
    Ok(Action::requeue(POLL_FAILED))
}

/// Takes the finalizer off, if the record has not changed since it was read.
async fn release(record: &ServiceInstance, context: &Context) -> Result<(), ReconcileError> {
    let namespace = record.namespace().unwrap_or_default();
    let api: Api<ServiceInstance> = Api::namespaced(context.client.clone(), &namespace);
    let others: Vec<_> = record
        .finalizers()
        .iter()
        .filter(|f| *f != SERVICE_INSTANCE_FINALIZER)
        .collect();
    let patch = json!({"metadata": {"resourceVersion": record.resource_version(), "finalizers": others}});
    let params = PatchParams {
        field_manager: Some(BROKER_FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api
        .patch(&record.name_any(), &params, &Patch::Merge(&patch))
        .await
    {
        Ok(_) => {
            tracing::info!(id = record.name_any(), "removed");
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(kube::Error::Api(status)) if status.is_conflict() => Err(ReconcileError::Stale),
        Err(error) => Err(Box::new(error).into()),
    }
}
