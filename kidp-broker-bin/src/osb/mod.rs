//! The Open Service Broker API 2.17, beside the broker's own routes and on the same records.
//!
//! ```text
//! catalog.rs     offerings and plans from the registry
//! parameters.rs  what a plan leaves open
//! admit.rs       from a request to the record that it asks for
//! operation.rs   what last_operation says of a record
//! instances.rs   routes of instances
//! bindings.rs    routes of bindings
//! error.rs       refusals in the specification's form
//! ```
//!
//! Everything is asynchronous: a request is recorded, and answered 202; the controller does the work. An instance that
//! came in here is a [`ServiceInstance`](kidp_core::crd::ServiceInstance) like any other, a binding a
//! [`ServiceBinding`](kidp_core::crd::ServiceBinding).
//!
//! <https://github.com/openservicebrokerapi/servicebroker/blob/v2.17/spec.md>

mod admit;
mod bindings;
pub(crate) mod catalog;
pub mod error;
mod instances;
mod operation;
mod parameters;
#[cfg(test)]
mod tests;
pub mod wire;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use kidp_core::problem::Problem;

use crate::Broker;
use error::OsbError;
use wire::Catalog;

const VERSION: HeaderName = HeaderName::from_static("x-broker-api-version");
const REQUEST_IDENTITY: HeaderName = HeaderName::from_static("x-broker-api-request-identity");
/// Where the routes are.
const ROOT: &str = "/v2/";

/// The routes.
pub fn router() -> Router<Arc<Broker>> {
    let instance = put(instances::put)
        .patch(instances::patch)
        .delete(instances::delete)
        .get(instances::get);
    let binding = put(bindings::put).delete(bindings::delete).get(bindings::get);
    Router::new()
        .route("/v2/catalog", get(get_catalog))
        .route("/v2/service_instances/{instance_id}", instance)
        .route(
            "/v2/service_instances/{instance_id}/last_operation",
            get(instances::last_operation),
        )
        .route(
            "/v2/service_instances/{instance_id}/service_bindings/{binding_id}",
            binding,
        )
        .route(
            "/v2/service_instances/{instance_id}/service_bindings/{binding_id}/last_operation",
            get(bindings::last_operation),
        )
        .route_layer(from_fn(require_version))
}

async fn get_catalog(State(broker): State<Arc<Broker>>) -> Json<Catalog> {
    let features = broker.features.current();
    Json(catalog::catalog(&broker.name, &broker.registry, features))
}

/// Lets a request pass that speaks a version whose clients this broker serves: 2.13 and later. Later ones only add what
/// may be left out.
async fn require_version(request: Request, next: Next) -> Response {
    if is_spoken(request.headers()) {
        next.run(request).await
    } else {
        OsbError::api_version().into_response()
    }
}

fn is_spoken(headers: &HeaderMap) -> bool {
    let version = headers.get(VERSION).and_then(|value| value.to_str().ok());
    let parts = version.and_then(|text| text.trim().split_once('.'));
    parts.is_some_and(|(major, minor)| major == "2" && minor.parse::<u32>().is_ok_and(|minor| minor >= 13))
}

/// Says the refusals of what is around these routes (authentication, limits, no such route) in the specification's form,
/// and gives a request's identity back with its answer.
pub async fn in_its_terms(request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with(ROOT) {
        return next.run(request).await;
    }
    let identity = request.headers().get(REQUEST_IDENTITY).cloned();
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let mut said = OsbError::from(problem).into_response();
        for (name, value) in response.headers() {
            said.headers_mut().entry(name).or_insert(value.clone());
        }
        // It was that of the body before.
        said.headers_mut().remove(axum::http::header::CONTENT_LENGTH);
        response = said;
    }
    if let Some(identity) = identity {
        response.headers_mut().insert(REQUEST_IDENTITY, identity);
    }
    response
}
