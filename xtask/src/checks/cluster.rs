//! What needs a cluster: the charts on an empty one, engines, the SDK's tests, the platform's, and last the faults that
//! kill the control plane itself.

use std::path::PathBuf;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::step::shown;
use super::{CheckError, start, until_failure};
use crate::devcluster::{self, ClusterHandle, addons};
use crate::diagnosis;
use crate::paths::Layout;
use crate::platform::{self, Profile};
use crate::programs::Program;
use crate::progress::Progress;
use crate::{chaos, charts, images, monitoring};

/// The package of the end-to-end tests.
const E2E: &str = "kidp-e2e";

/// Images of the engines beside the devcluster's default ones, and of their exporters.
const ENGINE_IMAGES: [&str; 10] = [
    "postgres-17",
    "mysql-9",
    "mongo-7",
    "redis-7",
    "redis-8",
    "rabbitmq-4",
    "haproxy-3",
    "postgres-exporter",
    "redis-exporter",
    "mysqld-exporter",
];

/// End-to-end tests that come before the addons.
const FIRST: [&str; 3] = ["charts", "engines", "pods"];
/// End-to-end tests whose operator serves every namespace, those of other tests too.
const ALONE: [&str; 2] = ["admission", "tenancy"];
/// Those that take longest, and so begin first.
const LONGEST: [&str; 2] = ["host", "drift"];
/// Test programs that run at the same time: most of their time goes by in waiting for an engine.
const AT_ONCE: usize = 3;

/// Brings the cluster up, runs everything until something fails here or beside it, and takes down what it brought up.
pub async fn run(
    stop: &CancellationToken,
    programs: Vec<Program>,
    progress: &Progress,
) -> Result<(), CheckError> {
    let cluster = match Box::pin(devcluster::ensure()).await {
        Ok(cluster) => cluster,
        Err(error) => {
            stop.cancel();
            return Err(error.into());
        }
    };
    let outcome = until_failure(stop, on_cluster(&cluster, programs, progress)).await;
    if outcome.is_err() {
        // Before it is taken down: a test that waited in vain rarely knows why.
        diagnose(&cluster).await;
    }
    let released = cluster.release().await;
    outcome?;
    released?;
    Ok(())
}

/// Tells what the cluster looks like.
async fn diagnose(cluster: &ClusterHandle) {
    match cluster.client().await {
        Ok(client) => eprintln!("{}", diagnosis::of(&client).await),
        Err(error) => eprintln!("the cluster cannot be asked what is wrong: {error}"),
    }
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
    let prometheus = devcluster::prometheus(&layout);
    let prometheus = progress
        .step("Prometheus, built once a machine", prometheus)
        .await?;
    monitoring::promtool(&prometheus.join("promtool"), progress).await?;
    let tests = Tests {
        helm,
        prometheus: prometheus.join("prometheus"),
        cluster,
        programs,
        repeated: Mutex::default(),
    };
    platform::import(cluster, Profile::Dev, progress).await?;
    if cluster.is_devcluster() {
        // A cluster of somebody else's pulls the official images by itself.
        images::provide(&layout, &ENGINE_IMAGES, progress).await?;
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
    tests.others().await?;
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
    prometheus: PathBuf,
    cluster: &'c ClusterHandle,
    programs: Vec<Program>,
    /// What failed once and passed then.
    repeated: Mutex<Vec<String>>,
}

impl Tests<'_> {
    /// All but the end-to-end tests that came before the addons. Each has namespaces and processes of its own, which
    /// leave others alone; only those of [`ALONE`] do not.
    async fn others(&self) -> Result<(), CheckError> {
        for name in ALONE {
            self.end_to_end(name).await?;
        }
        let mut programs: Vec<_> = self
            .programs
            .iter()
            .filter(|p| p.package != E2E || !(FIRST.contains(&&*p.name) || ALONE.contains(&&*p.name)))
            .collect();
        programs.sort_by_key(|p| p.package != E2E || !LONGEST.contains(&&*p.name));
        stream::iter(programs)
            .map(|program| self.run(program))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// An end-to-end test by its name.
    async fn end_to_end(&self, name: &str) -> Result<(), CheckError> {
        let of_name = |p: &&Program| p.package == E2E && p.name == name;
        let program = self.programs.iter().find(of_name);
        let program = program.ok_or_else(|| CheckError::Run {
            step: name.to_owned(),
            reason: "there is no such test".to_owned(),
        })?;
        self.run(program).await
    }

    async fn run(&self, program: &Program) -> Result<(), CheckError> {
        let step = format!("{} on the cluster: {}", program.package, program.name);
        let options: &[&str] = if program.package == E2E {
            &["--test-threads=4", "--nocapture"]
        } else {
            &["--test-threads=2"]
        };
        eprintln!("=== {step}");
        let command = || {
            let mut command = start(program);
            command
                .args(options)
                .env("KUBECONFIG", self.cluster.kubeconfig())
                .env("KIDP_HELM", &self.helm)
                .env("KIDP_PROMETHEUS", &self.prometheus)
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
