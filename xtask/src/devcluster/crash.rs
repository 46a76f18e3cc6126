//! Crashes of the cluster's own components, for tests of what lives on it: killed without a chance to clean up, left
//! dead for a moment, and started again as `up` started them.
use std::time::Duration;

use rustix::process::Signal;

use super::binaries::Binaries;
use super::daemon::{self, Daemon};
use super::{Error, components, up, wait};
use crate::paths::Layout;

/// How long a killed process may still be there.
const DEATH: Duration = Duration::from_secs(5);
/// How long a component may take to answer again.
const REVIVAL: Duration = Duration::from_mins(1);

/// A component that can be crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The store.
    Etcd,
    /// The API server.
    ApiServer,
    /// The kubelet; its pods go on running.
    Kubelet,
}

impl Component {
    fn daemon(self, layout: &Layout, bin: &Binaries) -> Daemon {
        match self {
            Self::Etcd => components::etcd(layout, bin),
            Self::ApiServer => components::apiserver(layout, bin),
            Self::Kubelet => components::kubelet(layout, bin),
        }
    }
}

/// Kills a process without a chance to clean up; one that is already gone is no error.
pub fn kill(pid: i32) {
    daemon::signal_pid(pid, Signal::KILL);
}

/// Kills a component, leaves it dead for `down`, starts it again and waits until the cluster answers.
pub async fn crash(layout: &Layout, component: Component, down: Duration) -> Result<(), Error> {
    let bin = Binaries::locate(layout)?;
    let daemon = component.daemon(layout, &bin);
    let record = daemon::records(layout)
        .into_iter()
        .find(|record| record.daemon.name == daemon.name && daemon::alive(record));
    let record = record.ok_or_else(|| Error::Died {
        name: daemon.name.clone(),
        log: layout.logs().join(format!("{}.log", daemon.name)),
    })?;
    // The supervisor would start it again at once.
    daemon::forget(layout, &record)?;
    kill(record.pid);
    daemon::stop(&record, DEATH).await;
    tokio::time::sleep(down).await;
    up::run_daemon(layout, &bin, &daemon)?;
    let client = wait::client(&layout.kubeconfig()).await?;
    wait::until(layout, "the API server", REVIVAL, || wait::api_ready(&client)).await?;
    wait::until(layout, "the kubelet", REVIVAL, || {
        wait::http_ok("127.0.0.1:10248", "/healthz")
    })
    .await?;
    wait::until(layout, "the node", REVIVAL, || wait::node_ready(&client)).await
}
