//! Which objects have to be looked at after one has changed: pure functions of the old object, the new one and
//! the caches.
//!
//! A change of a status alone causes nothing, except where it is news for another object: that is what keeps
//! controllers from answering their own writes, and a settled system from doing anything.

use k8s_openapi::api::core::v1::Namespace;
use kidp_core::crd::{Application, Broker, BrokerPhase, Phase, PriceBook, Team, Tenant, UsageRecord};
use kidp_core::instance::OwnerKind;
use kidp_core::labels;
use kube::ResourceExt;
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;

use crate::cache::{Caches, namespace_of, resolve};
use crate::kind::{AnyResource, ResourceKey, Served};
use crate::queue;
use crate::queues::Trigger;
use crate::tenancy::resources_of_team;

/// Resources that are told of one free place at a broker. More than one, since the first may not fit there; the
/// rest finds out by its own poll.
const TOLD_OF_A_FREE_PLACE: usize = 2;

/// A change of one object: what it was and what it is. `None` before its creation and after its deletion.
pub type Change<'a, K> = (Option<&'a K>, Option<&'a K>);

/// A kind whose changes are routed.
pub trait Route: Sized {
    /// What to look at after the change.
    fn route(change: Change<'_, Self>, caches: &Caches) -> Vec<Trigger>;
}

fn spec_changed<K: ResourceExt>((old, new): Change<'_, K>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => {
            let (old, new) = (old.meta(), new.meta());
            old.uid != new.uid
                || old.generation != new.generation
                || old.annotations != new.annotations
                || old.deletion_timestamp.is_some() != new.deletion_timestamp.is_some()
        }
        _ => true,
    }
}

fn came_or_went<K: ResourceExt>((old, new): Change<'_, K>) -> bool {
    old.map(|o| &o.meta().uid) != new.map(|n| &n.meta().uid)
}

fn look_at(resource: &dyn AnyResource) -> Trigger {
    Trigger::Resource(resource.key())
}

fn team(namespace: &str, name: &str) -> Trigger {
    Trigger::Team(ObjectRef::new(name).within(namespace))
}

impl<K: Served> Route for K {
    fn route((old, new): Change<'_, Self>, caches: &Caches) -> Vec<Trigger> {
        let mut triggers = Vec::new();
        if let Some(new) = new {
            let bare = !new.is_deleting() && !new.finalizers().iter().any(|f| f == K::FINALIZER);
            if spec_changed((old, Some(new))) || bare {
                triggers.push(Trigger::Resource(ResourceKey::of(new)));
            }
        }
        let owner = AnyResource::owned_by;
        let owners = [old.map(owner), new.map(owner)];
        let costs = |it: &Self| (it.cost().cloned(), it.is_unpriced());
        if came_or_went((old, new)) || owners[0] != owners[1] || old.map(costs) != new.map(costs) {
            for (kind, namespace, name) in owners.into_iter().flatten() {
                triggers.extend(owner_triggers(kind, &namespace, &name, caches));
            }
        }
        let under_way = |it: &Self| matches!(it.phase(), Phase::Provisioning | Phase::Pending);
        let busy = |it: &Self| it.placed_at().is_some() && under_way(it);
        if old.is_some_and(busy) && !new.is_some_and(busy) {
            triggers.extend(
                queue::order(caches.tickets(), &caches.served())
                    .into_iter()
                    .take(TOLD_OF_A_FREE_PLACE)
                    .map(|ticket| Trigger::Resource(ticket.key)),
            );
        }
        triggers
    }
}

/// Those whose counts change with a resource of that owner.
fn owner_triggers(kind: OwnerKind, namespace: &str, name: &str, caches: &Caches) -> Vec<Trigger> {
    match kind {
        OwnerKind::Team => vec![team(namespace, name)],
        OwnerKind::Application => {
            let mut triggers = vec![Trigger::Application(ObjectRef::new(name).within(namespace))];
            if let Some(app) = caches.application(namespace, name) {
                let (namespace, name) = resolve(&app.spec.team_ref, namespace);
                triggers.push(team(&namespace, &name));
            }
            triggers
        }
    }
}

/// Resources of an owner that wait for it.
fn waiting_for_owner(kind: OwnerKind, namespace: &str, name: &str, caches: &Caches) -> Vec<Trigger> {
    let owned = caches.resources_of_owner(kind, namespace, name);
    owned
        .iter()
        .filter(|resource| resource.phase() != Phase::Ready)
        .map(|resource| look_at(resource.as_ref()))
        .collect()
}

/// What of a team goes into its resources: into their drift settings, and to whom they are charged.
fn told_to_resources(team: &Team) -> impl PartialEq + '_ {
    (
        &team.spec.drift,
        &team.spec.cost_center,
        &team.spec.tenant_ref,
        &team.spec.namespaces,
    )
}

impl Route for PriceBook {
    fn route(change: Change<'_, Self>, caches: &Caches) -> Vec<Trigger> {
        if !spec_changed(change) {
            return Vec::new();
        }
        let all = caches.resources(|resource| resource.placed_at().is_some() && !resource.is_deleting());
        all.iter().map(|resource| look_at(resource.as_ref())).collect()
    }
}

impl Route for UsageRecord {
    /// Nobody acts on usage; it is read when it is asked for.
    fn route(_: Change<'_, Self>, _: &Caches) -> Vec<Trigger> {
        Vec::new()
    }
}

impl Route for Team {
    fn route((old, new): Change<'_, Self>, caches: &Caches) -> Vec<Trigger> {
        let mut triggers = Vec::new();
        if let Some(new) = new.filter(|new| spec_changed((old, Some(new)))) {
            triggers.push(Trigger::Team(ObjectRef::from_obj(new)));
        }
        if let (Some(old), Some(new)) = (old, new)
            && told_to_resources(old) != told_to_resources(new)
        {
            let owned = resources_of_team(new, caches);
            triggers.extend(owned.iter().map(|resource| look_at(resource.as_ref())));
        }
        let tenant = |team: &Self| {
            let reference = team.spec.tenant_ref.as_ref()?;
            Some(resolve(reference, &namespace_of(team)))
        };
        if came_or_went((old, new)) || old.and_then(tenant) != new.and_then(tenant) {
            let tenants = [old.and_then(tenant), new.and_then(tenant)].into_iter().flatten();
            triggers.extend(tenants.map(|(ns, name)| Trigger::Tenant(ObjectRef::new(&name).within(&ns))));
        }
        if let Some(it) = new.or(old).filter(|_| came_or_went((old, new))) {
            let (namespace, name) = (namespace_of(it), it.name_any());
            for app in caches.applications_of_team(&namespace, &name) {
                triggers.push(Trigger::Application(ObjectRef::from_obj(app.as_ref())));
                let (namespace, name) = (namespace_of(app.as_ref()), app.name_any());
                triggers.extend(waiting_for_owner(
                    OwnerKind::Application,
                    &namespace,
                    &name,
                    caches,
                ));
            }
            triggers.extend(waiting_for_owner(OwnerKind::Team, &namespace, &name, caches));
        }
        triggers
    }
}

impl Route for Application {
    fn route((old, new): Change<'_, Self>, caches: &Caches) -> Vec<Trigger> {
        let mut triggers = Vec::new();
        if let Some(new) = new.filter(|new| spec_changed((old, Some(new)))) {
            triggers.push(Trigger::Application(ObjectRef::from_obj(new)));
        }
        let of = |app: &Self| resolve(&app.spec.team_ref, &namespace_of(app));
        if came_or_went((old, new)) || old.map(of) != new.map(of) {
            let teams = [old.map(of), new.map(of)].into_iter().flatten();
            triggers.extend(teams.map(|(namespace, name)| team(&namespace, &name)));
            if let Some(it) = new.or(old) {
                let (namespace, name) = (namespace_of(it), it.name_any());
                triggers.extend(waiting_for_owner(
                    OwnerKind::Application,
                    &namespace,
                    &name,
                    caches,
                ));
            }
        }
        triggers
    }
}

impl Route for PartialObjectMeta<Namespace> {
    fn route((old, new): Change<'_, Self>, caches: &Caches) -> Vec<Trigger> {
        let holder = |namespace: &Self| {
            let uid = namespace.labels().get(labels::TEAM_UID)?;
            caches.team_of_uid(uid)
        };
        let teams = [old.and_then(holder), new.and_then(holder)];
        let mut triggers: Vec<_> = teams
            .into_iter()
            .flatten()
            .map(|team| Trigger::Team(ObjectRef::from_obj(team.as_ref())))
            .collect();
        triggers.dedup();
        // Whose the namespace is says who may be named in it.
        if let Some(it) = new.or(old).filter(|_| came_or_went((old, new))) {
            let name = it.name_any();
            let inside = caches.resources(|r| r.key().namespace == name && r.phase() != Phase::Ready);
            triggers.extend(inside.iter().map(|resource| look_at(resource.as_ref())));
        }
        triggers
    }
}

impl Route for Tenant {
    fn route((old, new): Change<'_, Self>, caches: &Caches) -> Vec<Trigger> {
        let mut triggers = Vec::new();
        if let Some(new) = new.filter(|new| spec_changed((old, Some(new)))) {
            triggers.push(Trigger::Tenant(ObjectRef::from_obj(new)));
        }
        if let Some(it) = new.or(old).filter(|_| came_or_went((old, new))) {
            let teams = caches.teams_of_tenant(&namespace_of(it), &it.name_any());
            triggers.extend(
                teams
                    .iter()
                    .map(|t| Trigger::Team(ObjectRef::from_obj(t.as_ref()))),
            );
        }
        triggers
    }
}

impl Route for Broker {
    fn route((old, new): Change<'_, Self>, caches: &Caches) -> Vec<Trigger> {
        let mut triggers = Vec::new();
        let changed = spec_changed((old, new));
        if let Some(new) = new.filter(|_| changed) {
            triggers.push(Trigger::Broker(ObjectRef::from_obj(new)));
        }
        let ready = |b: &Self| b.status.as_ref().is_some_and(|s| s.phase == BrokerPhase::Ready);
        let turned_ready = new.is_some_and(ready) && !old.is_some_and(ready);
        if let Some(it) = new.or(old).filter(|_| changed || turned_ready) {
            // A settled resource needs no broker; one that is not, may have waited for this.
            let mut told = caches.waiting_resources();
            let served = caches.resources_of_broker(&namespace_of(it), &it.name_any());
            told.extend(served.into_iter().filter(|r| r.phase() != Phase::Ready));
            triggers.extend(told.iter().map(|resource| look_at(resource.as_ref())));
        }
        triggers
    }
}

#[cfg(test)]
mod tests;
