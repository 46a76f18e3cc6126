//! Teams, tenants and applications: does what they refer to exist, and how much belongs to them. The namespaces of
//! teams are in [`team`], [`namespaces`] and [`objects`]; who may name a team is in [`rights`].
//!
//! All three have one shape, [`Counted`]: a status that is a pure function of the object and the caches, written
//! when it differs. Triggers are debounced, so that a burst of resources costs one write and not one each.

pub mod namespaces;
pub mod objects;
pub mod rights;
pub mod team;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kidp_core::conditions::{self, Statement};
use kidp_core::crd::{Application, ApplicationStatus, Team, TeamStatus, Tenant, TenantStatus};
use kidp_core::instance::{OwnerKind, ResourceType};
use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::events::Event;
use kube::runtime::reflector::ObjectRef;
use serde::Serialize;

use crate::backoff::jitter;
use crate::cache::{Caches, namespace_of, resolve};
use crate::context::Context;
use crate::costs::budget;
use crate::events;
use crate::kind::AnyResource;
use crate::kube_io::{self, WriteError, Written};

/// How long triggers are gathered before one is acted upon.
pub const DEBOUNCE: Duration = Duration::from_secs(1);

/// A kind with a reference and counts.
pub trait Counted: Written + Send + Sync + 'static {
    /// Its status.
    type Status: PartialEq + Serialize + Sync;

    /// The present status.
    fn status(&self) -> Option<&Self::Status>;

    /// The status that it should have. Equal to the present one when nothing is new.
    fn next(&self, caches: &Caches, now: Timestamp) -> Self::Status;

    /// What is worth an Event once `next` is written.
    fn news(&self, _next: &Self::Status) -> Vec<Event> {
        Vec::new()
    }
}

/// Brings one status up to date.
pub async fn reconcile<K: Counted>(object: Arc<K>, ctx: Arc<Context>) -> Result<Action, WriteError> {
    let next = object.next(&ctx.caches, ctx.clock.now());
    record(object.as_ref(), &next, &ctx).await?;
    Ok(Action::requeue(jitter(ctx.waits.resync)))
}

/// Writes the status, if it says something new.
async fn record<K: Counted>(object: &K, next: &K::Status, ctx: &Context) -> Result<(), WriteError> {
    if object.status() != Some(next) {
        kube_io::apply_status(&ctx.client, object, next).await?;
        tracing::info!(kind = %K::kind(&()), name = %ObjectRef::from_obj(object), "status");
        for event in object.news(next) {
            events::publish(&ctx.recorder, object, &event).await;
        }
    }
    Ok(())
}

/// Every resource of a team, directly or through an application.
pub fn resources_of_team(team: &Team, caches: &Caches) -> Vec<Arc<dyn AnyResource>> {
    let (namespace, name) = (namespace_of(team), team.name_any());
    let mut owned = caches.resources_of_owner(OwnerKind::Team, &namespace, &name);
    for app in caches.applications_of_team(&namespace, &name) {
        let (namespace, name) = (namespace_of(app.as_ref()), app.name_any());
        owned.extend(caches.resources_of_owner(OwnerKind::Application, &namespace, &name));
    }
    owned
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

/// How many resources of each kind belong to somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    databases: u32,
    caches: u32,
    message_queues: u32,
}

impl Tally {
    fn add(&mut self, resources: &[Arc<dyn AnyResource>]) {
        for resource in resources {
            let count = match resource.kind() {
                ResourceType::Database => &mut self.databases,
                ResourceType::Cache => &mut self.caches,
                ResourceType::MessageQueue => &mut self.message_queues,
            };
            *count = count.saturating_add(1);
        }
    }
}

/// Conditions of an object whose reference is there, or is named as missing.
fn referring<K: ResourceExt>(
    object: &K,
    missing: Option<Statement>,
    old: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let generation = object.meta().generation.unwrap_or_default();
    // What is missing may come at any moment, as when all is applied at once.
    let next = missing.map_or_else(
        || {
            let say = Statement::new("Valid", "everything that it refers to exists");
            conditions::ready(&say, generation, now)
        },
        |say| conditions::reconciling(&say, generation, now),
    );
    conditions::carry_over(old, next)
}

impl Counted for Team {
    type Status = TeamStatus;

    fn status(&self) -> Option<&TeamStatus> {
        self.status.as_ref()
    }

    fn next(&self, caches: &Caches, now: Timestamp) -> TeamStatus {
        let (namespace, name) = (namespace_of(self), self.name_any());
        let missing = self.spec.tenant_ref.as_ref().and_then(|reference| {
            let (namespace, name) = resolve(reference, &namespace);
            let message = format!("spec.tenantRef: there is no Tenant `{name}` in namespace `{namespace}`");
            let found = caches.tenant(&namespace, &name).is_some();
            (!found).then(|| Statement::new("TenantNotFound", message))
        });
        let applications = caches.applications_of_team(&namespace, &name);
        let resources = resources_of_team(self, caches);
        let mut owned = Tally::default();
        owned.add(&resources);
        let budget = self.spec.budget.as_ref();
        let cost = budget::team_cost(&resources, budget);
        let old = self
            .status
            .as_ref()
            .map(|s| s.conditions.as_slice())
            .unwrap_or_default();
        let mut conditions = referring(self, missing, old, now);
        if let (Some(cost), Some(budget)) = (&cost, budget.filter(|b| !b.alert_thresholds.is_empty())) {
            let generation = self.metadata.generation.unwrap_or_default();
            let alert = budget::alert(cost, budget, generation, now);
            conditions.extend(conditions::carry_over(old, vec![alert]));
        }
        TeamStatus {
            databases: owned.databases,
            caches: owned.caches,
            message_queues: owned.message_queues,
            applications: count(&applications),
            cost,
            conditions,
            observed_generation: self.metadata.generation,
        }
    }

    fn news(&self, next: &TeamStatus) -> Vec<Event> {
        let before = self.status.as_ref().and_then(|status| status.cost.as_ref());
        budget::news(before, next.cost.as_ref(), self.spec.budget.as_ref())
    }
}

impl Counted for Tenant {
    type Status = TenantStatus;

    fn status(&self) -> Option<&TenantStatus> {
        self.status.as_ref()
    }

    fn next(&self, caches: &Caches, now: Timestamp) -> TenantStatus {
        let old = self
            .status
            .as_ref()
            .map(|s| s.conditions.as_slice())
            .unwrap_or_default();
        TenantStatus {
            teams: count(&caches.teams_of_tenant(&namespace_of(self), &self.name_any())),
            conditions: referring(self, None, old, now),
            observed_generation: self.metadata.generation,
        }
    }
}

impl Counted for Application {
    type Status = ApplicationStatus;

    fn status(&self) -> Option<&ApplicationStatus> {
        self.status.as_ref()
    }

    fn next(&self, caches: &Caches, now: Timestamp) -> ApplicationStatus {
        let namespace = namespace_of(self);
        let (team_namespace, team) = resolve(&self.spec.team_ref, &namespace);
        let missing = caches.team(&team_namespace, &team).is_none().then(|| {
            let message = format!("spec.teamRef: there is no Team `{team}` in namespace `{team_namespace}`");
            Statement::new("TeamNotFound", message)
        });
        let missing = missing.or_else(|| {
            let refusal = rights::refusal_of_application(self, caches)?;
            Some(Statement::new(
                "TeamNotAllowed",
                format!("spec.teamRef: {refusal}"),
            ))
        });
        let old = self
            .status
            .as_ref()
            .map(|s| s.conditions.as_slice())
            .unwrap_or_default();
        let mut owned = Tally::default();
        owned.add(&caches.resources_of_owner(OwnerKind::Application, &namespace, &self.name_any()));
        ApplicationStatus {
            databases: owned.databases,
            caches: owned.caches,
            message_queues: owned.message_queues,
            conditions: referring(self, missing, old, now),
            observed_generation: self.metadata.generation,
        }
    }
}

#[cfg(test)]
mod tests;
