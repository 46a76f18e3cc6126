//! What the controller does before it makes anything.

use kidp_callback::SigningKey;
use kidp_core::crd::ServiceInstanceStatus;
use kidp_core::group::SERVICE_INSTANCE_FINALIZER;
use kidp_provisioners::ClusterFeatures;
use kidp_telemetry::testing::{Recording, exemplars};
use kube::runtime::reflector::store;
use kube::runtime::watcher::Event;

use super::*;
use crate::records::post_params;
use crate::testing::{self, ObjectStore};

fn context(objects: &ObjectStore) -> Arc<Context> {
    let sender = Sender::new(SigningKey::from_seed(&[1; 32]), "eu").unwrap();
    let features = Features::fixed(ClusterFeatures::default());
    let context = Context::new(
        "eu",
        objects.client(),
        testing::registry(),
        features,
        sender,
        UrlPolicy::default(),
        CancellationToken::new(),
    );
    context
        .tombstones
        .get_or_init(|| Tombstones::new(objects.client(), "kidp"));
    context
}

async fn recorded(objects: &ObjectStore) -> ServiceInstance {
    let api: Api<ServiceInstance> = Api::namespaced(objects.client(), "shop");
    let record = record::new("shop", testing::spec());
    api.create(&post_params(), &record).await.unwrap()
}

#[tokio::test]
async fn a_record_that_slipped_in_after_its_removal_is_dropped_before_anything_is_made() {
    let objects = ObjectStore::default();
    let context = context(&objects);
    let record = recorded(&objects).await;
    let tombstones = Tombstones::new(objects.client(), "kidp");
    tombstones.set(&record.spec.deployment_id).await.unwrap();
    // The engine of this registry panics when it is asked to build.
    reconcile(Arc::new(record), context).await.unwrap();
    let left = objects.holding("/serviceinstances/").remove(0);
    assert!(left["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(left["metadata"]["finalizers"][0], SERVICE_INSTANCE_FINALIZER);
    assert_eq!(
        left["spec"]["instance"]["deletionPolicy"], "Retain",
        "what an earlier instance left is not removed with it"
    );
}

#[tokio::test]
async fn a_record_that_was_begun_before_a_restart_is_not_dropped_but_removed_with_what_was_made() {
    let objects = ObjectStore::default();
    let context = context(&objects);
    let record = recorded(&objects).await;
    let id = &record.spec.deployment_id;
    Tombstones::new(objects.client(), "kidp").set(id).await.unwrap();
    let made = |uid: &str| {
        serde_json::from_value::<NetworkPolicy>(serde_json::json!({"metadata": {"name": format!("of-{uid}"),
            "labels": {labels::DEPLOYMENT_ID: id.as_str()},
            "ownerReferences": [{"apiVersion": "v1", "kind": "x", "name": id.as_str(), "uid": uid}]}}))
        .unwrap()
    };
    let api: Api<NetworkPolicy> = Api::namespaced(objects.client(), "shop");
    let of_another = made("of-an-earlier-record");
    api.create(&post_params(), &of_another).await.unwrap();
    assert!(!owns::<NetworkPolicy>(&record, &context).await.unwrap());
    let of_this = made(&record.uid().unwrap());
    api.create(&post_params(), &of_this).await.unwrap();
    assert!(!entombed(&record, &context).await.unwrap());
    assert_eq!(
        objects.holding("/serviceinstances/")[0]["metadata"]["deletionTimestamp"],
        serde_json::Value::Null
    );
}

#[tokio::test]
async fn a_record_out_of_its_turn_is_told_its_position_and_nothing_is_made() {
    let objects = ObjectStore::default();
    let context = context(&objects);
    let record = recorded(&objects).await;
    let (reader, mut writer) = store();
    let mut busy = record.clone();
    busy.spec.resource_name = "busy".to_owned();
    busy.spec.deployment_id = record::id("eu", "shop", &busy.spec);
    busy.metadata.name = Some(busy.spec.deployment_id.to_string());
    busy.metadata.uid = Some("busy".to_owned());
    busy.status.get_or_insert_default().phase = Phase::Provisioning;
    for held in [&busy, &record] {
        writer.apply_watcher_event(&Event::Apply(held.clone()));
    }
    context.places.get_or_init(|| Places::new(reader, 1));
    let action = reconcile(Arc::new(record), context.clone()).await.unwrap();
    assert_eq!(action, Action::requeue(POLL));
    let told = objects.holding("/serviceinstances/").remove(0);
    assert_eq!(
        (
            &told["status"]["phase"],
            &told["status"]["conditions"][0]["reason"]
        ),
        (&"Pending".into(), &"Queued".into())
    );
    let again: ServiceInstance = serde_json::from_value(told.clone()).unwrap();
    reconcile(Arc::new(again), context).await.unwrap();
    assert_eq!(objects.holding("/serviceinstances/"), [told], "said once");
}

/// The place of the span of a reconcile of this record, and whether it was recorded as a child of the record's.
fn place_of(record: &ServiceInstance) -> (TraceParent, bool) {
    let recording = Recording::start();
    let place = span_of(record).in_scope(|| span::current().unwrap());
    let parent = record::trace(record).map(|parent| parent.span_id().get());
    let recorded = recording.spans();
    assert!(recorded.iter().all(|span| span.at == place));
    (
        place,
        recorded.first().is_some_and(|span| Some(span.parent) == parent),
    )
}

#[test]
fn a_reconcile_is_in_the_trace_of_its_request_and_recorded_until_that_is_served() {
    let request = TraceParent::of_generation("somebody's", 7);
    let mut record = record::traced(testing::record(), Some(request));
    let status = |phase, applied| ServiceInstanceStatus {
        phase,
        applied,
        observed_generation: Some(1),
        ..ServiceInstanceStatus::default()
    };
    let served = Some(sync::fingerprint(&record));
    for (status, recorded) in [
        (None, true),
        (Some(status(Phase::Provisioning, None)), true),
        (Some(status(Phase::Failed, None)), false),
        (Some(status(Phase::Ready, served.clone())), false),
        (
            Some(status(Phase::Ready, Some("of an older spec".to_owned()))),
            true,
        ),
    ] {
        record.status = status;
        let (place, is_recorded) = place_of(&record);
        assert_eq!(place.trace_id(), request.trace_id());
        assert_eq!(
            (is_recorded, place.is_sampled()),
            (recorded, recorded),
            "{:?}",
            record.status
        );
    }
    let quiet = record::traced(record, Some(request.sampled(false)));
    assert!(
        !place_of(&quiet).0.is_sampled(),
        "what the caller does not record"
    );
}

#[tokio::test]
async fn the_time_of_a_reconcile_names_the_trace_of_its_request() {
    let recording = Recording::start();
    let objects = ObjectStore::default();
    let context = context(&objects);
    let request = TraceParent::of_generation("somebody's", 7);
    let record = record::traced(recorded(&objects).await, Some(request));
    // Removed, so that the engine, which panics, is not asked to build.
    let tombstones = Tombstones::new(objects.client(), "kidp");
    tombstones.set(&record.spec.deployment_id).await.unwrap();
    reconcile(Arc::new(record), context.clone()).await.unwrap();
    let spans = recording.spans();
    assert_eq!(spans[0].at.trace_id(), request.trace_id(), "{spans:?}");
    let shown = crate::metrics::shown(&context.metrics);
    let named = exemplars(
        &shown,
        &["reconcile_duration_seconds_bucket", r#"operation="apply""#],
    );
    assert_eq!(named, [format!("{:032x}", request.trace_id())].into());
}

#[test]
fn a_record_from_before_there_were_traces_has_one_of_its_own() {
    let record = testing::record();
    let (one, two) = (place_of(&record).0, place_of(&record).0);
    assert_eq!(one.trace_id(), two.trace_id());
    assert_ne!(one.span_id(), two.span_id());
}

#[test]
fn an_instance_is_usable_for_the_first_time_once() {
    let new = testing::record();
    let mut ready = new.clone();
    let status = ready.status.get_or_insert_default();
    status.applied = Some(sync::fingerprint(&new));
    let mut resized = ready.clone();
    resized.status.get_or_insert_default().applied = Some("of another spec".to_owned());
    let firsts = [(&new, &new), (&new, &ready), (&ready, &ready), (&ready, &resized)]
        .map(|(before, after)| is_first_ready(before, after));
    assert_eq!(firsts, [false, true, false, false]);
}
