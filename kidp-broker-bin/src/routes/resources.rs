//! `GET|POST /v1/resources`: instances, what was asked for and what the cluster holds.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use futures::stream::{self, StreamExt as _};
use kidp_core::crd::ServiceInstance;
use kidp_core::wire::{Detail, HealthStatus, ResourceList, ResourceQuery, ResourceView};
use kidp_provisioners::{ApplyError, Provisioner, Readiness};

use crate::auth::Caller;
use crate::auth::policy::Verb;
use crate::error::ApiError;
use crate::extract::{Body, Query, check_namespace};
use crate::view::{self, Live};
use crate::{Broker, record};

/// Most resources in one answer; `total` says how many there are, and `after` asks for the next ones.
const MAX_LISTED: usize = 200;
/// Most resources that are read from the cluster at once.
const READ_AT_ONCE: usize = 8;
/// Most lines on drift of one resource.
const MAX_LINES: usize = 100;
/// Longest that reading one resource takes; after that its record has to do.
const READ_LIMIT: Duration = Duration::from_secs(3);

pub(super) async fn get(
    State(broker): State<Arc<Broker>>,
    caller: Caller,
    Query(query): Query<ResourceQuery>,
) -> Result<Json<ResourceList>, ApiError> {
    answer(&broker, &caller, query).await
}

pub(super) async fn post(
    State(broker): State<Arc<Broker>>,
    caller: Caller,
    Body(query): Body<ResourceQuery>,
) -> Result<Json<ResourceList>, ApiError> {
    answer(&broker, &caller, query).await
}

async fn answer(
    broker: &Broker,
    caller: &Caller,
    query: ResourceQuery,
) -> Result<Json<ResourceList>, ApiError> {
    let set = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    let (namespace, name) = (set(&query.namespace), set(&query.resource_name));
    check_namespace(namespace.as_deref())?;
    if let Some(namespace) = &namespace {
        caller.check(Verb::Read, namespace)?;
    }
    let mut records = broker.records.list(namespace.as_deref(), name.as_deref()).await?;
    records.retain(|r| matches(r, &query, name.as_deref()) && is_visible(r, caller));
    let detail = query.detail.unwrap_or_default();
    if query.after.is_some() || detail == Detail::Record {
        records.sort_by(|a, b| a.spec.deployment_id.cmp(&b.spec.deployment_id));
    } else {
        records.sort_by(|a, b| key(a).cmp(&key(b)));
    }
    let total = records.len();
    let looks: Vec<_> = records
        .iter()
        .take(MAX_LISTED)
        .map(|record| look(broker, record, detail))
        .collect();
    let resources = stream::iter(looks).buffered(READ_AT_ONCE).collect().await;
    Ok(Json(ResourceList {
        resources,
        total,
        namespace: namespace.unwrap_or_default(),
    }))
}

fn is_visible(record: &ServiceInstance, caller: &Caller) -> bool {
    let namespace = record.metadata.namespace.as_deref().unwrap_or_default();
    caller.check(Verb::Read, namespace).is_ok()
}

fn matches(record: &ServiceInstance, query: &ResourceQuery, name: Option<&str>) -> bool {
    let spec = &record.spec;
    query.resource_type.is_none_or(|kind| kind == spec.resource_type)
        && name.is_none_or(|name| name == spec.resource_name)
        && query
            .deployment_id
            .as_ref()
            .is_none_or(|id| *id == spec.deployment_id)
        && query.after.as_ref().is_none_or(|id| spec.deployment_id > *id)
        && (query.requested_by.is_none() || query.requested_by == spec.requested_by)
}

fn key(record: &ServiceInstance) -> (&Option<String>, &String, &str) {
    (
        &record.metadata.namespace,
        &record.spec.resource_name,
        record.spec.deployment_id.as_str(),
    )
}

async fn look(broker: &Broker, record: &ServiceInstance, detail: Detail) -> ResourceView {
    if detail == Detail::Record {
        return view::resource(record, Live::default());
    }
    let engine = record.spec.instance.engine;
    let live = match broker.registry.get(record.spec.resource_type, engine) {
        Some(provisioner) => {
            let read = read(broker, provisioner.as_ref(), record);
            tokio::time::timeout(READ_LIMIT, read).await.unwrap_or_default()
        }
        None => Live::default(),
    };
    view::resource(record, live)
}

async fn read(broker: &Broker, provisioner: &dyn Provisioner, record: &ServiceInstance) -> Live {
    let instance = record::instance_of(record, broker.features.current());
    let read = futures::join!(
        provisioner.observe(&broker.client, &instance),
        provisioner.drift(&broker.client, &instance)
    );
    let id = &instance.deployment_id;
    let observed = read
        .0
        .inspect_err(|error| tracing::warn!(%id, %error, "an instance cannot be observed"));
    let changes = read
        .1
        .inspect_err(|error| tracing::warn!(%id, %error, "an instance cannot be compared"));
    Live {
        health: observed
            .as_ref()
            .ok()
            .map(|seen| health(&provisioner.readiness(&instance, seen))),
        actual_spec: observed.map(|seen| seen.actual_spec()).unwrap_or_default(),
        drift: lines(changes.as_ref().map(|drift| drift.changes.as_slice())),
        unknown: match &changes {
            Ok(drift) => lines(Ok::<_, &ApplyError>(drift.unknown.as_slice())),
            Err(_) => vec!["the instance cannot be compared; the broker's log says why".to_owned()],
        },
    }
}

/// A line each, as far as there is anything.
fn lines<T: ToString, E>(items: Result<&[T], E>) -> Vec<String> {
    let items = items.unwrap_or_default();
    items.iter().take(MAX_LINES).map(ToString::to_string).collect()
}

fn health(readiness: &Readiness) -> HealthStatus {
    match readiness {
        Readiness::Ready => HealthStatus::Healthy,
        Readiness::Progressing(_) => HealthStatus::Degraded,
        Readiness::Failed(_) => HealthStatus::Unhealthy,
    }
}
