//! `cargo xtask perf`: what KIDP adds to applying the same objects by hand, and what an instance costs in
//! writes. Every figure is a ratio or a difference against something measured in the same run.

use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::StatefulSet;
use kidp_core::crd::Database;
use kidp_core::instance::ResourceType;
use kidp_core::names::base_name;
use kidp_e2e::cluster::{create_namespace, delete_namespace, install_crds};
use kidp_e2e::{fixtures, host};
use kidp_provisioners::{Instance, Registry};
use kube::api::{DeleteParams, WatchEvent, WatchParams};
use kube::{Api, Client};

use crate::devcluster;
use crate::figures::{Goal, median};
use crate::paths::{Layout, checkout};
use crate::platform::{self, Profile};
use crate::process::Cmd;
use crate::progress::Progress;
use crate::report::{self, ReportError};

const NAMESPACE: &str = "kidp-perf";
const LIMIT: Duration = Duration::from_mins(2);

/// What the measurement can be told.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Databases a side, in turns.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Seconds without any work, in which writes are counted.
    #[arg(long, default_value_t = 600)]
    idle_seconds: u64,
    /// Measure the development build, which is quicker to make.
    #[arg(long)]
    unoptimised: bool,
    /// Write the result to `docs/performance.md`.
    #[arg(long)]
    write: bool,
}

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum PerfError {
    /// The cluster did not come up.
    #[error(transparent)]
    Cluster(#[from] devcluster::Error),
    /// Operator and broker could not be made ready.
    #[error(transparent)]
    Platform(#[from] platform::PlatformError),
    /// A step against the cluster failed.
    #[error(transparent)]
    Step(#[from] kidp_e2e::Error),
    /// A program failed.
    #[error(transparent)]
    Program(#[from] crate::process::ProcessError),
    /// The table has no place in its document.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A file or document could not be handled.
    #[error("{0}")]
    Document(String),
}

struct Bench {
    client: Client,
    kubectl: std::path::PathBuf,
    kubeconfig: std::path::PathBuf,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn apply(&self, file: &Path) -> Result<(), PerfError> {
        let kubectl = Cmd::new(&self.kubectl).env("KUBECONFIG", &self.kubeconfig);
        kubectl
            .args(["apply", "-n", NAMESPACE, "-f"])
            .arg(file)
            .output()
            .await?;
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<std::path::PathBuf, PerfError> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).map_err(|e| PerfError::Document(e.to_string()))?;
        Ok(path)
    }

    /// Time from the start of `kubectl apply` of the CR to its Ready status.
    async fn through_kidp(&self, name: &str) -> Result<Duration, PerfError> {
        let database = fixtures::database(NAMESPACE, name)?;
        let text = serde_json::to_string(&database).map_err(|e| PerfError::Document(e.to_string()))?;
        let file = self.write(name, &text)?;
        let api: Api<Database> = Api::namespaced(self.client.clone(), NAMESPACE);
        let began = Instant::now();
        let ready = first(&api, name, fixtures::is_ready);
        let ((), took) =
            tokio::try_join!(self.apply(&file), async { ready.await.map(|()| began.elapsed()) })?;
        api.delete(name, &DeleteParams::default())
            .await
            .map_err(|e| PerfError::Document(e.to_string()))?;
        fixtures::wait_clean::<Database>(&self.client, NAMESPACE, name).await?;
        Ok(took)
    }

    /// Time from the start of `kubectl apply` of the rendered objects to the StatefulSet's readiness.
    async fn by_hand(&self, name: &str) -> Result<Duration, PerfError> {
        let file = self.write(name, &rendered(name)?)?;
        let api: Api<StatefulSet> = Api::namespaced(self.client.clone(), NAMESPACE);
        let began = Instant::now();
        let base = base_name(name, "postgresql");
        let ready = first(&api, &base, |set| {
            set.status.as_ref().and_then(|s| s.ready_replicas) == Some(1)
        });
        let ((), took) =
            tokio::try_join!(self.apply(&file), async { ready.await.map(|()| began.elapsed()) })?;
        let kubectl = Cmd::new(&self.kubectl).env("KUBECONFIG", &self.kubeconfig);
        kubectl
            .args(["delete", "-n", NAMESPACE, "--wait=true", "-f"])
            .arg(&file)
            .timeout(LIMIT)
            .output()
            .await?;
        let kubectl = Cmd::new(&self.kubectl).env("KUBECONFIG", &self.kubeconfig);
        let claims = kubectl
            .args(["delete", "pvc", "-n", NAMESPACE, "--all", "--wait=true"])
            .timeout(LIMIT);
        claims.output().await?;
        fixtures::wait_clean::<Database>(&self.client, NAMESPACE, name).await?;
        Ok(took)
    }
}

/// The objects of one database as YAML, by the library, without a cluster.
fn rendered(name: &str) -> Result<String, PerfError> {
    let database = fixtures::database(NAMESPACE, name)?;
    let spec = database.spec.instance();
    let registry = Registry::standard();
    let provisioner = registry
        .get(ResourceType::Database, spec.engine)
        .ok_or_else(|| PerfError::Document("no provisioner for the fixture".into()))?;
    let instance = Instance {
        team: "payments".into(),
        ..Instance::new(ResourceType::Database, NAMESPACE, name, spec)
    };
    let credentials = provisioner.credentials(&instance, "measured0only0in0this0run0000000".into());
    let manifests = provisioner
        .build(&instance, &credentials)
        .map_err(|e| PerfError::Document(e.to_string()))?;
    manifests
        .to_yaml()
        .map_err(|e| PerfError::Document(e.to_string()))
}

/// Watches until an object of this name satisfies `accept`.
async fn first<K>(api: &Api<K>, name: &str, accept: impl Fn(&K) -> bool) -> Result<(), PerfError>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + kube::Resource,
{
    use futures::TryStreamExt;
    let fail = |e: kube::Error| PerfError::Document(format!("watching {name}: {e}"));
    let watch = async {
        let params = WatchParams::default().fields(&format!("metadata.name={name}"));
        let events = api.watch(&params, "0").await.map_err(fail)?;
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.try_next().await.map_err(fail)? {
            if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event
                && accept(&object)
            {
                return Ok(());
            }
        }
        Err(PerfError::Document(format!("the watch of {name} ended")))
    };
    let late = PerfError::Document(format!("{name} was not ready within {}s", LIMIT.as_secs()));
    tokio::time::timeout(LIMIT, watch).await.unwrap_or(Err(late))
}

fn median_of(times: &[Duration]) -> Duration {
    Duration::from_secs_f64(median(times.iter().map(Duration::as_secs_f64).collect()))
}

/// Measures, prints, and with `--write` records.
pub async fn run(options: &Options) -> Result<Vec<Goal>, PerfError> {
    let progress = Progress::default();
    let cluster = devcluster::ensure().await?;
    let profile = if options.unoptimised {
        Profile::Dev
    } else {
        Profile::Release
    };
    let build = platform::build(profile);
    progress.step("building operator and broker", build).await?;
    let client = cluster.client().await?;
    install_crds(&client).await?;
    delete_namespace(&client, NAMESPACE).await?;
    create_namespace(&client, NAMESPACE).await?;
    fixtures::create_team(&client, NAMESPACE).await?;
    let folder = tempfile::tempdir().map_err(|e| PerfError::Document(e.to_string()))?;
    let bench = Bench {
        client: client.clone(),
        kubectl: devcluster::kubectl(&Layout::from_env())?,
        kubeconfig: cluster.kubeconfig().to_owned(),
        folder,
    };
    let programs = platform::binaries(profile);
    let platform = host::Platform::start_from(&client, "kidp-perf-broker", NAMESPACE, &programs).await?;
    let (report, goals) = measure(&bench, &platform, options, &progress).await?;
    platform.stop().await?;
    delete_namespace(&client, NAMESPACE).await?;
    cluster.release().await?;
    println!("{report}");
    if options.write {
        report::write_section(&checkout().join("docs/performance.md"), "perf", &report)?;
    }
    Ok(goals)
}

async fn measure(
    bench: &Bench,
    platform: &host::Platform,
    options: &Options,
    progress: &Progress,
) -> Result<(String, Vec<Goal>), PerfError> {
    let (mut kidp, mut hand) = (Vec::new(), Vec::new());
    for round in 0..=options.rounds {
        let a = progress
            .step("through KIDP", bench.through_kidp(&format!("kidp-{round}")))
            .await?;
        let b = progress
            .step("by hand", bench.by_hand(&format!("hand-{round}")))
            .await?;
        // The first round warms caches and counts for nothing.
        if round > 0 {
            kidp.push(a);
            hand.push(b);
        }
    }
    let writes = records_writes(bench, platform).await?;
    platform.operator_api.reset();
    platform.broker_api.reset();
    let pause = async {
        tokio::time::sleep(Duration::from_secs(options.idle_seconds)).await;
        Ok::<(), PerfError>(())
    };
    progress.step("idle", pause).await?;
    let idle = platform.operator_api.writes().len() + platform.broker_api.writes().len();
    let leases = platform.operator_api.bookkeeping() + platform.broker_api.bookkeeping();
    fixtures_clean(bench).await?;
    let (a, b) = (median_of(&kidp), median_of(&hand));
    let goals = goals(a, b, &writes, idle);
    Ok((report(options, a, b, &writes, idle, leases), goals))
}

#[expect(clippy::cast_precision_loss, reason = "some ten writes")]
fn goals(kidp: Duration, hand: Duration, writes: &[String], idle: usize) -> Vec<Goal> {
    let over = (kidp.as_secs_f64() - hand.as_secs_f64()) * 1000.0;
    let records = writes.iter().filter(|w| of_records(w)).count();
    vec![
        Goal::at_most(
            "CR to Ready over `kubectl apply` of the same objects",
            150.0,
            over,
            "ms",
        ),
        Goal::at_most(
            "writes to the records, creation to Ready",
            6.0,
            records as f64,
            "",
        ),
        Goal::at_most("writes in steady state", 0.0, idle as f64, ""),
    ]
}

/// Whether a write is to the resource or to the broker's record of it.
fn of_records(write: &str) -> bool {
    write.contains(" databases/") || write.contains(" serviceinstances")
}

const COUNTED: &str = "counted";

async fn records_writes(bench: &Bench, platform: &host::Platform) -> Result<Vec<String>, PerfError> {
    platform.operator_api.reset();
    platform.broker_api.reset();
    fixtures::create(&bench.client, &fixtures::database(NAMESPACE, COUNTED)?).await?;
    fixtures::wait_ready::<Database>(&bench.client, NAMESPACE, COUNTED).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let writes = [platform.operator_api.writes(), platform.broker_api.writes()].concat();
    Ok(writes.iter().map(kidp_e2e::proxy::Write::short).collect())
}

async fn fixtures_clean(bench: &Bench) -> Result<(), PerfError> {
    let api: Api<Database> = Api::namespaced(bench.client.clone(), NAMESPACE);
    api.delete(COUNTED, &DeleteParams::default())
        .await
        .map_err(|e| PerfError::Document(e.to_string()))?;
    Ok(fixtures::wait_clean::<Database>(&bench.client, NAMESPACE, COUNTED).await?)
}

fn report(
    options: &Options,
    kidp: Duration,
    hand: Duration,
    writes: &[String],
    idle: usize,
    leases: usize,
) -> String {
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    format!(
        "Written by `cargo xtask perf --write`; every row is from one run on one machine, both sides in \
         turns, operator and broker as {build} processes behind a relay that counts their requests.\n\n\
         ## Time to a usable database\n\n\
         Median of {rounds} databases a side, from the start of `kubectl apply` to Ready (the CR's status, and the \
         StatefulSet's readiness).\n\n\
         | | ms |\n|---|---|\n| through KIDP | {kidp:.0} |\n| `kubectl apply` of the rendered objects | {hand:.0} |\n\
         | difference | {diff:.0} |\n| ratio | {ratio:.2} |\n\n\
         ## Writes\n\n\
         | | writes |\n|---|---|\n| to `Database` and `ServiceInstance`, creation to Ready | {records} |\n\
         | in all, with the instance's own objects | {all} |\n\
         | in {seconds} idle seconds | {idle} |\n| lease renewals and events in that time | {leases} |\n\n\
         The writes to Ready, in order, the operator's first:\n\n```text\n{list}\n```\n",
        build = if options.unoptimised {
            "unoptimised"
        } else {
            "optimised"
        },
        rounds = options.rounds,
        kidp = ms(kidp),
        hand = ms(hand),
        diff = ms(kidp) - ms(hand),
        ratio = ms(kidp) / ms(hand),
        records = writes.iter().filter(|w| of_records(w)).count(),
        all = writes.len(),
        seconds = options.idle_seconds,
        list = writes.join("\n"),
    )
}
