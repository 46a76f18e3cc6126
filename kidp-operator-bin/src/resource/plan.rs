//! What to do about a broker's answer: a pure function, so that every case is a line in a table.

use kidp_core::crd::Phase;
use kidp_core::deployment::DeploymentId;
use kidp_core::instance::InstanceSpec;
use kidp_core::problem::Reason;
use kidp_core::wire::DeploymentStatus;

/// What the operator wants the broker to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The deployment.
    pub id: DeploymentId,
    /// Generation of the resource.
    pub generation: i64,
    /// The spec of that generation.
    pub spec: InstanceSpec,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The broker does not have the spec. Submit it.
    Submit,
    /// The broker is at work, or the operator's copy is old. Ask again.
    Wait,
    /// The broker has it, and has not begun: it is not its turn yet.
    Queued {
        /// What the broker says of it.
        message: String,
    },
    /// The instance is as it should be.
    Finish(Box<DeploymentStatus>),
    /// The instance is usable, and not as it should be.
    Drifted(Box<DeploymentStatus>),
    /// The broker's people hold it.
    Held(Box<DeploymentStatus>),
    /// The broker gave up on this generation.
    Fail {
        /// Its reason, if it is one of the known ones.
        reason: Option<Reason>,
        /// Its explanation.
        message: String,
    },
    /// The broker speaks of another deployment: it derives ids differently, or is not the one it says it is.
    Mismatch,
}

/// What comes next after the broker was asked for the deployment's status.
pub fn plan_step(wanted: &Wanted, answer: Option<DeploymentStatus>) -> Step {
    let Some(found) = answer else {
        return Step::Submit;
    };
    if found.deployment_id != wanted.id {
        return Step::Mismatch;
    }
    if found.phase == Phase::Deleting || found.resource_generation > wanted.generation {
        // Somebody removes it: it can be made anew when it is gone. Or the copy at hand is old.
        return Step::Wait;
    }
    if found.resource_generation < wanted.generation || found.spec != wanted.spec {
        return Step::Submit;
    }
    if found
        .observed_generation
        .is_none_or(|seen| seen < wanted.generation)
    {
        return Step::Wait;
    }
    match found.phase {
        Phase::Pending => Step::Queued {
            message: found.message.unwrap_or_default(),
        },
        Phase::Ready => Step::Finish(Box::new(found)),
        Phase::DriftDetected => Step::Drifted(Box::new(found)),
        Phase::Suspended => Step::Held(Box::new(found)),
        Phase::Failed => Step::Fail {
            reason: found.error.and_then(|e| serde_json::from_value(e.into()).ok()),
            message: found.message.unwrap_or_else(|| "no explanation".to_owned()),
        },
        Phase::Provisioning | Phase::Deleting => Step::Wait,
    }
}

/// What comes next while the resource is being deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Ask the broker to remove the instance, for good. If it says that there is none, make sure that it is the right
    /// broker, then let go.
    Ask,
    /// The broker is at it. Ask again how far it is.
    Wait,
}

/// What comes next while the resource is being deleted.
pub fn plan_removal(answer: Option<&DeploymentStatus>) -> Removal {
    match answer {
        Some(found) if found.phase == Phase::Deleting => Removal::Wait,
        // Where there is none, a request to make it may be on its way still.
        Some(_) | None => Removal::Ask,
    }
}
