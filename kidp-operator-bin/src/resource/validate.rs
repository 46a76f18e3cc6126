//! What the operator itself can see to be impossible, before a broker is asked: the selection's refusals, put
//! into a condition.
//!
//! Versions, parameters and the rest are the broker's to judge: it has the provisioner.

use kidp_core::conditions::Statement;
use kidp_core::crd::Target;

use super::status::Outcome;
use crate::events::truncated;
use crate::select::{PlacementRequest, Selection, Verdict};

/// Longest message in a condition that the operator writes, in bytes.
pub const MAX_MESSAGE: usize = 1024;

/// Why no broker was chosen: something to wait for, or something to change.
pub fn refusal(request: &PlacementRequest, selection: &Selection) -> Outcome {
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
    let verdicts: Vec<_> = selection
        .verdicts
        .iter()
        .map(|(broker, verdict)| format!("`{}/{}` {verdict}", broker.namespace, broker.name))
        .collect();
    let message = truncated(
        &format!("no broker takes {what}: {}", verdicts.join("; ")),
        MAX_MESSAGE,
    );
    let say = Statement::new("NoBroker", message);
    if selection.verdicts.iter().any(|(_, verdict)| verdict.may_pass()) {
        Outcome::Waiting(say)
    } else {
        Outcome::Refused(say)
    }
}

fn describe(request: &PlacementRequest) -> String {
    let mut what = format!("spec.engine {}", request.engine);
    if let Some(Target {
        broker,
        region,
        cloud_provider,
    }) = &request.target
    {
        let parts = [
            ("broker", broker),
            ("region", region),
            ("cloudProvider", cloud_provider),
        ];
        for (name, value) in parts {
            if let Some(value) = value {
                what.push_str(", spec.target.");
                what.push_str(name);
                what.push(' ');
                what.push_str(value);
            }
        }
    }
    what
}
