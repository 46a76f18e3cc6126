//! Steps 3 and 4: apply the objects, then read how far they are.

use kidp_core::crd::ServiceInstance;
use kidp_drift::Change;
use kidp_provisioners::Readiness;
use kidp_provisioners::apply::ApplyError;
use kidp_provisioners::manifests::BuildError;

use super::dereference::Subject;
use super::status::Verdict;
use super::sync::{self, Report};
use super::{Context, ReconcileError, events, key};
use crate::metrics::Action;

/// Applies what differs. The inner error is a refusal that another try would meet again.
pub async fn provision(subject: &Subject, context: &Context) -> Result<Result<(), Verdict>, ReconcileError> {
    let Subject {
        instance,
        provisioner,
    } = subject;
    match provisioner
        .provision(&context.client, instance, &context.options)
        .await
    {
        Ok(manifests) => {
            if !manifests.written.is_empty() {
                tracing::info!(id = %instance.deployment_id, written = ?manifests.written, "applied");
            }
            Ok(Ok(()))
        }
        Err(error) => refuse(error),
    }
}

/// Looks at the drift of an instance that was applied before, and puts back what its settings say. The inner error is a
/// refusal that another try would meet again.
pub async fn remediate(
    record: &ServiceInstance,
    subject: &Subject,
    context: &Context,
) -> Result<Result<Report, Verdict>, ReconcileError> {
    let Subject {
        instance,
        provisioner,
    } = subject;
    let (key, applied, now) = (key(record), sync::fingerprint(record), context.clock.now());
    let judge = |change: &Change| {
        let truce = context.fights.truce(&key, &applied, change, now);
        sync::decide(&instance.spec.drift, change, truce, now) == sync::Decision::PutBack
    };
    let done = provisioner
        .remediate(&context.client, instance, &context.options, &judge)
        .await;
    let done = match done {
        Ok(done) => done,
        Err(error) if is_forbidden(&error) => return unseen(record, subject, context, &error).await,
        Err(error) => return refuse(error),
    };
    // What was told before, as before a maintenance window, was found before.
    let is_new = record.status.as_ref().is_none_or(|status| status.drift.is_none());
    for change in &done.put_back {
        let engine = instance.spec.engine;
        context.metrics.drift(engine, Action::PutBack, change);
        if is_new {
            context.metrics.drift_found(Action::PutBack, change, now);
        }
        if context.fights.put_back(&key, &applied, change, now) {
            context.metrics.fight(engine);
        }
        tracing::info!(id = %instance.deployment_id, %change, consequence = %change.consequence, "drift put back");
    }
    if !done.written.is_empty() {
        tracing::info!(id = %instance.deployment_id, written = ?done.written, "applied");
        events::put_back(&context.recorder, record, &done.put_back).await;
    }
    let left = sync::told(record, &key, done.left, &context.fights, now);
    Ok(Ok(Report {
        left,
        unknown: Vec::new(),
    }))
}

/// What is known of an instance of which not all may be read: nothing is put back then.
async fn unseen(
    record: &ServiceInstance,
    subject: &Subject,
    context: &Context,
    error: &ApplyError,
) -> Result<Result<Report, Verdict>, ReconcileError> {
    let drift = subject
        .provisioner
        .drift(&context.client, &subject.instance)
        .await?;
    if drift.unknown.is_empty() {
        // It may be read: it is a write that is forbidden.
        return Ok(Err(Verdict::Failed {
            reason: "ApplyRefused",
            message: describe(error),
        }));
    }
    let now = context.clock.now();
    Ok(Ok(Report {
        left: sync::told(record, &key(record), drift.changes, &context.fights, now),
        unknown: drift.unknown.iter().map(ToString::to_string).collect(),
    }))
}

fn is_forbidden(error: &ApplyError) -> bool {
    matches!(error, ApplyError::Kube { source, .. }
        if matches!(source.as_ref(), kube::Error::Api(status) if status.is_forbidden()))
}

pub(super) fn refuse<T>(error: ApplyError) -> Result<Result<T, Verdict>, ReconcileError> {
    match refusal(&error) {
        Some(reason) => Ok(Err(Verdict::Failed {
            reason,
            message: describe(&error),
        })),
        None => Err(error.into()),
    }
}

/// Reads the objects and judges them.
pub async fn observe(subject: &Subject, context: &Context) -> Result<Verdict, ReconcileError> {
    let Subject {
        instance,
        provisioner,
    } = subject;
    let observed = provisioner.observe(&context.client, instance).await?;
    Ok(match provisioner.readiness(instance, &observed) {
        Readiness::Ready => Verdict::Ready(provisioner.connection(instance)),
        Readiness::Progressing(message) => Verdict::Progressing(message),
        Readiness::Failed(message) => Verdict::Failed {
            reason: "InstanceFailed",
            message,
        },
    })
}

/// The reason of a StatefulSet that changed between the decision to take it over and its execution.
pub(super) const ADOPTION_STALE: &str = "AdoptionStale";

/// The reason of an error that does not pass by itself.
fn refusal(error: &ApplyError) -> Option<&'static str> {
    if error.is_retryable() {
        return None;
    }
    match error {
        ApplyError::NameCollision { .. } => Some("NameCollision"),
        ApplyError::DataWithoutCredentials { .. } => Some("DataWithoutCredentials"),
        ApplyError::BrokenSecret { .. } | ApplyError::AdoptedSecretMissing { .. } => Some("BrokenSecret"),
        ApplyError::AdoptionStale { .. } => Some(ADOPTION_STALE),
        ApplyError::AdoptedData { .. } => Some("AdoptedData"),
        ApplyError::BrokenCertificate { .. } => Some("BrokenCertificate"),
        ApplyError::VersionChange { .. } => Some("VersionChange"),
        ApplyError::StorageShrink { .. } => Some("StorageShrink"),
        ApplyError::StorageResize { .. } => Some("StorageResize"),
        ApplyError::ShapeChange { .. } => Some("ShapeChange"),
        ApplyError::Build(BuildError::UnknownRevision { .. }) => Some("UnknownRevision"),
        ApplyError::Build(_) => Some("BuildFailed"),
        ApplyError::Kube { source, .. } => match source.as_ref() {
            // The record is about to be deleted with its namespace.
            kube::Error::Api(status) if status.message.contains("being terminated") => None,
            kube::Error::Api(_) => Some("ApplyRefused"),
            // Between the client and the API server; it may pass.
            _ => None,
        },
        // A reason that this broker has no word for: it is told all the same.
        _ => Some("Refused"),
    }
}

/// The message of a refusal: for the API server's, its words without the client's debug form.
fn describe(error: &ApplyError) -> String {
    match error {
        ApplyError::Kube { object, source } => match source.as_ref() {
            kube::Error::Api(status) => format!("{object}: {}", status.message),
            other => format!("{object}: {other}"),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, message: &str) -> ApplyError {
        let status = serde_json::json!({"code": code, "message": message});
        ApplyError::Kube {
            object: "Secret/x".to_owned(),
            source: Box::new(kube::Error::Api(serde_json::from_value(status).unwrap())),
        }
    }

    #[test]
    fn what_passes_by_itself_is_no_refusal() {
        assert_eq!(refusal(&refused(403, "exceeded quota")), Some("ApplyRefused"));
        assert_eq!(refusal(&refused(422, "invalid")), Some("ApplyRefused"));
        assert_eq!(refusal(&refused(403, "because it is being terminated")), None);
        assert_eq!(refusal(&refused(503, "later")), None);
        let taken = ApplyError::NameCollision {
            object: "Secret/x".to_owned(),
        };
        assert_eq!(refusal(&taken), Some("NameCollision"));
        assert_eq!(
            describe(&refused(403, "exceeded quota")),
            "Secret/x: exceeded quota"
        );
    }
}
