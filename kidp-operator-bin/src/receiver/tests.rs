//! The receiver over its router: what is believed, what is answered, and what it sets off.

use super::*;
use crate::cache::{Writers, caches};
use crate::queues::{Receivers, queues};
use crate::testing::{broker, cache, database, fill, id_at_eu};
use axum::body::Body;
use axum::http::Request;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kidp_callback::{SigningKey, sign};
use kidp_core::instance::ResourceType;
use kidp_core::trace::TraceParent;
use kidp_telemetry::testing::{Recording, exemplars};
use tower::ServiceExt;

struct Fixture {
    app: Router,
    receivers: Receivers,
    leading: watch::Sender<bool>,
    metrics: Metrics,
    _writers: Writers,
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn fixture() -> Fixture {
    let (readers, mut writers) = caches();
    let mut db = database("orders");
    let status = db.status.get_or_insert_default();
    status.observed_generation = Some(2);
    fill(&mut writers.databases, [db]);
    fill(&mut writers.caches, [cache("orders")]);
    fill(
        &mut writers.brokers,
        [
            broker("eu", Some(key().public().to_string())),
            broker("silent", None),
        ],
    );
    let (queues, receivers) = queues();
    let (leading, seen) = watch::channel(true);
    let metrics = Metrics::default();
    Fixture {
        app: app(Receiver::new(readers, queues, seen).with_metrics(metrics.clone())),
        receivers,
        leading,
        metrics,
        _writers: writers,
    }
}

impl Fixture {
    async fn post(&self, headers: HeaderMap, body: Vec<u8>) -> (u16, Option<Problem>) {
        let mut request = Request::post("/v1/callback").body(Body::from(body)).unwrap();
        *request.headers_mut() = headers;
        let answer = self.app.clone().oneshot(request).await.unwrap();
        let code = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
        (code, serde_json::from_slice(&body).ok())
    }

    async fn code(&self, headers: HeaderMap, body: Vec<u8>) -> u16 {
        self.post(headers, body).await.0
    }

    fn hinted(&mut self) -> usize {
        std::iter::from_fn(|| self.receivers.databases.try_recv().ok()).count()
    }
}

fn message() -> Callback {
    let mut callback = Callback::new(
        id_at_eu(&database("orders")),
        ResourceType::Database,
        "orders",
        "shop",
        CallbackPhase::Ready,
        Timestamp::now(),
    );
    callback.resource_generation = Some(2);
    callback
}

fn signed(key: &SigningKey, broker: &str, id: &str, at: Timestamp, body: &[u8]) -> HeaderMap {
    let mut headers = sign(key, broker, id, at, body).unwrap();
    headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    headers
}

fn good(id: &str, callback: &Callback) -> (HeaderMap, Vec<u8>) {
    let body = callback.to_body().unwrap();
    (signed(&key(), "eu", id, Timestamp::now(), &body), body)
}

#[tokio::test]
async fn a_signed_callback_is_a_hint_and_its_repeat_is_not() {
    let mut fixture = fixture();
    let (headers, body) = good("m1", &message());
    assert_eq!(fixture.code(headers.clone(), body.clone()).await, 204);
    assert_eq!(fixture.hinted(), 1);
    assert_eq!(fixture.code(headers, body).await, 204);
    assert_eq!(fixture.hinted(), 0);
}

#[tokio::test]
async fn a_believed_callback_continues_the_trace_that_its_headers_name() {
    let recording = Recording::start();
    let mut fixture = fixture();
    let parent = TraceParent::of_generation("uid", 1);
    let (mut headers, body) = good("m1", &message());
    headers.insert("traceparent", parent.to_string().parse().unwrap());
    assert_eq!(fixture.code(headers.clone(), body.clone()).await, 204);
    assert_eq!(fixture.hinted(), 1);
    let spans = recording.spans();
    assert_eq!(
        (spans.len(), spans[0].parent),
        (1, parent.span_id().get()),
        "{spans:?}"
    );
    assert_eq!(spans[0].at.trace_id(), parent.trace_id());
    let log = recording.lines();
    let line = log
        .lines()
        .find(|line| line.contains("callback received"))
        .unwrap();
    let trace = format!("{:032x}", parent.trace_id());
    assert!(line.contains(&trace), "{line}");
    let shown = crate::metrics::shown(&fixture.metrics);
    assert_eq!(
        exemplars(&shown, &["callback_latency_seconds_bucket"]),
        [trace].into()
    );
    // A forged one is in no trace, and one without a sound header is taken all the same.
    let mut forged = body.clone();
    forged.push(b' ');
    assert_eq!(fixture.code(headers, forged).await, 401);
    assert_eq!(recording.spans().len(), 1);
    let (mut headers, body) = good("m2", &message());
    headers.insert("traceparent", "nonsense".parse().unwrap());
    assert_eq!(fixture.code(headers, body).await, 204);
    assert_eq!(recording.spans()[1].parent, 0);
}

#[tokio::test]
async fn the_time_of_what_a_callback_tells_is_known_until_it_is_looked_at() {
    let fixture = fixture();
    let told = message();
    let key = ResourceKey::of(&database("orders"));
    let (headers, body) = good("m1", &told);
    assert_eq!(fixture.code(headers, body).await, 204);
    assert_eq!(fixture.metrics.news(&key), Some(told.time));
    let mut stale = message();
    stale.resource_generation = Some(1);
    let (headers, body) = good("m2", &stale);
    assert_eq!(fixture.code(headers, body).await, 204);
    assert_eq!(fixture.metrics.news(&key), None, "nobody is about to look");
}

#[tokio::test]
async fn what_is_forged_altered_or_stale_is_not_believed() {
    let mut fixture = fixture();
    let body = message().to_body().unwrap();
    let now = Timestamp::now();
    let other = SigningKey::from_seed(&[8; 32]);
    let hour = jiff::SignedDuration::from_hours(1);
    let mut altered = body.clone();
    altered.push(b' ');
    let table = [
        ("another key", signed(&other, "eu", "m", now, &body), body.clone()),
        (
            "an unknown broker",
            signed(&key(), "us", "m", now, &body),
            body.clone(),
        ),
        (
            "a broker without a key",
            signed(&key(), "silent", "m", now, &body),
            body.clone(),
        ),
        ("an altered body", signed(&key(), "eu", "m", now, &body), altered),
        (
            "long ago",
            signed(&key(), "eu", "m", now - hour, &body),
            body.clone(),
        ),
        (
            "in the future",
            signed(&key(), "eu", "m", now + hour, &body),
            body.clone(),
        ),
    ];
    for (what, headers, body) in table {
        let (code, problem) = fixture.post(headers, body).await;
        assert_eq!(
            (code, problem.unwrap().error),
            (401, Reason::Unauthorized),
            "{what}"
        );
    }
    let mut unsigned = HeaderMap::new();
    unsigned.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    assert_eq!(fixture.code(unsigned, body).await, 401);
    assert_eq!(fixture.hinted(), 0);
}

#[tokio::test]
async fn a_key_before_is_believed_until_it_expires() {
    let old = SigningKey::from_seed(&[8; 32]);
    let body = message().to_body().unwrap();
    for (minutes, code) in [(1, 204), (-1, 401)] {
        let mut rotated = broker("eu", Some(key().public().to_string()));
        rotated.status.as_mut().unwrap().previous_callback_keys = vec![kidp_core::crd::PreviousKey {
            key: old.public().to_string(),
            expires_at: Time(Timestamp::now() + jiff::SignedDuration::from_mins(minutes)),
        }];
        let (readers, mut writers) = caches();
        fill(&mut writers.databases, [database("orders")]);
        fill(&mut writers.brokers, [rotated]);
        let (queues, _receivers) = queues();
        let (_leading, seen) = watch::channel(true);
        let app = app(Receiver::new(readers, queues, seen));
        for signer in [&old, &key()] {
            let mut request = Request::post("/v1/callback")
                .body(Body::from(body.clone()))
                .unwrap();
            *request.headers_mut() = signed(signer, "eu", "m1", Timestamp::now(), &body);
            let answer = app.clone().oneshot(request).await.unwrap().status().as_u16();
            let expected = if signer.public() == key().public() {
                204
            } else {
                code
            };
            assert_eq!(answer, expected);
        }
    }
}

#[tokio::test]
async fn a_flood_without_a_key_is_not_remembered() {
    let (readers, mut writers) = caches();
    fill(&mut writers.databases, [database("orders")]);
    fill(
        &mut writers.brokers,
        [broker("eu", Some(key().public().to_string()))],
    );
    let (queues, _receivers) = queues();
    let (_leading, seen) = watch::channel(true);
    let receiver = Receiver::new(readers, queues, seen);
    let guard = Arc::clone(&receiver.guard);
    let app = app(receiver);
    let forger = SigningKey::from_seed(&[9; 32]);
    let body = message().to_body().unwrap();
    for n in 0..200 {
        let mut request = Request::post("/v1/callback")
            .body(Body::from(body.clone()))
            .unwrap();
        *request.headers_mut() = signed(&forger, "eu", &format!("m{n}"), Timestamp::now(), &body);
        assert_eq!(app.clone().oneshot(request).await.unwrap().status().as_u16(), 401);
    }
    assert!(
        guard.lock().unwrap().is_empty(),
        "only what is believed takes memory"
    );
}

#[tokio::test]
async fn ten_times_late_and_in_any_order_is_one_hint_for_each_message() {
    let mut fixture = fixture();
    let mut messages = Vec::new();
    for (id, phase, generation) in [
        ("m1", CallbackPhase::Provisioning, 2),
        ("m2", CallbackPhase::Ready, 2),
        ("m0", CallbackPhase::Ready, 1),
    ] {
        let mut callback = message();
        callback.phase = phase;
        callback.resource_generation = Some(generation);
        messages.push(good(id, &callback));
    }
    for turn in 0..30 {
        let (headers, body) = messages[(turn * 7 + turn / 3) % 3].clone();
        assert_eq!(fixture.code(headers, body).await, 204);
    }
    assert_eq!(
        fixture.hinted(),
        2,
        "one of each, and none of the generation before"
    );
}

#[tokio::test]
async fn what_is_not_a_callback_is_refused_with_its_reason() {
    let fixture = fixture();
    let (mut headers, body) = good("m", &message());
    headers.insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
    assert_eq!(fixture.code(headers, body).await, 415);
    let (headers, _) = good("m", &message());
    assert_eq!(fixture.code(headers, vec![b' '; MAX_BODY_BYTES + 1]).await, 413);
    let body = br#"{"deploymentId": 1}"#.to_vec();
    let headers = signed(&key(), "eu", "m", Timestamp::now(), &body);
    let (code, problem) = fixture.post(headers, body).await;
    assert_eq!((code, problem.unwrap().error), (400, Reason::MalformedRequest));
}

#[tokio::test]
async fn only_the_right_broker_can_hint_at_the_right_deployment() {
    let mut fixture = fixture();
    let mut unknown = message();
    unknown.deployment_id = id_at_eu(&database("other"));
    let (headers, body) = good("m1", &unknown);
    let (code, problem) = fixture.post(headers.clone(), body.clone()).await;
    assert_eq!(
        (code, problem.unwrap().details[0].field.as_str()),
        (404, "deploymentId")
    );
    assert_eq!(
        fixture.code(headers, body).await,
        404,
        "what was not handled is not taken for a repeat"
    );
    unknown.phase = CallbackPhase::Deleted;
    let (headers, body) = good("m2", &unknown);
    assert_eq!(fixture.code(headers, body).await, 204, "the end of what is gone");
    let mut old = message();
    old.resource_generation = Some(1);
    let (headers, body) = good("m3", &old);
    assert_eq!(fixture.code(headers, body).await, 204, "older than what is known");
    assert_eq!(fixture.hinted(), 0);
}

#[tokio::test]
async fn a_callback_reaches_the_kind_that_it_is_about() {
    let mut fixture = fixture();
    let mut about = message();
    about.resource_type = ResourceType::Cache;
    let (headers, body) = good("m1", &about);
    assert_eq!(
        fixture.code(headers, body).await,
        404,
        "the cache of that name has another id"
    );
    about.deployment_id = id_at_eu(&cache("orders"));
    let (headers, body) = good("m2", &about);
    assert_eq!(fixture.code(headers, body).await, 204);
    assert_eq!(fixture.hinted(), 0, "the database is left alone");
    assert!(fixture.receivers.caches.try_recv().is_ok());
}

#[tokio::test]
async fn a_replica_that_does_not_lead_sends_the_broker_away_for_now() {
    let fixture = fixture();
    fixture.leading.send_replace(false);
    let (headers, body) = good("m", &message());
    assert_eq!(fixture.code(headers, body).await, 503);
}

#[tokio::test]
async fn a_message_too_many_is_turned_away_for_now() {
    let (readers, _writers) = caches();
    let (queues, _receivers) = queues();
    let (_leading, seen) = watch::channel(true);
    let receiver = Receiver::new(readers, queues, seen);
    let places = Arc::clone(&receiver.places);
    let _held = places.try_acquire_many(u32::try_from(AT_ONCE).unwrap()).unwrap();
    let request = Request::post("/v1/callback").body(Body::empty()).unwrap();
    assert_eq!(
        app(receiver).oneshot(request).await.unwrap().status().as_u16(),
        503
    );
}

#[tokio::test]
async fn other_routes_and_methods_are_problems_too() {
    let fixture = fixture();
    for (request, code) in [
        (Request::get("/v1/callback").body(Body::empty()).unwrap(), 405),
        (Request::get("/").body(Body::empty()).unwrap(), 404),
    ] {
        let answer = fixture.app.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), code);
        let body = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
        assert_eq!(serde_json::from_slice::<Problem>(&body).unwrap().code, code);
    }
}
