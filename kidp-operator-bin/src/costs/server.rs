//! `GET /v1/costs` and `POST /v1/costs/estimate`.
//!
//! Only the leader knows all usage, so other replicas answer 503. Answers are bounded by [`MAX_CHARGES`] and the length
//! of the time that is asked about; what is too much is refused with the field named, not cut off.
//!
//! [`MAX_CHARGES`]: super::report::MAX_CHARGES

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query as UrlQuery, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use kidp_core::clock::Clock;
use kidp_core::cost::{Difference, Estimate, Location, PriceError, Shape, difference};
use kidp_core::crd::PriceBook;
use kidp_core::instance::{InstanceSpec, ResourceType};
use kidp_core::problem::{FieldError, Problem, Reason};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use tower_http::timeout::TimeoutLayer;

use super::access::Access;
use super::report::{Format, Query, report, uses};
use super::{Costs, export, location_of};
use crate::cache::Caches;
use crate::kind::ResourceKey;
use crate::receiver::refuse;

/// The path of reports.
pub const COSTS: &str = "/v1/costs";
/// The path of estimates.
pub const ESTIMATE: &str = "/v1/costs/estimate";
/// Requests at once.
const AT_ONCE: usize = 4;
/// Longest time that one request may take.
const LIMIT: Duration = Duration::from_secs(20);
/// Longest body.
const MAX_BODY: usize = 64 * 1024;

/// What the server needs.
#[derive(Clone)]
pub struct CostServer {
    costs: Costs,
    caches: Caches,
    access: Access,
    clock: Clock,
    leading: watch::Receiver<bool>,
    places: Arc<Semaphore>,
}

impl CostServer {
    /// A server that answers while `leading`.
    pub fn new(
        costs: Costs,
        caches: Caches,
        access: Access,
        clock: Clock,
        leading: watch::Receiver<bool>,
    ) -> Self {
        Self {
            costs,
            caches,
            access,
            clock,
            leading,
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    fn book(&self) -> Result<Arc<PriceBook>, Problem> {
        self.costs.book().ok_or_else(|| {
            let message = format!("there is no PriceBook `{}`", self.costs.book_name);
            Problem::new(Reason::NotFound, message)
        })
    }
}

/// The routes.
pub fn app(server: CostServer) -> Router {
    Router::new()
        .route(COSTS, get(costs).fallback(wrong_method))
        .route(ESTIMATE, post(estimate).fallback(wrong_method))
        .fallback(|| async {
            refuse(Problem::new(
                Reason::NotFound,
                "the routes are /v1/costs and /v1/costs/estimate",
            ))
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(server.clone(), admit))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LIMIT))
        .with_state(server)
}

/// Nobody learns anything before the API server has agreed, and only so many ask at once.
async fn admit(State(server): State<CostServer>, request: Request, next: Next) -> Response {
    let Ok(_place) = server.places.try_acquire() else {
        return refuse(Problem::new(
            Reason::TooManyRequests,
            "too many requests at the moment",
        ));
    };
    let verb = request.method().as_str().to_ascii_lowercase();
    let path = request.uri().path().to_owned();
    if let Err(problem) = server.access.check(request.headers(), &verb, &path).await {
        return refuse(problem);
    }
    if !*server.leading.borrow() {
        return refuse(Problem::new(Reason::Unavailable, "this replica does not lead"));
    }
    next.run(request).await
}

async fn wrong_method() -> Response {
    refuse(Problem::new(
        Reason::MethodNotAllowed,
        "GET /v1/costs, POST /v1/costs/estimate",
    ))
}

async fn costs(
    State(server): State<CostServer>,
    query: Result<UrlQuery<Query>, QueryRejection>,
) -> Result<Response, Response> {
    let UrlQuery(query) = query.map_err(|rejection| {
        let fault = FieldError::new("query", rejection.body_text());
        refuse(Problem::fields(Reason::InvalidField, vec![fault]))
    })?;
    // A large report is no work for the threads that serve everything else.
    let made = tokio::task::spawn_blocking(move || answer(&server, &query)).await;
    match made {
        Ok(answer) => answer.map_err(refuse),
        Err(error) => {
            tracing::error!(%error, "a report could not be made");
            Err(refuse(Problem::new(
                Reason::Internal,
                "the report could not be made",
            )))
        }
    }
}

fn answer(server: &CostServer, query: &Query) -> Result<Response, Problem> {
    let period = query.period(server.clock.now())?;
    let book = server.book()?;
    let records = server.costs.records.state();
    let records: Vec<_> = records
        .iter()
        .filter(|record| server.costs.covers(&record.spec.resource.namespace))
        .map(|record| record.spec.clone())
        .collect();
    let uses = uses(&records, &book.spec, period)?;
    let book = (server.costs.book_name.as_str(), &book.spec);
    let table = |made: Result<Vec<u8>, csv::Error>| match made {
        Ok(bytes) => Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], bytes).into_response()),
        Err(error) => {
            tracing::error!(%error, "a table could not be written");
            Err(Problem::new(Reason::Internal, "the table could not be written"))
        }
    };
    match query.format {
        Format::Json => Ok(Json(report(book, &uses, period, query.group_by)).into_response()),
        Format::Csv => table(export::sums(&report(book, &uses, period, query.group_by))),
        Format::Focus => table(export::focus(book, &uses)),
    }
}

/// Body of `POST /v1/costs/estimate`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EstimateRequest {
    resource_type: ResourceType,
    spec: InstanceSpec,
    #[serde(default)]
    before: Option<InstanceSpec>,
    #[serde(default)]
    location: Option<Location>,
    #[serde(default)]
    resource: Option<Named>,
}

/// A resource whose spec is what there is before, and whose broker is where.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Named {
    namespace: String,
    name: String,
}

/// Its answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EstimateAnswer {
    currency: String,
    before: Option<EstimateView>,
    after: EstimateView,
    difference: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EstimateView {
    monthly: String,
    lines: Vec<LineView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LineView {
    component: &'static str,
    rate: String,
    price: String,
    unit: &'static str,
    monthly: String,
}

impl From<&Estimate> for EstimateView {
    fn from(estimate: &Estimate) -> Self {
        let line = |line: &kidp_core::cost::Line| LineView {
            component: line.component.as_str(),
            rate: line.rate.clone(),
            price: line.price.to_string(),
            unit: line.component.unit(),
            monthly: line.amount.to_decimal(2),
        };
        Self {
            monthly: estimate.monthly.to_decimal(2),
            lines: estimate.lines.iter().map(line).collect(),
        }
    }
}

async fn estimate(
    State(server): State<CostServer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<EstimateAnswer>, Response> {
    estimated(&server, body).map(Json).map_err(refuse)
}

fn estimated(server: &CostServer, body: Result<Bytes, BytesRejection>) -> Result<EstimateAnswer, Problem> {
    let body = body.map_err(|_| {
        Problem::new(
            Reason::BodyTooLarge,
            format!("a body is at most {MAX_BODY} bytes"),
        )
    })?;
    let request: EstimateRequest = serde_json::from_slice(&body)
        .map_err(|error| Problem::new(Reason::MalformedRequest, error.to_string()))?;
    let book = server.book()?;
    let shape = |field: &str, spec: &InstanceSpec| {
        Shape::of(request.resource_type, spec).map_err(|error| {
            let field = format!("{field}.storage.size");
            Problem::fields(
                Reason::InvalidField,
                vec![FieldError::new(field, error.to_string())],
            )
        })
    };
    let after = shape("spec", &request.spec)?;
    let (before, location) = there_now(server, &request)?;
    let before = before.as_ref().map(|spec| shape("before", spec)).transpose()?;
    let now = server.clock.now();
    let told = difference(&book.spec, before.as_ref(), &after, &location, now);
    let told = told.map_err(|error| not_priced(&server.costs.book_name, &error))?;
    Ok(view(&told))
}

/// What is there before the change, and where.
fn there_now(
    server: &CostServer,
    request: &EstimateRequest,
) -> Result<(Option<InstanceSpec>, Location), Problem> {
    let Some(Named { namespace, name }) = &request.resource else {
        let location = request.location.clone().unwrap_or_default();
        return Ok((request.before.clone(), location));
    };
    let refused = |field: &str, message: String| {
        Problem::fields(Reason::InvalidField, vec![FieldError::new(field, message)])
    };
    for (field, given) in [
        ("before", request.before.is_some()),
        ("location", request.location.is_some()),
    ] {
        if given {
            return Err(refused(field, "goes without `resource`, which has it".to_owned()));
        }
    }
    let key = ResourceKey {
        kind: request.resource_type,
        namespace: namespace.clone(),
        name: name.clone(),
    };
    let found = server.caches.resource(&key);
    let found = found.ok_or_else(|| refused("resource", format!("there is no {key}")))?;
    let broker = found
        .placed_at()
        .and_then(|(ns, broker)| server.caches.broker(&ns, &broker));
    let broker = broker.ok_or_else(|| refused("resource", format!("{key} is at no broker yet")))?;
    Ok((Some(found.instance_spec()), location_of(&broker)))
}

fn view(told: &Difference) -> EstimateAnswer {
    EstimateAnswer {
        currency: told.after.currency.clone(),
        before: told.before.as_ref().map(EstimateView::from),
        after: EstimateView::from(&told.after),
        difference: told.monthly().to_decimal(2),
    }
}

fn not_priced(book: &str, error: &PriceError) -> Problem {
    let fault = FieldError::new("spec", format!("PriceBook `{book}`: {error}"));
    Problem::fields(Reason::InvalidField, vec![fault])
}

#[cfg(test)]
mod tests;
