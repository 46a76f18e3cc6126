//! Why a resource is not ready: what was seen, as a cause with what to do about it. A pure function, so that every case is a
//! test.
//!
//! ```text
//! ready? ── yes ─> none
//!   │ no
//!   v
//! held, not placed, refused ─> pods, claims and their events ─> broker away ─> what the statuses say in words ─> under way
//! ```
//! The first that says something is the cause. What is nearest to the containers is the most exact, so that the words of a
//! broker or an operator are read only where the objects themselves cannot be seen.

pub mod objects;
pub mod words;

use kidp_core::conditions::READY;
use kidp_core::crd::{BrokerPhase, Phase};
use serde::Serialize;

use super::seen::Seen;
use crate::output::line;

/// Why a resource is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Usable, and not as it was asked for.
    Drifted,
    /// The people of the platform hold it.
    Held,
    /// It is being deleted, and something has to happen first.
    Deleting,
    /// No broker takes it.
    NotPlaced,
    /// It waits for its turn.
    Queued,
    /// The team, application or tenant that it belongs to is not there, or does not own here.
    Owner,
    /// A team or tenant has as many as it may have.
    TeamQuota,
    /// Its broker cannot be asked.
    BrokerUnreachable,
    /// Its spec cannot be served; the reason is the operator's or the broker's.
    Refused(String),
    /// The namespace's quota leaves no room for its pods or volumes.
    NamespaceQuota,
    /// Its pods are refused for another reason, such as Pod Security.
    PodRefused,
    /// The image cannot be had.
    BadImage(String),
    /// No node takes a pod: too little is free, or none fits.
    Unschedulable,
    /// A volume is not made or not bound.
    VolumePending(String),
    /// A volume is gone.
    VolumeLost,
    /// A volume cannot be mounted.
    VolumeMount,
    /// A container cannot be made: what it refers to is not there.
    ContainerConfig,
    /// A container needed more memory than it may have.
    OutOfMemory,
    /// A container ends over and over.
    Crash,
    /// A container runs and does not answer.
    Unready,
    /// Something is under way; nothing says that it fails.
    UnderWay,
}

impl Cause {
    /// The stable name.
    pub fn reason(&self) -> &str {
        match self {
            Self::Drifted => "Drifted",
            Self::Held => "Held",
            Self::Deleting => "Deleting",
            Self::NotPlaced => "NotPlaced",
            Self::Queued => "Queued",
            Self::Owner => "OwnerNotUsable",
            Self::TeamQuota => "TeamQuota",
            Self::BrokerUnreachable => "BrokerUnreachable",
            Self::Refused(reason) => reason,
            Self::NamespaceQuota => "NamespaceQuota",
            Self::PodRefused => "PodRefused",
            Self::BadImage(_) => "BadImage",
            Self::Unschedulable => "Unschedulable",
            Self::VolumePending(_) => "VolumePending",
            Self::VolumeLost => "VolumeLost",
            Self::VolumeMount => "VolumeMount",
            Self::ContainerConfig => "ContainerConfig",
            Self::OutOfMemory => "OutOfMemory",
            Self::Crash => "Crash",
            Self::Unready => "Unready",
            Self::UnderWay => "UnderWay",
        }
    }

    /// Whether it passes by itself, as far as can be seen.
    pub const fn is_failure(&self) -> bool {
        !matches!(self, Self::UnderWay | Self::Queued | Self::Deleting)
    }

    /// What to do about it.
    pub fn advice(&self) -> String {
        match self {
            Self::Drifted => "look at what differs with `kubectl kidp drift`".into(),
            Self::Held => "ask the platform team; it holds the instance".into(),
            Self::Deleting => "wait; if the broker is gone for good, annotate it with platform.company.com/abandon=true".into(),
            Self::NotPlaced => "correct spec.target or spec.engine, or register a broker that takes it".into(),
            Self::Queued => "wait for its turn, or raise spec.maxConcurrentDeployments of the Broker".into(),
            Self::Owner => "create what spec.owner names, or correct it".into(),
            Self::TeamQuota => "delete what is not needed, or have spec.quotas of the team or tenant raised".into(),
            Self::BrokerUnreachable => {
                "look at the Broker's conditions and the broker's log; nothing is lost, the operator tries again".into()
            }
            Self::Refused(reason) => refused(reason).into(),
            Self::NamespaceQuota => "raise the ResourceQuota of the namespace, or ask for a smaller size".into(),
            Self::PodRefused => "let the namespace admit the pod, as the message says".into(),
            Self::BadImage(image) if image.is_empty() => "correct spec.version, or make the image available".into(),
            Self::BadImage(image) => {
                format!("correct spec.version, or make `{image}` available to the nodes: name, tag, registry, pull secret")
            }
            Self::Unschedulable => "ask for a smaller spec.size, or add nodes that have room for it".into(),
            Self::VolumePending(class) if class.is_empty() => {
                "see that the cluster has a default StorageClass whose provisioner runs".into()
            }
            Self::VolumePending(class) => {
                format!("see that the StorageClass `{class}` is there and its provisioner runs and has room")
            }
            Self::VolumeLost => "restore the volume from a backup; an empty one is not put in its place".into(),
            Self::VolumeMount => "see what the message names: the volume, the node's driver, a Secret or ConfigMap".into(),
            Self::ContainerConfig => "make the Secret or ConfigMap that the message names".into(),
            Self::OutOfMemory => "ask for a larger spec.size, or less memory in spec.parameters".into(),
            Self::Crash => "read the log: kubectl logs --previous; a parameter or a damaged volume is likely".into(),
            Self::Unready => "read the pod's log; it runs and its readiness probe fails".into(),
            Self::UnderWay => "wait".into(),
        }
    }
}

/// What to do about a refusal, by its reason.
fn refused(reason: &str) -> &'static str {
    match reason {
        "InvalidField" | "InvalidSpec" => {
            "correct the field that the message names; `kubectl kidp validate` finds it before"
        }
        "ShapeChange" => "set spec.highAvailability back, or make a new resource and move the data",
        "NoProvisioner" => "choose another engine, or a broker that has it",
        "BrokerMismatch" => "start the broker with the name of its Broker object",
        "NameCollision" => "choose another name, or remove the object that has it",
        "AdoptionBlocked" | "AdoptionNotAccepted" | "AdoptionTooGrave" => {
            "look at it with `kubectl kidp adopt`"
        }
        "UnknownRevision" => "upgrade the broker; it does not know how the instance was rendered",
        _ => "do what the message says; a corrected spec is always taken",
    }
}

/// A cause, where it was found and in whose words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The cause.
    pub cause: Cause,
    /// The object, as `Kind/name`.
    pub object: String,
    /// What was said of it.
    pub message: String,
}

impl Finding {
    /// A cause that `object` says.
    pub fn new(cause: Cause, object: impl Into<String>, message: impl AsRef<str>) -> Self {
        Self {
            cause,
            object: object.into(),
            message: line(message.as_ref()),
        }
    }
}

/// A finding as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CauseView {
    /// The stable name of the cause.
    pub reason: String,
    /// Whether it stays until somebody does something.
    pub failing: bool,
    /// The object, as `Kind/name`.
    pub object: String,
    /// What was said of it.
    pub message: String,
    /// What to do about it.
    pub action: String,
}

impl From<Finding> for CauseView {
    fn from(finding: Finding) -> Self {
        Self {
            reason: finding.cause.reason().to_owned(),
            failing: finding.cause.is_failure(),
            action: finding.cause.advice(),
            object: finding.object,
            message: finding.message,
        }
    }
}

/// Why the resource is not ready; `None` when it is.
pub fn find(seen: &Seen, now: jiff::Timestamp) -> Option<Finding> {
    let status = &seen.subject.status;
    let is_current = seen.subject.is_observed() && seen.subject.metadata.deletion_timestamp.is_none();
    if status.phase == Phase::Ready && is_current {
        return None;
    }
    let steps = [
        by_condition(seen),
        objects::find(seen, now),
        broker_away(seen),
        words::of_record(seen),
        words::of_resource(seen),
    ];
    steps
        .into_iter()
        .flatten()
        .next()
        .or_else(|| Some(under_way(seen)))
}

/// What the operator says before anything is made.
fn by_condition(seen: &Seen) -> Option<Finding> {
    let subject = &seen.subject;
    let ready = subject.status.conditions.iter().find(|c| c.type_ == READY);
    let (reason, message) = ready.map_or(("", ""), |c| (c.reason.as_str(), c.message.as_str()));
    let cause = match reason {
        _ if subject.status.phase == Phase::DriftDetected => Cause::Drifted,
        _ if subject.status.phase == Phase::Suspended => Cause::Held,
        "NoBroker" | "TargetNotFound" => Cause::NotPlaced,
        "Queued" => Cause::Queued,
        "OwnerNotFound" | "OwnerNotAllowed" | "TenantNotFound" => Cause::Owner,
        "InvalidField" | "ShapeChange" | "BrokerMismatch" | "Conflict" | "Forbidden" | "Unauthorized" => {
            Cause::Refused(reason.to_owned())
        }
        _ => return None,
    };
    Some(Finding::new(cause, seen.key(), message))
}

/// A broker that does not answer, of a resource that is not ready.
fn broker_away(seen: &Seen) -> Option<Finding> {
    let conditions = &seen.subject.status.conditions;
    let told = conditions.iter().find(|c| c.reason == "BrokerUnavailable");
    let broker = seen.broker.as_ref();
    let status = broker.and_then(|broker| broker.status.as_ref());
    let away = status.filter(|s| {
        matches!(
            s.phase,
            BrokerPhase::Unhealthy | BrokerPhase::Offline | BrokerPhase::Unknown
        )
    });
    let object = broker
        .and_then(|broker| broker.metadata.name.as_deref())
        .map_or_else(|| seen.key(), |name| format!("Broker/{name}"));
    let said = away.map(|status| {
        let ready = status.conditions.iter().find(|c| c.type_ == READY);
        format!(
            "{}: {}",
            status.phase.as_str(),
            ready.map_or("", |c| c.message.as_str())
        )
    });
    let message = said.or_else(|| told.map(|c| c.message.clone()))?;
    Some(Finding::new(Cause::BrokerUnreachable, object, message))
}

fn under_way(seen: &Seen) -> Finding {
    let subject = &seen.subject;
    if subject.metadata.deletion_timestamp.is_some() {
        let condition = subject.status.conditions.first();
        return Finding::new(
            Cause::Deleting,
            seen.key(),
            condition.map_or("", |c| c.message.as_str()),
        );
    }
    let record = seen.record.as_ref().and_then(|record| record.status.as_ref());
    let said = record.and_then(|status| status.message.as_deref());
    let condition = subject.status.conditions.iter().find(|c| c.type_ == READY);
    let said = said.or_else(|| condition.map(|c| c.message.as_str()));
    let said = said.unwrap_or("the operator has not looked at it yet");
    Finding::new(Cause::UnderWay, seen.key(), said)
}

#[cfg(test)]
mod tests;
