//! Waiting for components to answer. Every wait has a deadline and says what it waited for.
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::components::SUPERVISOR;
use super::{Error, NODE_NAME, daemon};
use crate::paths::Layout;

/// A client for a kubeconfig file, whatever `KUBECONFIG` says.
pub async fn client(kubeconfig: &Path) -> Result<Client, Error> {
    // Another dependency may bring a second TLS provider; this says which one is meant.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    config.connect_timeout = Some(Duration::from_secs(3));
    Ok(Client::try_from(config)?)
}

/// Asks again and again until the answer is yes, or a component has ended for good, or time is up.
pub async fn until<F, Fut>(layout: &Layout, what: &str, limit: Duration, mut ask: F) -> Result<(), Error>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = Instant::now() + limit;
    loop {
        let answer = tokio::time::timeout(Duration::from_secs(5), ask()).await;
        if answer == Ok(true) {
            return Ok(());
        }
        if let Some(name) = missed(layout) {
            let log = layout.logs().join(format!("{name}.log"));
            return Err(Error::Died { name, log });
        }
        if Instant::now() > deadline {
            let (what, seconds) = (what.to_owned(), limit.as_secs());
            return Err(Error::NotReady {
                what,
                seconds,
                logs: layout.logs(),
            });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A component that has ended, and that nothing starts again.
fn missed(layout: &Layout) -> Option<String> {
    let (alive, ended): (Vec<_>, Vec<_>) = daemon::records(layout).into_iter().partition(daemon::alive);
    let is_supervised = alive.iter().any(|record| record.daemon.name == SUPERVISOR);
    let first = ended.into_iter().next().filter(|_| !is_supervised)?;
    Some(first.daemon.name)
}

/// Whether the API server says it is ready.
pub async fn api_ready(client: &Client) -> bool {
    let Ok(request) = http::Request::get("/readyz").body(Vec::new()) else {
        return false;
    };
    client.request_text(request).await.is_ok_and(|text| text == "ok")
}

/// Whether the node is ready to run pods.
pub async fn node_ready(client: &Client) -> bool {
    let node = Api::<Node>::all(client.clone()).get(NODE_NAME).await;
    let conditions = node
        .ok()
        .and_then(|n| n.status)
        .and_then(|s| s.conditions)
        .unwrap_or_default();
    conditions
        .iter()
        .any(|c| c.type_ == "Ready" && c.status == "True")
}

/// Whether pods can be made in the default namespace.
pub async fn default_account(client: &Client) -> bool {
    Api::<ServiceAccount>::namespaced(client.clone(), "default")
        .get("default")
        .await
        .is_ok()
}

/// Whether a plain HTTP address answers 200.
pub async fn http_ok(address: &str, path: &str) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())
            .await?;
        let mut head = [0_u8; 12];
        stream.read_exact(&mut head).await?;
        Ok::<_, std::io::Error>(head.ends_with(b" 200"))
    };
    matches!(
        tokio::time::timeout(Duration::from_secs(3), ask).await,
        Ok(Ok(true))
    )
}
