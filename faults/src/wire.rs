//! What requests go over: to the API servers of the model, and from process to process. Every request passes the gate.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body as HttpBody, to_bytes};
use kidp_callback::http::{Answer as Exchanged, Carrier, ExchangeError};
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use thiserror::Error;
use tower::ServiceExt as _;

use crate::api::{Answer, Request, conflict, failure};
use crate::fault::{Fault, Site, SiteKind};
use crate::sim::{CUT, LATE, Life, OPERATOR, Sim};

/// Most of a body that is read.
const MAX_BODY: usize = 4 << 20;
/// How long a client of Kubernetes waits by itself: `kube`'s read timeout.
const KUBE_LIMIT: Duration = Duration::from_secs(295);
/// How long a process waits for another: the shorter limit, that of a callback.
const HTTP_LIMIT: Duration = Duration::from_secs(5);

/// The connection broke.
#[derive(Debug, Error)]
#[error("connection reset by peer")]
struct Reset;

/// A client of a cluster of the model, in the hands of a process.
pub fn client(sim: &Sim, life: &Life, cluster: &'static str) -> Client {
    let (sim, life) = (sim.clone(), life.clone());
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (sim, life) = (sim.clone(), life.clone());
        async move {
            let request = take_apart(request).await;
            let (code, body) = call(&sim, &life, cluster, request).await?;
            let response = http::Response::builder()
                .status(code)
                .header("content-type", "application/json");
            response
                .body(Body::from(body.to_string().into_bytes()))
                .map_err(|_| Reset)
        }
    });
    Client::new(service, "default")
}

async fn take_apart(request: http::Request<Body>) -> Request {
    let (parts, body) = request.into_parts();
    let body = body.collect_bytes().await.unwrap_or_default();
    let header = |name: &str| {
        let value = parts.headers.get(name).and_then(|v| v.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let query = parts.uri.query().unwrap_or_default();
    Request {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect(),
        content_type: header("content-type"),
        metadata_only: header("accept").contains("PartialObjectMetadata"),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    }
}

fn site(life: &Life, request: &Request) -> Site {
    // `kube` names an Event by the machine's time, which is another in each run.
    let path = request.path.split("/events/").next().unwrap_or_default();
    let kind = if request.is_write() {
        let guards = ["/preconditions/resourceVersion", "/metadata/resourceVersion"];
        let guarded = guards.iter().any(|at| request.body.pointer(at).is_some());
        SiteKind::Write { guarded }
    } else {
        let one = crate::api::Target::parse(&request.path).is_some_and(|t| !t.name.is_empty());
        SiteKind::Read { one }
    };
    Site {
        from: life.name.to_owned(),
        what: format!("{} {path}", request.method),
        kind,
    }
}

/// One request to an API server.
async fn call(sim: &Sim, life: &Life, cluster: &'static str, mut request: Request) -> Result<Answer, Reset> {
    if life.is_over() {
        return pending().await;
    }
    let fault = {
        let mut state = sim.state();
        state.writes += usize::from(request.is_write());
        let fault = state.gate.pass(site(life, &request));
        if let Some(planted) = state.planted
            && let Some(answer) = (planted.at_api)(&mut state, life.name, cluster, &mut request)
        {
            return Ok(answer);
        }
        fault
    };
    let perform = || sim.state().perform(cluster, &request);
    match fault {
        None => Ok(perform()),
        Some(Fault::Error(code)) => Ok(failure(code, reason(code), "injected", "")),
        Some(Fault::Conflict) => Ok(conflict("injected")),
        Some(Fault::NoAnswer) => {
            tokio::time::sleep(KUBE_LIMIT).await;
            Err(Reset)
        }
        Some(Fault::AnswerLost) => {
            perform();
            Err(Reset)
        }
        Some(Fault::StaleRead) => {
            let stale = sim.state().cluster(cluster).stale(&request);
            Ok(stale.unwrap_or_else(perform))
        }
        Some(Fault::CrashBefore) => {
            life.crash();
            pending().await
        }
        Some(Fault::CrashAfter) => {
            perform();
            life.crash();
            pending().await
        }
        Some(Fault::Late) => {
            let (sim, request) = (sim.clone(), request.clone());
            tokio::spawn(async move {
                tokio::time::sleep(LATE).await;
                sim.state().perform(cluster, &request);
            });
            Err(Reset)
        }
        Some(lasting) => {
            begin(sim, life, lasting);
            Ok(perform())
        }
    }
}

/// Faults that last.
fn begin(sim: &Sim, life: &Life, fault: Fault) {
    let mut state = sim.state();
    match fault {
        Fault::ClockJump(by) => drop(state.skew.insert(life.name, by)),
        Fault::NetworkCut => {
            state.cut_until = state.now() + u64::try_from(CUT.as_millis()).unwrap_or_default();
        }
        _ => {}
    }
}

const fn reason(code: u16) -> &'static str {
    match code {
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    }
}

/// Carries what a process sends to another.
pub struct Wire {
    /// The run.
    pub sim: Sim,
    /// The sender.
    pub life: Life,
}

impl Carrier for Wire {
    fn carry(&self, request: reqwest::Request) -> Exchanged {
        let (sim, life) = (self.sim.clone(), self.life.clone());
        Box::pin(async move { exchange(&sim, &life, Message::new(&request)).await })
    }
}

/// What is sent.
#[derive(Clone)]
pub struct Message {
    /// To whom.
    pub host: String,
    /// The method.
    pub method: http::Method,
    /// Path and query.
    pub path: String,
    /// Headers.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Message {
    fn new(request: &reqwest::Request) -> Self {
        let url = request.url();
        let query = url.query().map(|q| format!("?{q}")).unwrap_or_default();
        Self {
            host: url.host_str().unwrap_or_default().to_owned(),
            method: request.method().clone(),
            path: format!("{}{query}", url.path()),
            headers: request.headers().clone(),
            body: request
                .body()
                .and_then(|b| b.as_bytes())
                .unwrap_or_default()
                .to_vec(),
        }
    }
}

/// One request from process to process.
async fn exchange(sim: &Sim, life: &Life, message: Message) -> Result<reqwest::Response, ExchangeError> {
    if life.is_over() {
        return pending().await;
    }
    let kind = if message.host == OPERATOR {
        SiteKind::Callback
    } else {
        SiteKind::Request
    };
    let path = message.path.split('?').next().unwrap_or_default();
    let site = Site {
        from: life.name.to_owned(),
        what: format!("{} {}{path}", message.method, message.host),
        kind,
    };
    let (fault, is_cut) = {
        let mut state = sim.state();
        state.judge.read_message(&message);
        if kind == SiteKind::Callback {
            state
                .callbacks
                .push((message.headers.clone(), message.body.clone()));
        }
        let fault = state.gate.pass(site);
        (fault, state.now() < state.cut_until)
    };
    if is_cut {
        return Err(ExchangeError::Connect);
    }
    match fault {
        None => deliver(sim, message).await,
        Some(Fault::Error(code)) => Ok(plain(code, Vec::new())),
        Some(Fault::NoAnswer) => {
            tokio::time::sleep(HTTP_LIMIT).await;
            Err(ExchangeError::Timeout)
        }
        Some(Fault::AnswerLost) => {
            drop(deliver(sim, message).await);
            Err(ExchangeError::Broken)
        }
        Some(Fault::CrashBefore) => {
            life.crash();
            pending().await
        }
        Some(Fault::CrashAfter) => {
            drop(deliver(sim, message).await);
            life.crash();
            pending().await
        }
        Some(Fault::PeerCrash) => {
            drop(deliver(sim, message.clone()).await);
            if let Some((_, peer)) = sim.state().hosts.get(message.host.as_str()) {
                peer.crash();
            }
            Err(ExchangeError::Broken)
        }
        Some(Fault::Doubled) => {
            drop(deliver(sim, message.clone()).await);
            deliver(sim, message).await
        }
        Some(Fault::Tenfold) => {
            for _ in 0..9 {
                drop(deliver(sim, message.clone()).await);
            }
            deliver(sim, message).await
        }
        Some(Fault::Late) => {
            let sim = sim.clone();
            tokio::spawn(async move {
                tokio::time::sleep(LATE).await;
                drop(deliver(&sim, message).await);
            });
            Err(ExchangeError::Broken)
        }
        Some(lasting) => {
            begin(sim, life, lasting);
            deliver(sim, message).await
        }
    }
}

/// Has the process that serves the host answer, unless a planted fault does.
pub async fn deliver(sim: &Sim, mut message: Message) -> Result<reqwest::Response, ExchangeError> {
    let answer = {
        let mut state = sim.state();
        state.planted.and_then(|p| (p.at_http)(&mut state, &mut message))
    };
    if let Some((code, body)) = answer {
        return Ok(plain(code, body.to_string().into_bytes()));
    }
    let host = sim.state().hosts.get(message.host.as_str()).cloned();
    let (router, peer) = host.ok_or(ExchangeError::Connect)?;
    if peer.is_over() {
        return Err(ExchangeError::Connect);
    }
    let mut request = http::Request::new(HttpBody::from(message.body.clone()));
    *request.method_mut() = message.method.clone();
    *request.uri_mut() = message.path.parse().map_err(|_| ExchangeError::Broken)?;
    *request.headers_mut() = message.headers.clone();
    let answered = tokio::select! {
        biased;
        () = peer.over() => return Err(ExchangeError::Broken),
        answered = router.oneshot(request) => answered.unwrap_or_else(|never: Infallible| match never {}),
    };
    let code = answered.status().as_u16();
    let body = to_bytes(answered.into_body(), MAX_BODY).await.unwrap_or_default();
    let mut state = sim.state();
    let mut judge = std::mem::take(&mut state.judge);
    judge.read_answer(&state, &message, code, &body);
    state.judge = judge;
    let changed = state
        .planted
        .and_then(|p| (p.at_answer)(&mut state, &message, code));
    Ok(match changed {
        Some((code, body)) => plain(code, body.to_string().into_bytes()),
        None => plain(code, body.to_vec()),
    })
}

fn plain(code: u16, body: Vec<u8>) -> reqwest::Response {
    let mut response = http::Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::BAD_GATEWAY);
    response.into()
}

/// A client over the model's wire; `plain` makes requests and is never asked to send one.
pub fn http(sim: &Sim, life: &Life, plain: &reqwest::Client) -> kidp_callback::http::Http {
    let wire = Wire {
        sim: sim.clone(),
        life: life.clone(),
    };
    kidp_callback::http::Http::over(plain.clone(), Arc::new(wire))
}
