//! `cargo xtask load`: what the platform carries. Two tables for `docs/reliability.md`.
//!
//! - [`accept`]: the broker's accept path beside a Go server that makes the same Kubernetes calls, in turns, by the same
//!   load generator; and the broker's memory over many requests.
//! - [`callbacks`]: from a callback to the CR's status, with 1, 100 and 1,000 instances under way.
//!
//! Optimised processes, straight against the API server.

mod accept;
mod callbacks;
mod played;

use std::path::PathBuf;

use kidp_e2e::cluster::{create_namespace, install_crds, purge};
use kidp_e2e::fixtures::create_team;
use kube::Client;

use crate::devcluster;
use crate::figures::Goal;
use crate::paths::checkout;
use crate::platform::{self, Profile};
use crate::process::ProcessError;
use crate::progress::Progress;
use crate::report::{self, ReportError};

const NAMESPACE: &str = "kidp-e2e-load";

/// One of the two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Table {
    Accept,
    Callbacks,
}

/// What the measurement can be told.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Measure this table alone.
    #[arg(long)]
    only: Option<Table>,
    /// Runs of each server and route, in turns; their median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Requests in the run that watches memory.
    #[arg(long, default_value_t = 100_000)]
    memory_requests: u64,
    /// Instances under way while callbacks are timed.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 1000])]
    in_flight: Vec<usize>,
    /// Measure the development build, which is quicker to make.
    #[arg(long)]
    unoptimised: bool,
    /// Write the tables to `docs/reliability.md`.
    #[arg(long)]
    write: bool,
}

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
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
    Program(#[from] ProcessError),
    /// The tables could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The API server refused.
    #[error("{0}")]
    Api(#[from] Box<kube::Error>),
    /// A server could not be asked.
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    /// A file could not be handled.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A program or server said something else than was asked for.
    #[error("{who} answered {answer}")]
    Answer {
        /// Which.
        who: String,
        /// What it said.
        answer: String,
    },
    /// Signing needs a client that could not be made.
    #[error(transparent)]
    Sender(#[from] kidp_callback::http::ClientError),
}

impl LoadError {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    fn answer(who: &str, answer: impl std::fmt::Display) -> Self {
        Self::Answer {
            who: who.to_owned(),
            answer: answer.to_string(),
        }
    }
}

/// What both measurements need.
struct Bench<'a> {
    client: Client,
    kubeconfig: PathBuf,
    programs: PathBuf,
    folder: tempfile::TempDir,
    options: &'a Options,
}

/// Measures, prints, and with `--write` records.
pub async fn run(options: &Options) -> Result<Vec<Goal>, LoadError> {
    let progress = Progress::default();
    let cluster = Box::pin(devcluster::ensure()).await?;
    let profile = if options.unoptimised {
        Profile::Dev
    } else {
        Profile::Release
    };
    let build = platform::build(profile);
    progress.step("building operator and broker", build).await?;
    let client = cluster.client().await?;
    install_crds(&client).await?;
    let bench = Bench {
        client,
        kubeconfig: cluster.kubeconfig().to_owned(),
        programs: platform::binaries(profile),
        folder: tempfile::tempdir().map_err(LoadError::io("a temporary folder"))?,
        options,
    };
    let mut goals = Vec::new();
    let measured = async {
        if options.only != Some(Table::Callbacks) {
            fresh(&bench.client).await?;
            let accepted = Box::pin(accept::measure(&bench, &progress)).await?;
            tell(options, "accept", &accepted)?;
        }
        if options.only != Some(Table::Accept) {
            fresh(&bench.client).await?;
            let (called, met) = Box::pin(callbacks::measure(&bench, &progress)).await?;
            goals.push(met);
            tell(options, "callbacks", &called)?;
        }
        Ok(purge(&bench.client, NAMESPACE).await?)
    };
    let measured = measured.await;
    cluster.release().await?;
    measured.map(|()| goals)
}

/// Prints a table as soon as there is one, so that a failure in the next measurement does not lose it.
fn tell(options: &Options, section: &str, table: &str) -> Result<(), LoadError> {
    println!("{table}");
    if options.write {
        report::write_section(&checkout().join("docs/reliability.md"), section, table)?;
    }
    Ok(())
}

/// An empty namespace with a team.
async fn fresh(client: &Client) -> Result<(), LoadError> {
    purge(client, NAMESPACE).await?;
    create_namespace(client, NAMESPACE).await?;
    Ok(create_team(client, NAMESPACE).await?)
}
