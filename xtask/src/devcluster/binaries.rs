//! The cluster's binaries, built by `go install` from the pinned modules in `devcluster/*/go.mod` and kept in the
//! cache under a hash of everything that decides them, so that a machine pays for the build once.
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::Error;
use crate::paths::{Layout, checkout};
use crate::process::Cmd;

/// Kubernetes alone takes about ten minutes on two cores.
const BUILD_DEADLINE: Duration = Duration::from_mins(45);

/// One Go module with `tool` lines.
#[derive(Debug, Clone, Copy)]
pub struct GoModule {
    /// Folder under `devcluster/`.
    pub folder: &'static str,
    cgo: &'static str,
    tags: &'static str,
    /// Binaries whose Go name says too little.
    rename: &'static [(&'static str, &'static str)],
    /// A module that embeds its version from a file which its publisher makes and does not publish, and that file.
    version_file: Option<(&'static str, &'static str)>,
    /// A module and its folder of manifests, kept beside the binaries so that the two are of one version.
    manifests: Option<(&'static str, &'static str)>,
}

/// Kubernetes itself.
pub const CONTROL_PLANE: GoModule = GoModule {
    folder: "control-plane",
    cgo: "1",
    tags: "",
    rename: &[],
    version_file: None,
    manifests: None,
};
/// containerd, runc, the CNI plugins and etcd. Without the `seccomp` tag runc refuses `RuntimeDefault`.
pub const NODE: GoModule = GoModule {
    folder: "node",
    cgo: "1",
    tags: "seccomp",
    rename: &[("server", "etcd")],
    version_file: None,
    manifests: None,
};
/// `CoreDNS`, alone because it pins another Kubernetes client.
pub const DNS: GoModule = GoModule {
    folder: "dns",
    cgo: "0",
    tags: "",
    rename: &[],
    version_file: None,
    manifests: None,
};

/// `FerretDB`, which stands in for MongoDB; built only when its image is asked for.
pub const FERRETDB: GoModule = GoModule {
    folder: "ferretdb",
    cgo: "0",
    tags: "",
    rename: &[],
    version_file: Some(("github.com/FerretDB/FerretDB", "build/version/version.txt")),
    manifests: None,
};

/// `cert-manager`, an addon: one program with its three components.
pub const CERT_MANAGER: GoModule = GoModule {
    folder: "cert-manager",
    cgo: "0",
    tags: "",
    rename: &[],
    version_file: None,
    manifests: Some(("github.com/cert-manager/cert-manager", "deploy/crds")),
};

/// `CloudNativePG`, an addon.
pub const CLOUDNATIVE_PG: GoModule = GoModule {
    folder: "cloudnative-pg",
    cgo: "0",
    tags: "",
    rename: &[],
    version_file: None,
    manifests: Some(("github.com/cloudnative-pg/cloudnative-pg", "config")),
};

/// Prometheus, which is no part of the cluster: `prometheus` scrapes the programs in a test, and `promtool` reads rules and
/// runs their tests. Of the ways to find what to scrape, which are most of its code, only those that it cannot do without are
/// built: a test names its targets. Its pages, whose files are built by npm, are not in it.
const PROMETHEUS: GoModule = GoModule {
    folder: "prometheus",
    cgo: "0",
    tags: "remove_all_sd",
    rename: &[],
    version_file: None,
    manifests: None,
};

/// `helm`, which renders and installs the charts; built only when one of the two is asked for.
pub const HELM: GoModule = GoModule {
    folder: "helm",
    cgo: "0",
    tags: "",
    rename: &[],
    version_file: None,
    manifests: None,
};

/// `kwok`, which plays the nodes of a measurement; built only when one asks for them. Its stages, which say how nodes and pods
/// go on, are upstream's.
pub const KWOK: GoModule = GoModule {
    folder: "kwok",
    cgo: "0",
    tags: "",
    rename: &[],
    version_file: None,
    manifests: Some(("sigs.k8s.io/kwok", "kustomize/stage")),
};

/// The program `helm`, built unless the cache has it.
pub async fn helm(layout: &Layout) -> Result<PathBuf, Error> {
    Ok(build(layout, HELM).await?.join("helm"))
}

/// The folder of the programs `prometheus` and `promtool`, built unless the cache has them.
pub async fn prometheus(layout: &Layout) -> Result<PathBuf, Error> {
    build(layout, PROMETHEUS).await
}

/// Folder of a module's manifests, beside its binaries.
pub const MANIFESTS: &str = "upstream";

/// Where each module's binaries are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// Folder of `kube-apiserver`, `kubelet`, `kubectl`, ...
    pub control_plane: PathBuf,
    /// Folder of `containerd`, `ctr`, `runc`, `etcd` and the CNI plugins.
    pub node: PathBuf,
    /// Folder of `coredns`.
    pub dns: PathBuf,
}

impl Binaries {
    /// Where the binaries are, or will be once built.
    pub fn locate(layout: &Layout) -> Result<Self, Error> {
        let folder = |module| Plan::new(layout, module).map(|plan| plan.target);
        Ok(Self {
            control_plane: folder(CONTROL_PLANE)?,
            node: folder(NODE)?,
            dns: folder(DNS)?,
        })
    }

    /// Whether nothing needs to be built.
    pub fn built(&self) -> bool {
        self.control_plane.is_dir() && self.node.is_dir() && self.dns.is_dir()
    }
}

/// How one module is built, and where to.
#[derive(Debug)]
struct Plan {
    module: GoModule,
    dir: PathBuf,
    ldflags: String,
    target: PathBuf,
}

impl Plan {
    fn new(layout: &Layout, module: GoModule) -> Result<Self, Error> {
        let dir = checkout().join("devcluster").join(module.folder);
        let read = |name: &str| {
            let path = dir.join(name);
            std::fs::read_to_string(&path).map_err(Error::io(&path))
        };
        let (go_mod, go_sum) = (read("go.mod")?, read("go.sum")?);
        let ldflags = ldflags(&go_mod);
        let mut parts = vec![go_mod.as_str(), &go_sum, module.cgo, module.tags, &ldflags];
        if let Some((name, file)) = module.version_file {
            parts.extend([name, file]);
        }
        if let Some((name, folder)) = module.manifests {
            parts.extend([name, folder]);
        }
        let sources = go_sources(&dir)?;
        parts.extend(sources.iter().map(String::as_str));
        let key = key(&parts);
        Ok(Self {
            module,
            target: layout.cache.join("bin").join(key),
            dir,
            ldflags,
        })
    }
}

/// Go files of our own beside a `go.mod`; most modules have none.
fn go_sources(dir: &Path) -> Result<Vec<String>, Error> {
    let entries = std::fs::read_dir(dir).map_err(Error::io(dir))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "go"));
    files.sort();
    let read = |file: &PathBuf| std::fs::read_to_string(file).map_err(Error::io(file));
    files.iter().map(read).collect()
}

/// What a module's binaries depend on, as a hash.
pub(crate) fn fingerprint(layout: &Layout, module: GoModule) -> Result<String, Error> {
    let plan = Plan::new(layout, module)?;
    let name = plan.target.file_name().unwrap_or_default();
    Ok(name.to_string_lossy().into_owned())
}

/// Builds one module unless the cache has it. The result appears by a rename, so that an interrupted build never
/// passes for a finished one.
pub async fn build(layout: &Layout, module: GoModule) -> Result<PathBuf, Error> {
    let plan = Plan::new(layout, module)?;
    if plan.target.is_dir() {
        return Ok(plan.target);
    }
    let parent = layout.cache.join("bin");
    std::fs::create_dir_all(&parent).map_err(Error::io(&parent))?;
    let temp = tempfile::tempdir_in(&parent).map_err(Error::io(&parent))?;
    let mut command = Cmd::new("go").args(["install", "-ldflags", &plan.ldflags, "-tags", module.tags]);
    let scratch = tempfile::tempdir().map_err(Error::io("/tmp"))?;
    if let Some((name, file)) = module.version_file {
        let go_mod = with_version(&plan, name, file, scratch.path()).await?;
        command = command.arg("-modfile").arg(go_mod);
    }
    command
        .arg("tool")
        .env("GOBIN", temp.path())
        .env("CGO_ENABLED", module.cgo)
        .dir(&plan.dir)
        .timeout(BUILD_DEADLINE)
        .output()
        .await?;
    for (from, to) in plan.module.rename {
        std::fs::rename(temp.path().join(from), temp.path().join(to)).map_err(Error::io(temp.path()))?;
    }
    if let Some((name, folder)) = module.manifests {
        let (_, dir) = locate(&plan, name).await?;
        copy(&Path::new(&dir).join(folder), &temp.path().join(MANIFESTS)).await?;
    }
    publish(&temp.keep(), &plan.target)?;
    Ok(plan.target)
}

/// Version and folder of a module that the plan's `go.mod` requires, in Go's own module cache.
async fn locate(plan: &Plan, module: &str) -> Result<(String, String), Error> {
    let go = |args: &[&str]| {
        let command = Cmd::new("go").args(args.iter().copied()).dir(&plan.dir);
        command.timeout(BUILD_DEADLINE).output()
    };
    go(&["mod", "download", module]).await?;
    let said = go(&["list", "-m", "-f", "{{.Version}} {{.Dir}}", module]).await?;
    let (version, dir) = said.trim().split_once(' ').unwrap_or_default();
    Ok((version.to_owned(), dir.to_owned()))
}

/// Copies a folder of the module cache, whose files are read-only.
async fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let command = Cmd::new("cp").args(["-R", "--no-preserve=mode"]);
    command.arg(from).arg(to).output().await?;
    Ok(())
}

/// A `go.mod` like the plan's that takes one module from a copy in `scratch`, which has the file with its version. Go
/// refuses to overlay its module cache.
async fn with_version(plan: &Plan, module: &str, file: &str, scratch: &Path) -> Result<PathBuf, Error> {
    let (version, dir) = locate(plan, module).await?;
    let target = scratch.join("module");
    copy(Path::new(&dir), &target).await?;
    std::fs::write(target.join(file), version).map_err(Error::io(target.join(file)))?;
    for name in ["go.mod", "go.sum"] {
        std::fs::copy(plan.dir.join(name), scratch.join(name)).map_err(Error::io(plan.dir.join(name)))?;
    }
    let go_mod = scratch.join("go.mod");
    let edit = Cmd::new("go").args(["mod", "edit"]).dir(&plan.dir);
    edit.arg(format!("-replace={module}={}", target.display()))
        .arg(&go_mod)
        .output()
        .await?;
    Ok(go_mod)
}

fn publish(temp: &Path, target: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(temp, std::fs::Permissions::from_mode(0o755)).map_err(Error::io(temp))?;
    match std::fs::rename(temp, target) {
        // Another `up` was faster; its result is the same.
        Err(_) if target.is_dir() => std::fs::remove_dir_all(temp).map_err(Error::io(temp)),
        other => other.map_err(Error::io(target)),
    }
}

/// The linker flags: small binaries, and the version strings that clients and charts read.
fn ldflags(go_mod: &str) -> String {
    let mut flags = String::from("-s -w");
    let mut set = |variable: &str, value: &str| {
        flags.push_str(" -X ");
        flags.push_str(variable);
        flags.push('=');
        flags.push_str(value);
    };
    if let Some(version) = required_version(go_mod, "k8s.io/kubernetes") {
        let mut parts = version.trim_start_matches('v').split('.');
        set("k8s.io/component-base/version.gitVersion", version);
        set(
            "k8s.io/component-base/version.gitMajor",
            parts.next().unwrap_or_default(),
        );
        set(
            "k8s.io/component-base/version.gitMinor",
            parts.next().unwrap_or_default(),
        );
    }
    if let Some(version) = required_version(go_mod, "helm.sh/helm/v4") {
        set("helm.sh/helm/v4/internal/version.version", version);
    }
    if let Some(version) = required_version(go_mod, "github.com/containerd/containerd/v2") {
        set("github.com/containerd/containerd/v2/version.Version", version);
    }
    if let Some(version) = required_version(go_mod, "github.com/cert-manager/cert-manager") {
        set(
            "github.com/cert-manager/cert-manager/pkg/util.AppVersion",
            version,
        );
    }
    flags
}

/// The version that a `go.mod` requires of a module (not the one of a `replace`).
pub(super) fn required_version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod
        .lines()
        .filter(|line| !line.contains("=>"))
        .find_map(|line| {
            let mut words = line.trim().trim_start_matches("require ").split_whitespace();
            (words.next() == Some(module))
                .then(|| words.next())?
                .filter(|v| v.starts_with('v'))
        })
}

/// A hash over parts, each with its length, so that moving a byte from one part to the next changes it.
pub(crate) fn key(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hex(&hasher.finalize())
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GO_MOD: &str = "tool (\n\tk8s.io/kubernetes/cmd/kubelet\n)\nrequire (\n\tk8s.io/kubernetes v1.36.3 // indirect\n)\n\
        replace k8s.io/kubernetes => k8s.io/kubernetes v9.9.9\n";

    #[test]
    fn the_version_is_the_required_one() {
        assert_eq!(required_version(GO_MOD, "k8s.io/kubernetes"), Some("v1.36.3"));
        assert_eq!(required_version(GO_MOD, "k8s.io/api"), None);
        let flags = ldflags(GO_MOD);
        assert!(
            flags.contains("gitVersion=v1.36.3") && flags.contains("gitMinor=36"),
            "{flags}"
        );
    }

    #[test]
    fn the_key_depends_on_where_parts_end() {
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_eq!(key(&["ab", "c"]), key(&["ab", "c"]));
        assert_eq!(key(&[]).len(), 64);
    }

    #[test]
    fn the_pinned_modules_name_their_versions() {
        let layout = Layout {
            state: "/s".into(),
            cache: "/c".into(),
        };
        let plan = Plan::new(&layout, CONTROL_PLANE).unwrap();
        assert!(
            plan.ldflags.contains("version.gitVersion=v1."),
            "{}",
            plan.ldflags
        );
        assert!(plan.target.starts_with("/c/bin"));
    }
}
