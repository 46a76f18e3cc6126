//! The choice of a broker, made once for a resource and then read from its status. Only where the broker goes offline before
//! anything was sent to it is another one chosen.
//!
//! Those whose turn it is before a resource's, see [`crate::queue`], are given their places first, in thought: what is
//! left is what the resource may choose from. So a place that is free is never taken out of turn, and one that nobody
//! ahead can use is not left idle.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use kidp_core::conditions::Statement;
use kidp_core::cost::{Shape, estimate};
use kidp_core::crd::{AntiAffinity, Broker, BrokerPhase, LocalRef, ServiceResource};
use kidp_core::deployment::DeploymentId;
use kube::ResourceExt;

use super::dereference::Owner;
use super::status::{Outcome, PATIENCE};
use super::validate::Place;
use super::{Error, residency, validate};
use crate::cache::namespace_of;
use crate::context::Context;
use crate::costs::{Costs, location_of};
use crate::kind::{AnyResource, ResourceKey};
use crate::placements::{BrokerName, Standing};
use crate::queue;
use crate::select::{Apart, Candidate, PlacementRequest, Selection, select_broker, select_in_turn};

/// Where a resource is, or is about to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Namespace of the `Broker` object.
    pub namespace: String,
    /// Name of the `Broker` object.
    pub name: String,
    /// The deployment.
    pub id: DeploymentId,
    /// What spoke for and against each broker, where it was chosen a moment ago.
    pub explanation: Option<String>,
}

impl Placement {
    /// The placement in the status, if there is one. The id is derived, not read: a status that somebody edited
    /// must not make the operator touch another instance.
    pub fn of<K: ServiceResource>(resource: &K) -> Result<Option<Self>, Error> {
        resource
            .placed_at()
            .map(|(namespace, name)| Self::at(resource, namespace, name))
            .transpose()
    }

    fn at<K: ServiceResource>(resource: &K, namespace: String, name: String) -> Result<Self, Error> {
        let id = resource.deployment_at(&name).ok_or(Error::Identity)?;
        Ok(Self {
            namespace,
            name,
            id,
            explanation: None,
        })
    }

    /// As it is written in the status of an object in `namespace`.
    pub fn reference(&self, namespace: &str) -> LocalRef {
        LocalRef {
            name: self.name.clone(),
            namespace: (self.namespace != namespace).then(|| self.namespace.clone()),
        }
    }
}

/// Whether another broker may be chosen: the first one is offline, and nothing was sent to it.
pub fn may_move(placement: &Placement, ctx: &Context) -> bool {
    let broker = ctx.caches.broker(&placement.namespace, &placement.name);
    let phase = broker.and_then(|b| b.status.as_ref().map(|s| s.phase));
    phase == Some(BrokerPhase::Offline) && ctx.placements.is_unsent(&placement.id)
}

/// Chooses a broker, or says why there is none.
pub fn run<K: ServiceResource>(
    resource: &K,
    owner: &Owner,
    ctx: &Context,
) -> Result<Result<Placement, Outcome>, Error> {
    if let Owner::Missing(message) = owner {
        return Ok(Err(Outcome::Waiting(Statement::new(
            "OwnerNotFound",
            message.as_str(),
        ))));
    }
    if let Owner::NotAllowed(message) = owner {
        return Ok(Err(Outcome::Refused(Statement::new(
            "OwnerNotAllowed",
            message.as_str(),
        ))));
    }
    let residency = match residency::of(resource, &ctx.caches) {
        Ok(residency) => residency,
        Err(message) => return Ok(Err(Outcome::Waiting(Statement::new("TenantNotFound", message)))),
    };
    let key = ResourceKey::of(resource);
    let now = ctx.clock.now();
    let (request, selection, place) = ctx.placements.decide(&key, &ctx.caches, now, |standing| {
        let request = PlacementRequest {
            tenant_residency: residency,
            ..request(resource, standing, ctx)
        };
        let (selection, place) = in_turn(&key, &request, standing, now, ctx);
        (selection.chosen.clone(), (request, selection, place))
    });
    let kind = K::TYPE.as_str();
    if let Some(chosen) = &selection.chosen {
        ctx.metrics.selected(kind, "chosen");
        let (namespace, name) = chosen.clone();
        let mut placement = Placement::at(resource, namespace, name)?;
        placement.explanation = Some(validate::explanation(&selection, chosen));
        return Ok(Ok(placement));
    }
    let refusal = validate::refusal(&request, &selection, &place);
    if let Outcome::Waiting(say) | Outcome::Refused(say) = &refusal {
        ctx.metrics.selected(kind, say.reason);
    }
    Ok(Err(refusal))
}

/// What a broker is chosen for, with those in mind whom the resource is to be kept apart from.
fn request<R: AnyResource + ?Sized>(
    resource: &R,
    standing: &Standing<'_>,
    ctx: &Context,
) -> PlacementRequest {
    let mut request = resource.placement_request();
    let terms = request.target.as_ref().map(|t| t.anti_affinity.as_slice());
    request.apart = terms
        .unwrap_or_default()
        .iter()
        .map(|term| Apart {
            term: term.clone(),
            at: neighbours(resource, term, standing, ctx),
        })
        .collect();
    if request.target.as_ref().is_some_and(|t| t.cost_weight.is_some()) {
        request.monthly = prices(resource, ctx);
    }
    request
}

/// What the resource would cost a month at each broker, where the price book says it.
fn prices<R: AnyResource + ?Sized>(resource: &R, ctx: &Context) -> HashMap<BrokerName, f64> {
    let Some(book) = ctx.costs.as_ref().and_then(Costs::book) else {
        return HashMap::new();
    };
    let Ok(shape) = Shape::of(resource.kind(), &resource.instance_spec()) else {
        return HashMap::new();
    };
    let now = ctx.clock.now();
    let price = |broker: &Arc<Broker>| {
        let estimate = estimate(&book.spec, &shape, &location_of(broker), now).ok()?;
        let name = (namespace_of(broker.as_ref()), broker.name_any());
        Some((name, estimate.monthly.to_number()))
    };
    ctx.caches.brokers.state().iter().filter_map(price).collect()
}

/// The brokers of those in the resource's namespace that the term speaks of.
fn neighbours<R: AnyResource + ?Sized>(
    resource: &R,
    term: &AntiAffinity,
    standing: &Standing<'_>,
    ctx: &Context,
) -> Vec<BrokerName> {
    let own = resource.key();
    let is_meant = |other: &dyn AnyResource| {
        let key = other.key();
        let labels = other.labelled();
        key.namespace == own.namespace
            && key != own
            && term
                .match_labels
                .iter()
                .all(|(name, value)| labels.get(name) == Some(value))
    };
    let place = |other: &Arc<dyn AnyResource>| {
        let decided = || {
            standing
                .recent
                .get(&other.key())
                .map(|(broker, _)| broker.clone())
        };
        other.placed_at().or_else(decided)
    };
    ctx.caches.resources(is_meant).iter().filter_map(place).collect()
}

/// The choice that is left when those ahead have theirs, and where the resource stands in the queue.
fn in_turn(
    key: &ResourceKey,
    request: &PlacementRequest,
    standing: &Standing<'_>,
    now: Timestamp,
    ctx: &Context,
) -> (Selection, Place) {
    let candidates: Vec<_> = ctx
        .caches
        .brokers
        .state_filter(|b| b.metadata.deletion_timestamp.is_none())
        .iter()
        .map(|broker| {
            let active = standing
                .active
                .get(&(namespace_of(broker.as_ref()), broker.name_any()));
            Candidate {
                broker: Arc::clone(broker),
                active: active.copied().unwrap_or(0),
            }
        })
        .collect();
    let waiting: Vec<_> = ctx
        .caches
        .tickets()
        .into_iter()
        .filter(|ticket| ticket.key == *key || competes(&ticket.key, standing, ctx))
        .collect();
    let place = Place {
        namespace: key.namespace.clone(),
        position: queue::position(&waiting, key),
    };
    let own = select_broker(request, candidates.clone(), now);
    if own.chosen.is_none() {
        return (own, place);
    }
    let mut served = ctx.caches.served();
    for (recent, (_, at)) in standing.recent {
        let last = served.entry(recent.namespace.clone()).or_insert(*at);
        *last = (*last).max(*at);
    }
    let ahead = queue::order(waiting, &served)
        .into_iter()
        .take_while(|t| t.key != *key);
    let ahead = ahead.filter_map(|ticket| {
        let other = ctx.caches.resource(&ticket.key)?;
        Some(PlacementRequest {
            tenant_residency: residency::of(other.as_ref(), &ctx.caches).ok()?,
            ..self::request(other.as_ref(), standing, ctx)
        })
    });
    (select_in_turn(request, ahead, candidates, now), place)
}

/// Whether a waiting resource could take a place now. One whose choice is made, whose owner is not there, or whose
/// status cannot be written, must not keep others out.
fn competes(key: &ResourceKey, standing: &Standing<'_>, ctx: &Context) -> bool {
    let has_owner = |resource: Arc<dyn AnyResource>| {
        let owner = super::dereference::owner(resource.as_ref(), &ctx.caches);
        matches!(owner, Owner::Found { .. })
    };
    !standing.recent.contains_key(key)
        && ctx.failures.count(key) < PATIENCE
        && ctx.caches.resource(key).is_some_and(has_owner)
}
