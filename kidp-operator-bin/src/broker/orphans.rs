//! Orphans: instances at a broker whose resources are gone.
//!
//! They come of a finalizer taken off by force, of the abandon annotation, of a management cluster that was restored from
//! an older backup, or of a deletion that the API server began before the finalizer was there and ended after the broker
//! was asked. A broker tells who asked for each of its instances, so that only those are looked at that this
//! operator made; two operators at one broker leave each other's alone.
//!
//! # Flow
//! While a broker answers its health checks, its records are listed at every [`Settings::every`], page by page, and
//! compared with the resources in the caches. What is left over is logged, counted in the status of the `Broker` and
//! named in its condition `OrphansFound`. With the policy `remove`, what has been seen as an orphan at every look for
//! [`Settings::grace`] is removed, after the API server itself was asked whether the resource is there.
//!
//! # Guarantees
//! - Only a leader whose caches are complete looks, and its memory starts anew with it: a fresh leader removes nothing
//!   before the grace time is over.
//! - The list is read before the caches: what is in it was made for a resource that the caches had before.
//! - With `--watch-namespace` only that namespace is looked at.
//! - Data stays, unless `--orphan-data delete` says otherwise.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kidp_core::conditions::{self, Statement};
use kidp_core::crd::{Broker, BrokerStatus, Cache, Database, MessageQueue, Phase, ServiceResource};
use kidp_core::deployment::DeploymentId;
use kidp_core::instance::{DeletionPolicy, ResourceType};
use kidp_core::wire::{DeprovisionRequest, Detail, ResourceQuery, ResourceView};
use kube::runtime::events::{Event, EventType};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};

use crate::broker_client::{BrokerClient, BrokerError};
use crate::cache::Caches;
use crate::context::Context;
use crate::events::{self, truncated};
use crate::kube_io::{WriteError, timed};

/// Type of the condition.
pub const ORPHANS_FOUND: &str = "OrphansFound";
/// Orphans that the condition names.
const NAMED: usize = 5;
/// Pages that are read of one broker; what comes after them is looked at once these have become fewer.
const PAGES: usize = 100;
/// Longest message of the condition, in bytes.
const MAX_MESSAGE: usize = 1024;

/// What is done about orphans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OrphanPolicy {
    /// They are told of.
    Report,
    /// They are removed.
    Remove,
}

/// What becomes of the data of an orphan that is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OrphanData {
    /// It stays, and is adopted by a resource of the same name.
    Retain,
    /// It goes.
    Delete,
}

/// How orphans are dealt with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who this operator is to brokers; the UID of the `Broker` object when absent.
    pub operator_id: Option<String>,
    /// What is done about them.
    pub policy: OrphanPolicy,
    /// What becomes of their data.
    pub data: OrphanData,
    /// How long one has to be seen as an orphan before it is removed.
    pub grace: Duration,
    /// Time between two looks at a broker.
    pub every: Duration,
    /// The only namespace that this operator serves, if it serves one.
    pub namespace: Option<String>,
}

#[derive(Debug, Default)]
struct Seen {
    looked: Option<Instant>,
    since: HashMap<DeploymentId, Instant>,
}

/// Memory of what was seen at each broker.
#[derive(Debug)]
pub struct OrphanBoard {
    settings: Settings,
    seen: Mutex<HashMap<ObjectRef<Broker>, Seen>>,
}

impl OrphanBoard {
    /// A memory of nothing.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            seen: Mutex::default(),
        }
    }

    /// Who this operator is to that broker.
    pub fn requested_by(&self, broker: &Broker) -> Option<String> {
        self.settings.operator_id.clone().or_else(|| broker.uid())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectRef<Broker>, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is time to look at a broker; the answer is yes once.
    fn begin(&self, key: &ObjectRef<Broker>, now: Instant) -> bool {
        let mut all = self.lock();
        let seen = all.entry(key.clone()).or_default();
        let due = seen
            .looked
            .is_none_or(|at| now.saturating_duration_since(at) >= self.settings.every);
        if due {
            seen.looked = Some(now);
        }
        due
    }

    /// Remembers the orphans of a look; those that are new, and those that have been orphans for long enough.
    fn note(&self, key: &ObjectRef<Broker>, found: &[DeploymentId], now: Instant) -> Noted {
        let mut all = self.lock();
        let seen = all.entry(key.clone()).or_default();
        seen.since.retain(|id, _| found.contains(id));
        let new = found.iter().filter(|id| !seen.since.contains_key(*id)).count();
        let mut ripe = HashSet::new();
        for id in found {
            let since = *seen.since.entry(id.clone()).or_insert(now);
            if now.saturating_duration_since(since) >= self.settings.grace {
                ripe.insert(id.clone());
            }
        }
        Noted { new, ripe }
    }

    /// Forgets brokers that are gone.
    pub fn retain(&self, exists: impl Fn(&ObjectRef<Broker>) -> bool) {
        self.lock().retain(|key, _| exists(key));
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Noted {
    new: usize,
    ripe: HashSet<DeploymentId>,
}

/// Every resource that there is, as a broker of one name knows them.
pub struct Alive {
    ids: HashSet<DeploymentId>,
    uids: HashSet<String>,
}

impl Alive {
    /// Those in the caches.
    pub fn of(caches: &Caches, broker: &str) -> Self {
        let all = caches.resources(|_| true);
        Self {
            ids: all.iter().filter_map(|r| r.deployment_at(broker)).collect(),
            uids: all.iter().filter_map(|r| r.identity()).collect(),
        }
    }
}

/// Those of `listed` that `me` asked for and that nothing alive stands behind, in the order of ids. One without a UID
/// belongs to nobody that could be looked for, and is left alone.
pub fn orphans(listed: Vec<ResourceView>, me: &str, alive: &Alive) -> Vec<ResourceView> {
    let mut found: Vec<_> = listed
        .into_iter()
        .filter(|view| view.requested_by.as_deref() == Some(me) && view.phase != Phase::Deleting)
        .filter(|view| !alive.ids.contains(&view.deployment_id))
        .filter(|view| {
            view.resource_uid
                .as_ref()
                .is_some_and(|uid| !alive.uids.contains(uid))
        })
        .collect();
    found.sort_by(|a, b| a.deployment_id.cmp(&b.deployment_id));
    found
}

/// Looks at a broker if it is time; what was found, as it is to be told in its status.
pub async fn look(broker: &Broker, ctx: &Context) -> Option<Vec<ResourceView>> {
    let (key, now) = (ObjectRef::from_obj(broker), Instant::now());
    let me = ctx.orphans.requested_by(broker)?;
    if !ctx.orphans.begin(&key, now) {
        return None;
    }
    let client = ctx.connections.client(broker).await.ok()?;
    let listed = match list(&client, &me, ctx.orphans.settings.namespace.clone()).await {
        Ok(listed) => listed,
        Err(error) => {
            tracing::warn!(broker = %key, %error, "instances cannot be listed; orphans are not looked for");
            return None;
        }
    };
    let mut found = orphans(listed, &me, &Alive::of(&ctx.caches, &broker.name_any()));
    let ids: Vec<_> = found.iter().map(|view| view.deployment_id.clone()).collect();
    let noted = ctx.orphans.note(&key, &ids, now);
    if noted.new > 0 {
        announce(broker, &found, ctx).await;
    }
    if ctx.orphans.settings.policy == OrphanPolicy::Remove {
        let mut left = Vec::new();
        for view in found {
            let removed = noted.ripe.contains(&view.deployment_id) && remove(&client, &view, ctx).await;
            if !removed {
                left.push(view);
            }
        }
        found = left;
    }
    Some(found)
}

async fn list(
    client: &BrokerClient,
    me: &str,
    namespace: Option<String>,
) -> Result<Vec<ResourceView>, BrokerError> {
    let mut query = ResourceQuery {
        namespace,
        requested_by: Some(me.to_owned()),
        detail: Some(Detail::Record),
        ..ResourceQuery::default()
    };
    let mut all = Vec::new();
    for _ in 0..PAGES {
        let page = client.resources(&query).await?;
        let more = page.total > page.resources.len();
        query.after = page.resources.last().map(|view| view.deployment_id.clone());
        all.extend(page.resources);
        if !more || query.after.is_none() {
            break;
        }
    }
    Ok(all)
}

async fn announce(broker: &Broker, found: &[ResourceView], ctx: &Context) {
    for view in found {
        tracing::warn!(broker = %broker.name_any(), instance = %describe(view), "an instance whose resource is gone");
    }
    let event = Event {
        type_: EventType::Warning,
        reason: ORPHANS_FOUND.to_owned(),
        note: Some(summary(found)),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    events::publish(&ctx.recorder, broker, &event).await;
}

/// Asks for the removal of an orphan, if the API server too knows nothing of its resource.
async fn remove(client: &BrokerClient, view: &ResourceView, ctx: &Context) -> bool {
    match lives(view, &ctx.client).await {
        Ok(false) => {}
        Ok(true) => {
            tracing::warn!(instance = %describe(view), "not an orphan after all: its resource is there");
            return false;
        }
        Err(error) => {
            tracing::warn!(instance = %describe(view), %error, "an orphan's resource cannot be looked up");
            return false;
        }
    }
    let request = DeprovisionRequest {
        deployment_id: view.deployment_id.clone(),
        namespace: Some(view.namespace.clone()),
        deletion_policy: Some(match ctx.orphans.settings.data {
            OrphanData::Retain => DeletionPolicy::Retain,
            OrphanData::Delete => DeletionPolicy::Delete,
        }),
        permanent: true,
    };
    match client.deprovision(&request).await {
        Ok(_) => {
            tracing::warn!(instance = %describe(view), data = ?ctx.orphans.settings.data, "orphan removed");
            true
        }
        Err(error) => {
            tracing::warn!(instance = %describe(view), %error, "an orphan cannot be removed");
            false
        }
    }
}

/// Whether the resource of an instance is there, by the word of the API server.
async fn lives(view: &ResourceView, client: &kube::Client) -> Result<bool, WriteError> {
    async fn of<K: ServiceResource>(view: &ResourceView, client: &kube::Client) -> Result<bool, WriteError> {
        let api: Api<K> = Api::namespaced(client.clone(), &view.namespace);
        let found = timed(api.get_opt(&view.resource_name)).await?;
        Ok(found.is_some_and(|resource| resource.meta().uid == view.resource_uid))
    }
    match view.resource_type {
        ResourceType::Database => of::<Database>(view, client).await,
        ResourceType::Cache => of::<Cache>(view, client).await,
        ResourceType::MessageQueue => of::<MessageQueue>(view, client).await,
    }
}

fn describe(view: &ResourceView) -> String {
    format!(
        "{} {}/{} ({})",
        view.resource_type, view.namespace, view.resource_name, view.deployment_id
    )
}

fn summary(found: &[ResourceView]) -> String {
    let mut named: Vec<_> = found.iter().take(NAMED).map(describe).collect();
    if found.len() > NAMED {
        named.push(format!("{} more", found.len() - NAMED));
    }
    let message = format!(
        "{} instances whose resources are gone: {}",
        found.len(),
        named.join(", ")
    );
    truncated(&message, MAX_MESSAGE)
}

/// `next` with what the last look found; with what `old` says where there was none.
#[must_use]
pub fn told(
    mut next: BrokerStatus,
    old: &BrokerStatus,
    found: Option<&[ResourceView]>,
    now: Timestamp,
) -> BrokerStatus {
    let is_ours = |condition: &Condition| condition.type_ == ORPHANS_FOUND;
    next.conditions.retain(|condition| !is_ours(condition));
    let said = match found {
        None => {
            next.orphaned_instances = old.orphaned_instances;
            old.conditions.iter().find(|c| is_ours(c)).cloned()
        }
        Some([]) => {
            next.orphaned_instances = None;
            None
        }
        Some(found) => {
            next.orphaned_instances = Some(u32::try_from(found.len()).unwrap_or(u32::MAX));
            let say = Statement::new("ResourceGone", summary(found));
            let generation = next.observed_generation.unwrap_or_default();
            let mut said = conditions::ready(&say, generation, now);
            for condition in &mut said {
                ORPHANS_FOUND.clone_into(&mut condition.type_);
            }
            conditions::carry_over(&old.conditions, said).pop()
        }
    };
    next.conditions.extend(said);
    next
}

#[cfg(test)]
mod tests;
