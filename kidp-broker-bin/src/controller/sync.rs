//! Step 3 of an instance that was made as it is asked for: what differs by now is put back or left, as its settings say.
//!
//! A spec that was not applied yet is applied as a whole, whatever differs: that is what its user wishes. From then on the
//! record's status has its [`fingerprint`], and differences are drift.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kidp_core::crd::{ServiceInstance, ServiceInstanceSpec};
use kidp_core::instance::{DeletionPolicy, DriftPolicy, DriftSpec};
use kidp_core::names::short_hash;
use kidp_drift::policy::{self, Level, Policy, Rule};
use kidp_drift::{Change, Consequence};

use super::fights::Fights;

/// What is done about one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is put back.
    PutBack,
    /// It is left, and told.
    Leave(Why),
    /// It is left.
    Ignore,
}

/// Why a change is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The settings say so.
    Alert,
    /// Nobody said that it is put back, and it is not by itself.
    Guarded(policy::Guard),
    /// Pods would restart: it waits for the maintenance window, so long, or for ever.
    Window(Option<SignedDuration>),
    /// Somebody else keeps changing it; it is left for so long.
    Fight(SignedDuration),
}

/// What is known of an instance's drift after a reconcile.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// What was left and is told.
    pub left: Vec<(Change, Why)>,
    /// What could not be seen, a line an object.
    pub unknown: Vec<String>,
}

/// What was applied, as far as objects follow from it.
pub fn fingerprint(record: &ServiceInstance) -> String {
    let mut spec = ServiceInstanceSpec {
        resource_generation: 0,
        callback_url: None,
        requested_by: None,
        ..record.spec.clone()
    };
    spec.instance.drift = DriftSpec::default();
    spec.instance.deletion_policy = DeletionPolicy::default();
    let json = serde_json::to_string(&spec).unwrap_or_default();
    short_hash(&[&json], 32)
}

/// Whether the instance was made as it is asked for.
pub fn is_applied(record: &ServiceInstance) -> bool {
    let applied = record.status.as_ref().and_then(|status| status.applied.as_ref());
    applied.is_some_and(|applied| *applied == fingerprint(record))
}

/// What is done about a change. Pure: the time, and what is known of fights over the field, are passed in.
pub fn decide(spec: &DriftSpec, change: &Change, truce: Option<SignedDuration>, now: Timestamp) -> Decision {
    match policy::decide(&[level(spec)], change) {
        Policy::Ignore => return Decision::Ignore,
        Policy::Alert => {
            let why = policy::guard(change).map_or(Why::Alert, Why::Guarded);
            return Decision::Leave(why);
        }
        Policy::Remediate => {}
    }
    if let Some(truce) = truce {
        return Decision::Leave(Why::Fight(truce));
    }
    // What is missing serves nobody by being waited for.
    let disturbs = change.consequence >= Consequence::RollingRestart && !change.path.is_empty();
    match spec.maintenance_window.as_ref().filter(|_| disturbs) {
        Some(window) if !window.is_open(now) => Decision::Leave(Why::Window(window.opens_in(now))),
        _ => Decision::PutBack,
    }
}

fn level(spec: &DriftSpec) -> Level {
    let policy = |policy: DriftPolicy| match policy {
        DriftPolicy::Remediate => Policy::Remediate,
        DriftPolicy::Alert => Policy::Alert,
        DriftPolicy::Ignore => Policy::Ignore,
    };
    let rules = spec.rules.iter().map(|rule| Rule {
        object: rule.object.clone(),
        path: rule.path.clone(),
        policy: policy(rule.policy),
    });
    Level {
        rules: rules.collect(),
        policy: spec.policy.map(policy),
    }
}

/// What is told of the changes that were left.
pub fn told(
    record: &ServiceInstance,
    key: &str,
    left: Vec<Change>,
    fights: &Fights,
    now: Timestamp,
) -> Vec<(Change, Why)> {
    let (spec, applied) = (&record.spec.instance.drift, fingerprint(record));
    let told = left.into_iter().filter_map(|change| {
        let truce = fights.truce(key, &applied, &change, now);
        match decide(spec, &change, truce, now) {
            Decision::Leave(why) => Some((change, why)),
            // Not to be put back by an apply, as a claim that somebody grew.
            Decision::PutBack => Some((change, Why::Alert)),
            Decision::Ignore => None,
        }
    });
    told.collect()
}

impl Report {
    /// When something that is left is to be looked at again, if that is known.
    pub fn look_again(&self) -> Option<Duration> {
        let waits = self.left.iter().filter_map(|(_, why)| match why {
            Why::Window(wait) => *wait,
            Why::Fight(truce) => Some(*truce),
            Why::Alert | Why::Guarded(_) => None,
        });
        let soonest = waits.min()?;
        // A moment later, so that it is over by then.
        Some(soonest.unsigned_abs() + Duration::from_secs(1))
    }

    /// One line for each change that is left. What changes with the time of day is not in it.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.left.iter().map(|(change, why)| match why {
            Why::Alert => change.to_string(),
            Why::Guarded(guard) => format!("{change}; left, since {}", guard.as_str()),
            Why::Window(_) => format!("{change}; waits for the maintenance window"),
            Why::Fight(_) => {
                format!("{change}; left for a while, since it was put back and changed again too often")
            }
        })
    }
}

#[cfg(test)]
mod tests;
