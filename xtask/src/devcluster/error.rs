//! Why the development cluster cannot be brought up or taken down, and what to do about it.
use std::path::{Path, PathBuf};

use crate::images::ImageError;
use crate::process::ProcessError;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another operating system.
    #[error("the development cluster needs Linux; point KUBECONFIG at an existing cluster instead")]
    NotLinux,
    /// Another user.
    #[error("the development cluster runs containers and changes the network: run this as root (sudo -E)")]
    NotRoot,
    /// A container or a restricted root.
    #[error("root lacks {name} here; in a container, start it with --privileged, or use a virtual machine")]
    MissingCapability {
        /// The capability.
        name: &'static str,
    },
    /// Nothing is built yet and there is nothing to build with.
    #[error("`go` is not on PATH; install Go (the version in devcluster/*/go.mod or newer)")]
    NoGo,
    /// Packages are missing and this is no Debian.
    #[error(
        "these Debian packages are missing and there is no apt-get here: {0}; the cluster needs Debian or Ubuntu"
    )]
    NoApt(String),
    /// Another `up` or `down` does not end.
    #[error("another `devcluster up` or `down` still holds {}; wait for it, or end it", path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// Container file systems cannot be stacked on the one that the state folder is on.
    #[error("{} is on an overlay file system, on which containers cannot run; set KIDP_STATE to a folder on a disk or a volume", path.display())]
    StateOnOverlay {
        /// The folder.
        path: PathBuf,
    },
    /// Another program listens there.
    #[error("{kind} port {port} is in use by another program (see `ss -lntup`); stop it and try again")]
    PortTaken {
        /// TCP or UDP.
        kind: &'static str,
        /// The port.
        port: u16,
    },
    /// Another network is there.
    #[error(
        "{network} on {device} overlaps the cluster's networks (10.96.0.0/16, 10.244.0.0/24, 172.30.0.1)"
    )]
    AddressTaken {
        /// The other network.
        network: String,
        /// Its interface.
        device: String,
    },
    /// The user said no.
    #[error("nothing was changed; run it again with --yes to go ahead")]
    Declined,
    /// A component ended.
    #[error("{name} ended by itself; its last words are in {}", log.display())]
    Died {
        /// The component.
        name: String,
        /// Its log.
        log: PathBuf,
    },
    /// A component does not become ready.
    #[error("{what} was not ready within {seconds} s; look in {}", logs.display())]
    NotReady {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// Where the logs are.
        logs: PathBuf,
    },
    /// There is no cluster to install an addon into.
    #[error("the development cluster is not up; `cargo xtask devcluster up` first")]
    NotUp,
    /// An addon does not answer.
    #[error("{name} did not answer within {seconds} s: {reason}; see `kubectl -n {namespace} get pods`")]
    Addon {
        /// Which.
        name: &'static str,
        /// Its namespace.
        namespace: &'static str,
        /// How long it was waited for.
        seconds: u64,
        /// What the API server said last.
        reason: String,
    },
    /// Something stayed behind.
    #[error("`down` left these behind: {0}")]
    Leftovers(String),
    /// A file or folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file of ours that does not fit.
    #[error("{}: {reason}", path.display())]
    Record {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A claim that no volume can be made for.
    #[error("no volume can be made: {0}")]
    Volume(String),
    /// Another program.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A certificate.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// An image.
    #[error(transparent)]
    Image(#[from] Box<ImageError>),
    /// The API server.
    #[error("the cluster's API: {0}")]
    Kube(#[from] Box<kube::Error>),
    /// A kubeconfig file.
    #[error("kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
}

impl Error {
    /// Makes an I/O error name its file.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { path, source }
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}

impl From<ImageError> for Error {
    fn from(error: ImageError) -> Self {
        Self::Image(Box::new(error))
    }
}
