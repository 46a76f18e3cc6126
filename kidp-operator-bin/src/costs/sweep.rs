//! Records of resources that went without a word, and records that are too old.
//!
//! A resource whose finalizer was taken off by force ends no usage by itself. It is ended at the next look, so that its
//! usage is too long by one interval of looks at the most. A record is deleted once its usage ended longer ago than
//! [`super::Costs::retention`]: what costs are reported of lies within that time.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use kidp_core::cost::is_open;
use kidp_core::crd::UsageRecord;
use kube::runtime::reflector::ObjectRef;
use tokio_util::sync::CancellationToken;

use super::{Costs, usage};
use crate::backoff::jitter;
use crate::context::Context;
use crate::kube_io::{self, WriteError};

/// What is to be done about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// Its resource is gone.
    End,
    /// It is too old.
    Delete,
}

/// Looks at every record from time to time, until `stop`.
pub async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    loop {
        if let Some(costs) = &ctx.costs {
            sweep(costs, &ctx).await;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(jitter(ctx.waits.resync)) => {}
        }
    }
}

/// Looks at every record once.
pub async fn sweep(costs: &Costs, ctx: &Context) {
    let living = living(ctx);
    for record in costs.records.state() {
        let Some(due) = due(&record, costs, &living, ctx.clock.now()) else {
            continue;
        };
        let done = match due {
            Due::End => usage::end_record(record.as_ref().clone(), costs, ctx).await,
            Due::Delete => kube_io::delete(&ctx.client, record.as_ref()).await,
        };
        match done {
            Ok(()) => tracing::info!(record = %ObjectRef::from_obj(record.as_ref()), ?due, "usage record"),
            // It has moved on; the next look decides anew.
            Err(WriteError::Conflict | WriteError::Gone) => {}
            Err(error) => tracing::warn!(%error, ?due, "usage record, trying again"),
        }
    }
}

fn living(ctx: &Context) -> HashSet<String> {
    let all = ctx.caches.resources(|_| true);
    all.iter().filter_map(|resource| resource.identity()).collect()
}

fn due(record: &UsageRecord, costs: &Costs, living: &HashSet<String>, now: Timestamp) -> Option<Due> {
    let spec = &record.spec;
    if !costs.covers(&spec.resource.namespace) {
        return None;
    }
    if is_open(spec) {
        return (!living.contains(&spec.resource.uid)).then_some(Due::End);
    }
    let ended = spec.intervals.last()?.to.as_ref()?.0;
    (now.duration_since(ended) > costs.retention).then_some(Due::Delete)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use serde_json::json;

    #[test]
    fn what_went_without_a_word_is_ended_and_what_is_too_old_is_deleted() {
        let (costs, _writers) = Costs::new("standard", Some("shop".into()), SignedDuration::from_hours(24));
        let record = |namespace: &str, to: Option<&str>| -> UsageRecord {
            serde_json::from_value(json!({"metadata": {"name": "u"}, "spec": {
                "resource": {"namespace": namespace, "kind": "Database", "name": "orders", "uid": "u"},
                "location": {"cloudProvider": "metal", "region": "eu"},
                "intervals": [{"from": "2026-01-01T00:00:00Z", "to": to, "generation": 1,
                    "shape": {"resourceType": "Database", "engine": "mysql", "size": "small", "members": 1, "storageMebibytes": 1},
                    "chargeTo": {"teamNamespace": "shop", "team": "payments"}}]}}))
            .unwrap()
        };
        let now: Timestamp = "2026-01-10T00:00:00Z".parse().unwrap();
        let (nobody, one) = (HashSet::new(), HashSet::from(["u".to_owned()]));
        assert_eq!(due(&record("shop", None), &costs, &nobody, now), Some(Due::End));
        assert_eq!(due(&record("shop", None), &costs, &one, now), None);
        assert_eq!(
            due(&record("other", None), &costs, &nobody, now),
            None,
            "another operator's"
        );
        assert_eq!(
            due(
                &record("shop", Some("2026-01-09T12:00:00Z")),
                &costs,
                &nobody,
                now
            ),
            None
        );
        let old = record("shop", Some("2026-01-08T12:00:00Z"));
        assert_eq!(due(&old, &costs, &one, now), Some(Due::Delete));
    }
}
