//! `cargo xtask scan`: static scanners of other people's over what the SDK renders, every engine in every version
//! and size.
//!
//! checkov judges how safe the pods are; kubernetes-validate compares the objects with the published schema, and
//! refuses unknown fields. What checkov finds and KIDP does on purpose is listed in [`EXCEPTIONS`], with the reason;
//! anything else fails.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kidp_core::size::Size;
use kidp_provisioners::{Instance, Provisioner, Registry};

use crate::paths::Layout;
use crate::process::{Cmd, ProcessError};
use crate::progress::Progress;

/// The scanners, by version.
const SCANNERS: [&str; 2] = ["checkov==3.3.30", "kubernetes-validate==1.37.0"];
const LIMIT: Duration = Duration::from_mins(10);

/// Checks that are not made, and why.
const EXCEPTIONS: [(&str, &str); 4] = [
    (
        "CKV_K8S_43",
        "images are named by tag, so that a restart takes the patches of a major version; digests are a setting",
    ),
    (
        "CKV_K8S_15",
        "a pod must be able to restart on a node that has its image while the image registry is away",
    ),
    (
        "CKV_K8S_40",
        "the uids are those that the official images own their files by, all of them below 10000",
    ),
    (
        "CKV_K8S_8",
        "RabbitMQ only: its guide advises against liveness probes, which end nodes that wait for their peers",
    ),
];

/// Why the scan did not pass.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A scanner could not be installed or found something; what it says is in the error.
    #[error(transparent)]
    Scanner(#[from] ProcessError),
    /// The rendered objects could not be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// Where to.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// An instance that the engine's own capabilities offer is not rendered.
    #[error("{name}: {reason}")]
    Render {
        /// Engine, version and size.
        name: String,
        /// Why.
        reason: String,
    },
}

/// Renders everything and scans it.
pub async fn run() -> Result<(), ScanError> {
    let progress = Progress::default();
    let bin = scanners(&progress).await?;
    let folder = tempfile::tempdir().map_err(|source| ScanError::Write {
        path: std::env::temp_dir(),
        source,
    })?;
    scan(&bin, folder.path(), &progress).await?;
    progress.note("checks that are not made, and why:");
    for (check, reason) in EXCEPTIONS {
        progress.note(&format!("  {check}: {reason}"));
    }
    Ok(())
}

async fn scan(bin: &Path, folder: &Path, progress: &Progress) -> Result<(), ScanError> {
    let files = render_all(folder)?;
    let validate = Cmd::new(bin.join("kubernetes-validate"))
        .args(["--strict", "--quiet"])
        .args(&files)
        .timeout(LIMIT);
    let step = format!("kubernetes-validate over {} instances", files.len());
    progress.step(&step, validate.output()).await?;
    let skipped = EXCEPTIONS.map(|(check, _)| check).join(",");
    let checkov = Cmd::new(bin.join("checkov"))
        .args([
            "--framework",
            "kubernetes",
            "--compact",
            "--quiet",
            "--skip-download",
        ])
        .args(["--skip-check", &skipped, "--directory"])
        .arg(folder)
        .timeout(LIMIT);
    let step = format!("checkov over {} instances", files.len());
    progress.step(&step, checkov.output()).await?;
    Ok(())
}

/// Installs the scanners into the cache unless they are there; the folder of their programs.
async fn scanners(progress: &Progress) -> Result<PathBuf, ScanError> {
    let root = Layout::from_env()
        .cache
        .join("tools")
        .join(SCANNERS.join("-").replace("==", "-"));
    let bin = root.join("bin");
    if !bin.join("installed").is_file() {
        let environment = Cmd::new("python3").args(["-m", "venv"]).arg(&root).timeout(LIMIT);
        let install = Cmd::new(bin.join("pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(SCANNERS)
            .timeout(LIMIT);
        let both = async {
            environment.output().await?;
            install.output().await
        };
        progress.step("installing the scanners", both).await?;
        write(&bin.join("installed"), "")?;
    }
    Ok(bin)
}

/// Writes a file for every engine, version and size.
fn render_all(folder: &Path) -> Result<Vec<PathBuf>, ScanError> {
    let mut files = Vec::new();
    for provisioner in Registry::standard().iter() {
        for version in provisioner.capabilities().versions {
            for size in Size::ALL {
                let kind = provisioner.resource_type();
                let name = format!("{}-{version}-{size}-{kind}", provisioner.engine());
                let yaml = render(provisioner.as_ref(), &version, size).map_err(|reason| {
                    let name = name.clone();
                    ScanError::Render { name, reason }
                })?;
                let path = folder.join(format!("{name}.yaml"));
                write(&path, &yaml)?;
                files.push(path);
            }
        }
    }
    Ok(files)
}

fn render(provisioner: &dyn Provisioner, version: &str, size: Size) -> Result<String, String> {
    let kind = provisioner.resource_type();
    let spec = serde_json::json!({
        "engine": provisioner.engine(), "version": version, "size": size, "storage": {"size": "10Gi"}
    });
    let instance = Instance {
        resource_type: kind,
        name: "orders".to_owned(),
        namespace: "shop".to_owned(),
        deployment_id: kidp_core::deployment::DeploymentId::derive(
            "scan",
            "shop",
            kind.as_str(),
            "orders",
            "",
        ),
        resource_uid: String::new(),
        team: "payments".to_owned(),
        owner: None,
        spec: serde_json::from_value(spec).map_err(|error| error.to_string())?,
        owner_reference: None,
    };
    provisioner
        .validate(&instance)
        .map_err(|faults| kidp_core::problem::summarise(&faults))?;
    let credentials = provisioner.credentials(&instance, "scanned0never0used0anywhere00000".to_owned());
    let manifests = provisioner
        .build(&instance, &credentials)
        .map_err(|error| error.to_string())?;
    manifests.to_yaml().map_err(|error| error.to_string())
}

fn write(path: &Path, text: &str) -> Result<(), ScanError> {
    std::fs::write(path, text).map_err(|source| ScanError::Write {
        path: path.to_owned(),
        source,
    })
}
