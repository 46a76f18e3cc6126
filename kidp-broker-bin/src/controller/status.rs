//! Step 5: what the record's status says, and whether that is worth a write.
//!
//! A write for every change of a message would be a write every few seconds for an instance that starts slowly.
//! So progress is written only once it has gone on for [`GRACE`]; until then, and without any write, the API
//! answers `Provisioning` for a record whose status does not speak of its spec.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kidp_core::conditions::{self, Statement};
use kidp_core::crd::{DriftStatus, LocalRef, OutboxEntry, Phase, ServiceInstance, ServiceInstanceStatus};
use kidp_core::names::short_hash;
use kidp_drift::Change;
use kidp_provisioners::Connection;
use kube::{Client, ResourceExt as _};

use super::sync::{self, Report, Why};
use super::{ReconcileError, write};
use crate::view;

/// How long an instance may be on its way before its status says so.
pub const GRACE: Duration = Duration::from_secs(10);

const MAX_MESSAGE: usize = 1024;
/// Most lines on drift.
const MAX_DETAILS: usize = 20;
/// Longest of them, in bytes.
const MAX_DETAIL: usize = 300;

/// How far an instance is.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Usable, here.
    Ready(Connection),
    /// Nothing was done for it yet; the message says why.
    Queued(String),
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
    report: Option<&Report>,
    now: jiff::Timestamp,
    unsettled: Duration,
) -> Option<ServiceInstanceStatus> {
    if matches!(verdict, Verdict::Progressing(_)) && unsettled < GRACE {
        return None;
    }
    let previous = record.status.clone().unwrap_or_default();
    let mut next = speak(record, &previous, verdict, now);
    if let Some(report) = report {
        tell_drift(record, verdict, report, &mut next, now);
    } else {
        next.conditions.extend(known_sync(&previous));
    }
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
        changes: previous
            .changes
            .filter(|changes| changes.generation == record.spec.resource_generation),
        ..previous.clone()
    };
    match verdict {
        Verdict::Ready(connection) => {
            status.phase = Phase::Ready;
            status.applied = Some(sync::fingerprint(record));
            status.changes = None;
            status.endpoint = Some(connection.host.clone());
            status.port = Some(connection.port);
            status.connection_secret_ref = Some(LocalRef {
                name: connection.secret.clone(),
                namespace: None,
            });
            let say = Statement::new("Provisioned", "the instance answers");
            status.conditions = conditions::ready(&say, generation, now);
        }
        Verdict::Queued(message) => {
            status.phase = Phase::Pending;
            let say = Statement::new("Queued", bounded(message));
            status.message = Some(say.message.clone());
            status.conditions = conditions::reconciling(&say, generation, now);
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

/// What was said last of drift: it holds until it is looked for again.
fn known_sync(previous: &ServiceInstanceStatus) -> Option<Condition> {
    let mut known = previous.conditions.iter();
    known.find(|c| c.type_ == conditions::IN_SYNC).cloned()
}

/// Adds what is known of drift. An instance that is usable and not as it was asked for says so by its phase.
fn tell_drift(
    record: &ServiceInstance,
    verdict: &Verdict,
    report: &Report,
    status: &mut ServiceInstanceStatus,
    now: jiff::Timestamp,
) {
    let details: Vec<_> = report.lines().chain(report.unknown.iter().cloned()).collect();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    status.drift = (!details.is_empty()).then(|| DriftStatus {
        left: count(report.left.len()),
        unknown: count(report.unknown.len()),
        details: details
            .iter()
            .take(MAX_DETAILS)
            .map(|line| cut(line, MAX_DETAIL))
            .collect(),
    });
    let is_in_sync = match (report.left.is_empty(), report.unknown.is_empty()) {
        (false, _) => Some(false),
        (true, false) => None,
        (true, true) => Some(true),
    };
    let say = match is_in_sync {
        Some(true) => Statement::new("InSync", "the cluster holds what was applied"),
        Some(false) => Statement::new(
            reason(report),
            bounded(&summary("changed and left", report.left.len(), &details)),
        ),
        None => Statement::new(
            "Unseen",
            bounded(&summary("cannot be seen", details.len(), &details)),
        ),
    };
    let generation = record.metadata.generation.unwrap_or_default();
    if is_in_sync == Some(false) {
        let is_usable = matches!(verdict, Verdict::Ready(_));
        if is_usable {
            status.phase = Phase::DriftDetected;
        }
        // What the instance lacks may be what somebody took away.
        status.message = Some(match status.message.take().filter(|_| !is_usable) {
            Some(message) => bounded(&format!("{message}; {}", say.message)),
            None => say.message.clone(),
        });
    }
    status
        .conditions
        .push(conditions::in_sync(is_in_sync, &say, generation, now));
}

/// What a status begins to tell of what is left, against the one that the record has. Of more than a status has lines for,
/// only how many there are is known.
pub fn newly_left<'a>(record: &ServiceInstance, report: &'a Report) -> impl Iterator<Item = &'a Change> {
    let told = record.status.as_ref().and_then(|status| status.drift.clone());
    let told = told.unwrap_or_default();
    let lines = report.lines().zip(&report.left).enumerate();
    lines.filter_map(move |(at, (line, (change, _)))| {
        let is_known = if at < MAX_DETAILS {
            told.details.contains(&cut(&line, MAX_DETAIL))
        } else {
            usize::try_from(told.left).is_ok_and(|left| at < left)
        };
        (!is_known).then_some(change)
    })
}

fn reason(report: &Report) -> &'static str {
    let any = |is: fn(&Why) -> bool| report.left.iter().any(|(_, why)| is(why));
    if any(|why| matches!(why, Why::Fight(_))) {
        "RemediationStopped"
    } else if any(|why| matches!(why, Why::Window(_))) {
        "AwaitingMaintenanceWindow"
    } else {
        "DriftDetected"
    }
}

fn summary(what: &str, number: usize, details: &[String]) -> String {
    let some: Vec<_> = details.iter().take(3).map(|line| cut(line, MAX_DETAIL)).collect();
    format!("{what} ({number}): {}", some.join("; "))
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
    let first_progress = next.phase == Phase::Provisioning && !view::is_usable(previous.phase);
    let queued = next.phase == Phase::Pending;
    record.spec.callback_url.is_some() && !repeats && !first_progress && !queued
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
    cut(message, MAX_MESSAGE)
}

fn cut(message: &str, limit: usize) -> String {
    if message.len() <= limit {
        return message.to_owned();
    }
    format!("{}…", &message[..message.floor_char_boundary(limit)])
}

/// Writes the status, if the record has not changed since it was read.
pub async fn write(
    client: &Client,
    record: &ServiceInstance,
    next: ServiceInstanceStatus,
) -> Result<ServiceInstance, ReconcileError> {
    let mut changed = record.clone();
    let (phase, error, note) = (next.phase, next.error.clone(), next.message.clone());
    changed.status = Some(next);
    let written = write::status(client, &changed).await?;
    tracing::info!(id = record.name_any(), ?phase, error, note, "status written");
    Ok(written)
}

#[cfg(test)]
mod tests;
