//! Step 3 of an instance that is a StatefulSet already: whether that is taken over, and as what. It is put on record
//! before anything is done about it.
//!
//! ```text
//! examine ─> in the way, or not accepted ─> condition, nothing is written to the StatefulSet
//!        └─> decided ─> record ─> (next reconcile) provision
//! ```
//! What changed between the decision and its execution is decided again: the record forgets it.

use kidp_core::crd::ServiceInstance;
use kidp_core::instance::Adopted;
use kidp_provisioners::adoption::{self, AdoptionRefusal};

use super::dereference::Subject;
use super::status::Verdict;
use super::{Context, ReconcileError, provision, write};

/// What is to be said of an instance that cannot be provisioned before this; none where nothing is left to decide.
pub async fn settle(
    record: &ServiceInstance,
    subject: &Subject,
    context: &Context,
) -> Result<Option<Verdict>, ReconcileError> {
    let instance = &subject.instance;
    let Some(adopt) = instance
        .spec
        .adopt
        .as_ref()
        .filter(|_| adoption::is_due(instance))
    else {
        return Ok(None);
    };
    let provisioner = subject.provisioner.as_ref();
    let examined = adoption::examine(provisioner, &context.client, instance).await;
    let examined = match examined {
        Ok(examined) => examined,
        Err(error) => return provision::refuse::<()>(error).map(Result::err),
    };
    match examined.decide(adopt.accept_plan.as_deref()) {
        Ok(adopted) => {
            tracing::info!(id = %instance.deployment_id, stateful_set = adopted.stateful_set, "taken over");
            remember(record, context, Some(adopted)).await?;
            Ok(Some(Verdict::Progressing(
                "the StatefulSet is being taken over".to_owned(),
            )))
        }
        Err(refusal) => Ok(Some(Verdict::Failed {
            reason: reason(&refusal),
            message: refusal.to_string(),
        })),
    }
}

/// Decides anew: the StatefulSet has changed since.
pub async fn forget(record: &ServiceInstance, context: &Context) -> Result<Verdict, ReconcileError> {
    remember(record, context, None).await?;
    Ok(Verdict::Progressing(
        "the StatefulSet has changed and is looked at again".to_owned(),
    ))
}

async fn remember(
    record: &ServiceInstance,
    context: &Context,
    adopted: Option<Adopted>,
) -> Result<(), ReconcileError> {
    let mut changed = record.clone();
    changed.spec.adopted = adopted;
    write::spec(&context.client, &changed).await
}

fn reason(refusal: &AdoptionRefusal) -> &'static str {
    match refusal {
        AdoptionRefusal::Blocked(_) => "AdoptionBlocked",
        AdoptionRefusal::TooGrave { .. } => "AdoptionTooGrave",
        AdoptionRefusal::NotAccepted { .. } => "AdoptionNotAccepted",
    }
}
