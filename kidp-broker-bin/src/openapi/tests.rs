//! The document against the router, and against the file that is committed.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::Value;
use tower::ServiceExt as _;

use super::document;
use crate::app;
use crate::testing::{broker, client, list};

/// Writes the file in place of comparing it; `cargo xtask openapi` sets it.
const WRITE: &str = "KIDP_WRITE_OPENAPI";

#[test]
fn the_committed_document_is_what_the_routes_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&document()).unwrap());
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "docs/openapi.json is stale: run `cargo xtask openapi`"
    );
}

/// Paths and methods of the document.
fn documented() -> Vec<(String, String, Value)> {
    let document = document();
    let paths = document["paths"].as_object().unwrap().clone();
    let mut all = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            all.push((path.clone(), method.to_uppercase(), operation.clone()));
        }
    }
    all
}

#[tokio::test]
async fn every_documented_route_is_there_and_answers_as_documented() {
    for (path, method, operation) in documented() {
        let request = Request::builder()
            .method(method.as_str())
            .uri(path.replace(['{', '}'], ""))
            .header("x-broker-api-version", "2.17");
        let broker = broker(client(|_, _| list(&[])));
        let response = app(Arc::new(broker))
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 4 << 20).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let said = [&body["message"], &body["description"]].map(|say| say.as_str().unwrap_or_default());
        assert!(
            status != 405 && !said.iter().any(|say| say.contains("no such route")),
            "{method} {path}"
        );
        assert!(
            operation["responses"][status.to_string()].is_object(),
            "{method} {path}: {status}"
        );
    }
}

/// What the router is built from: its paths stand in the source as texts.
#[test]
fn every_route_is_documented() {
    let sources = [include_str!("../routes/mod.rs"), include_str!("../osb/mod.rs")];
    let routed: BTreeSet<_> = sources
        .iter()
        .flat_map(|source| source.split(".route(").skip(1))
        .filter_map(|rest| rest.split('"').nth(1))
        .collect();
    let all = documented();
    let paths: BTreeSet<_> = all.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(routed, paths);
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| match value.as_str() {
                Some(target) if key == "$ref" => {
                    found.insert(target.to_owned());
                }
                _ => references(value, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20);
    for target in found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target}");
    }
}
