//! `POST /v1/deprovision`: starts a removal, which the controller carries out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use kidp_core::wire::{Accepted, DeprovisionRequest};
use kube::ResourceExt as _;

use super::status::unknown;
use crate::Broker;
use crate::auth::Caller;
use crate::auth::policy::Verb;
use crate::error::ApiError;
use crate::extract::{Body, check_namespace};

pub(super) async fn post(
    State(broker): State<Arc<Broker>>,
    caller: Caller,
    Body(request): Body<DeprovisionRequest>,
) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    let DeprovisionRequest {
        deployment_id,
        namespace,
        deletion_policy,
        permanent,
    } = request;
    caller.audit.deployment(deployment_id.as_str());
    caller.audit.namespace(namespace.as_deref().unwrap_or_default());
    check_namespace(namespace.as_deref())?;
    if let Some(namespace) = &namespace {
        caller.check(Verb::Write, namespace)?;
    }
    // In whatever namespace it is: naming another one must not bury somebody else's deployment.
    let found = broker.records.find(&deployment_id, None).await?;
    let namespace = match &found {
        Some(record) => {
            let spec = &record.spec;
            caller
                .audit
                .resource(spec.resource_type.as_str(), &spec.resource_name);
            let its_own = record.namespace().unwrap_or_default();
            if namespace.is_some_and(|named| named != its_own) {
                return Err(unknown("deploymentId").into());
            }
            its_own
        }
        None => namespace.ok_or_else(|| unknown("deploymentId"))?,
    };
    caller.audit.namespace(&namespace);
    caller.check(Verb::Write, &namespace)?;
    if permanent {
        // Before it is looked for once more: whatever is recorded after that look meets the tombstone.
        broker.records.entomb(&deployment_id).await?;
    }
    let deleted = broker
        .records
        .delete(&deployment_id, Some(&namespace), deletion_policy)
        .await?;
    if !deleted {
        return Err(unknown("deploymentId").into());
    }
    tracing::info!(id = %deployment_id, "deprovision");
    let accepted = Accepted {
        status: "accepted".to_owned(),
        deployment_id,
        message: "removal has begun".to_owned(),
    };
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}
