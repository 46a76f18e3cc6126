//! Addons: what a cluster may have beside Kubernetes, installed only when something asks for it.
//!
//! An addon is upstream's programs, built from a pinned Go module and packed by a recipe, and upstream's manifests,
//! taken from the same version of that module. What is ours is `devcluster/manifests/<addon>`: a kustomization over
//! upstream's manifests, and `probe.yaml`, an object that the addon's webhook must let pass.
use std::path::Path;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use tempfile::TempDir;

use super::binaries::{CERT_MANAGER, CLOUDNATIVE_PG, GoModule, MANIFESTS, build};
use super::{Error, kubectl, up};
use crate::images;
use crate::paths::{Layout, checkout};
use crate::process::Cmd;
use crate::progress::Progress;

const DEADLINE: Duration = Duration::from_mins(3);
const PAUSE: Duration = Duration::from_millis(250);

/// Every addon.
pub const ALL: [Addon; 2] = [Addon::CertManager, Addon::CloudnativePg];

/// What can be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Addon {
    /// Issues and renews certificates.
    CertManager,
    /// Runs `PostgreSQL` clusters with failover.
    CloudnativePg,
}

impl Addon {
    /// The name of its recipe, its manifests' folder and its module's folder.
    pub fn name(self) -> &'static str {
        self.module().folder
    }

    fn module(self) -> GoModule {
        match self {
            Self::CertManager => CERT_MANAGER,
            Self::CloudnativePg => CLOUDNATIVE_PG,
        }
    }

    fn namespace(self) -> &'static str {
        match self {
            Self::CertManager => "cert-manager",
            Self::CloudnativePg => "cnpg-system",
        }
    }
}

/// Installs addons into the running development cluster, and returns when their webhooks answer. Doing it again
/// changes nothing.
pub async fn install(layout: &Layout, addons: &[Addon], progress: &Progress) -> Result<(), Error> {
    if !up::healthy(layout).await {
        return Err(Error::NotUp);
    }
    for addon in addons {
        let name = addon.name();
        let build = build(layout, addon.module());
        let binaries = progress
            .step(&format!("programs of {name}, built once a machine"), build)
            .await?;
        images::provide(layout, &[name], progress).await?;
        let upstream = binaries.join(MANIFESTS);
        let apply = apply(layout, *addon, &upstream);
        progress.step(&format!("applying {name}"), apply).await?;
        let answer = wait(layout, *addon);
        progress
            .step(&format!("{name} answering"), Box::pin(answer))
            .await?;
    }
    Ok(())
}

/// Renders the manifests and applies them, with a field manager of their own: what the addon itself writes into them,
/// such as its webhook's CA, stays.
async fn apply(layout: &Layout, addon: Addon, upstream: &Path) -> Result<(), Error> {
    let folder = gather(addon, upstream).await?;
    let text = Cmd::new(kubectl(layout)?)
        .arg("kustomize")
        .arg(folder.path())
        .output()
        .await?;
    run(
        layout,
        &[
            "apply",
            "--server-side",
            "--field-manager=kidp-devcluster",
            "-f",
            "-",
        ],
    )?
    .stdin(text)
    .output()
    .await?;
    Ok(())
}

/// Our kustomization with upstream's manifests below it: kustomize reads nothing outside of its folder.
async fn gather(addon: Addon, upstream: &Path) -> Result<TempDir, Error> {
    let folder = tempfile::tempdir().map_err(Error::io("/tmp"))?;
    let ours = checkout().join("devcluster/manifests").join(addon.name());
    for (from, to) in [
        (ours.join("."), folder.path().to_owned()),
        (upstream.to_owned(), folder.path().join(MANIFESTS)),
    ] {
        Cmd::new("cp").arg("-R").arg(from).arg(to).output().await?;
    }
    Ok(folder)
}

/// Waits until every deployment is rolled out and the webhook lets the probe pass.
async fn wait(layout: &Layout, addon: Addon) -> Result<(), Error> {
    let probe = checkout()
        .join("devcluster/manifests")
        .join(addon.name())
        .join("probe.yaml");
    let began = Instant::now();
    loop {
        let rolled_out = run(
            layout,
            &["rollout", "status", "deployment", "--timeout=30s", "-n"],
        )?
        .arg(addon.namespace())
        .output();
        let answers = run(layout, &["create", "--dry-run=server", "-f"])?
            .arg(&probe)
            .output();
        let outcome = async {
            rolled_out.await?;
            answers.await
        };
        let Err(error) = outcome.await else {
            return Ok(());
        };
        if began.elapsed() > DEADLINE {
            return Err(Error::Addon {
                name: addon.name(),
                namespace: addon.namespace(),
                seconds: DEADLINE.as_secs(),
                reason: error.to_string(),
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn run(layout: &Layout, arguments: &[&str]) -> Result<Cmd, Error> {
    let kubeconfig = format!("--kubeconfig={}", layout.kubeconfig().display());
    Ok(Cmd::new(kubectl(layout)?)
        .arg(kubeconfig)
        .args(arguments.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tag in the manifests, the recipe and `go.mod` name one version.
    #[test]
    fn versions_agree() {
        for (addon, module) in [
            (Addon::CertManager, "github.com/cert-manager/cert-manager"),
            (Addon::CloudnativePg, "github.com/cloudnative-pg/cloudnative-pg"),
        ] {
            let root = checkout().join("devcluster");
            let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
            let name = addon.name();
            let go_mod = read(&format!("{name}/go.mod"));
            let version = super::super::binaries::required_version(&go_mod, module).unwrap();
            let version = version.trim_start_matches('v');
            let tag = format!("localhost/{name}:{version}");
            assert!(
                read(&format!("images/{name}/recipe.yaml")).contains(&tag),
                "{tag}"
            );
            let kustomization = read(&format!("manifests/{name}/kustomization.yaml"));
            assert!(kustomization.contains(&format!("newTag: \"{version}\"")), "{tag}");
            assert!(
                kustomization.contains(&format!("newName: localhost/{name}")),
                "{tag}"
            );
        }
    }
}
