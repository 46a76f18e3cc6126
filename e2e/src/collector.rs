//! A collector that traces are sent to, which keeps what it takes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::Result;
use crate::error::Doing;

type Batches = Arc<Mutex<Vec<Bytes>>>;

/// A running collector, on this machine only.
pub struct Collector {
    batches: Batches,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collector {
    /// Starts one that has taken nothing yet.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.doing("binding the collector")?;
        let address = listener.local_addr().doing("binding the collector")?;
        let batches = Batches::default();
        let app = Router::new()
            .route("/v1/traces", post(take))
            .with_state(batches.clone());
        let task = tokio::spawn(async move {
            // Ends with the abort in `drop`.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self {
            batches,
            address,
            task,
        })
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether a span of this trace came. OTLP has the id as its bytes, in one piece.
    pub fn has(&self, trace: u128) -> bool {
        let id = trace.to_be_bytes();
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let is_in = |batch: &Bytes| batch.windows(id.len()).any(|bytes| bytes == id);
        batches.iter().any(is_in)
    }
}

/// An answer without a body is an empty `ExportTraceServiceResponse`: everything was taken.
async fn take(State(batches): State<Batches>, body: Bytes) -> StatusCode {
    let mut batches = batches.lock().unwrap_or_else(PoisonError::into_inner);
    batches.push(body);
    StatusCode::OK
}
