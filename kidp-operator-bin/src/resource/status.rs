//! The status that an outcome means: a pure function of the object, the outcome and the time.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kidp_core::conditions::{self, Statement};
use kidp_core::crd::{LocalRef, PendingChanges, Phase, ResourceStatus, ServiceResource};
use kidp_core::wire::DeploymentStatus;

use super::place::Placement;
use super::validate::MAX_MESSAGE;
use crate::cache::namespace_of;
use crate::events::truncated;

/// Failures in a row before a status says so: a broker that restarts is back before that.
pub const PATIENCE: u32 = 3;

/// What became of one reconcile.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Not placed, or not submitted, for want of something that may come.
    Waiting(Statement),
    /// Cannot be served as it is written.
    Refused(Statement),
    /// The broker has it and is at work.
    InProgress,
    /// The same, and it says what the changed spec does.
    Changing(PendingChanges),
    /// As it should be.
    Ready(Box<DeploymentStatus>),
    /// Usable, and not as it should be.
    Drifted(Box<DeploymentStatus>),
    /// Held by the broker's people.
    Held(Box<DeploymentStatus>),
    /// The broker wants to be left alone for so long.
    Busy(Duration),
    /// The broker cannot be asked.
    Unavailable {
        /// What to say of it.
        say: Statement,
        /// How often in a row it happened before.
        failures: u32,
    },
}

/// How soon to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Something is under way.
    Poll,
    /// The broker wants to be left alone for so long.
    After(Duration),
    /// Something fails.
    BackOff,
    /// Nothing will change by itself.
    Settled,
}

impl Outcome {
    /// How soon to look again.
    pub const fn pace(&self) -> Pace {
        match self {
            Self::Waiting(_) | Self::InProgress | Self::Changing(_) => Pace::Poll,
            Self::Busy(wait) => Pace::After(*wait),
            Self::Unavailable { .. } => Pace::BackOff,
            Self::Refused(_) | Self::Ready(_) | Self::Drifted(_) | Self::Held(_) => Pace::Settled,
        }
    }
}

/// What is said of a broker that does not answer. Always the same words, whatever the failure was, so that an
/// outage is one write.
pub fn unavailable(broker: &str) -> Statement {
    Statement::new(
        "BrokerUnavailable",
        format!("broker `{broker}` cannot be asked at the moment; trying again"),
    )
}

/// The status that `outcome` means for `resource`. Equal to the present one when nothing is new.
pub fn next<K: ServiceResource>(
    resource: &K,
    placement: Option<&Placement>,
    outcome: &Outcome,
    now: Timestamp,
) -> ResourceStatus {
    let old = resource.status().cloned().unwrap_or_default();
    let generation = resource.meta().generation.unwrap_or_default();
    let mut next = old.clone();
    let conditions = match outcome {
        Outcome::Waiting(say) => {
            next.phase = Phase::Pending;
            conditions::reconciling(say, generation, now)
        }
        Outcome::Refused(say) => {
            next.phase = Phase::Failed;
            conditions::stalled(say, generation, now)
        }
        Outcome::InProgress | Outcome::Changing(_) => {
            next.phase = Phase::Provisioning;
            if let Outcome::Changing(changes) = outcome {
                next.changes = Some(*changes);
            }
            conditions::reconciling(&in_progress(placement), generation, now)
        }
        Outcome::Ready(found) => {
            next.phase = Phase::Ready;
            connect(&mut next, found);
            let say = Statement::new(
                "Provisioned",
                format!("the {} accepts connections", K::TYPE.noun()),
            );
            conditions::ready(&say, generation, now)
        }
        Outcome::Drifted(found) => {
            next.phase = Phase::DriftDetected;
            connect(&mut next, found);
            let say = format!(
                "the {} accepts connections, and differs from its spec: {}",
                K::TYPE.noun(),
                found.message.as_deref().unwrap_or("the broker says no more"),
            );
            let say = truncated(&say, MAX_MESSAGE);
            conditions::ready(&Statement::new("DriftDetected", say), generation, now)
        }
        Outcome::Held(found) => {
            next.phase = Phase::Suspended;
            connect(&mut next, found);
            let say = Statement::new("Suspended", "the broker holds the instance");
            conditions::stalled(&say, generation, now)
        }
        // That is no news of the resource.
        Outcome::Busy(_) => return old,
        Outcome::Unavailable { say, failures } => {
            // A service does not stop because its broker cannot be asked, and one missed answer is no news.
            let served = matches!(old.phase, Phase::Ready | Phase::DriftDetected)
                && old.observed_generation == Some(generation);
            if served || *failures < PATIENCE {
                return old;
            }
            next.phase = Phase::Provisioning;
            conditions::reconciling(say, generation, now)
        }
    };
    let mut conditions = conditions;
    if let Some(placement) = placement {
        let reference = Some(placement.reference(&namespace_of(resource)));
        if old.broker_ref != reference {
            next.placed_at = Some(Time(now));
        }
        next.broker_ref = reference;
        next.deployment_id = Some(placement.id.to_string());
        conditions.extend(placed(&old, placement, generation, now));
    }
    next.changes = next.changes.filter(|changes| changes.generation == generation);
    next.conditions = conditions::carry_over(&old.conditions, conditions);
    next.observed_generation = Some(generation);
    next
}

/// What is said of the choice of the broker: what was said when it was made.
fn placed(old: &ResourceStatus, placement: &Placement, generation: i64, now: Timestamp) -> Option<Condition> {
    match &placement.explanation {
        Some(message) => {
            let say = Statement::new("BrokerSelected", message.as_str());
            Some(conditions::placed(&say, generation, now))
        }
        None => old
            .conditions
            .iter()
            .find(|c| c.type_ == conditions::PLACED)
            .cloned(),
    }
}

fn in_progress(placement: Option<&Placement>) -> Statement {
    let broker = placement.map_or("", |p| p.name.as_str());
    Statement::new("Provisioning", format!("broker `{broker}` is at work on it"))
}

fn connect(status: &mut ResourceStatus, found: &DeploymentStatus) {
    status.endpoint.clone_from(&found.endpoint);
    status.port = found.port;
    status.changes = None;
    status.connection_secret_ref = found.connection_secret.clone().map(|name| LocalRef {
        name,
        namespace: None,
    });
}

/// The status of a resource that is being deleted, and why it is not gone yet.
pub fn deleting<K: ServiceResource>(
    resource: &K,
    say: &Statement,
    stalled: bool,
    now: Timestamp,
) -> ResourceStatus {
    let mut next = resource.status().cloned().unwrap_or_default();
    let generation = resource.meta().generation.unwrap_or_default();
    let conditions = if stalled {
        conditions::stalled(say, generation, now)
    } else {
        conditions::reconciling(say, generation, now)
    };
    next.phase = Phase::Deleting;
    next.conditions = conditions::carry_over(&next.conditions, conditions);
    next.observed_generation = Some(generation);
    next
}
