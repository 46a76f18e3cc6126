//! Steps 3 and 4: apply the objects, then read how far they are.

use kidp_provisioners::Readiness;
use kidp_provisioners::apply::ApplyError;

use super::dereference::Subject;
use super::status::Verdict;
use super::{Context, ReconcileError};

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
        Err(error) => match refusal(&error) {
            Some(reason) => Ok(Err(Verdict::Failed {
                reason,
                message: describe(&error),
            })),
            None => Err(error.into()),
        },
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

/// The reason of an error that does not pass by itself.
fn refusal(error: &ApplyError) -> Option<&'static str> {
    if error.is_retryable() {
        return None;
    }
    match error {
        ApplyError::NameCollision { .. } => Some("NameCollision"),
        ApplyError::DataWithoutCredentials { .. } => Some("DataWithoutCredentials"),
        ApplyError::BrokenSecret { .. } => Some("BrokenSecret"),
        ApplyError::VersionChange { .. } => Some("VersionChange"),
        ApplyError::StorageShrink { .. } => Some("StorageShrink"),
        ApplyError::StorageResize { .. } => Some("StorageResize"),
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
