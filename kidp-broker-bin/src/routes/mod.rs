//! The HTTP API: one module a route.

mod deprovision;
mod health;
mod plan;
mod provision;
mod resources;
mod root;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use kidp_core::problem::{Problem, Reason};

pub use health::Reachability;

use crate::error::ApiError;
use crate::{Broker, audit, auth, middleware, openapi, osb};

/// The API of `broker`.
pub fn app(broker: Arc<Broker>) -> Router {
    let guarded = Router::new()
        .route("/", get(root::get))
        .route("/openapi.json", get(openapi::get))
        .route("/v1/provision", post(provision::post))
        .route("/v1/plan", post(plan::post))
        .route("/v1/deprovision", post(deprovision::post))
        .route("/v1/resources", get(resources::get).post(resources::post))
        .route("/v1/status", get(status::get))
        .merge(osb::router())
        .route_layer(from_fn_with_state(broker.clone(), auth::require));
    let open = Router::new()
        .route("/health", get(health::live))
        .route("/readiness", get(health::ready));
    let bounded = guarded
        .layer(from_fn_with_state(broker.clone(), middleware::bound))
        .layer(from_fn(audit::record));
    bounded
        .merge(open)
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn(osb::in_its_terms))
        .layer(from_fn_with_state(broker.clone(), middleware::observe))
        .with_state(broker)
}

async fn no_route() -> ApiError {
    Problem::new(Reason::NotFound, "there is no such route; `GET /` lists them").into()
}

async fn no_method() -> ApiError {
    let say = "the route does not know this method; `GET /` lists them";
    Problem::new(Reason::MethodNotAllowed, say).into()
}

#[cfg(test)]
mod tests;
