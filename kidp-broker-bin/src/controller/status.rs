//! Step 5: what the record's status says, and whether that is worth a write.
//!
//! A write for every change of a message would be a write every few seconds for an instance that starts slowly.
//! So progress is written only once it has gone on for [`GRACE`]; until then, and without any write, the API
//! answers `Provisioning` for a record whose status does not speak of its spec.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kidp_core::conditions::{self, Statement};
use kidp_core::crd::{LocalRef, OutboxEntry, Phase, ServiceInstance, ServiceInstanceStatus};
use kidp_core::names::short_hash;
use kidp_provisioners::Connection;
use kube::{Api, Client, ResourceExt as _};

use super::ReconcileError;
use crate::records::post_params;
use crate::view;

/// How long an instance may be on its way before its status says so.
pub const GRACE: Duration = Duration::from_secs(10);

const MAX_MESSAGE: usize = 1024;

/// How far an instance is.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Usable, here.
    Ready(Connection),
    /// On its way; the message says what is missing.
    Progressing(String),
    /// It will not get there without help.
    Failed {
        /// Stable reason.
        reason: &'static str,
        /// What to do about it.
        message: String,
    },
}

/// The status to write, if one is to be written. Pure: `now` and how long the instance has been `unsettled` are
/// passed in.
pub fn next(
    record: &ServiceInstance,
    verdict: &Verdict,
    now: jiff::Timestamp,
    unsettled: Duration,
) -> Option<ServiceInstanceStatus> {
    if matches!(verdict, Verdict::Progressing(_)) && unsettled < GRACE {
        return None;
    }
    let previous = record.status.clone().unwrap_or_default();
    let mut next = speak(record, &previous, verdict, now);
    next.conditions = conditions::carry_over(&previous.conditions, next.conditions);
    if is_news(record, &previous, &next) {
        next.outbox = vec![entry(record, next.phase, now)];
    }
    (next != previous).then_some(next)
}

fn speak(
    record: &ServiceInstance,
    previous: &ServiceInstanceStatus,
    verdict: &Verdict,
    now: jiff::Timestamp,
) -> ServiceInstanceStatus {
    let generation = record.metadata.generation.unwrap_or_default();
    let mut status = ServiceInstanceStatus {
        resource_generation: Some(record.spec.resource_generation),
        observed_generation: record.metadata.generation,
        message: None,
        error: None,
        ..previous.clone()
    };
    match verdict {
        Verdict::Ready(connection) => {
            status.phase = Phase::Ready;
            status.endpoint = Some(connection.host.clone());
            status.port = Some(connection.port);
            status.connection_secret_ref = Some(LocalRef {
                name: connection.secret.clone(),
                namespace: None,
            });
            let say = Statement::new("Provisioned", "the instance answers");
            status.conditions = conditions::ready(&say, generation, now);
        }
        Verdict::Progressing(message) => {
            status.phase = Phase::Provisioning;
            let say = Statement::new("Provisioning", bounded(message));
            status.message = Some(say.message.clone());
            status.conditions = conditions::reconciling(&say, generation, now);
        }
        Verdict::Failed { reason, message } => {
            status.phase = Phase::Failed;
            let say = Statement::new(reason, bounded(message));
            status.message = Some(say.message.clone());
            status.error = Some((*reason).to_owned());
            status.conditions = conditions::stalled(&say, generation, now);
        }
    }
    status
}

/// Whether the operator is told: once for every phase, reason and generation. That an instance is on its way is
/// news only where it has been usable before.
fn is_news(record: &ServiceInstance, previous: &ServiceInstanceStatus, next: &ServiceInstanceStatus) -> bool {
    let gist = |s: &ServiceInstanceStatus| {
        (
            s.phase,
            s.error.clone(),
            s.resource_generation,
            s.endpoint.clone(),
        )
    };
    let repeats = view::is_current(record, previous) && gist(previous) == gist(next);
    let first_progress = next.phase == Phase::Provisioning && previous.phase != Phase::Ready;
    record.spec.callback_url.is_some() && !repeats && !first_progress
}

fn entry(record: &ServiceInstance, phase: Phase, now: jiff::Timestamp) -> OutboxEntry {
    let parts = [
        record.spec.deployment_id.as_str(),
        &format!("{phase:?}"),
        &now.to_string(),
    ];
    OutboxEntry {
        id: format!("msg-{}", short_hash(&parts, 32)),
        phase,
        queued_at: Time(now),
        rounds: 0,
    }
}

fn bounded(message: &str) -> String {
    if message.len() <= MAX_MESSAGE {
        return message.to_owned();
    }
    let mut end = MAX_MESSAGE;
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &message[..end])
}

/// Writes the status, if the record has not changed since it was read.
pub async fn write(
    client: &Client,
    record: &ServiceInstance,
    next: ServiceInstanceStatus,
) -> Result<ServiceInstance, ReconcileError> {
    let namespace = record.namespace().unwrap_or_default();
    let api: Api<ServiceInstance> = Api::namespaced(client.clone(), &namespace);
    let mut changed = record.clone();
    tracing::info!(id = record.name_any(), phase = ?next.phase, error = next.error, message = next.message, "status");
    changed.status = Some(next);
    match api
        .replace_subresource("status", &record.name_any(), &post_params(), &changed)
        .await
    {
        Ok(written) => Ok(written),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {
            Err(ReconcileError::Stale)
        }
        Err(error) => Err(Box::new(error).into()),
    }
}

#[cfg(test)]
mod tests;
