//! A relay between a broker and an operator's callback receiver that loses callbacks, or brings each many times, late and
//! in any order.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::Result;
use crate::error::Doing;

/// Longest that one delivery takes.
const LIMIT: Duration = Duration::from_secs(5);

/// What becomes of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// The broker is told that it arrived, and it did not.
    Lost,
    /// It arrives this often, each time later than the one before, and mixed with others.
    Repeated(u32),
}

struct Inner {
    manner: Manner,
    target: OnceLock<String>,
    taken: AtomicUsize,
    http: reqwest::Client,
}

/// A running relay.
pub struct CallbackRelay {
    inner: Arc<Inner>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for CallbackRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl CallbackRelay {
    /// Starts a relay that leads nowhere yet.
    pub async fn start(manner: Manner) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build();
        let http = http.map_err(std::io::Error::other);
        let inner = Arc::new(Inner {
            manner,
            target: OnceLock::new(),
            taken: AtomicUsize::new(0),
            http: http.doing("making a client of the callback relay")?,
        });
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .doing("binding the callback relay")?;
        let address = listener.local_addr().doing("binding the callback relay")?;
        let app = Router::new().fallback(take).with_state(inner.clone());
        let task = tokio::spawn(async move {
            // Ends with the abort in `drop`.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { inner, address, task })
    }

    /// URL that the broker is to call.
    pub fn url(&self) -> String {
        format!("http://{}/v1/callback", self.address)
    }

    /// Where callbacks are brought to from here on.
    pub fn lead_to(&self, url: &str) {
        self.inner.target.get_or_init(|| url.to_owned());
    }

    /// Callbacks that came so far.
    pub fn taken(&self) -> usize {
        self.inner.taken.load(Ordering::Relaxed)
    }
}

async fn take(State(inner): State<Arc<Inner>>, mut headers: HeaderMap, body: Bytes) -> StatusCode {
    let number = inner.taken.fetch_add(1, Ordering::Relaxed);
    let Manner::Repeated(times) = inner.manner else {
        return StatusCode::NO_CONTENT;
    };
    for name in [header::HOST, header::CONTENT_LENGTH, header::CONNECTION] {
        headers.remove(name);
    }
    for turn in 0..times {
        let (inner, headers, body) = (inner.clone(), headers.clone(), body.clone());
        // Later ones of an earlier callback come after earlier ones of a later one.
        let wait = Duration::from_millis(u64::from(turn) * 700 + u64::from(number % 2 == 0) * 1500);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(target) = inner.target.get() {
                // Whether it was taken is for the test to see in the objects.
                let _ = inner.http.post(target).headers(headers).body(body).send().await;
            }
        });
    }
    StatusCode::NO_CONTENT
}
