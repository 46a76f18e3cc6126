//! The faults, and how each is made.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kidp_e2e::pods::{BROKER_NAMESPACE, OPERATOR_NAMESPACE};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use crate::devcluster::crash::{self, Component};
use crate::devcluster::{self, cut, heal, pod_processes};
use crate::paths::Layout;

/// How long a killed component of the control plane stays away.
const DOWN: Duration = Duration::from_secs(2);
/// How long operator and broker do not reach each other: longer than a request and a round of callbacks take.
const CUT: Duration = Duration::from_secs(20);

/// What is done to the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// The broker's process is killed.
    Broker,
    /// The operator's process is killed.
    Operator,
    /// The API server is killed, and away for a while.
    ApiServer,
    /// The store is killed, and away for a while.
    Etcd,
    /// The kubelet is killed, and away for a while.
    Kubelet,
    /// Packets between operator and broker are dropped for a while.
    Network,
}

/// A fault could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The cluster's component does not come back.
    #[error(transparent)]
    Cluster(#[from] devcluster::Error),
    /// Pods could not be listed.
    #[error("listing the pods of {namespace}: {source}")]
    Pods {
        /// The namespace.
        namespace: &'static str,
        /// The client's error.
        source: Box<kube::Error>,
    },
    /// The pod, its address or its process is not there.
    #[error("{namespace} has no running pod with {what}")]
    Absent {
        /// The namespace.
        namespace: &'static str,
        /// What was looked for.
        what: &'static str,
    },
    /// Nothing was dropped, so nothing was tested.
    #[error("operator and broker did not try to talk to each other while they were cut off")]
    Untested,
}

impl Fault {
    /// Every fault, the cheapest first.
    pub const ALL: [Self; 6] = [
        Self::Broker,
        Self::Operator,
        Self::Network,
        Self::Kubelet,
        Self::ApiServer,
        Self::Etcd,
    ];

    /// Its name in the table.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Operator => "operator",
            Self::ApiServer => "API server",
            Self::Etcd => "etcd",
            Self::Kubelet => "kubelet",
            Self::Network => "network between operator and broker",
        }
    }

    /// What is done.
    pub fn how(self) -> String {
        match self {
            Self::Broker | Self::Operator => "`kill -9`, restarted by the kubelet".into(),
            Self::ApiServer | Self::Etcd | Self::Kubelet => {
                format!("`kill -9`, away for {} s", DOWN.as_secs())
            }
            Self::Network => format!("packets dropped for {} s", CUT.as_secs()),
        }
    }

    /// Whether it has to be there before the work begins to be met at all.
    pub fn is_cut(self) -> bool {
        self == Self::Network
    }

    /// Makes it, and returns when what was done has been undone.
    pub async fn strike(self, client: &Client, layout: &Layout) -> Result<(), FaultError> {
        match self {
            Self::Broker => kill(client, layout, BROKER_NAMESPACE).await,
            Self::Operator => kill(client, layout, OPERATOR_NAMESPACE).await,
            Self::ApiServer => Ok(crash::crash(layout, Component::ApiServer, DOWN).await?),
            Self::Etcd => Ok(crash::crash(layout, Component::Etcd, DOWN).await?),
            Self::Kubelet => Ok(crash::crash(layout, Component::Kubelet, DOWN).await?),
            Self::Network => separate(client).await,
        }
    }
}

/// The one pod of a namespace.
async fn pod(client: &Client, namespace: &'static str) -> Result<Pod, FaultError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pods = api
        .list(&ListParams::default())
        .await
        .map_err(|source| FaultError::Pods {
            namespace,
            source: Box::new(source),
        })?;
    let running = |pod: &Pod| pod.metadata.deletion_timestamp.is_none();
    pods.items.into_iter().find(running).ok_or(FaultError::Absent {
        namespace,
        what: "a name",
    })
}

/// Kills the program of a namespace's pod.
async fn kill(client: &Client, layout: &Layout, namespace: &'static str) -> Result<(), FaultError> {
    let uid = pod(client, namespace).await?.uid().unwrap_or_default();
    let is_ours = |pid: &i32| {
        let command = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("comm"));
        command.is_ok_and(|name| name.starts_with("kidp-"))
    };
    let pids: Vec<_> = pod_processes(layout, &uid).into_iter().filter(is_ours).collect();
    if pids.is_empty() {
        return Err(FaultError::Absent {
            namespace,
            what: "a process",
        });
    }
    pids.into_iter().for_each(crash::kill);
    Ok(())
}

/// Drops what operator and broker send each other.
async fn separate(client: &Client) -> Result<(), FaultError> {
    let operator = address(client, OPERATOR_NAMESPACE).await?;
    let broker = address(client, BROKER_NAMESPACE).await?;
    cut(&operator, &broker).await?;
    tokio::time::sleep(CUT).await;
    if heal().await? == 0 {
        return Err(FaultError::Untested);
    }
    Ok(())
}

async fn address(client: &Client, namespace: &'static str) -> Result<String, FaultError> {
    let status = pod(client, namespace).await?.status.unwrap_or_default();
    status.pod_ip.ok_or(FaultError::Absent {
        namespace,
        what: "an address",
    })
}
