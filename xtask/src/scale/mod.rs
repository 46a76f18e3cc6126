//! `cargo xtask scale`: how fast, and with how much memory, many `Database`s become the objects that they are made of.
//!
//! Three contenders, in turns, on the same API server: KIDP (operator and broker); a Go controller on controller-runtime
//! that does the work of both in one process ([`twin`]); and a writer that sends what KIDP was seen to send, and does
//! nothing else ([`writer`]), which is what the API server takes of it. Nodes are kwok's, so that pods cost nothing but
//! their objects. Then KIDP and the twin are started anew over what they made, behind a relay that counts.

mod contender;
pub mod nodes;
mod recording;
mod restart;
mod table;
pub mod twin;
mod watching;
mod writer;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use kidp_core::crd::Database;
use kidp_e2e::cluster::{abandon, create_namespace, install_crds, namespace_gone};
use kidp_e2e::fixtures::{create, create_team, database};
use kube::Client;

use crate::devcluster;
use crate::figures::{Goal, memory_kib};
use crate::paths::{Layout, checkout};
use crate::platform::{self, Profile};
use crate::progress::Progress;
use crate::report::{self, ReportError};
use contender::{Contender, Running};
use nodes::FakeNodes;
use recording::Recording;

/// What its namespaces begin with.
const PREFIX: &str = "kidp-scale";
/// `Database`s that are made at the same time.
const CLIENTS: usize = 32;
/// Pause before memory is read, in which nothing more is asked for.
const SETTLE: Duration = Duration::from_secs(5);
/// Longest that one run takes, and its removal.
const LIMIT: Duration = Duration::from_mins(30);

/// What the measurement can be told.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// `Database`s in a run.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000, 5000])]
    sizes: Vec<usize>,
    /// Runs of each contender and size, in turns; their median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// `Database`s over which KIDP and the twin are started anew; 0 for none.
    #[arg(long, default_value_t = 1000)]
    restart: usize,
    /// Instances that each contender works on at once.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Fake nodes.
    #[arg(long, default_value_t = 5)]
    nodes: usize,
    /// Measure the development build, which is quicker to make.
    #[arg(long)]
    unoptimised: bool,
    /// Write the table to `docs/performance.md`.
    #[arg(long)]
    write: bool,
}

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum ScaleError {
    /// Real nodes are cordoned while it runs, which is done to the devcluster only.
    #[error("it runs on the devcluster only; unset KUBECONFIG")]
    NotOurs,
    /// The cluster did not come up.
    #[error(transparent)]
    Cluster(#[from] devcluster::Error),
    /// Operator and broker could not be made ready.
    #[error(transparent)]
    Platform(#[from] platform::PlatformError),
    /// The fake nodes did not come up.
    #[error(transparent)]
    Nodes(#[from] nodes::NodesError),
    /// The Go controller did not come up.
    #[error(transparent)]
    Twin(#[from] twin::TwinError),
    /// A step against the cluster failed.
    #[error(transparent)]
    Step(#[from] kidp_e2e::Error),
    /// The API server refused.
    #[error("{0}")]
    Api(#[from] Box<kube::Error>),
    /// The table could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A file could not be handled.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// What was seen is not what the measurement is made for.
    #[error("{0}")]
    Unexpected(String),
}

impl From<kube::Error> for ScaleError {
    fn from(error: kube::Error) -> Self {
        Self::Api(Box::new(error))
    }
}

/// What every run needs.
struct Bench<'a> {
    client: Client,
    kubeconfig: PathBuf,
    programs: PathBuf,
    twin: PathBuf,
    folder: tempfile::TempDir,
    options: &'a Options,
}

/// One run.
#[derive(Clone, Copy, Debug)]
struct Sample {
    contender: Contender,
    size: usize,
    /// From the first `Database` to the last StatefulSet.
    seconds: f64,
    /// Resident memory of its processes, before there was anything.
    idle_mib: f64,
    /// The same with everything there.
    held_mib: f64,
}

/// Measures, prints, and with `--write` records.
pub async fn run(options: &Options) -> Result<Vec<Goal>, ScaleError> {
    let progress = Progress::default();
    let cluster = Box::pin(devcluster::ensure()).await?;
    if !cluster.is_devcluster() {
        return Err(ScaleError::NotOurs);
    }
    let profile = if options.unoptimised {
        Profile::Dev
    } else {
        Profile::Release
    };
    let build = platform::build(profile);
    progress.step("building operator and broker", build).await?;
    let twin = progress.step("building the twin", twin::Twin::build()).await?;
    let client = cluster.client().await?;
    install_crds(&client).await?;
    let bench = Bench {
        client: client.clone(),
        kubeconfig: cluster.kubeconfig().to_owned(),
        programs: platform::binaries(profile),
        twin,
        folder: tempfile::tempdir().map_err(|source| ScaleError::Io {
            path: std::env::temp_dir(),
            source,
        })?,
        options,
    };
    let layout = Layout::from_env();
    let nodes = FakeNodes::start(&client, &layout, &bench.kubeconfig, options.nodes, &progress).await?;
    let measured = Box::pin(measure(&bench, &progress)).await;
    nodes.stop().await?;
    cluster.release().await?;
    let (report, goals) = measured?;
    println!("{report}");
    if options.write {
        report::write_section(&checkout().join("docs/performance.md"), "scale", &report)?;
    }
    Ok(goals)
}

async fn measure(bench: &Bench<'_>, progress: &Progress) -> Result<(String, Vec<Goal>), ScaleError> {
    let recording = Box::pin(recording::record(bench));
    let recording = progress.step("what one database takes", recording).await?;
    let template = bench.folder.path().join("template.json");
    std::fs::write(&template, recording.template()).map_err(|source| ScaleError::Io {
        path: template.clone(),
        source,
    })?;
    let mut samples = Vec::new();
    for &size in &bench.options.sizes {
        for round in 0..bench.options.rounds {
            for contender in Contender::in_turn(round) {
                let step = format!("{contender} with {size}, run {}", round + 1);
                let run = Box::pin(one(bench, contender, size, &recording));
                let sample = progress.step(&step, run).await?;
                progress.note(&format!("{:.1} a second", table::rate(&sample)));
                samples.push(sample);
            }
        }
    }
    let mut report = table::throughput(bench.options, &recording, &samples);
    if bench.options.restart > 0 {
        report += &Box::pin(restart::measure(bench, &recording, progress)).await?;
    }
    Ok((report, table::goals(&bench.options.sizes, &samples)))
}

/// One run of a contender, in a namespace of its own.
async fn one(
    bench: &Bench<'_>,
    contender: Contender,
    size: usize,
    recording: &Recording,
) -> Result<Sample, ScaleError> {
    let namespace = format!("{PREFIX}-{contender}").to_lowercase();
    fresh(&bench.client, &namespace).await?;
    let running = Running::start(bench, contender, &namespace, recording, &bench.kubeconfig).await?;
    tokio::time::sleep(SETTLE).await;
    let idle_mib = memory(&running);
    let began = Instant::now();
    let seen = watching::stateful_sets(&bench.client, &namespace, size);
    let ((), last) = tokio::try_join!(make(&bench.client, &namespace, size), seen)?;
    let seconds = last.saturating_duration_since(began).as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    let held_mib = memory(&running);
    running.stop().await?;
    remove(&bench.client, &namespace).await?;
    Ok(Sample {
        contender,
        size,
        seconds,
        idle_mib,
        held_mib,
    })
}

fn memory(running: &Running) -> f64 {
    let kib = running.ids().into_iter().filter_map(|id| memory_kib(id, "VmRSS"));
    kib.sum::<f64>() / 1024.0
}

/// An empty namespace with a team.
async fn fresh(client: &Client, namespace: &str) -> Result<(), ScaleError> {
    remove(client, namespace).await?;
    create_namespace(client, namespace).await?;
    Ok(create_team(client, namespace).await?)
}

/// Removes a namespace with all that is in it; what would have taken finalizers off has ended.
async fn remove(client: &Client, namespace: &str) -> Result<(), ScaleError> {
    abandon(client, namespace).await?;
    Ok(namespace_gone(client, namespace, LIMIT).await?)
}

/// Makes so many `Database`s, all of one shape.
async fn make(client: &Client, namespace: &str, size: usize) -> Result<(), ScaleError> {
    let one = async |n: usize| {
        create(client, &of_bench(namespace, &format!("d-{n}"))?).await?;
        Ok::<(), ScaleError>(())
    };
    stream::iter(0..size)
        .map(one)
        .buffer_unordered(CLIENTS)
        .try_collect()
        .await
}

/// A `Database` whose volume is none.
fn of_bench(namespace: &str, name: &str) -> Result<Database, ScaleError> {
    let mut database = database(namespace, name)?;
    database.spec.storage.class = Some(nodes::STORAGE_CLASS.to_owned());
    Ok(database)
}
