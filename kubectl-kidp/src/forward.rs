//! A port of this machine that leads to a pod, as `kubectl port-forward` does: on 127.0.0.1 only, so many connections at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ListParams;
use kube::core::Selector;
use kube::{Api, Client, ResourceExt as _};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::session::Session;

/// Connections at once.
const CONNECTIONS: usize = 32;
/// Pods that are looked at for one that is ready.
const PODS: u32 = 50;

/// A Service, and the port of it that is wanted.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// Its port.
    pub port: u16,
}

/// A port that leads somewhere, until it is dropped.
#[derive(Debug)]
pub struct Forward {
    /// The port, of 127.0.0.1.
    pub port: u16,
    /// The pod.
    pub pod: String,
    task: JoinHandle<()>,
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Opens `local`, or a free port, towards a ready pod of a Service.
pub async fn open(
    session: &Session,
    client: &Client,
    to: &Destination,
    local: Option<u16>,
) -> Result<Forward> {
    let (pod, port) = ready_pod(session, client, to).await?;
    let failed = |source| Error::File {
        path: "127.0.0.1".into(),
        source,
    };
    let listener = TcpListener::bind(("127.0.0.1", local.unwrap_or(0)))
        .await
        .map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?.port();
    let pods: Api<Pod> = Api::namespaced(client.clone(), &to.namespace);
    let limit = session.limit;
    let name = pod.clone();
    let task = tokio::spawn(async move {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let (pods, name) = (pods.clone(), name.clone());
            tokio::spawn(async move {
                let ports = [port];
                let opening = tokio::time::timeout(limit, pods.portforward(&name, &ports));
                match opening.await {
                    Ok(Ok(tunnel)) => carry(tunnel, port, stream).await,
                    Ok(Err(error)) => eprintln!("error: forwarding to {name}: {error}"),
                    Err(_) => eprintln!("error: forwarding to {name}: no answer"),
                }
                drop(place);
            });
        }
    });
    Ok(Forward {
        port: bound,
        pod,
        task,
    })
}

async fn carry(mut tunnel: kube::api::Portforwarder, port: u16, mut stream: TcpStream) {
    let Some(mut upstream) = tunnel.take_stream(port) else {
        return;
    };
    // Either end closes when it likes; that is no error.
    drop(copy_bidirectional(&mut stream, &mut upstream).await);
    drop(upstream);
    drop(tunnel.join().await);
}

/// A ready pod behind a Service, and the port of it that the Service's leads to.
async fn ready_pod(session: &Session, client: &Client, to: &Destination) -> Result<(String, u16)> {
    let Destination {
        namespace,
        service,
        port,
    } = to;
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let found = session
        .ask(
            &format!("reading Service {namespace}/{service}"),
            services.get_opt(service),
        )
        .await?;
    let found = found.ok_or_else(|| {
        Error::Missing(format!(
            "there is no Service {namespace}/{service} in this cluster; its cluster may be another one"
        ))
    })?;
    let spec = found.spec.unwrap_or_default();
    let selector: BTreeMap<_, _> = spec.selector.unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = ListParams::default()
        .labels_from(&Selector::from_iter(selector))
        .limit(PODS);
    let all = session
        .ask(&format!("listing the pods of {service}"), pods.list(&params))
        .await?;
    let ready = all.items.into_iter().find(is_ready);
    let ready = ready.ok_or_else(|| Error::Missing(format!("no pod of {namespace}/{service} is ready")))?;
    let wanted = spec
        .ports
        .into_iter()
        .flatten()
        .find(|known| known.port == i32::from(*port));
    let target = wanted
        .and_then(|known| known.target_port)
        .unwrap_or(IntOrString::Int(i32::from(*port)));
    let number = container_port(&ready, &target);
    let number = number.ok_or_else(|| {
        Error::Missing(format!(
            "{namespace}/{service} leads to no port of {}",
            ready.name_any()
        ))
    })?;
    Ok((ready.name_any(), number))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    pod.metadata.deletion_timestamp.is_none()
        && conditions
            .iter()
            .any(|c| c.type_ == "Ready" && c.status == "True")
}

fn container_port(pod: &Pod, target: &IntOrString) -> Option<u16> {
    match target {
        IntOrString::Int(number) => u16::try_from(*number).ok(),
        IntOrString::String(name) => {
            let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
            let port = ports.find(|port| port.name.as_ref() == Some(name))?;
            u16::try_from(port.container_port).ok()
        }
    }
}
