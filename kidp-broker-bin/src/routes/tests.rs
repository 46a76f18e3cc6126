//! The API, asked without a network, in front of an API server that a closure plays.

use std::sync::Mutex;

use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use kidp_core::crd::ServiceInstance;
use kidp_core::wire::{BrokerRoot, MAX_BODY_BYTES};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::auth::api_keys::ApiKeys;
use crate::reload::Live;
use crate::testing::{broker, client, failure, list, record, request_json};

mod plan;
mod protocol;
mod trace;

type Calls = Arc<Mutex<Vec<String>>>;

/// An API server that lists nothing and takes every record, and what it was asked.
fn accepting() -> (kube::Client, Calls) {
    let calls = Calls::default();
    let log = calls.clone();
    let client = client(move |method, path| {
        log.lock().unwrap().push(format!("{method} {path}"));
        match method {
            "GET" => list(&[]),
            _ => (201, serde_json::to_value(record()).unwrap()),
        }
    });
    (client, calls)
}

fn post_json(path: &str, body: &Value) -> Request<Body> {
    let request = Request::post(path).header("content-type", "application/json");
    request.body(Body::from(body.to_string())).unwrap()
}

fn get_path(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

async fn ask_of(client: kube::Client, request: Request<Body>) -> (u16, Value) {
    let response = app(Arc::new(broker(client))).oneshot(request).await.unwrap();
    read(response).await
}

async fn read(response: Response<Body>) -> (u16, Value) {
    let status = response.status().as_u16();
    assert!(response.headers().contains_key("x-request-id"));
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn ask(request: Request<Body>) -> (u16, Value) {
    ask_of(accepting().0, request).await
}

#[tokio::test]
async fn provision_writes_the_record_before_it_answers() {
    let (client, calls) = accepting();
    let (status, body) = ask_of(client, post_json("/v1/provision", &request_json())).await;
    assert_eq!(status, 202, "{body}");
    assert_eq!(body["status"], "accepted");
    assert_eq!(body["deploymentId"], record().spec.deployment_id.as_str());
    let calls = calls.lock().unwrap();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(
        calls[1]
            .starts_with("POST /apis/broker.platform.company.com/v1alpha1/namespaces/shop/serviceinstances")
    );
}

#[tokio::test]
async fn a_refused_write_is_never_answered_with_202() {
    for (answer, code, field) in [
        (failure(404, "NotFound", "namespaces"), 422, Some("namespace")),
        (failure(404, "NotFound", ""), 500, None),
        (failure(403, "Forbidden", ""), 500, None),
        (failure(500, "InternalError", ""), 503, None),
    ] {
        let client = client(move |method, _| {
            if method == "GET" {
                list(&[])
            } else {
                answer.clone()
            }
        });
        let (status, body) = ask_of(client, post_json("/v1/provision", &request_json())).await;
        assert_eq!(status, code, "{body}");
        assert_eq!(body["details"][0]["field"].as_str(), field);
        assert_eq!(body["code"], code);
    }
}

/// A cluster with one record: creates meet it, reads return it, replacements return what a test does not look at.
fn holding(held: ServiceInstance) -> kube::Client {
    client(move |method, path| match method {
        "POST" => failure(409, "AlreadyExists", "serviceinstances"),
        "GET" if path.contains(held.metadata.name.as_deref().unwrap()) && !path.contains('?') => {
            (200, serde_json::to_value(&held).unwrap())
        }
        "GET" => list(std::slice::from_ref(&held)),
        _ => (200, serde_json::to_value(&held).unwrap()),
    })
}

#[tokio::test]
async fn a_repeat_a_change_and_a_conflict() {
    let message = async |change: Value| {
        let mut request = request_json();
        for (key, value) in change.as_object().unwrap() {
            request[key] = value.clone();
        }
        ask_of(holding(record()), post_json("/v1/provision", &request)).await
    };
    let resized =
        json!({"engine": "postgresql", "version": "15", "size": "medium", "storage": {"size": "1Gi"}});
    let (status, body) = message(json!({})).await;
    assert_eq!(
        (status, body["message"].as_str()),
        (202, Some("this request is known already"))
    );
    let (status, body) = message(json!({"resourceGeneration": 3, "spec": resized})).await;
    assert_eq!(
        (status, body["message"].as_str()),
        (202, Some("the change is being applied"))
    );
    let (status, body) = message(json!({"resourceGeneration": 1, "spec": resized})).await;
    assert_eq!(
        (status, body["message"].as_str()),
        (202, Some("ignored: a newer generation is known"))
    );
    let (status, body) = message(json!({"spec": resized})).await;
    assert_eq!(
        (status, body["details"][0]["field"].as_str()),
        (409, Some("spec.size"))
    );
    let (status, body) = message(json!({"resourceUid": "uid-2"})).await;
    assert_eq!(
        (status, body["details"][0]["field"].as_str()),
        (409, Some("resourceName"))
    );
}

#[tokio::test]
async fn bad_bodies_are_told_apart() {
    let provision = |content_type: &str, body: Vec<u8>| {
        let request = Request::post("/v1/provision").header("content-type", content_type);
        request.body(Body::from(body)).unwrap()
    };
    let sound = request_json().to_string().into_bytes();
    let json = "application/json; charset=utf-8";
    for (request, code, error) in [
        (
            provision("text/plain", sound.clone()),
            415,
            "UnsupportedMediaType",
        ),
        (provision("", sound.clone()), 415, "UnsupportedMediaType"),
        (provision(json, b"{".to_vec()), 400, "MalformedRequest"),
        (
            provision(json, vec![b' '; MAX_BODY_BYTES + 1]),
            413,
            "BodyTooLarge",
        ),
        (provision(json, sound.clone()), 202, ""),
    ] {
        let (status, body) = ask(request).await;
        assert_eq!(status, code, "{body}");
        assert_eq!(body["error"].as_str().unwrap_or_default(), error);
    }
}

#[tokio::test]
async fn a_long_body_of_unknown_length_is_cut_off() {
    let pieces = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024]));
    let request = Request::post("/v1/provision").header("content-type", "application/json");
    let (status, _) = ask(request.body(Body::from_stream(pieces)).unwrap()).await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn status_and_deprovision_of_what_is_not_there_are_404() {
    let id = record().spec.deployment_id;
    let (status, body) = ask(get_path(&format!("/v1/status?id={id}"))).await;
    assert_eq!((status, body["error"].as_str()), (404, Some("NotFound")));
    let (status, body) = ask(post_json("/v1/deprovision", &json!({"deploymentId": id}))).await;
    assert_eq!((status, body["error"].as_str()), (404, Some("NotFound")));
    for path in ["/v1/status", "/v1/status?id=x"] {
        let (status, body) = ask(get_path(path)).await;
        assert_eq!((status, body["details"][0]["field"].as_str()), (400, Some("id")));
    }
    let (status, body) = ask(post_json("/v1/deprovision", &json!({"deploymentId": "x"}))).await;
    assert_eq!(
        (status, body["details"][0]["field"].as_str()),
        (400, Some("deploymentId"))
    );
}

#[tokio::test]
async fn deprovision_deletes_what_it_saw_and_nothing_else() {
    let calls = Calls::default();
    let log = calls.clone();
    let client = client(move |method, path| {
        log.lock().unwrap().push(format!("{method} {path}"));
        match method {
            "GET" => list(&[record()]),
            _ => (200, serde_json::to_value(record()).unwrap()),
        }
    });
    let body = json!({"deploymentId": record().spec.deployment_id, "deletionPolicy": "Retain"});
    let (status, _) = ask_of(client, post_json("/v1/deprovision", &body)).await;
    assert_eq!(status, 202);
    let methods: Vec<_> = calls
        .lock()
        .unwrap()
        .iter()
        .map(|c| c.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        methods,
        ["GET", "GET", "PUT", "DELETE"],
        "the policy is recorded before the deletion"
    );
}

#[tokio::test]
async fn status_speaks_of_the_record() {
    let path = format!("/v1/status?id={}", record().spec.deployment_id);
    let (status, body) = ask_of(holding(record()), get_path(&path)).await;
    assert_eq!((status, body["phase"].as_str()), (200, Some("Provisioning")));
}

#[tokio::test]
async fn resources_are_listed_and_queries_are_strict() {
    let (status, body) = ask(get_path("/v1/resources?namespace=shop")).await;
    assert_eq!(
        (status, body["total"].as_u64(), body["namespace"].as_str()),
        (200, Some(0), Some("shop"))
    );
    let (status, _) = ask(post_json("/v1/resources", &json!({"resourceType": "Database"}))).await;
    assert_eq!(status, 200);
    for request in [
        get_path("/v1/resources?namespace=a%20b"),
        post_json("/v1/resources", &json!({"namespace": "\u{fc}\u{1}"})),
    ] {
        let (status, body) = ask(request).await;
        assert_eq!(
            (status, body["details"][0]["field"].as_str()),
            (422, Some("namespace"))
        );
    }
    let (status, body) = ask(get_path("/v1/resources?colour=red")).await;
    assert_eq!(
        (status, body["details"][0]["field"].as_str()),
        (400, Some("colour"))
    );
}

#[tokio::test]
async fn the_root_describes_every_route() {
    let (status, body) = ask(get_path("/")).await;
    assert_eq!(status, 200);
    let root: BrokerRoot = serde_json::from_value(body).unwrap();
    assert_eq!(root.name, "eu");
    assert!(root.callback_public_key.starts_with("whpk_"));
    assert_eq!(root.capabilities[0].provider, "postgresql");
    let example = root
        .endpoints
        .iter()
        .find(|e| e.path == "/v1/provision")
        .unwrap()
        .example
        .clone()
        .unwrap();
    let (status, body) = ask(post_json("/v1/provision", &example)).await;
    assert_eq!(status, 202, "the example works: {body}");
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems() {
    let (status, body) = ask(get_path("/nope")).await;
    assert_eq!((status, body["error"].as_str()), (404, Some("NotFound")));
    let (status, body) = ask(get_path("/v1/provision")).await;
    assert_eq!((status, body["error"].as_str()), (405, Some("MethodNotAllowed")));
}

#[tokio::test]
async fn health_needs_no_cluster_and_readiness_does() {
    let down = || client(|_, _| failure(500, "InternalError", ""));
    assert_eq!(ask_of(down(), get_path("/health")).await.0, 200);
    assert_eq!(ask_of(down(), get_path("/readiness")).await.0, 503);
    assert_eq!(ask(get_path("/readiness")).await.0, 200);
}

#[tokio::test]
async fn readiness_asks_the_cluster_once_for_many() {
    let (client, calls) = accepting();
    let app = app(Arc::new(broker(client)));
    let asks = (0..20).map(|_| app.clone().oneshot(get_path("/readiness")));
    let answers = futures::future::join_all(asks).await;
    assert!(
        answers
            .iter()
            .all(|a| a.as_ref().unwrap().status() == StatusCode::OK)
    );
    assert_eq!(calls.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn with_keys_every_route_but_the_probes_needs_one() {
    let guarded = |request: Request<Body>| {
        let mut broker = broker(accepting().0);
        let keys = ApiKeys::parse(b"a-key-that-is-long").unwrap();
        broker.access.authenticator.keys = Some(Live::fixed(keys));
        app(Arc::new(broker)).oneshot(request)
    };
    for (path, code) in [
        ("/", 401),
        ("/v1/resources", 401),
        ("/health", 200),
        ("/readiness", 200),
    ] {
        assert_eq!(
            read(guarded(get_path(path)).await.unwrap()).await.0,
            code,
            "{path}"
        );
    }
    let (status, body) = read(
        guarded(post_json("/v1/provision", &request_json()))
            .await
            .unwrap(),
    )
    .await;
    assert_eq!((status, body["error"].as_str()), (401, Some("Unauthorized")));
    let with_key = Request::get("/").header("x-api-key", "a-key-that-is-long");
    let response = guarded(with_key.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_request_id_is_kept_where_it_is_usable() {
    let with = |id: &str| {
        Request::get("/health")
            .header("x-request-id", id)
            .body(Body::empty())
            .unwrap()
    };
    let answer = async |id: &str| {
        let response = app(Arc::new(broker(accepting().0)))
            .oneshot(with(id))
            .await
            .unwrap();
        response.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(answer("abc-1").await, "abc-1");
    assert_ne!(answer("not usable").await, "not usable");
}

#[tokio::test]
async fn a_cluster_that_hangs_ends_in_504_and_a_crowd_in_429() {
    let hanging = tower::service_fn(|_: Request<kube::client::Body>| {
        std::future::pending::<Result<Response<kube::client::Body>, std::convert::Infallible>>()
    });
    let hanging = kube::Client::new(hanging, "default");
    let (status, body) = ask_of(hanging.clone(), post_json("/v1/provision", &request_json())).await;
    assert_eq!((status, body["error"].as_str()), (504, Some("Timeout")));
    let mut full = broker(hanging);
    full.in_flight = tokio::sync::Semaphore::new(0);
    let metrics = full.metrics.clone();
    let response = app(Arc::new(full)).oneshot(get_path("/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let counted = r#"kidp_broker_rate_limited_requests_total{limit="in_flight"} 1"#;
    assert!(crate::metrics::shown(&metrics).contains(counted));
}

#[tokio::test]
async fn answers_are_counted_by_route_and_never_by_path() {
    let broker = Arc::new(broker(accepting().0));
    for path in ["/v2/service_instances/hidden/last_operation", "/hidden"] {
        let answer = app(broker.clone()).oneshot(get_path(path)).await.unwrap();
        assert!(answer.status().is_client_error(), "{path}");
    }
    let text = crate::metrics::shown(&broker.metrics);
    for route in ["/v2/service_instances/{instance_id}/last_operation", "none"] {
        let count =
            format!("kidp_broker_http_request_duration_seconds_count{{route=\"{route}\",status=\"4xx\"}} 1");
        assert!(text.lines().any(|line| line == count), "{count}: {text}");
    }
    assert!(!text.contains("hidden"), "{text}");
}
