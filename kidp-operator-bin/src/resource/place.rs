//! The choice of a broker, made once for a resource and then read from its status.

use jiff::Timestamp;
use kidp_core::conditions::Statement;
use kidp_core::crd::{Broker, LocalRef, ServiceResource};
use kidp_core::deployment::DeploymentId;
use kube::ResourceExt;

use super::dereference::Owner;
use super::status::Outcome;
use super::{Error, validate};
use crate::cache::{heartbeat_of, namespace_of};
use crate::context::Context;
use crate::kind::{AnyResource, ResourceKey};
use crate::select::{Candidate, PlacementRequest, select_broker};

/// Where a resource is, or is about to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Namespace of the `Broker` object.
    pub namespace: String,
    /// Name of the `Broker` object.
    pub name: String,
    /// The deployment.
    pub id: DeploymentId,
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
        Ok(Self { namespace, name, id })
    }

    /// As it is written in the status of an object in `namespace`.
    pub fn reference(&self, namespace: &str) -> LocalRef {
        LocalRef {
            name: self.name.clone(),
            namespace: (self.namespace != namespace).then(|| self.namespace.clone()),
        }
    }
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
    let request = PlacementRequest {
        resource_type: K::TYPE,
        engine: resource.engine(),
        target: resource.target().cloned(),
    };
    let key = ResourceKey::of(resource);
    let selection = ctx.placements.decide(&key, &ctx.caches, |active| {
        let brokers = ctx.caches.brokers.state();
        let candidates = brokers
            .iter()
            .filter(|b| b.metadata.deletion_timestamp.is_none())
            .map(|b| candidate(b, active.get(&(namespace_of(b.as_ref()), b.name_any()))))
            .collect();
        let selection = select_broker(&request, candidates, Timestamp::now());
        (selection.chosen.clone(), selection)
    });
    match selection.chosen {
        Some((namespace, name)) => Placement::at(resource, namespace, name).map(Ok),
        None => Ok(Err(validate::refusal(&request, &selection))),
    }
}

fn candidate(broker: &Broker, active: Option<&u32>) -> Candidate {
    Candidate {
        namespace: namespace_of(broker),
        name: broker.name_any(),
        spec: broker.spec.clone(),
        phase: broker.status.as_ref().map(|s| s.phase).unwrap_or_default(),
        last_heartbeat: heartbeat_of(broker),
        active: active.copied().unwrap_or(0),
    }
}
