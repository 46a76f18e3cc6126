//! A real one-node Kubernetes on this machine, for the demo and the end-to-end tests.
//!
//! `up` builds the pinned binaries, starts them as plain processes, and leaves them running; `down` stops them and
//! puts the machine back; `status` says which of the two is the case. `docs/devcluster.md` is the user's guide.
//!
//! One module a concern: `preflight` refuses, `packages` and `binaries` install, `config`, `pki` and
//! `kubeconfig` write files, `host`, `mounts` and `firewall` change the machine, `components` and
//! `daemon` start, `wait` waits, `cleanup` undoes, `storage` and `supervisor` are components of our own, `addons` installs what a cluster may
//! have beside Kubernetes, and `crash` kills what tests want to see killed.
pub mod addons;
mod binaries;
mod cleanup;
mod components;
mod config;
pub mod crash;
mod daemon;
mod error;
mod firewall;
mod host;
mod kubeconfig;
mod mounts;
pub mod packages;
mod pki;
mod preflight;
pub mod storage;
pub mod supervisor;
mod up;
mod wait;

use std::fs::{File, TryLockError};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) use binaries::{
    CERT_MANAGER, CLOUDNATIVE_PG, FERRETDB, GoModule, KWOK, MANIFESTS, build as build_module, fingerprint,
    helm, hex, key, prometheus,
};
pub use error::Error;
pub use firewall::{cut, heal};
pub use host::pod_processes;
pub use packages::install as install_packages;
pub use wait::client;

use crate::paths::Layout;
use crate::progress::Progress;
use binaries::Binaries;

const NODE_NAME: &str = "kidp-node";
const NODE_IP: &str = "172.30.0.1";
const SERVICE_IP: &str = "10.96.0.1";
const SERVICE_CIDR: &str = "10.96.0.0/16";
const POD_CIDR: &str = "10.244.0.0/24";
const NODE_BRIDGE: &str = "kidp0";
const POD_BRIDGE: &str = "kidp-cni0";

/// A cold `up` of another process may hold the lock for as long as the build takes.
const LOCK_DEADLINE: Duration = Duration::from_mins(45);

/// A cluster that a command may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterHandle {
    /// The one that `KUBECONFIG` names. It is never changed beyond what the command itself creates.
    ExistingKubeconfig(PathBuf),
    /// The development cluster.
    DevCluster {
        /// Its administrator's kubeconfig.
        kubeconfig: PathBuf,
        /// Whether this call started it: only who started it takes it down.
        started_here: bool,
    },
}

impl ClusterHandle {
    /// The kubeconfig to use.
    pub fn kubeconfig(&self) -> &Path {
        match self {
            Self::ExistingKubeconfig(path) | Self::DevCluster { kubeconfig: path, .. } => path,
        }
    }

    /// Whether the call that made this handle started the cluster.
    pub fn started_here(&self) -> bool {
        matches!(
            self,
            Self::DevCluster {
                started_here: true,
                ..
            }
        )
    }

    /// Whether images can be imported: only into the development cluster's own containerd.
    pub fn is_devcluster(&self) -> bool {
        matches!(self, Self::DevCluster { .. })
    }

    /// A client for it.
    pub async fn client(&self) -> Result<kube::Client, Error> {
        wait::client(self.kubeconfig()).await
    }

    /// Takes the cluster down if this handle started it.
    pub async fn release(&self) -> Result<(), Error> {
        if self.started_here() {
            down(&Layout::from_env()).await
        } else {
            Ok(())
        }
    }
}

/// The cluster to work with: the one of `KUBECONFIG` if that is set, else the development cluster, which is brought
/// up when it is not.
pub async fn ensure() -> Result<ClusterHandle, Error> {
    if let Some(path) = std::env::var_os("KUBECONFIG").filter(|v| !v.is_empty()) {
        return Ok(ClusterHandle::ExistingKubeconfig(path.into()));
    }
    let layout = Layout::from_env();
    let started_here = Box::pin(up(&layout, true)).await?;
    Ok(ClusterHandle::DevCluster {
        kubeconfig: layout.kubeconfig(),
        started_here,
    })
}

/// Brings the development cluster up. Answers whether it had to: a healthy one is left as it is.
/// Without `yes`, a person at a terminal is asked before anything is installed or changed.
pub async fn up(layout: &Layout, yes: bool) -> Result<bool, Error> {
    preflight::check_machine()?;
    let _lock = lock(layout).await?;
    if up::healthy(layout).await {
        return Ok(false);
    }
    let bin = Binaries::locate(layout)?;
    preflight::check_build(&bin).await?;
    announce(layout, &bin).await;
    if !yes && !confirmed() {
        return Err(Error::Declined);
    }
    Box::pin(up::run(layout, &Progress::default())).await?;
    Ok(true)
}

/// Stops the cluster and puts the machine back as it was. Harmless when nothing is up.
pub async fn down(layout: &Layout) -> Result<(), Error> {
    preflight::check_machine()?;
    let _lock = lock(layout).await?;
    Progress::default()
        .step("taking the cluster down", cleanup::run(layout))
        .await
}

/// What `status` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Up, and every part answers.
    pub healthy: bool,
    /// Each recorded component, its pid, and whether it runs.
    pub components: Vec<(String, i32, bool)>,
    /// What of a cluster is on this machine; after `down` it must be empty.
    pub traces: Vec<String>,
}

/// Looks without changing anything.
pub async fn status(layout: &Layout) -> Status {
    let records = daemon::records(layout);
    let components = records
        .iter()
        .map(|r| (r.daemon.name.clone(), r.pid, daemon::alive(r)))
        .collect();
    Status {
        healthy: up::healthy(layout).await,
        components,
        traces: cleanup::leftovers(layout).await,
    }
}

/// The folder of `ctr`, for importing images.
pub(crate) fn ctr(layout: &Layout) -> Result<PathBuf, Error> {
    Ok(Binaries::locate(layout)?.node.join("ctr"))
}

/// The path of `kubectl`, for people and scripts.
pub fn kubectl(layout: &Layout) -> Result<PathBuf, Error> {
    Ok(Binaries::locate(layout)?.control_plane.join("kubectl"))
}

/// This program, or the `xtask` that was built beside the test that runs now.
pub(crate) fn xtask_binary() -> Result<PathBuf, Error> {
    let own = std::env::current_exe().map_err(Error::io("/proc/self/exe"))?;
    if own.file_stem().is_some_and(|name| name == "xtask") {
        return Ok(own);
    }
    let beside = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join("xtask"))
        .find(|path| path.is_file());
    beside.ok_or_else(|| Error::Record {
        path: own,
        reason: "the xtask binary is not beside it; run `cargo build -p xtask` first".to_owned(),
    })
}

/// Keeps a second `up` or `down` waiting, so that two never work on one machine.
async fn lock(layout: &Layout) -> Result<File, Error> {
    let path = layout.lock();
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
    }
    let mut options = File::options();
    let options = options.create(true).truncate(false).write(true);
    let file = options.open(&path).map_err(Error::io(&path))?;
    let deadline = Instant::now() + LOCK_DEADLINE;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(Error::Io { path, source }),
            Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                return Err(Error::Locked { path });
            }
            Err(TryLockError::WouldBlock) if !told => {
                eprintln!("waiting for another `devcluster up` or `down` to finish");
                told = true;
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

async fn announce(layout: &Layout, bin: &Binaries) {
    let missing = packages::missing().await;
    let packages = if missing.is_empty() {
        "none, all present".to_owned()
    } else {
        missing.join(" ")
    };
    let build = if bin.built() {
        "none, all cached"
    } else {
        "Kubernetes, containerd, runc, etcd, CoreDNS"
    };
    eprintln!("The development cluster will set up on this machine:");
    eprintln!("  Debian packages   {packages}");
    eprintln!("  Go builds         {build} (in {})", layout.cache.display());
    eprintln!("  images            built from Debian packages, unless cached");
    eprintln!(
        "  interfaces        {NODE_BRIDGE} ({NODE_IP}), {POD_BRIDGE} ({POD_CIDR}); route {SERVICE_CIDR}"
    );
    eprintln!("  machine settings  ip_forward, shared mounts, packet filter chains KUBE-* CNI-* KIDP-*");
    eprintln!("  files             {}", layout.state.display());
    eprintln!("`cargo xtask devcluster down` removes all but the packages, the cache and the logs.");
}

fn confirmed() -> bool {
    if !std::io::stdin().is_terminal() {
        // Nobody to ask: a script that says `up` means it.
        return true;
    }
    eprint!("Go ahead? [Y/n] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.is_ok_and(|n| n > 0) && matches!(answer.trim(), "" | "y" | "Y" | "yes")
}
