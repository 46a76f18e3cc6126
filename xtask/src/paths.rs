//! Where the development cluster keeps its files: a cache that outlives it and a state folder that does not.
//! Both are outside the checkout, so that a clean checkout never pays for the build again.
use std::path::{Path, PathBuf};

/// The folders of one development cluster. Everything else is derived from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Live files: certificates, data, logs, pid files. Removed by `down`, but for the logs.
    pub state: PathBuf,
    /// Built binaries and images, keyed by the hash of what made them.
    pub cache: PathBuf,
}

impl Layout {
    /// Reads `KIDP_STATE`, `KIDP_CACHE`, `XDG_CACHE_HOME` and `HOME`.
    pub fn from_env() -> Self {
        let var = |name: &str| {
            std::env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let cache = var("KIDP_CACHE").unwrap_or_else(|| {
            let base = var("XDG_CACHE_HOME")
                .or_else(|| var("HOME").map(|home| home.join(".cache")))
                .unwrap_or_else(|| PathBuf::from("/var/cache"));
            base.join("kidp")
        });
        let state = var("KIDP_STATE").unwrap_or_else(|| PathBuf::from("/var/lib/kidp-devcluster"));
        Self { state, cache }
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.state.join("admin.kubeconfig")
    }

    /// The kubeconfig of one component.
    pub fn component_kubeconfig(&self, component: &str) -> PathBuf {
        self.conf().join(format!("{component}.kubeconfig"))
    }

    /// Logs, one file a component, and `audit.log`.
    pub fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// Rendered configuration files.
    pub fn conf(&self) -> PathBuf {
        self.state.join("conf")
    }

    /// Certificates and keys.
    pub fn pki(&self) -> PathBuf {
        self.state.join("pki")
    }

    /// One file a component with its pid and start time.
    pub fn pids(&self) -> PathBuf {
        self.state.join("pids")
    }

    /// Folders behind the persistent volumes.
    pub fn volumes(&self) -> PathBuf {
        self.state.join("volumes")
    }

    /// containerd's socket.
    pub fn containerd_socket(&self) -> PathBuf {
        self.state.join("containerd-run/containerd.sock")
    }

    /// What the machine looked like before `up` changed it.
    pub fn host_record(&self) -> PathBuf {
        self.state.join("host.json")
    }

    /// The control group above all pods: named after the state folder, since it is the machine's.
    pub fn cgroup(&self) -> String {
        let name = self.state.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Held while `up` or `down` runs.
    pub fn lock(&self) -> PathBuf {
        self.state.with_extension("lock")
    }
}

/// The checkout this binary was built from.
pub fn checkout() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_lives_under_the_state_folder() {
        let layout = Layout {
            state: "/s".into(),
            cache: "/c".into(),
        };
        for path in [
            layout.kubeconfig(),
            layout.logs(),
            layout.pki(),
            layout.containerd_socket(),
        ] {
            assert!(path.starts_with("/s"), "{}", path.display());
        }
        assert_eq!(
            layout.lock(),
            PathBuf::from("/s.lock"),
            "the lock outlives the folder it guards"
        );
    }
}
