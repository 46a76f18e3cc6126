//! Which broker serves a request: a pure function of the request, the brokers and the time.
//!
//! Every broker gets a verdict, so that "none fits" can say why not, one broker at a time. Among those that
//! fit, the score decides: `priority + (1 - load) * 100 + heartbeat bonus`; ties go by name.

use jiff::{SignedDuration, Timestamp};
use kidp_core::crd::{BrokerPhase, BrokerSpec, Capability, Target};
use kidp_core::instance::{Engine, ResourceType};

/// Bonus of a broker whose last recorded answer is younger than [`FRESH`].
const HEARTBEAT_BONUS: f64 = 10.0;
/// What counts as fresh. Heartbeats are recorded only with other changes, so the bonus is small and short: it
/// prefers a broker that just proved itself, and never outweighs load or priority.
const FRESH: SignedDuration = SignedDuration::from_mins(2);

/// What is to be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacementRequest {
    /// Kind of the resource.
    pub resource_type: ResourceType,
    /// The engine.
    pub engine: Engine,
    /// What narrows the choice.
    pub target: Option<Target>,
}

/// A broker that might take it.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Namespace of the `Broker` object.
    pub namespace: String,
    /// Name of the `Broker` object.
    pub name: String,
    /// What it is declared to be.
    pub spec: BrokerSpec,
    /// What the operator thinks of it.
    pub phase: BrokerPhase,
    /// The recorded answer.
    pub last_heartbeat: Option<Timestamp>,
    /// Instances that it is at work on now.
    pub active: u32,
}

/// What speaks for or against one broker.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It fits, with this score.
    Fits(f64),
    /// `spec.target.broker` names another.
    NotTheTarget,
    /// It does not serve this kind and engine.
    NotCapable,
    /// It is in another region than asked for.
    OtherRegion,
    /// It is at another cloud provider than asked for.
    OtherCloudProvider,
    /// It is not known to answer.
    NotReady(BrokerPhase),
    /// It is at work on as many instances as it takes at once.
    Full(u32),
}

impl Verdict {
    /// Whether time alone can turn a refusal into acceptance.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::NotReady(_) | Self::Full(_))
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fits(score) => write!(f, "fits with score {score:.1}"),
            Self::NotTheTarget => f.write_str("is not spec.target.broker"),
            Self::NotCapable => f.write_str("does not provision this engine"),
            Self::OtherRegion => f.write_str("is not in spec.target.region"),
            Self::OtherCloudProvider => f.write_str("is not at spec.target.cloudProvider"),
            Self::NotReady(phase) => write!(f, "is {phase:?}"),
            Self::Full(limit) => write!(f, "is at its limit of {limit} concurrent deployments"),
        }
    }
}

/// The choice, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Namespace and name of the broker that is to serve the request.
    pub chosen: Option<(String, String)>,
    /// Every broker's verdict, by name and namespace.
    pub verdicts: Vec<(Candidate, Verdict)>,
}

/// Chooses a broker.
///
/// Same input, same output, in whatever order the candidates come; a broker that was refused is never chosen.
pub fn select_broker(request: &PlacementRequest, candidates: Vec<Candidate>, now: Timestamp) -> Selection {
    let mut verdicts: Vec<_> = candidates
        .into_iter()
        .map(|candidate| {
            let verdict = judge(request, &candidate, now);
            (candidate, verdict)
        })
        .collect();
    verdicts.sort_by(|(a, _), (b, _)| (&a.name, &a.namespace).cmp(&(&b.name, &b.namespace)));
    let chosen = verdicts
        .iter()
        .filter_map(|(candidate, verdict)| match verdict {
            Verdict::Fits(score) => Some((candidate, *score)),
            _ => None,
        })
        // Strictly greater, so that the first by name keeps a tie.
        .reduce(|best, next| if next.1 > best.1 { next } else { best })
        .map(|(candidate, _)| (candidate.namespace.clone(), candidate.name.clone()));
    Selection { chosen, verdicts }
}

fn judge(request: &PlacementRequest, broker: &Candidate, now: Timestamp) -> Verdict {
    let target = request.target.as_ref();
    let wants = |pick: fn(&Target) -> Option<&String>| target.and_then(pick);
    if wants(|t| t.broker.as_ref()).is_some_and(|name| *name != broker.name) {
        return Verdict::NotTheTarget;
    }
    let Some(capability) = capability(request, &broker.spec) else {
        return Verdict::NotCapable;
    };
    if wants(|t| t.region.as_ref()).is_some_and(|region| !serves_region(broker, capability, region)) {
        return Verdict::OtherRegion;
    }
    if wants(|t| t.cloud_provider.as_ref()).is_some_and(|cloud| *cloud != broker.spec.cloud_provider) {
        return Verdict::OtherCloudProvider;
    }
    if broker.phase != BrokerPhase::Ready {
        return Verdict::NotReady(broker.phase);
    }
    let limit = broker.spec.max_concurrent_deployments.max(1);
    if broker.active >= limit {
        return Verdict::Full(limit);
    }
    let load = f64::from(broker.active) / f64::from(limit);
    let fresh = broker
        .last_heartbeat
        .is_some_and(|at| now.duration_since(at) < FRESH);
    let bonus = if fresh { HEARTBEAT_BONUS } else { 0.0 };
    Verdict::Fits(f64::from(broker.spec.priority) + (1.0 - load) * 100.0 + bonus)
}

fn serves_region(broker: &Candidate, capability: &Capability, region: &str) -> bool {
    if capability.regions.is_empty() {
        broker.spec.region == region
    } else {
        capability.regions.iter().any(|r| r == region)
    }
}

/// The capability that serves the request, if the broker has one.
fn capability<'a>(request: &PlacementRequest, spec: &'a BrokerSpec) -> Option<&'a Capability> {
    // An empty list stands for the engines that KIDP provisions, and SQL Server is none of them: only a broker
    // that names it may be asked for it.
    let unnamed = request.engine != Engine::Sqlserver;
    spec.capabilities.iter().find(|c| {
        c.resource_type == request.resource_type
            && ((c.providers.is_empty() && unnamed)
                || c.providers.iter().any(|p| p == request.engine.as_str()))
    })
}

#[cfg(test)]
mod tests;
