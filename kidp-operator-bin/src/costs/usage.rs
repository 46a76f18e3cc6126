//! Usage records: read from the cache, decided by [`kidp_core::cost::next_step`], and written with the version that was
//! decided on, so that an old copy cannot undo a newer one.
//!
//! Usage begins when a resource is first seen ready, changes when a change of it is seen ready, and ends when its broker
//! has confirmed that the instance is gone. A resource that is ready once is charged while it is being repaired, too: what
//! it takes in its cluster is taken.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kidp_core::conditions::READY;
use kidp_core::cost::{Shape, Step, Wanted, close, next_step};
use kidp_core::crd::{Phase, ResourceStatus, ServiceResource, UsageRecord, UsageRecordSpec, UsedResource};
use kube::{Api, ResourceExt};

use super::{Costs, charge_to, status};
use crate::cache::namespace_of;
use crate::context::Context;
use crate::kube_io::{self, WriteError, timed};

/// Steps of one record: the last one is closed because it is full, and the next begun.
const STEPS: usize = 2;

/// Name of a record.
fn name_of(uid: &str, part: u32) -> String {
    match part {
        0 => uid.to_owned(),
        part => format!("{uid}-{part}"),
    }
}

/// When the resource became ready, if its status says that its present spec is served.
fn served_since(status: &ResourceStatus, generation: Option<i64>) -> Option<jiff::Timestamp> {
    let usable = matches!(status.phase, Phase::Ready | Phase::DriftDetected);
    let is_ready = |c: &&Condition| c.type_ == READY && c.status == "True";
    let ready = status.conditions.iter().find(is_ready)?;
    (usable && status.observed_generation == generation).then_some(ready.last_transition_time.0)
}

/// Records what holds for a living resource, after its status was written.
pub async fn record<K: ServiceResource>(resource: &K, ctx: &Context) -> Result<(), WriteError> {
    let (Some(costs), Some(uid), Some(status)) = (&ctx.costs, resource.uid(), resource.status()) else {
        return Ok(());
    };
    let Some(location) = status::location(resource, status, &ctx.caches) else {
        return Ok(());
    };
    let since = served_since(status, resource.meta().generation);
    let now = ctx.clock.now();
    let wanted = Wanted {
        generation: resource.meta().generation.unwrap_or_default(),
        // A size that cannot be read is refused before anything is made of it.
        shape: since.and_then(|_| Shape::of(K::TYPE, &resource.instance()).ok()),
        charge_to: charge_to(resource, &ctx.caches),
        since: since.unwrap_or(now),
    };
    let used = UsedResource {
        namespace: namespace_of(resource),
        kind: K::TYPE,
        name: resource.name_any(),
        uid: uid.clone(),
    };
    let mut last = costs.last_record(&uid).map(|last| last.as_ref().clone());
    for _ in 0..STEPS {
        match next_step(last.as_ref().map(|l| &l.spec), &used, &location, &wanted, now) {
            Step::None => return Ok(()),
            Step::Create(spec) => {
                let record = UsageRecord::new(&name_of(&uid, spec.part), *spec);
                kube_io::create(&ctx.client, &record).await?;
                return Ok(());
            }
            Step::Update(spec) => {
                let Some(old) = last else { return Ok(()) };
                last = Some(replace(old, *spec, ctx).await?);
            }
        }
    }
    Ok(())
}

async fn replace(
    mut old: UsageRecord,
    spec: UsageRecordSpec,
    ctx: &Context,
) -> Result<UsageRecord, WriteError> {
    old.spec = spec;
    kube_io::replace(&ctx.client, &old).await
}

/// Ends the usage of a resource whose instance is gone. The API server itself is asked for the record: it may have been
/// written a moment ago.
pub async fn end<K: ServiceResource>(resource: &K, ctx: &Context) -> Result<(), WriteError> {
    let (Some(costs), Some(uid)) = (&ctx.costs, resource.uid()) else {
        return Ok(());
    };
    let part = costs.last_record(&uid).map_or(0, |record| record.spec.part);
    let api: Api<UsageRecord> = Api::all(ctx.client.clone());
    match timed(api.get_opt(&name_of(&uid, part))).await? {
        Some(record) => end_record(record, costs, ctx).await,
        None => Ok(()),
    }
}

/// Ends the usage that a record tells of, if it goes on.
pub async fn end_record(mut record: UsageRecord, costs: &Costs, ctx: &Context) -> Result<(), WriteError> {
    if costs.covers(&record.spec.resource.namespace) && close(&mut record.spec, ctx.clock.now()) {
        match kube_io::replace(&ctx.client, &record).await {
            Ok(_) | Err(WriteError::Gone) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
