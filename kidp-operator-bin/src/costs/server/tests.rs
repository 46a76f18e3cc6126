//! Who is answered, and what.

use axum::body::{Body, to_bytes};
use axum::http;
use kube::Client;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::super::CostWriters;
use super::super::access::AUDIENCE;
use super::*;
use crate::cache::{Writers, caches};
use crate::testing::{broker, cache, fill};

/// An API server that knows the tokens `reader`, `stranger` and, for another audience, `elsewhere`.
fn api_server() -> Client {
    let service = tower::service_fn(|request: http::Request<kube::client::Body>| async move {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect_bytes().await.unwrap();
        let mut object: Value = serde_json::from_slice(&body).unwrap();
        object["status"] = if path.ends_with("/tokenreviews") {
            assert_eq!(object["spec"]["audiences"], json!([AUDIENCE]));
            match object["spec"]["token"].as_str().unwrap() {
                "bad" => json!({"authenticated": false}),
                "elsewhere" => {
                    json!({"authenticated": true, "user": {"username": "reader"}, "audiences": ["other"]})
                }
                name => json!({"authenticated": true, "audiences": [AUDIENCE],
                    "user": {"username": name, "groups": ["people"], "extra": {"k": ["v"]}}}),
            }
        } else {
            let spec = &object["spec"];
            assert_eq!(
                (&spec["groups"], &spec["extra"]),
                (&json!(["people"]), &json!({"k": ["v"]}))
            );
            let attributes = &spec["nonResourceAttributes"];
            let known = [("get", COSTS), ("post", ESTIMATE)];
            let asked = (
                attributes["verb"].as_str().unwrap(),
                attributes["path"].as_str().unwrap(),
            );
            json!({"allowed": spec["user"] == "reader" && known.contains(&asked)})
        };
        let answer = http::Response::builder().header("content-type", "application/json");
        Ok::<_, std::convert::Infallible>(
            answer
                .body(kube::client::Body::from(object.to_string().into_bytes()))
                .unwrap(),
        )
    });
    Client::new(service, "default")
}

struct Served {
    app: Router,
    leading: watch::Sender<bool>,
    _writers: (CostWriters, Writers),
}

fn served(with_book: bool) -> Served {
    let (costs, mut writers) = Costs::new("standard", None, jiff::SignedDuration::from_hours(1));
    let book: PriceBook = serde_json::from_value(
        json!({"metadata": {"name": "standard"}, "spec": {"currency": "EUR",
        "rates": [{"name": "all", "cpuHour": "0.01", "memoryGiBHour": "0.01", "storageGiBMonth": "0.10"}]}}),
    )
    .unwrap();
    fill(&mut writers.books, with_book.then_some(book));
    let record = serde_json::from_value(json!({"metadata": {"name": "u"}, "spec": {
        "resource": {"namespace": "shop", "kind": "Cache", "name": "sessions", "uid": "u"},
        "location": {"cloudProvider": "metal", "region": "eu"},
        "intervals": [{"from": "2026-06-01T00:00:00Z", "generation": 1,
            "shape": {"resourceType": "Cache", "engine": "redis", "size": "small", "members": 1, "storageMebibytes": 1024},
            "chargeTo": {"teamNamespace": "shop", "team": "payments"}}]}}))
    .unwrap();
    fill(&mut writers.records, [record]);
    let clock = Clock::new(|| "2026-06-01T10:00:00Z".parse().unwrap());
    let (leading, seen) = watch::channel(true);
    let (caches, mut objects) = caches();
    let mut placed = cache("sessions");
    placed.status.get_or_insert_default().broker_ref = Some(kidp_core::crd::LocalRef {
        name: "eu".into(),
        namespace: None,
    });
    fill(&mut objects.caches, [placed, cache("new")]);
    fill(&mut objects.brokers, [broker("eu", None)]);
    let app = app(CostServer::new(
        costs,
        caches,
        Access::new(api_server()),
        clock,
        seen,
    ));
    Served {
        app,
        leading,
        _writers: (writers, objects),
    }
}

async fn ask(served: &Served, token: Option<&str>, method: &str, uri: &str, body: Value) -> (u16, String) {
    let mut request = http::Request::builder().method(method).uri(uri);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = if body.is_null() {
        Body::empty()
    } else {
        Body::from(body.to_string())
    };
    let response = served
        .app
        .clone()
        .oneshot(request.body(body).unwrap())
        .await
        .unwrap();
    let code = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (code, String::from_utf8(bytes.to_vec()).unwrap())
}

async fn get_costs(served: &Served, token: Option<&str>, query: &str) -> (u16, String) {
    ask(served, token, "GET", &format!("/v1/costs{query}"), Value::Null).await
}

#[tokio::test]
async fn only_who_may_is_answered() {
    let served = served(true);
    for (token, code) in [
        (None, 401),
        (Some("bad"), 401),
        (Some("elsewhere"), 401),
        (Some("stranger"), 403),
        (Some("reader"), 200),
    ] {
        let (got, body) = get_costs(&served, token, "").await;
        assert_eq!(got, code, "{token:?}: {body}");
        assert!(
            !token.is_some_and(|t| t != "reader" && body.contains(t)),
            "a token is never quoted: {body}"
        );
    }
    served.leading.send_replace(false);
    assert_eq!(get_costs(&served, Some("reader"), "").await.0, 503);
    assert_eq!(
        get_costs(&served, None, "").await.0,
        401,
        "who may not learns nothing"
    );
}

#[tokio::test]
async fn a_report_is_given_in_three_forms() {
    let served = served(true);
    let (_, body) = get_costs(&served, Some("reader"), "?groupBy=namespace").await;
    let report: Value = serde_json::from_str(&body).unwrap();
    // 10 h of 1 core and 2 GiB at 0.01, and 1 GiB at 0.10 for 10 of 730 h.
    assert_eq!(report["total"], "0.301370");
    assert_eq!(report["groups"][0]["key"], "shop");
    assert_eq!(
        report["groups"][0]["components"],
        json!({"cpu": "0.100000", "memory": "0.200000", "storage": "0.001370"})
    );
    let (_, csv) = get_costs(&served, Some("reader"), "?format=csv").await;
    assert_eq!(
        csv.lines().nth(1).unwrap(),
        "shop/payments,0.301370,EUR,2026-06-01T00:00:00Z,2026-06-01T10:00:00Z,true,0"
    );
    let (_, focus) = get_costs(&served, Some("reader"), "?format=focus&from=2026-06-01T05:00:00Z").await;
    assert_eq!(focus.lines().count(), 4, "{focus}");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named() {
    let no_book = served(false);
    let (code, body) = get_costs(&no_book, Some("reader"), "").await;
    assert!(code == 404 && body.contains("PriceBook `standard`"), "{body}");
    let served = served(true);
    for (query, field) in [
        ("?groupBy=colour", "groupBy"),
        ("?from=then", "from"),
        ("?colour=red", "colour"),
        ("?format=xml", "format"),
    ] {
        let (code, body) = get_costs(&served, Some("reader"), query).await;
        assert!(code == 422 && body.contains(field), "{query}: {code} {body}");
    }
    assert_eq!(
        ask(&served, Some("reader"), "DELETE", COSTS, Value::Null).await.0,
        403,
        "the right is to read"
    );
}

#[tokio::test]
async fn the_difference_of_a_change_is_told_before_it_is_made() {
    let served = served(true);
    let spec = |size: &str, storage: &str| json!({"engine": "redis", "version": "8", "size": size, "storage": {"size": storage}});
    let change =
        json!({"resourceType": "Cache", "before": spec("small", "1Gi"), "spec": spec("medium", "2Gi")});
    let (code, body) = ask(&served, Some("reader"), "POST", ESTIMATE, change).await;
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(code, 200, "{body}");
    // (1 + 2) × 0.01 × 730 + 0.10, and twice that.
    assert_eq!(
        [
            &answer["before"]["monthly"],
            &answer["after"]["monthly"],
            &answer["difference"]
        ],
        ["22.00", "44.00", "22.00"]
    );
    let bad = json!({"resourceType": "Cache", "spec": spec("small", "much")});
    let (code, body) = ask(&served, Some("reader"), "POST", ESTIMATE, bad).await;
    assert!(code == 422 && body.contains("spec.storage.size"), "{body}");
    let backed = json!({"resourceType": "Database", "spec": {"engine": "mysql", "version": "8", "storage": {"size": "1Gi"}, "backup": {"enabled": true}}});
    let (code, body) = ask(&served, Some("reader"), "POST", ESTIMATE, backed).await;
    assert!(
        code == 422 && body.contains("the backup of a small mysql Database"),
        "{body}"
    );
}

#[tokio::test]
async fn a_resource_brings_its_spec_and_its_place() {
    let served = served(true);
    let ask_for = async |name: &str, more: Value| {
        let mut body = json!({"resourceType": "Cache", "resource": {"namespace": "shop", "name": name},
            "spec": {"engine": "redis", "version": "7", "storage": {"size": "3Gi"}}});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        ask(&served, Some("reader"), "POST", ESTIMATE, body).await
    };
    let (code, body) = ask_for("sessions", json!({})).await;
    assert_eq!(code, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["difference"], "0.20", "two GiB more at 0.10");
    for (name, more, part) in [
        ("nobody", json!({}), "there is no Cache shop/nobody"),
        ("new", json!({}), "Cache shop/new is at no broker yet"),
        (
            "sessions",
            json!({"location": {"cloudProvider": "aws", "region": "eu"}}),
            "location: goes without",
        ),
    ] {
        let (code, body) = ask_for(name, more).await;
        assert!(code == 422 && body.contains(part), "{name}: {code} {body}");
    }
}
