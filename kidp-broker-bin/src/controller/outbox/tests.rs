//! An outbox between a receiver and an API server, both played.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kidp_callback::{SigningKey, TrustedBroker, verify};
use kidp_core::crd::{OutboxEntry, ServiceInstanceStatus};
use kidp_core::trace::TraceParent;
use kidp_telemetry::testing::{Recording, exemplars};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::testing;

type Writes = Arc<Mutex<Vec<String>>>;

async fn scene(status: u16) -> (MockServer, Arc<Outbox>, ServiceInstance, Writes) {
    let receiver = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(status))
        .mount(&receiver)
        .await;
    let mut record = testing::record();
    record.spec.callback_url = Some(format!("{}/v1/callback", receiver.uri()));
    record.status = Some(ServiceInstanceStatus {
        phase: Phase::Ready,
        endpoint: Some("orders.shop.svc".to_owned()),
        outbox: vec![OutboxEntry {
            id: "msg-1".to_owned(),
            phase: Phase::Ready,
            queued_at: Time(jiff::Timestamp::UNIX_EPOCH),
            rounds: 0,
        }],
        ..ServiceInstanceStatus::default()
    });
    let writes = Writes::default();
    let (log, held) = (writes.clone(), record.clone());
    let client = testing::client(move |method, path| {
        if method != "GET" {
            log.lock().unwrap().push(format!("{method} {path}"));
        }
        (200, serde_json::to_value(&held).unwrap())
    });
    let sender = Sender::new(SigningKey::from_seed(&[1; 32]), "eu").unwrap();
    let allowed = UrlPolicy::new(&[receiver.uri()]).unwrap();
    let outbox = Outbox::new(
        client,
        sender,
        allowed,
        Metrics::default(),
        CancellationToken::new(),
    );
    (receiver, outbox, record, writes)
}

#[tokio::test]
async fn an_acknowledged_callback_is_removed_with_one_write() {
    let (receiver, outbox, record, writes) = scene(200).await;
    outbox.ensure(&record);
    outbox.ensure(&record);
    outbox.drain().await;
    // A reconcile whose view lags behind still sees the entry.
    outbox.ensure(&record);
    outbox.drain().await;
    let sent = receiver.received_requests().await.unwrap();
    assert_eq!(sent.len(), 1, "three calls, one callback");
    let keys = [SigningKey::from_seed(&[1; 32]).public()];
    let broker = TrustedBroker {
        name: "eu",
        keys: &keys,
    };
    verify(&sent[0].headers, &sent[0].body, broker, jiff::Timestamp::now()).unwrap();
    let callback = Callback::parse(&sent[0].body).unwrap();
    assert_eq!(
        (callback.phase, callback.resource_generation),
        (CallbackPhase::Ready, Some(2))
    );
    let writes = writes.lock().unwrap();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert!(writes[0].contains("/status"));
}

#[tokio::test]
async fn a_callback_says_which_trace_it_belongs_to() {
    let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let parent: TraceParent = header.parse().unwrap();
    let (receiver, outbox, record, _) = scene(200).await;
    let record = record::traced(record, Some(parent));
    let (untraced, other, bare, _) = scene(200).await;
    other.ensure(&bare);
    other.drain().await;
    assert!(
        !untraced.received_requests().await.unwrap()[0]
            .headers
            .contains_key("traceparent")
    );
    // Without a span to be in, the record's own place is told.
    outbox.farewell(&record);
    outbox.drain().await;
    let recording = Recording::start();
    outbox.ensure(&record);
    outbox.drain().await;
    let sent = receiver.received_requests().await.unwrap();
    let told = |at: usize| kidp_telemetry::headers::received(&sent[at].headers).unwrap();
    assert_eq!(told(0), parent);
    let spans = recording.spans();
    assert_eq!(
        (spans.len(), spans[0].at, spans[0].parent),
        (1, told(1), parent.span_id().get())
    );
    assert_eq!(told(1).trace_id(), parent.trace_id());
    let log = recording.lines();
    let line = log
        .lines()
        .find(|line| line.contains("callback acknowledged"))
        .unwrap();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    assert!(line.contains(trace), "{line}");
    let named = |outbox: &Outbox| {
        let shown = crate::metrics::shown(&outbox.metrics);
        exemplars(&shown, &["callback_latency_seconds_bucket"])
    };
    assert_eq!(named(&outbox), [trace.to_owned()].into());
    assert_eq!(named(&other), [].into(), "nothing was traced");
}

#[tokio::test]
async fn a_final_refusal_is_removed_and_one_that_may_pass_is_kept() {
    let (_receiver, outbox, record, writes) = scene(410).await;
    outbox.ensure(&record);
    outbox.drain().await;
    assert_eq!(writes.lock().unwrap().len(), 1);

    let (_receiver, outbox, record, writes) = scene(401).await;
    outbox.ensure(&record);
    tokio::time::sleep(Duration::from_millis(300)).await;
    outbox.shutdown.cancel();
    outbox.drain().await;
    assert!(writes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_url_that_is_not_allowed_is_never_sent_to() {
    let (receiver, outbox, mut record, writes) = scene(200).await;
    record.spec.callback_url = Some(receiver.uri().replace("127.0.0.1", "localhost"));
    outbox.ensure(&record);
    outbox.farewell(&record);
    outbox.drain().await;
    assert!(receiver.received_requests().await.unwrap().is_empty());
    assert!(writes.lock().unwrap().is_empty());
}

#[test]
fn the_farewell_carries_no_endpoint() {
    let callback = compose(
        &testing::record(),
        CallbackPhase::Deleted,
        jiff::Timestamp::UNIX_EPOCH,
    );
    assert_eq!(
        (callback.endpoint, callback.phase),
        (None, CallbackPhase::Deleted)
    );
}

#[test]
fn pauses_of_many_callbacks_are_spread_and_those_of_one_are_the_same_again() {
    let of = |number: u32| spread(&format!("msg-{number}"), 1);
    let all: Vec<_> = (0..400).map(of).collect();
    assert!(all.iter().all(|part| (0.0..=1.0).contains(part)));
    for quarter in 0..4 {
        let (from, to) = (f64::from(quarter) / 4.0, f64::from(quarter + 1) / 4.0);
        let within = all.iter().filter(|part| (from..to).contains(*part)).count();
        assert!((60..140).contains(&within), "{within} from {from}");
    }
    assert!((of(1) - of(1)).abs() < f64::EPSILON);
    assert!((spread("msg-1", 1) - spread("msg-1", 2)).abs() > f64::EPSILON);
}
