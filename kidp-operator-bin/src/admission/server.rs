//! Serving admission over TLS: HTTP/1.1, bounded in connections, time and size.
//!
//! The API server keeps its connections, so each has an end: then a renewed certificate is taken up.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Most connections at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 256;
/// Longest TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Longest wait for the head of a request, also on a connection that is kept.
const HEAD: Duration = Duration::from_secs(30);
/// Longest life of a connection.
const AGE: Duration = Duration::from_mins(10);
/// How long requests in flight get at the end.
const DRAIN: Duration = Duration::from_secs(2);
/// How long to wait where a connection cannot be taken.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves `app` with whatever `tls` says at the time, until `stop`. Until there is a certificate, connections are closed.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    tls: watch::Receiver<Option<Arc<ServerConfig>>>,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let Some(Some((place, accepted))) = stop.run_until_cancelled(next).await else {
            break;
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let Some(config) = tls.borrow().clone() else {
            continue;
        };
        let (app, stop) = (app.clone(), stop.clone());
        connections.spawn(async move {
            connection(stream, config, app, &stop).await;
            drop(place);
        });
    }
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, all).await.is_err() {
        connections.shutdown().await;
    }
}

async fn connection(stream: TcpStream, config: Arc<ServerConfig>, app: Router, stop: &CancellationToken) {
    let _ = stream.set_nodelay(true);
    let accepted = tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await;
    let Ok(Ok(stream)) = accepted else {
        tracing::debug!("admission: no TLS connection");
        return;
    };
    let service =
        service_fn(|request: axum::http::Request<Incoming>| app.clone().oneshot(request.map(Body::new)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        _ = connection.as_mut() => true,
        () = stop.cancelled() => false,
        () = tokio::time::sleep(AGE) => false,
    };
    if !ended {
        connection.as_mut().graceful_shutdown();
        // One that does not end by then is dropped.
        let _ = tokio::time::timeout(HEAD, connection).await;
    }
}
