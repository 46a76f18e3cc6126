//! The lines of the audit log, as the log writes them.

use std::io;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::app;
use crate::auth::api_keys::ApiKeys;
use crate::auth::policy::Policy;
use crate::reload::Live;
use crate::testing::{broker, client, list, record, request_json};

const KEY: &str = "correct-horse-battery";
const PASSWORD: &str = "not-for-the-log";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Everything that is logged, and the audit log's part of it, while a broker with two clients answers a request.
async fn logged(request: Request<Body>) -> (String, Vec<Value>) {
    let cluster = client(|method, path| match method {
        "GET" if path.contains('?') => list(&[]),
        _ => (201, serde_json::to_value(record()).unwrap()),
    });
    let mut broker = broker(cluster);
    let keys = ApiKeys::parse(format!("ci:{KEY}\nguest:{KEY}-of-a-guest").as_bytes()).unwrap();
    broker.access.authenticator.keys = Some(Live::fixed(keys));
    let policy = "clients: [{method: apiKey, name: ci, namespaces: [shop], verbs: [read, write]}]";
    broker.access.policy = Some(Live::fixed(Policy::parse(policy.as_bytes()).unwrap()));
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let _ = app(Arc::new(broker)).oneshot(request).await.unwrap();
    drop(guard);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let audit = lines
        .filter(|line| line["target"] == "audit")
        .map(|line| line["fields"].clone());
    let audit = audit.collect();
    (text, audit)
}

fn post(path: &str, key: &str, body: &Value) -> Request<Body> {
    Request::post(path)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {key}"))
        .header("x-request-id", "req-1")
        .extension(Peer {
            address: "10.0.0.1:1000".parse().unwrap(),
            certificate: None,
        })
        .body(Body::from(body.to_string()))
        .unwrap()
}

fn provision() -> Value {
    let mut body = request_json();
    body["spec"]["parameters"] = json!({"hint": PASSWORD});
    body
}

#[tokio::test]
async fn a_change_is_one_line_with_who_what_and_what_came_of_it() {
    let (text, lines) = logged(post("/v1/provision", KEY, &provision())).await;
    let id = lines[0]["deployment_id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("deploy-"), "{id}");
    let expected = json!([{"message": "request", "client": "ci", "auth": "apiKey", "verb": "write", "method": "POST",
        "route": "/v1/provision", "namespace": "shop", "resource_type": "Database", "resource_name": "orders",
        "deployment_id": id, "outcome": "allowed", "status": 202, "code": "", "request_id": "req-1",
        "peer": "10.0.0.1:1000"}]);
    assert_eq!(Value::from(lines), expected);
    assert!(!text.contains(KEY) && !text.contains(PASSWORD), "{text}");
}

#[tokio::test]
async fn refusals_are_told_with_their_reason() {
    let guest = format!("{KEY}-of-a-guest");
    let elsewhere = {
        let mut body = provision();
        body["namespace"] = "bank".into();
        body
    };
    for (key, path, body, client, status, code) in [
        (
            "a-key-that-nobody-has",
            "/v1/provision",
            provision(),
            "",
            401,
            "Unauthorized",
        ),
        (&guest, "/v1/provision", provision(), "guest", 403, "Forbidden"),
        (KEY, "/v1/provision", elsewhere, "ci", 403, "Forbidden"),
        (KEY, "/v1/provision", json!({}), "ci", 400, "MalformedRequest"),
        (
            KEY,
            "/v1/deprovision",
            json!({"deploymentId": record().spec.deployment_id}),
            "ci",
            404,
            "NotFound",
        ),
    ] {
        let (text, lines) = logged(post(path, key, &body)).await;
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line = &lines[0];
        assert_eq!(
            (
                line["client"].as_str(),
                line["status"].as_u64(),
                line["code"].as_str(),
                line["outcome"].as_str()
            ),
            (Some(client), Some(status), Some(code), Some("refused")),
            "{line}"
        );
        assert!(!text.contains(key) && !text.contains(PASSWORD), "{text}");
    }
}

#[tokio::test]
async fn what_only_reads_is_not_told() {
    let query = post("/v1/resources", KEY, &json!({}));
    let root = Request::get("/")
        .header("x-api-key", KEY)
        .body(Body::empty())
        .unwrap();
    for request in [query, root] {
        assert_eq!(logged(request).await.1, Vec::<Value>::new());
    }
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_its_line() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().json().with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let hanging = tower::service_fn(|_: Request<kube::client::Body>| {
        std::future::pending::<Result<axum::http::Response<kube::client::Body>, std::convert::Infallible>>()
    });
    let app = app(Arc::new(broker(kube::Client::new(hanging, "default"))));
    let answer = app.oneshot(post("/v1/provision", KEY, &provision()));
    let gone = tokio::time::timeout(std::time::Duration::from_millis(50), answer).await;
    assert!(gone.is_err());
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains(r#""outcome":"abandoned""#), "{text}");
}

#[test]
fn texts_of_a_request_are_cut() {
    let entry = Entry::default();
    entry.namespace(&"ä".repeat(300));
    assert_eq!(entry.fields().namespace.chars().count(), MAX_TEXT);
}
