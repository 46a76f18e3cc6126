//! Status conditions that follow the API conventions and kstatus.
//!
//! kstatus (<https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus>) reads a custom resource as
//! current when `observedGeneration` matches and `Ready` is true, as in progress while `Reconciling` is true,
//! and as failed while `Stalled` is true. [`ready`], [`reconciling`] and [`stalled`] keep those three
//! consistent with each other, so that no caller can say both "working on it" and "cannot".

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The object does what its spec asks.
pub const READY: &str = "Ready";
/// The controller is at work on the current generation.
pub const RECONCILING: &str = "Reconciling";
/// The controller cannot go on without a change by the user.
pub const STALLED: &str = "Stalled";

/// Whether the cluster holds what was applied: true, false where a difference is left, unknown where not all can be seen.
pub const IN_SYNC: &str = "InSync";
/// A broker was chosen; the message says what spoke for and against each.
pub const PLACED: &str = "Placed";

/// Whether it is known what the object costs a month.
pub const COST_ESTIMATED: &str = "CostEstimated";
/// Whether the estimated cost has reached a threshold of the budget.
pub const BUDGET_ALERT: &str = "BudgetAlert";

/// What to say: a CamelCase reason for programs and a message for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// One CamelCase word.
    pub reason: &'static str,
    /// A sentence. Never holds a secret.
    pub message: String,
}

impl Statement {
    /// A statement.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// A condition beside the three of kstatus: true, false, or `None` where it is not known.
pub fn aside(
    kind: &str,
    holds: Option<bool>,
    say: &Statement,
    generation: i64,
    now: jiff::Timestamp,
) -> Condition {
    let status = match holds {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    condition(kind, status, say, generation, now)
}

/// `all` with `next` in the place of a condition of its kind; its transition time is kept where its status is.
pub fn set(all: &mut Vec<Condition>, next: Condition) {
    match all.iter_mut().find(|old| old.type_ == next.type_) {
        Some(old) => {
            let since = (old.status == next.status).then(|| old.last_transition_time.clone());
            *old = next;
            if let Some(since) = since {
                old.last_transition_time = since;
            }
        }
        None => all.push(next),
    }
}

fn condition(kind: &str, status: &str, say: &Statement, generation: i64, now: jiff::Timestamp) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: say.reason.to_owned(),
        message: say.message.clone(),
        observed_generation: Some(generation),
        last_transition_time: Time(now),
    }
}

/// Conditions of an object that does what its spec asks.
pub fn ready(say: &Statement, generation: i64, now: jiff::Timestamp) -> Vec<Condition> {
    vec![condition(READY, "True", say, generation, now)]
}

/// Conditions of an object that is being worked on.
pub fn reconciling(say: &Statement, generation: i64, now: jiff::Timestamp) -> Vec<Condition> {
    vec![
        condition(READY, "False", say, generation, now),
        condition(RECONCILING, "True", say, generation, now),
    ]
}

/// Conditions of an object that cannot be served as it is written.
pub fn stalled(say: &Statement, generation: i64, now: jiff::Timestamp) -> Vec<Condition> {
    vec![
        condition(READY, "False", say, generation, now),
        condition(STALLED, "True", say, generation, now),
    ]
}

/// Whether the cluster holds what was applied; `None` where that is not known.
pub fn in_sync(
    is_in_sync: Option<bool>,
    say: &Statement,
    generation: i64,
    now: jiff::Timestamp,
) -> Condition {
    aside(IN_SYNC, is_in_sync, say, generation, now)
}

/// A broker was chosen.
pub fn placed(say: &Statement, generation: i64, now: jiff::Timestamp) -> Condition {
    condition(PLACED, "True", say, generation, now)
}

/// `next` with the transition times of `previous` where the status did not change, so that a repeated
/// reconcile yields an equal value and nothing is written.
pub fn carry_over(previous: &[Condition], mut next: Vec<Condition>) -> Vec<Condition> {
    for condition in &mut next {
        if let Some(old) = previous
            .iter()
            .find(|c| c.type_ == condition.type_ && c.status == condition.status)
        {
            condition.last_transition_time = old.last_transition_time.clone();
        }
    }
    next
}

/// Whether `conditions` has `kind` with status `True`.
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    conditions.iter().any(|c| c.type_ == kind && c.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_statement_is_equal_to_the_last() {
        let say = Statement::new("Provisioned", "up");
        let early = jiff::Timestamp::from_second(1).unwrap();
        let late = jiff::Timestamp::from_second(2).unwrap();
        let first = ready(&say, 1, early);
        assert_eq!(carry_over(&first, ready(&say, 1, late)), first);
        let turned = carry_over(&first, stalled(&say, 1, late));
        assert_eq!(turned[0].last_transition_time, Time(late));
    }

    #[test]
    fn reconciling_and_stalled_exclude_each_other() {
        let say = Statement::new("X", "");
        let now = jiff::Timestamp::UNIX_EPOCH;
        for set in [
            ready(&say, 1, now),
            reconciling(&say, 1, now),
            stalled(&say, 1, now),
        ] {
            assert!(!(is_true(&set, RECONCILING) && is_true(&set, STALLED)));
            assert!(!(is_true(&set, READY) && (is_true(&set, RECONCILING) || is_true(&set, STALLED))));
        }
    }
}
