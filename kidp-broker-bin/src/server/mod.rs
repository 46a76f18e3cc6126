//! Serving the API: HTTP/1.1 over TCP, with TLS where it is configured.
//!
//! # Bounds
//! | what | bound | beyond it |
//! |---|---|---|
//! | connections | `--max-connections` | wait in the kernel's queue until one is free |
//! | connections of one address | [`Limits::of_address`] | closed |
//! | TLS handshake | [`Limits::handshake`] | closed |
//! | the head of a request, and the wait for it on a connection that is kept | [`Limits::head`] | closed |
//! | size and number of headers | [`Limits::head_bytes`], [`Limits::headers`] | 431 |
//! | a request, its body's reading included | `REQUEST_TIMEOUT` | 504, then closed |
//! | a connection, however busy | [`Limits::age`] | told to close after the request, and then closed |
//!
//! The last one also bounds a client that does not read its answers, and makes clients take up a renewed certificate.

mod addresses;
pub mod tls;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::auth::Peer;
use crate::reload::Live;
use addresses::Addresses;
use tls::Tls;

/// How long to wait where a connection cannot be taken, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// What one client can hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections of one address at once, so that one client cannot take every place.
    pub of_address: usize,
    /// Longest TLS handshake.
    pub handshake: Duration,
    /// Longest wait for the head of a request.
    pub head: Duration,
    /// Largest head of a request, in bytes.
    pub head_bytes: usize,
    /// Most headers of a request.
    pub headers: usize,
    /// Longest life of a connection.
    pub age: Duration,
    /// Longest time that requests in flight get at the end.
    pub drain: Duration,
}

impl Limits {
    /// The limits with so many connections.
    pub fn new(connections: u16) -> Self {
        Self {
            connections: usize::from(connections),
            // Enough for an operator, and for clients behind one proxy.
            of_address: usize::from(connections.div_ceil(4)),
            handshake: Duration::from_secs(5),
            // More than the idle time of KIDP's own clients, so that they close first.
            head: Duration::from_secs(15),
            head_bytes: 16 * 1024,
            headers: 64,
            age: Duration::from_mins(10),
            drain: Duration::from_secs(15),
        }
    }
}

/// What every connection is served with.
struct Server {
    app: Router,
    tls: Option<Live<Tls>>,
    limits: Limits,
    stop: CancellationToken,
}

/// Serves `app` until `stop`, then lets what is in flight end.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    tls: Option<Live<Tls>>,
    limits: Limits,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    let server = Arc::new(Server {
        app,
        tls,
        limits,
        stop: stop.clone(),
    });
    let addresses = Addresses::new(limits.of_address);
    while let Some((stream, address, place)) =
        stop.run_until_cancelled(next(&listener, &places)).await.flatten()
    {
        let Some(share) = addresses.enter(address.ip()) else {
            tracing::debug!(%address, "closed: too many connections of this address");
            continue;
        };
        let server = server.clone();
        connections.spawn(async move {
            server.connection(stream, address).await;
            drop((place, share));
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.drain, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(left = connections.len(), "requests in flight did not end in time");
    }
}

/// The next connection, once there is a place for it.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return Some((stream, address, place)),
            Err(error) => {
                if !is_of_one_connection(&error) {
                    tracing::warn!(%error, "cannot take a connection");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

impl Server {
    async fn connection(&self, stream: TcpStream, address: SocketAddr) {
        // Answers are small and are waited for.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            let peer = Peer {
                address,
                certificate: None,
            };
            return self.requests(stream, peer).await;
        };
        let acceptor = TlsAcceptor::from(tls.current().config());
        match tokio::time::timeout(self.limits.handshake, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let certificate = tls::client_name(stream.get_ref().1);
                self.requests(stream, Peer { address, certificate }).await;
            }
            Ok(Err(error)) => tracing::debug!(%address, %error, "no TLS connection"),
            Err(_) => tracing::debug!(%address, "no TLS connection in time"),
        }
    }

    async fn requests(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send, peer: Peer) {
        let address = peer.address;
        let service = service_fn(|request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            self.app.clone().oneshot(request)
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.limits.head)
                .max_header_size(self.limits.head_bytes)
                .max_headers(self.limits.headers)
                .serve_connection(TokioIo::new(stream), service)
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = self.stop.cancelled() => None,
            () = tokio::time::sleep(self.limits.age) => None,
        };
        let ended = if let Some(ended) = ended {
            Ok(ended)
        } else {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(self.limits.drain, connection).await
        };
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%address, %error, "a connection ended"),
            Err(_) => tracing::debug!(%address, "a connection was closed that did not end"),
        }
    }
}

#[cfg(test)]
mod tests;
