//! `GET /`: what this broker is, what it provisions, and every route with an example.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kidp_core::wire::{BrokerRoot, EndpointDoc, Link};
use serde_json::{Value, json};

use crate::Broker;

const EXAMPLE_ID: &str = "deploy-0123456789abcdef0123456789abcdef";

pub(super) async fn get(State(broker): State<Arc<Broker>>) -> Json<BrokerRoot> {
    let features = broker.features.current();
    Json(BrokerRoot {
        service: "kidp-broker".to_owned(),
        name: broker.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        callback_public_key: broker.keys.public().to_string(),
        capabilities: broker
            .registry
            .iter()
            .map(|p| p.catalog_entry(features))
            .collect(),
        endpoints: endpoints(),
        links: links(),
    })
}

fn endpoints() -> Vec<EndpointDoc> {
    let doc = |method: &str, path: &str, description: &str, example: Option<Value>| EndpointDoc {
        method: method.to_owned(),
        path: path.to_owned(),
        description: description.to_owned(),
        example,
    };
    let provision = json!({
        "resourceType": "Database", "resourceName": "orders", "namespace": "shop", "team": "payments",
        "owner": {"kind": "Team", "name": "payments"}, "callbackUrl": "http://operator:9090/v1/callback",
        "resourceUid": "6f1c0c9e-0000-4000-8000-000000000000", "resourceGeneration": 1,
        "spec": {"engine": "postgresql", "version": "15", "size": "small", "storage": {"size": "10Gi"}}
    });
    let deprovision = json!({"deploymentId": EXAMPLE_ID, "namespace": "shop", "deletionPolicy": "Retain"});
    let query = json!({"namespace": "shop", "resourceType": "Database"});
    let resources =
        "/v1/resources?namespace=&resourceType=&resourceName=&deploymentId=&requestedBy=&detail=&after=";
    let status = format!("/v1/status?id={EXAMPLE_ID}");
    vec![
        doc("GET", "/", "This document", None),
        doc("GET", "/health", "The process is up", None),
        doc("GET", "/readiness", "Requests can be taken on", None),
        doc(
            "POST",
            "/v1/provision",
            "Make or change an instance",
            Some(provision.clone()),
        ),
        doc(
            "POST",
            "/v1/plan",
            "What the same request would change, without making it",
            Some(provision),
        ),
        doc("POST", "/v1/deprovision", "Remove an instance", Some(deprovision)),
        doc(
            "GET",
            resources,
            "Instances, what was asked for and what is there",
            None,
        ),
        doc(
            "POST",
            "/v1/resources",
            "The same, with the query as the body",
            Some(query),
        ),
        doc("GET", &status, "Where one deployment is", None),
        doc("GET", "/openapi.json", "Every route as an OpenAPI document", None),
        doc(
            "GET",
            "/v2/catalog",
            "The catalog of the Open Service Broker API 2.17",
            None,
        ),
    ]
}

fn links() -> BTreeMap<String, Link> {
    [
        ("self", "/"),
        ("health", "/health"),
        ("readiness", "/readiness"),
        ("provision", "/v1/provision"),
        ("plan", "/v1/plan"),
        ("deprovision", "/v1/deprovision"),
        ("resources", "/v1/resources"),
        ("status", "/v1/status"),
        ("service-desc", "/openapi.json"),
        ("catalog", "/v2/catalog"),
    ]
    .into_iter()
    .map(|(relation, href)| {
        (
            relation.to_owned(),
            Link {
                href: href.to_owned(),
            },
        )
    })
    .collect()
}
