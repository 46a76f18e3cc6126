//! What the operator itself can see to be impossible, before a broker is asked: the selection's refusals, put
//! into a condition.
//!
//! Versions, parameters and the rest are the broker's to judge: it has the provisioner.

use kidp_core::conditions::Statement;

use super::status::Outcome;
use crate::events::truncated;
use crate::kind::QUEUED;
use crate::placements::BrokerName;
use crate::select::{Candidate, PlacementRequest, Selection, Verdict};

/// Longest message in a condition that the operator writes, in bytes.
pub const MAX_MESSAGE: usize = 1024;

/// Where a resource stands among those that wait for a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its namespace.
    pub namespace: String,
    /// Its position among those of the namespace, or a worse one, see [`crate::queue::position`].
    pub position: usize,
}

/// Why no broker was chosen: something to wait for, or something to change.
pub fn refusal(request: &PlacementRequest, selection: &Selection, place: &Place) -> Outcome {
    let target = request.target.as_ref();
    let wanted = target.and_then(|t| t.broker.as_deref());
    if let Some(broker) = wanted
        && selection
            .verdicts
            .iter()
            .all(|(_, v)| *v == Verdict::NotTheTarget)
    {
        let message = format!("spec.target.broker: there is no Broker `{broker}`");
        return Outcome::Refused(Statement::new("TargetNotFound", message));
    }
    let what = describe(request);
    if selection.verdicts.is_empty() {
        let message = format!("no Broker is registered; wanted: {what}");
        return Outcome::Waiting(Statement::new("NoBroker", message));
    }
    if let Some(message) = queued(selection, place) {
        return Outcome::Waiting(Statement::new(QUEUED, truncated(&message, MAX_MESSAGE)));
    }
    let message = format!("no broker takes {what}: {}", list(selection, |_, _| true));
    let message = truncated(&message, MAX_MESSAGE);
    let say = Statement::new("NoBroker", message);
    if selection.verdicts.iter().any(|(_, verdict)| verdict.may_pass()) {
        Outcome::Waiting(say)
    } else {
        Outcome::Refused(say)
    }
}

/// What is said of a resource that only waits for its turn.
fn queued(selection: &Selection, place: &Place) -> Option<String> {
    let brokers = list(selection, |_, verdict| matches!(verdict, Verdict::Full(_)));
    let Place { namespace, position } = place;
    (!brokers.is_empty()).then(|| {
        format!("waits for a place, number {position} or better in namespace `{namespace}`: {brokers}")
    })
}

/// Why that broker was chosen: its score, and the verdict of each of the others.
pub fn explanation(selection: &Selection, chosen: &BrokerName) -> String {
    let is_chosen = |broker: &Candidate, _: &Verdict| broker.key() == *chosen;
    let others = list(selection, |broker, verdict| !is_chosen(broker, verdict));
    let mut message = list(selection, is_chosen);
    if !others.is_empty() {
        message = format!("{message}; {others}");
    }
    truncated(&message, MAX_MESSAGE)
}

fn list(selection: &Selection, keep: impl Fn(&Candidate, &Verdict) -> bool) -> String {
    let kept = selection
        .verdicts
        .iter()
        .filter(|(broker, verdict)| keep(broker, verdict));
    let lines = kept.map(|(broker, verdict)| {
        let (namespace, name) = broker.key();
        format!("`{namespace}/{name}` {verdict}")
    });
    lines.collect::<Vec<_>>().join("; ")
}

fn describe(request: &PlacementRequest) -> String {
    let mut what = format!("spec.engine {}", request.engine);
    if let Some(target) = &request.target {
        let parts = [
            ("target.broker", &target.broker),
            ("target.region", &target.region),
            ("target.cloudProvider", &target.cloud_provider),
            ("target.dataResidency", &target.data_residency),
        ];
        for (name, value) in parts {
            if let Some(value) = value {
                what.push_str(", spec.");
                what.push_str(name);
                what.push(' ');
                what.push_str(value);
            }
        }
    }
    if let Some(residency) = &request.tenant_residency {
        what.push_str(", the tenant's dataResidency ");
        what.push_str(residency);
    }
    what
}
