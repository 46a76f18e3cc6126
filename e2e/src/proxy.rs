//! A plain-HTTP relay in front of the API server, one per process under test.
//!
//! It forwards every request with the harness's own credentials and keeps a list of the writes, so that "how
//! many writes does a database cost" and "is there any write in steady state" are counted, not guessed. Armed
//! with a [`Fault`], it stops at the n-th write, before or after it took effect, and holds it there while the
//! test ends the process: a crash at an exact point, without any hook in the code under test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::Result;
use crate::error::Doing;

const MAX_BODY: usize = 4 * 1024 * 1024;

/// One write that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// HTTP method.
    pub method: String,
    /// Path, without its query.
    pub path: String,
    /// Whether the API server accepted it.
    pub accepted: bool,
}

impl Write {
    /// Renewals of the leader's lease and events are not writes to anybody's state; they are counted apart.
    pub fn is_bookkeeping(&self) -> bool {
        self.path.contains("/leases") || self.path.ends_with("/events") || self.path.contains("/events/")
    }

    /// `PATCH databases/orders/status`: the part that a person wants to read.
    pub fn short(&self) -> String {
        let tail = self
            .path
            .split("/namespaces/")
            .nth(1)
            .and_then(|p| p.split_once('/'))
            .map(|(_, p)| p);
        format!("{} {}", self.method, tail.unwrap_or(&self.path))
    }
}

/// One write, whole.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// When it came.
    pub at: Instant,
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub uri: String,
    /// Type of the body.
    pub content_type: Option<String>,
    /// The body, with whatever is secret in it.
    pub body: Vec<u8>,
}

impl Recorded {
    /// The path, without its query.
    pub fn path(&self) -> &str {
        self.uri.split('?').next().unwrap_or_default()
    }
}

/// Which side of a write a process is stopped at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The write never reaches the API server.
    Before,
    /// The write takes effect, its answer never arrives.
    After,
}

struct Fault {
    remaining: usize,
    side: Side,
    reached: oneshot::Sender<String>,
}

#[derive(Default)]
struct Inner {
    writes: Vec<Write>,
    /// Requests so far, of any kind.
    passed: usize,
    /// Paths with queries, while they are asked for.
    reads: Option<Vec<String>>,
    /// Writes with their bodies, while they are asked for.
    recorded: Option<Vec<Recorded>>,
    fault: Option<Fault>,
}

#[derive(Clone)]
struct Relay {
    client: Client,
    inner: Arc<Mutex<Inner>>,
}

impl Relay {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The armed fault, if this write is the one it waits for.
    fn due(&self) -> Option<Fault> {
        let mut inner = self.lock();
        let fault = inner.fault.as_mut()?;
        if fault.remaining > 0 {
            fault.remaining -= 1;
            return None;
        }
        inner.fault.take()
    }
}

/// A running relay.
pub struct ApiProxy {
    relay: Relay,
    address: SocketAddr,
    kubeconfig: PathBuf,
    task: JoinHandle<()>,
}

impl Drop for ApiProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ApiProxy {
    /// Starts a relay and writes a kubeconfig for it into `folder`.
    pub async fn start(client: Client, folder: &Path, name: &str) -> Result<Self> {
        let relay = Relay {
            client,
            inner: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .doing("binding the relay")?;
        let address = listener.local_addr().doing("binding the relay")?;
        let app = Router::new().fallback(forward).with_state(relay.clone());
        let task = tokio::spawn(async move {
            // Ends with the abort in `drop`; an error of the listener shows in the test as a dead API server.
            let _ = axum::serve(listener, app).await;
        });
        let kubeconfig = folder.join(format!("{name}.kubeconfig"));
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: relay\nclusters:\n- name: relay\n  cluster:\n    \
             server: http://{address}\ncontexts:\n- name: relay\n  context: {{cluster: relay, user: relay}}\n\
             users:\n- name: relay\n  user: {{}}\n"
        );
        std::fs::write(&kubeconfig, text).doing("writing the relay's kubeconfig")?;
        Ok(Self {
            relay,
            address,
            kubeconfig,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kubeconfig of a client that goes through it.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Writes so far that changed somebody's state.
    pub fn writes(&self) -> Vec<Write> {
        self.relay
            .lock()
            .writes
            .iter()
            .filter(|w| !w.is_bookkeeping())
            .cloned()
            .collect()
    }

    /// Lease renewals and events so far.
    pub fn bookkeeping(&self) -> usize {
        self.relay
            .lock()
            .writes
            .iter()
            .filter(|w| w.is_bookkeeping())
            .count()
    }

    /// Forgets the writes so far.
    pub fn reset(&self) {
        self.relay.lock().writes.clear();
    }

    /// Starts to keep what is read.
    pub fn record_reads(&self) {
        self.relay.lock().reads = Some(Vec::new());
    }

    /// Paths with queries of what was read since [`Self::record_reads`], but for watches; they are no longer kept.
    pub fn take_reads(&self) -> Vec<String> {
        let reads = self.relay.lock().reads.take().unwrap_or_default();
        reads
            .into_iter()
            .filter(|path| !path.contains("watch="))
            .collect()
    }

    /// Starts to keep whole writes.
    pub fn record_writes(&self) {
        self.relay.lock().recorded = Some(Vec::new());
    }

    /// The writes since [`Self::record_writes`], accepted or not; they are no longer kept.
    pub fn take_writes(&self) -> Vec<Recorded> {
        self.relay.lock().recorded.take().unwrap_or_default()
    }

    /// How many requests have come so far, of any kind.
    pub fn passed(&self) -> usize {
        self.relay.lock().passed
    }

    /// Holds the write after the next `skip` ones; the receiver gets what it was. Lease renewals and events
    /// do not count.
    pub fn arm(&self, skip: usize, side: Side) -> oneshot::Receiver<String> {
        let (reached, receiver) = oneshot::channel();
        self.relay.lock().fault = Some(Fault {
            remaining: skip,
            side,
            reached,
        });
        receiver
    }

    /// Takes back a fault that was not reached.
    pub fn disarm(&self) {
        self.relay.lock().fault = None;
    }
}

async fn forward(State(relay): State<Relay>, request: Request) -> Response {
    let method = request.method().clone();
    let mut write = Write {
        method: method.to_string(),
        path: request.uri().path().to_owned(),
        accepted: false,
    };
    let is_write = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&method);
    let fault = if is_write && !write.is_bookkeeping() {
        relay.due()
    } else {
        None
    };
    relay.lock().passed += 1;
    if method == Method::GET
        && let Some(reads) = relay.lock().reads.as_mut()
    {
        reads.push(request.uri().to_string());
    }
    let side = fault.as_ref().map(|f| f.side);
    if side == Some(Side::Before) {
        return hold(fault, &write).await;
    }
    let response = match send(&relay, request, is_write).await {
        Ok(response) => response,
        Err(reason) => return (StatusCode::BAD_GATEWAY, reason).into_response(),
    };
    if is_write {
        write.accepted = response.status().is_success();
        relay.lock().writes.push(write.clone());
    }
    if side == Some(Side::After) {
        return hold(fault, &write).await;
    }
    response
}

/// Reports the write and never answers; the request ends with the process that made it.
async fn hold(fault: Option<Fault>, write: &Write) -> Response {
    if let Some(fault) = fault {
        // The test may have given up waiting; the write is held all the same.
        let _ = fault.reached.send(write.short());
    }
    std::future::pending().await
}

async fn send(relay: &Relay, request: Request, is_write: bool) -> std::result::Result<Response, String> {
    let (mut parts, body) = request.into_parts();
    let at = Instant::now();
    // The client sets its own host and credentials, and the body is sent whole.
    for name in [
        header::HOST,
        header::AUTHORIZATION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
    ] {
        parts.headers.remove(name);
    }
    let path = parts.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
    parts.uri = path.parse().map_err(|e| format!("path: {e}"))?;
    let body = axum::body::to_bytes(body, MAX_BODY)
        .await
        .map_err(|e| format!("body: {e}"))?;
    if is_write && let Some(recorded) = relay.lock().recorded.as_mut() {
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        recorded.push(Recorded {
            at,
            method: parts.method.to_string(),
            uri: parts.uri.to_string(),
            content_type: content_type.and_then(|v| v.to_str().ok()).map(str::to_owned),
            body: body.to_vec(),
        });
    }
    let request = axum::http::Request::from_parts(parts, kube::client::Body::from(body));
    let response = relay
        .client
        .send(request)
        .await
        .map_err(|e| format!("API server: {e}"))?;
    Ok(response.map(Body::new))
}
