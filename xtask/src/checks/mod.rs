//! `cargo xtask test`: every check and test there is, in the order in which a failure is cheapest to see.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::Mutex;

use crate::chaos::{self, ChaosError};
use crate::charts::{self, ChartsError};
use crate::devcluster::{self, ClusterHandle, addons};
use crate::diagnosis;
use crate::fuzz::{self, FuzzError};
use crate::images;
use crate::monitoring::{self, MonitoringError};
use crate::paths::{Layout, checkout};
use crate::platform::{self, Profile};
use crate::process::Cmd;
use crate::programs::{self, Program};
use crate::progress::Progress;
use crate::semver::{self, SemverError};
use crate::tools::cargo_tool;

/// Version of cargo-deny that is installed when there is none.
const CARGO_DENY: &str = "0.20.2";
const LIMIT: Duration = Duration::from_hours(1);
/// How long each fuzz target runs.
const FUZZ_SECONDS: u32 = 10;

/// Images of the engines beside the devcluster's default ones.
const ENGINE_IMAGES: [&str; 7] = [
    "postgres-17",
    "mysql-9",
    "mongo-7",
    "redis-7",
    "redis-8",
    "rabbitmq-4",
    "haproxy-3",
];

/// End-to-end tests that come before the addons.
const FIRST: [&str; 3] = ["charts", "engines", "pods"];
/// End-to-end tests whose operator serves every namespace, those of other tests too, or that keep the machine busy by
/// themselves.
const ALONE: [&str; 5] = ["admission", "tenancy", "drift", "failover", "host"];

/// Why the run ended early.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A step failed; its output is above.
    #[error("{step} failed ({status}); its output is above")]
    Step {
        /// The step.
        step: String,
        /// How its program ended.
        status: String,
    },
    /// A program could not be started or did not end.
    #[error("{step}: {reason}")]
    Run {
        /// The step.
        step: String,
        /// Why.
        reason: String,
    },
    /// The cluster did not come up.
    #[error(transparent)]
    Cluster(#[from] devcluster::Error),
    /// Operator and broker could not be made ready.
    #[error(transparent)]
    Platform(#[from] platform::PlatformError),
    /// An engine's image could not be made.
    #[error(transparent)]
    Image(#[from] images::ImageError),
    /// A public interface has changed in a way that breaks dependents.
    #[error(transparent)]
    Semver(#[from] SemverError),
    /// A promise was broken under faults, or the faults could not be made.
    #[error(transparent)]
    Chaos(#[from] ChaosError),
    /// A fuzz target was broken by an input, or could not be built.
    #[error(transparent)]
    Fuzz(#[from] FuzzError),
    /// Rules or dashboards are not sound, or an alert does not fire as its test says.
    #[error(transparent)]
    Monitoring(#[from] MonitoringError),
    /// The manifests are not what the charts render.
    #[error(transparent)]
    Charts(#[from] ChartsError),
    /// A tool could not be installed.
    #[error(transparent)]
    Tool(#[from] crate::process::ProcessError),
}

/// A cargo command with its output shown as it comes.
async fn cargo(step: &str, arguments: &[&str]) -> Result<(), CheckError> {
    eprintln!("=== {step}: cargo {}", arguments.join(" "));
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).current_dir(checkout());
    shown(step, command).await
}

/// Runs a program with its output shown as it comes.
async fn shown(step: &str, mut command: tokio::process::Command) -> Result<(), CheckError> {
    let began = Instant::now();
    command.stdin(Stdio::null()).kill_on_drop(true);
    let run = |reason: String| CheckError::Run {
        step: step.to_owned(),
        reason,
    };
    let mut child = command.spawn().map_err(|e| run(e.to_string()))?;
    let waited = tokio::time::timeout(LIMIT, child.wait()).await;
    let status = waited
        .map_err(|_| run("did not end".into()))?
        .map_err(|e| run(e.to_string()))?;
    let (took, room) = (began.elapsed().as_secs_f64(), diagnosis::disk(checkout()));
    eprintln!("=== {step}: {status} after {took:.1}s; {room}");
    if status.success() {
        Ok(())
    } else {
        Err(CheckError::Step {
            step: step.to_owned(),
            status: status.to_string(),
        })
    }
}

/// Runs everything. With `offline_only`, what needs no cluster.
pub async fn run(offline_only: bool) -> Result<(), CheckError> {
    let progress = Progress::default();
    cargo("format", &["fmt", "--all", "--check"]).await?;
    let lint = [
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--features",
        programs::FEATURES,
        "--",
        "-D",
        "warnings",
    ];
    cargo("lint", &lint).await?;
    // The licences of crates for other platforms count too, and a build does not bring those here.
    cargo("crates of every platform", &["fetch", "--locked"]).await?;
    let deny = cargo_tool("cargo-deny", CARGO_DENY, &["--no-default-features"], &progress).await?;
    // Advisories need a database from outside the package registries: `cargo deny check advisories` by hand.
    let rules = Cmd::new(deny)
        .args(["--locked", "--offline", "check", "bans", "licenses", "sources"])
        .dir(checkout());
    progress
        .step("licences, sources and duplicates", rules.output())
        .await?;
    match semver::run(&progress).await {
        // A new version, or a download of the sources: there is nothing to compare with.
        Err(error @ SemverError::NewVersion { .. }) => {
            progress.note(&format!("interfaces not compared: {error}"));
        }
        outcome => outcome?,
    }
    let programs = progress.step("building the tests", programs::build()).await?;
    let (on_cluster_only, anywhere): (Vec<_>, Vec<_>) = programs.into_iter().partition(|p| p.cluster);
    for program in &anywhere {
        shown(&format!("{}: {}", program.package, program.name), start(program)).await?;
    }
    let documented = [
        "test",
        "--locked",
        "--workspace",
        "--doc",
        "--features",
        programs::FEATURES,
    ];
    cargo("examples in the documentation", &documented).await?;
    let short = fuzz::Options {
        seconds: FUZZ_SECONDS,
        only: Vec::new(),
    };
    fuzz::run(&short, &progress).await?;
    if offline_only {
        return Ok(());
    }
    let cluster = Box::pin(devcluster::ensure()).await?;
    let outcome = on_cluster(&cluster, on_cluster_only, &progress).await;
    if outcome.is_err() {
        // Before it is taken down: a test that waited in vain rarely knows why.
        diagnose(&cluster).await;
    }
    let released = cluster.release().await;
    outcome?;
    released?;
    progress.note("all checks passed");
    Ok(())
}

/// Tells what the cluster looks like.
async fn diagnose(cluster: &ClusterHandle) {
    match cluster.client().await {
        Ok(client) => eprintln!("{}", diagnosis::of(&client).await),
        Err(error) => eprintln!("the cluster cannot be asked what is wrong: {error}"),
    }
}

/// A test program in the surroundings that cargo would give it.
fn start(program: &Program) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(&program.path);
    command
        .current_dir(&program.folder)
        .env("CARGO_MANIFEST_DIR", &program.folder);
    command
}

async fn on_cluster(
    cluster: &ClusterHandle,
    programs: Vec<Program>,
    progress: &Progress,
) -> Result<(), CheckError> {
    let layout = Layout::from_env();
    let helm = progress.step("helm, built once a machine", devcluster::helm(&layout));
    let helm = helm.await?;
    charts::check(&helm, progress).await?;
    let tests = Tests {
        helm,
        cluster,
        programs,
        repeated: Mutex::default(),
    };
    platform::load(cluster, Profile::Dev, progress).await?;
    if cluster.is_devcluster() {
        // A cluster of somebody else's pulls the official images by itself.
        images::provide(&layout, &ENGINE_IMAGES, progress).await?;
        // Here, since the devcluster needs Go as well; what of it needs none is among the tests before.
        monitoring::promtool(progress).await?;
        // First: it starts from a cluster without definitions, and takes them away again.
        tests.end_to_end("charts").await?;
        tests.end_to_end("pods").await?;
    } else {
        progress.note("charts, pods: the images of this checkout can be put on the devcluster only");
    }
    // Engines, and the broker's own pod, have to do without the operators that the other tests need.
    tests.end_to_end("engines").await?;
    if cluster.is_devcluster() {
        // A cluster of somebody else's has them, or has not; the tests say so.
        addons::install(&layout, &addons::ALL, progress).await?;
    }
    tests.sdk().await?;
    tests.platform().await?;
    if cluster.is_devcluster() {
        // Last, since it kills the control plane that the others rest on.
        let client = cluster.client().await?;
        Box::pin(chaos::lives(&client, &chaos::Options::default(), progress)).await?;
    } else {
        progress.note("chaos: only the devcluster's own processes are killed");
    }
    for step in tests.repeated.into_inner() {
        progress.note(&format!("passed at its second try only: {step}"));
    }
    Ok(())
}

/// The test programs, the cluster that they run on, and what they run.
struct Tests<'c> {
    helm: PathBuf,
    cluster: &'c ClusterHandle,
    programs: Vec<Program>,
    /// What failed once and passed then.
    repeated: Mutex<Vec<String>>,
}

impl Tests<'_> {
    fn names(&self, package: &str) -> impl Iterator<Item = &str> {
        let of_package = self.programs.iter().filter(move |p| p.package == package);
        of_package.map(|p| p.name.as_str())
    }

    /// The SDK's, two at a time: most of their time goes by in waiting for an engine.
    async fn sdk(&self) -> Result<(), CheckError> {
        let run = async |name: &str| self.run("kidp-provisioners", name, &["--test-threads=2"]).await;
        stream::iter(self.names("kidp-provisioners"))
            .map(run)
            .buffer_unordered(2)
            .try_collect()
            .await
    }

    /// All end-to-end tests but those that came before the addons, two at a time as well: each has namespaces and
    /// processes of its own, which leave others alone. Those of [`ALONE`] do not.
    async fn platform(&self) -> Result<(), CheckError> {
        for name in ALONE {
            self.end_to_end(name).await?;
        }
        let others = |name: &&str| ![FIRST.as_slice(), &ALONE].concat().contains(name);
        stream::iter(self.names("kidp-e2e").filter(others))
            .map(|name| self.end_to_end(name))
            .buffer_unordered(2)
            .try_collect()
            .await
    }

    async fn end_to_end(&self, name: &str) -> Result<(), CheckError> {
        self.run("kidp-e2e", name, &["--test-threads=4", "--nocapture"])
            .await
    }

    async fn run(&self, package: &str, name: &str, options: &[&str]) -> Result<(), CheckError> {
        let step = format!("{package} on the cluster: {name}");
        let program = self
            .programs
            .iter()
            .find(|p| p.package == package && p.name == name);
        let Some(program) = program else {
            return Err(CheckError::Run {
                step,
                reason: "there is no such test".to_owned(),
            });
        };
        eprintln!("=== {step}");
        let command = || {
            let mut command = start(program);
            command
                .args(options)
                .env("KUBECONFIG", self.cluster.kubeconfig())
                .env("KIDP_HELM", &self.helm)
                .env("KIDP_BIN_DIR", platform::binaries(Profile::Dev));
            command
        };
        let first = shown(&step, command()).await;
        if !matches!(first, Err(CheckError::Step { .. })) {
            return first;
        }
        // Engines that share two cores with other tests may be too slow once. Twice is a fault; once is told at the end.
        diagnose(self.cluster).await;
        eprintln!("=== {step}: a second try");
        shown(&step, command()).await?;
        self.repeated.lock().await.push(step);
        Ok(())
    }
}
