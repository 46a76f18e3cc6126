//! The place in a trace that a request comes with, on its way into the record.

use kidp_core::group::TRACEPARENT_ANNOTATION;
use kidp_core::trace::TraceParent;
use kidp_telemetry::testing::{Recording, exemplars};

use super::*;
use crate::record;
use crate::testing::ObjectStore;

const CLIENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// Asks for generation `generation` of the resource with this header.
async fn provision(store: &ObjectStore, generation: i64, header: &str) -> u16 {
    let mut body = request_json();
    body["resourceGeneration"] = generation.into();
    let mut request = post_json("/v1/provision", &body);
    if !header.is_empty() {
        request
            .headers_mut()
            .insert("traceparent", header.parse().unwrap());
    }
    ask_of(store.client(), request).await.0
}

/// The record, and what its annotation says.
fn recorded(store: &ObjectStore) -> (Value, Option<String>) {
    let records = store.holding("/serviceinstances/");
    assert_eq!(records.len(), 1);
    let annotation = records[0]["metadata"]["annotations"][TRACEPARENT_ANNOTATION].as_str();
    (records[0].clone(), annotation.map(str::to_owned))
}

#[tokio::test]
async fn it_is_kept_with_the_spec_it_came_with_and_written_for_nothing_else() {
    let store = ObjectStore::default();
    assert_eq!(provision(&store, 2, CLIENT).await, 202);
    let (first, annotation) = recorded(&store);
    assert_eq!(annotation.as_deref(), Some(CLIENT));
    // The same request of another trace, or of none: nothing is written.
    for header in [OTHER, ""] {
        assert_eq!(provision(&store, 2, header).await, 202);
        assert_eq!(recorded(&store).0, first);
    }
    assert_eq!(provision(&store, 3, OTHER).await, 202);
    assert_eq!(recorded(&store).1.as_deref(), Some(OTHER));
    assert_eq!(provision(&store, 4, "").await, 202);
    assert_eq!(recorded(&store).1, None, "of another spec");
}

#[tokio::test]
async fn what_is_no_traceparent_is_as_good_as_none() {
    for bad in [
        "nonsense",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        let store = ObjectStore::default();
        assert_eq!(provision(&store, 2, bad).await, 202, "{bad}");
        assert_eq!(recorded(&store).1, None, "{bad}");
    }
}

#[tokio::test]
async fn the_record_and_the_log_continue_the_clients_trace() {
    let recording = Recording::start();
    let store = ObjectStore::default();
    assert_eq!(provision(&store, 2, CLIENT).await, 202);
    let client: TraceParent = CLIENT.parse().unwrap();
    let kept: TraceParent = recorded(&store).1.unwrap().parse().unwrap();
    let spans = recording.spans();
    assert_eq!(spans.len(), 1, "{spans:?}");
    assert_eq!((spans[0].name.as_str(), spans[0].at), ("request", kept));
    assert_eq!(kept.trace_id(), client.trace_id());
    assert_eq!(spans[0].parent, client.span_id().get());
    let log = recording.lines();
    let line = log
        .lines()
        .find(|line| line.contains("request recorded"))
        .unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["trace_id"], format!("{:032x}", client.trace_id()));
    assert_eq!(line["span_id"], format!("{:016x}", kept.span_id()));
}

#[tokio::test]
async fn a_request_without_a_trace_begins_one_and_one_that_only_reads_does_not() {
    let recording = Recording::start();
    let store = ObjectStore::default();
    assert_eq!(provision(&store, 2, "").await, 202);
    let spans = recording.spans();
    assert_eq!((spans.len(), spans[0].parent), (1, 0));
    assert_eq!(recorded(&store).1, Some(spans[0].at.to_string()));
    assert_eq!(ask_of(store.client(), get_path("/")).await.0, 200);
    assert_eq!(recording.spans().len(), 1);
}

#[tokio::test]
async fn the_time_of_an_answer_names_its_trace_where_that_is_recorded() {
    let _recording = Recording::start();
    let broker = Arc::new(broker(ObjectStore::default().client()));
    for (generation, header) in [(2, CLIENT), (3, OTHER)] {
        let mut body = request_json();
        body["resourceGeneration"] = generation.into();
        let mut request = post_json("/v1/provision", &body);
        request
            .headers_mut()
            .insert("traceparent", header.parse().unwrap());
        let answer = app(broker.clone()).oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
    }
    // Without a trace.
    app(broker.clone()).oneshot(get_path("/")).await.unwrap();
    let shown = crate::metrics::shown(&broker.metrics);
    let named = exemplars(&shown, &["http_request_duration_seconds_bucket"]);
    let client: TraceParent = CLIENT.parse().unwrap();
    assert_eq!(named, [format!("{:032x}", client.trace_id())].into());
}

#[tokio::test]
async fn of_what_the_client_does_not_record_nothing_is_recorded_and_the_log_has_its_trace() {
    let recording = Recording::start();
    let store = ObjectStore::default();
    assert_eq!(provision(&store, 2, OTHER).await, 202);
    assert_eq!(recording.spans(), []);
    assert!(
        recording
            .lines()
            .contains(r#""trace_id":"0af7651916cd43dd8448eb211c80319c""#)
    );
    let kept: TraceParent = recorded(&store).1.unwrap().parse().unwrap();
    assert!(!kept.is_sampled());
}

#[test]
fn a_record_says_where_it_came_from_and_its_spec_does_not() {
    let before = record();
    let after = record::traced(before.clone(), CLIENT.parse().ok());
    assert_eq!(record::trace(&before), None);
    assert_eq!(record::trace(&after), CLIENT.parse().ok());
    assert_eq!(after.spec, before.spec);
    let none = record::traced(after, None);
    assert_eq!(record::trace(&none), None);
}
