//! Which broker serves a request: a pure function of the request, the brokers and the time.
//!
//! Every broker gets a [`Verdict`]: the first filter that refuses it, or its [`Score`]. So "none fits" can say why not,
//! one broker at a time, and a choice can say what it was weighed against. Among those that fit, the highest score is
//! chosen; ties go by name.

mod verdict;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kidp_core::crd::{AntiAffinity, Broker, BrokerPhase, BrokerSpec, Capability, Target, TopologyKey};
use kidp_core::instance::{Engine, ResourceType};
use kube::ResourceExt as _;

pub use verdict::{Score, Verdict};

use crate::cache::{heartbeat_of, namespace_of};
use crate::placements::BrokerName;

/// Bonus of a broker whose last recorded answer is younger than [`FRESH`].
const HEARTBEAT_BONUS: f64 = 10.0;
/// What counts as fresh. Heartbeats are recorded only with other changes, so the bonus is small and short: it
/// prefers a broker that just proved itself, and never outweighs load or priority.
const FRESH: SignedDuration = SignedDuration::from_mins(2);

/// What is to be placed.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacementRequest {
    /// Kind of the resource.
    pub resource_type: ResourceType,
    /// The engine.
    pub engine: Engine,
    /// What narrows the choice.
    pub target: Option<Target>,
    /// The jurisdiction that the tenant's data has to stay in.
    pub tenant_residency: Option<String>,
    /// What it is to be kept apart from.
    pub apart: Vec<Apart>,
    /// What it would cost a month at each broker whose price is known. Counts where the target has a `costWeight`.
    pub monthly: HashMap<BrokerName, f64>,
}

/// A term of anti-affinity, and where those are whom it speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apart {
    /// The term.
    pub term: AntiAffinity,
    /// The broker of each of them.
    pub at: Vec<BrokerName>,
}

/// A broker that might take it.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// What it is declared to be, and what is known of it.
    pub broker: Arc<Broker>,
    /// Instances that it is at work on now.
    pub active: u32,
}

impl Candidate {
    /// Whether it is at work on as many instances as it takes at once.
    pub fn is_full(&self) -> bool {
        self.active >= self.limit()
    }

    /// Namespace and name of the `Broker` object.
    pub fn key(&self) -> BrokerName {
        (namespace_of(self.broker.as_ref()), self.broker.name_any())
    }

    fn limit(&self) -> u32 {
        self.broker.spec.max_concurrent_deployments.max(1)
    }

    fn phase(&self) -> BrokerPhase {
        self.broker.status.as_ref().map(|s| s.phase).unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.broker.metadata.name.as_deref().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self.broker.metadata.namespace.as_deref().unwrap_or_default()
    }

    fn by_name(&self, other: &Self) -> Ordering {
        (self.name(), self.namespace()).cmp(&(other.name(), other.namespace()))
    }
}

/// The choice, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Namespace and name of the broker that is to serve the request.
    pub chosen: Option<BrokerName>,
    /// Every broker's verdict, by name and namespace.
    pub verdicts: Vec<(Candidate, Verdict)>,
}

/// Chooses a broker.
///
/// Same input, same output, in whatever order the candidates come; a broker that was refused is never chosen.
pub fn select_broker(
    request: &PlacementRequest,
    mut candidates: Vec<Candidate>,
    now: Timestamp,
) -> Selection {
    candidates.sort_by(Candidate::by_name);
    let weights = Weights {
        crowds: crowds(request, &candidates),
        cheapest: request.monthly.values().copied().fold(f64::INFINITY, f64::min),
    };
    let verdicts: Vec<_> = candidates
        .iter()
        .map(|candidate| judge(request, candidate, &weights, now))
        .collect();
    let verdicts: Vec<_> = candidates.into_iter().zip(verdicts).collect();
    let chosen = verdicts
        .iter()
        .filter_map(|(candidate, verdict)| match verdict {
            Verdict::Fits(score) => Some((candidate, score.total())),
            _ => None,
        })
        // Strictly greater, so that the first by name keeps a tie.
        .reduce(|best, next| if next.1 > best.1 { next } else { best })
        .map(|(candidate, _)| candidate.key());
    Selection { chosen, verdicts }
}

/// Chooses a broker from what is left when those `ahead` have theirs. One of them that fits nowhere takes nothing.
pub fn select_in_turn(
    request: &PlacementRequest,
    ahead: impl Iterator<Item = PlacementRequest>,
    mut candidates: Vec<Candidate>,
    now: Timestamp,
) -> Selection {
    for other in ahead {
        if candidates.iter().all(Candidate::is_full) {
            break;
        }
        let Some(chosen) = select_broker(&other, candidates.clone(), now).chosen else {
            continue;
        };
        if let Some(broker) = candidates.iter_mut().find(|c| c.key() == chosen) {
            broker.active = broker.active.saturating_add(1);
        }
    }
    select_broker(request, candidates, now)
}

/// What one broker is weighed against.
struct Weights<'a> {
    crowds: Vec<Crowd<'a>>,
    cheapest: f64,
}

/// How many of those whom a term speaks of are in each domain of its topology.
struct Crowd<'a> {
    term: &'a AntiAffinity,
    all: u32,
    by_domain: HashMap<(&'a str, &'a str), u32>,
}

/// One a term. Whoever is at a broker that is no candidate any more shares that broker with nobody, and its region is not
/// known: such a one counts for nothing.
fn crowds<'a>(request: &'a PlacementRequest, candidates: &'a [Candidate]) -> Vec<Crowd<'a>> {
    let brokers: HashMap<_, _> = candidates
        .iter()
        .map(|c| ((c.namespace(), c.name()), c.broker.as_ref()))
        .collect();
    let crowd = |apart: &'a Apart| {
        let mut by_domain = HashMap::new();
        let known = apart
            .at
            .iter()
            .filter_map(|(namespace, name)| brokers.get(&(namespace.as_str(), name.as_str())));
        for broker in known {
            *by_domain
                .entry(domain(broker, apart.term.topology_key))
                .or_default() += 1;
        }
        Crowd {
            term: &apart.term,
            all: by_domain.values().sum(),
            by_domain,
        }
    };
    request.apart.iter().map(crowd).collect()
}

/// What names the broker's place in a topology.
fn domain(broker: &Broker, topology: TopologyKey) -> (&str, &str) {
    match topology {
        TopologyKey::Broker => (
            broker.metadata.namespace.as_deref().unwrap_or_default(),
            broker.metadata.name.as_deref().unwrap_or_default(),
        ),
        TopologyKey::Region => (&broker.spec.region, ""),
        TopologyKey::CloudProvider => (&broker.spec.cloud_provider, ""),
    }
}

fn judge(
    request: &PlacementRequest,
    candidate: &Candidate,
    weights: &Weights<'_>,
    now: Timestamp,
) -> Verdict {
    if let Some(refusal) = refusal(request, candidate) {
        return refusal;
    }
    let mut apart = 0.0;
    for crowd in &weights.crowds {
        let place = domain(&candidate.broker, crowd.term.topology_key);
        let here = crowd.by_domain.get(&place).copied().unwrap_or(0);
        match crowd.term.weight {
            None if here > 0 => return Verdict::SharedWith(crowd.term.topology_key, here),
            Some(weight) if crowd.all > 0 => {
                apart += f64::from(weight) * f64::from(here) / f64::from(crowd.all);
            }
            None | Some(_) => {}
        }
    }
    let fresh = heartbeat_of(&candidate.broker).is_some_and(|at| now.duration_since(at) < FRESH);
    Verdict::Fits(Score {
        priority: f64::from(candidate.broker.spec.priority),
        free: (1.0 - f64::from(candidate.active) / f64::from(candidate.limit())) * 100.0,
        heartbeat: if fresh { HEARTBEAT_BONUS } else { 0.0 },
        apart,
        cost: cost(request, candidate, weights.cheapest),
    })
}

/// What the broker's price is worth.
fn cost(request: &PlacementRequest, candidate: &Candidate, cheapest: f64) -> f64 {
    let weight = request.target.as_ref().and_then(|t| t.cost_weight).unwrap_or(0);
    if weight == 0 || request.monthly.is_empty() {
        return 0.0;
    }
    match request.monthly.get(&candidate.key()) {
        // What costs nothing is as cheap as anything can be.
        Some(own) if *own <= cheapest => f64::from(weight),
        Some(own) => f64::from(weight) * (cheapest / own).max(0.0),
        None => 0.0,
    }
}

/// The first filter, but for anti-affinity, that the broker does not pass.
fn refusal(request: &PlacementRequest, candidate: &Candidate) -> Option<Verdict> {
    let spec = &candidate.broker.spec;
    let target = request.target.as_ref();
    let wants = |pick: fn(&Target) -> Option<&String>| target.and_then(pick);
    if wants(|t| t.broker.as_ref()).is_some_and(|name| name != candidate.name()) {
        return Some(Verdict::NotTheTarget);
    }
    let Some(capability) = capability(request, spec) else {
        return Some(Verdict::NotCapable);
    };
    if wants(|t| t.region.as_ref()).is_some_and(|region| !serves_region(spec, capability, region)) {
        return Some(Verdict::OtherRegion);
    }
    if wants(|t| t.cloud_provider.as_ref()).is_some_and(|cloud| *cloud != spec.cloud_provider) {
        return Some(Verdict::OtherCloudProvider);
    }
    let leaves = |place: &String| !spec.data_residency.contains(place);
    if wants(|t| t.data_residency.as_ref()).is_some_and(leaves) {
        return Some(Verdict::OtherJurisdiction);
    }
    if request.tenant_residency.as_ref().is_some_and(leaves) {
        return Some(Verdict::OtherJurisdictionThanTenant);
    }
    match candidate.phase() {
        BrokerPhase::Ready if candidate.is_full() => Some(Verdict::Full(candidate.limit())),
        BrokerPhase::Ready => None,
        other => Some(Verdict::NotReady(other)),
    }
}

fn serves_region(spec: &BrokerSpec, capability: &Capability, region: &str) -> bool {
    if capability.regions.is_empty() {
        spec.region == region
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
