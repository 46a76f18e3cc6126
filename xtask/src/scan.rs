//! `cargo xtask scan`: static scanners of other people's over what the SDK renders, every engine in every version
//! and size, alone, with several members and with TLS; and over the charts with every set of values that is kept.
//!
//! checkov judges how safe the pods are; kubernetes-validate compares the objects with the published schema, and
//! refuses unknown fields. What checkov finds and KIDP does on purpose is listed in [`INSTANCES`] and [`CHARTS`], with the
//! reason; anything else fails.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kidp_core::size::Size;
use kidp_provisioners::{Instance, Provisioner, Registry, TlsMaterial};

use crate::charts::{self, ChartsError};
use crate::devcluster;
use crate::paths::Layout;
use crate::process::{Cmd, ProcessError};
use crate::progress::Progress;
use crate::tools::python_tools;

/// The scanners, by version.
const SCANNERS: [&str; 2] = ["checkov==3.3.30", "kubernetes-validate==1.37.0"];
const LIMIT: Duration = Duration::from_mins(10);

/// Checks that are not made, and why.
type Exceptions = &'static [(&'static str, &'static str)];

/// Of instances.
const INSTANCES: Exceptions = &[
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
        "RabbitMQ: its guide advises against liveness probes, which end nodes that wait for their peers. Exporters: an \
         engine is not to leave its Service because its exporter starts anew",
    ),
    (
        "CKV_K8S_9",
        "exporters only: a pod is ready when all of its containers are, and nobody's queries wait for its metrics",
    ),
];

/// Of charts.
const CHARTS: Exceptions = &[
    (
        "CKV_K8S_43",
        "there is no published image to name; `image.digest` is a value, and one of the variants uses it",
    ),
    (
        "CKV_K8S_15",
        "a pod must be able to restart on a node that has its image while the image registry is away; it is a value",
    ),
    (
        "CKV_K8S_11",
        "a CPU limit makes probes and answers late when there is most to do; memory is limited",
    ),
    (
        "CKV_K8S_38",
        "both programs are controllers: the token is what they ask the API server with",
    ),
    (
        "CKV2_K8S_6",
        "where the API server, other clusters and scrapers are is not known to a chart; pods of instances have policies",
    ),
    (
        "CKV_K8S_155",
        "with admission only: the operator writes its certificate's authority into its own configuration, by name",
    ),
];

/// Why the scan did not pass.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A scanner could not be installed or found something; what it says is in the error.
    #[error(transparent)]
    Scanner(#[from] ProcessError),
    /// helm could not be built.
    #[error(transparent)]
    Build(#[from] devcluster::Error),
    /// A chart is not rendered with its own values.
    #[error(transparent)]
    Charts(#[from] ChartsError),
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
    let bin = python_tools(&SCANNERS, &progress).await?;
    let scratch = || {
        tempfile::tempdir().map_err(|source| ScanError::Write {
            path: std::env::temp_dir(),
            source,
        })
    };
    let (instances, charts) = (scratch()?, scratch()?);
    let files = render_all(instances.path())?;
    scan(&bin, "instances", instances.path(), &files, INSTANCES, &progress).await?;
    let layout = Layout::from_env();
    let helm = progress
        .step("helm, built once a machine", devcluster::helm(&layout))
        .await?;
    let files = charts::variants(&helm, charts.path()).await?;
    scan(&bin, "charts", charts.path(), &files, CHARTS, &progress).await
}

/// Runs both scanners over the files in a folder, and says what they were not asked.
async fn scan(
    bin: &Path,
    what: &str,
    folder: &Path,
    files: &[PathBuf],
    exceptions: Exceptions,
    progress: &Progress,
) -> Result<(), ScanError> {
    let validate = Cmd::new(bin.join("kubernetes-validate"))
        .args(["--strict", "--quiet"])
        .args(files)
        .reports()
        .timeout(LIMIT);
    let step = format!("kubernetes-validate over {} {what}", files.len());
    progress.step(&step, validate.output()).await?;
    let skipped: Vec<_> = exceptions.iter().map(|(check, _)| *check).collect();
    let checkov = Cmd::new(bin.join("checkov"))
        .args([
            "--framework",
            "kubernetes",
            "--compact",
            "--quiet",
            "--skip-download",
        ])
        .args(["--skip-check", &skipped.join(","), "--directory"])
        .arg(folder)
        .reports()
        .timeout(LIMIT);
    let step = format!("checkov over {} {what}", files.len());
    progress.step(&step, checkov.output()).await?;
    progress.note(&format!("checks of {what} that are not made, and why:"));
    for (check, reason) in exceptions {
        progress.note(&format!("  {check}: {reason}"));
    }
    Ok(())
}

/// What an instance is asked for besides its size: with the name that its file gets.
const SHAPES: [(&str, Shape); 4] = [
    ("plain", Shape::Plain),
    ("members", Shape::Members),
    ("tls", Shape::Tls),
    ("metrics", Shape::Metrics),
];

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Plain,
    Members,
    Tls,
    Metrics,
}

/// Writes a file for every engine, version and size, in every shape that the engine has of its own. `Cluster`s of
/// CloudNativePG have no pods that a scanner could see, and a schema that is not Kubernetes' own.
fn render_all(folder: &Path) -> Result<Vec<PathBuf>, ScanError> {
    let mut files = Vec::new();
    for provisioner in Registry::standard().iter() {
        for version in provisioner.capabilities().versions {
            for size in Size::ALL {
                for (called, shape) in SHAPES {
                    let kind = provisioner.resource_type();
                    let name = format!("{}-{version}-{size}-{kind}-{called}", provisioner.engine());
                    let failed = |reason| ScanError::Render {
                        name: name.clone(),
                        reason,
                    };
                    let instance = instance(provisioner.as_ref(), &version, size, shape).map_err(failed)?;
                    // An engine that has not this shape says so.
                    let is_offered = matches!(shape, Shape::Plain | Shape::Tls);
                    if !is_offered && provisioner.validate(&instance).is_err() {
                        continue;
                    }
                    let path = folder.join(format!("{name}.yaml"));
                    write(&path, &render(provisioner.as_ref(), &instance).map_err(failed)?)?;
                    files.push(path);
                }
            }
        }
    }
    Ok(files)
}

fn instance(
    provisioner: &dyn Provisioner,
    version: &str,
    size: Size,
    shape: Shape,
) -> Result<Instance, String> {
    let tls = shape == Shape::Tls;
    let mut spec = serde_json::json!({
        "engine": provisioner.engine(), "version": version, "size": size, "storage": {"size": "10Gi"},
        "highAvailability": shape == Shape::Members, "monitoring": {"enabled": shape == Shape::Metrics}
    });
    if tls {
        spec["encryption"] =
            serde_json::json!({"inTransit": true, "certificate": {"secretName": "orders-certificate"}});
    }
    let spec = serde_json::from_value(spec).map_err(|error| error.to_string())?;
    let material = || TlsMaterial {
        ca: "the CA".to_owned(),
        checksum: "scanned".to_owned(),
    };
    Ok(Instance {
        team: "payments".to_owned(),
        revision: provisioner.latest_revision(),
        tls: tls.then(material),
        ..Instance::new(provisioner.resource_type(), "shop", "orders", spec)
    })
}

fn render(provisioner: &dyn Provisioner, instance: &Instance) -> Result<String, String> {
    provisioner
        .validate(instance)
        .map_err(|faults| kidp_core::problem::summarise(&faults))?;
    let credentials = provisioner.credentials(instance, "scanned0never0used0anywhere00000".to_owned());
    let manifests = provisioner
        .build(instance, &credentials)
        .map_err(|error| error.to_string())?;
    manifests.to_yaml().map_err(|error| error.to_string())
}

fn write(path: &Path, text: &str) -> Result<(), ScanError> {
    std::fs::write(path, text).map_err(|source| ScanError::Write {
        path: path.to_owned(),
        source,
    })
}
