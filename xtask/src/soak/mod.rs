//! `cargo xtask soak`: a long time of what users do, at random, with crashes among it.
//!
//! Some hundred databases on kwok's nodes are made, resized, changed by hand and deleted, while operator and broker are
//! killed in turn. In the last third nobody is killed, so that memory and open files can be seen to stay as they are. At
//! the end every database that is left is Ready and has the password and the volume that it had first, and after the last
//! deletion nothing is left.

mod actions;
mod ledger;
mod watcher;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use kidp_core::crd::Database;
use kidp_e2e::cluster::{create_namespace, install_crds, purge};
use kidp_e2e::fixtures::{create_team, leftovers};
use kidp_e2e::host::{Options as HostOptions, Platform};
use kidp_e2e::wait::{Seen, until};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::devcluster;
use crate::paths::{Layout, checkout};
use crate::platform::{self, Profile};
use crate::progress::Progress;
use crate::report::{self, ReportError};
use crate::scale::nodes::{FakeNodes, NodesError};
use actions::{Action, Counts};
use ledger::Ledger;
use watcher::Watcher;

const NAMESPACE: &str = "kidp-e2e-soak";
/// Pause between two actions.
const PACE: Duration = Duration::from_millis(500);
/// Pause between two looks at passwords and volumes.
const AUDIT: Duration = Duration::from_mins(1);
/// Longest that everything takes to be Ready, and to be gone, at the end.
const LIMIT: Duration = Duration::from_mins(15);

/// What it can be told.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// How long.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=10_080))]
    minutes: u64,
    /// Databases that are kept alive.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=5_000))]
    live: u16,
    /// Seed of what is done; one of today's choice without it.
    #[arg(long)]
    seed: Option<u64>,
    /// Minutes between two crashes, of the operator and of the broker in turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    crash_minutes: u64,
    /// Write the result to `docs/reliability.md`.
    #[arg(long)]
    write: bool,
}

/// Why it ended before its time, or what it found.
#[derive(Debug, thiserror::Error)]
pub enum SoakError {
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
    Nodes(#[from] NodesError),
    /// A step against the cluster failed.
    #[error(transparent)]
    Step(#[from] kidp_e2e::Error),
    /// The API server refused.
    #[error("{0}")]
    Api(#[from] Box<kube::Error>),
    /// The result could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A promise was broken.
    #[error("seed {seed}: {what}")]
    Broken {
        /// With which it is done again.
        seed: u64,
        /// What did not hold.
        what: String,
    },
}

impl From<kube::Error> for SoakError {
    fn from(error: kube::Error) -> Self {
        Self::Api(Box::new(error))
    }
}

/// Runs it, prints the result, and with `--write` records it.
pub async fn run(options: &Options) -> Result<(), SoakError> {
    let progress = Progress::default();
    let cluster = Box::pin(devcluster::ensure()).await?;
    if !cluster.is_devcluster() {
        return Err(SoakError::NotOurs);
    }
    let build = platform::build(Profile::Release);
    progress.step("building operator and broker", build).await?;
    let client = cluster.client().await?;
    install_crds(&client).await?;
    purge(&client, NAMESPACE).await?;
    let (layout, kubeconfig) = (Layout::from_env(), cluster.kubeconfig().to_owned());
    let nodes = FakeNodes::start(&client, &layout, &kubeconfig, 2, &progress).await?;
    let soaked = Box::pin(soak(&client, kubeconfig, options, &progress)).await;
    nodes.stop().await?;
    cluster.release().await?;
    let report = soaked?;
    println!("{report}");
    if options.write {
        report::write_section(&checkout().join("docs/reliability.md"), "soak", &report)?;
    }
    Ok(())
}

async fn soak(
    client: &Client,
    kubeconfig: PathBuf,
    options: &Options,
    progress: &Progress,
) -> Result<String, SoakError> {
    let seed = options.seed.unwrap_or_else(rand::random);
    progress.note(&format!("seed {seed}"));
    create_namespace(client, NAMESPACE).await?;
    create_team(client, NAMESPACE).await?;
    let host = HostOptions {
        kubeconfig: Some(kubeconfig),
        ..HostOptions::default()
    };
    let programs = platform::binaries(Profile::Release);
    let platform = Platform::start_with(client, NAMESPACE, NAMESPACE, &programs, host).await?;
    let mut soak = Soak {
        client,
        options,
        platform,
        ledger: Ledger::default(),
        watcher: Watcher::default(),
        counts: Counts::default(),
        crashes: 0,
    };
    let ran = Box::pin(soak.run(StdRng::seed_from_u64(seed), progress)).await;
    if ran.is_err() {
        progress.note(&soak.platform.log_tails());
    }
    let broken = |what| SoakError::Broken { seed, what };
    ran?.map_err(broken)?;
    soak.watcher.steady().map_err(broken)?;
    soak.platform.end().await?;
    purge(client, NAMESPACE).await?;
    Ok(soak.report(seed))
}

/// What goes on.
struct Soak<'a> {
    client: &'a Client,
    options: &'a Options,
    platform: Platform,
    ledger: Ledger,
    watcher: Watcher,
    counts: Counts,
    crashes: u32,
}

impl Soak<'_> {
    /// All of it; what did not hold is an error within.
    async fn run(
        &mut self,
        mut random: StdRng,
        progress: &Progress,
    ) -> Result<Result<(), String>, SoakError> {
        let (began, whole) = (Instant::now(), Duration::from_mins(self.options.minutes));
        let crash_every = Duration::from_mins(self.options.crash_minutes);
        let (mut crash, mut audit) = (began + crash_every, began + AUDIT);
        while began.elapsed() < whole {
            let live = self.ledger.live();
            let action = Action::choose(&mut random, &live, usize::from(self.options.live));
            action.run(self.client, NAMESPACE).await?;
            self.ledger.done(&action);
            self.counts.add(&action);
            let now = Instant::now();
            if now > crash && began.elapsed() < whole * 2 / 3 {
                crash = now + crash_every;
                self.crash().await?;
            }
            if now > audit {
                audit = now + AUDIT;
                if let Err(lost) = self.ledger.audit(self.client, NAMESPACE).await? {
                    return Ok(Err(lost));
                }
                self.watcher.look(began.elapsed(), self.platform.ids());
                progress.note(&self.line());
            }
            tokio::time::sleep(PACE).await;
        }
        progress.step("everything Ready", self.all_ready()).await?;
        if let Err(lost) = self.ledger.audit(self.client, NAMESPACE).await? {
            return Ok(Err(lost));
        }
        progress.step("everything gone", self.all_gone()).await?;
        let left = leftovers(self.client, NAMESPACE).await?;
        Ok(if left.is_empty() {
            Ok(())
        } else {
            Err(format!("left over: {}", left.join(", ")))
        })
    }

    /// Kills one of the two, and starts it again.
    async fn crash(&mut self) -> Result<(), SoakError> {
        self.crashes += 1;
        if self.crashes.is_multiple_of(2) {
            self.platform.kill_broker().await?;
            self.platform.start_broker().await?;
        } else {
            self.platform.kill_operator().await?;
            self.platform.start_operator().await?;
        }
        Ok(())
    }

    async fn all_ready(&self) -> Result<(), SoakError> {
        let api: Api<Database> = Api::namespaced(self.client.clone(), NAMESPACE);
        let ready = until("every database to be Ready", LIMIT, async || {
            Ok(match api.list(&ListParams::default()).await {
                Ok(list) => ledger::unready(&list.items).map_or(Seen::Done(()), Seen::NotYet),
                Err(error) => Seen::NotYet(error.to_string()),
            })
        });
        Ok(ready.await?)
    }

    async fn all_gone(&self) -> Result<(), SoakError> {
        let api: Api<Database> = Api::namespaced(self.client.clone(), NAMESPACE);
        api.delete_collection(&DeleteParams::default(), &ListParams::default())
            .await?;
        let gone = until("every database to be gone", LIMIT, async || {
            let left = api.list_metadata(&ListParams::default()).await;
            Ok(match left {
                Ok(left) if left.items.is_empty() => Seen::Done(()),
                Ok(left) => Seen::NotYet(format!("{} are left", left.items.len())),
                Err(error) => Seen::NotYet(error.to_string()),
            })
        });
        gone.await?;
        // Volumes go a moment after their claims.
        let clean = until("nothing to be left over", LIMIT, async || {
            let left = leftovers(self.client, NAMESPACE).await?;
            Ok(if left.is_empty() {
                Seen::Done(())
            } else {
                Seen::NotYet(left.join(", "))
            })
        });
        Ok(clean.await?)
    }

    fn line(&self) -> String {
        format!(
            "{} live; {}; {} crashes; {}",
            self.ledger.live().len(),
            self.counts,
            self.crashes,
            self.watcher.last()
        )
    }

    fn report(&self, seed: u64) -> String {
        format!(
            "Written by `cargo xtask soak --write`: {} minutes with {} databases alive, seed {seed}. Done meanwhile: {}; {} \
             crashes of operator or broker in the first two thirds. At the end every database was Ready with its first password \
             and volume, and after the last deletion nothing was left over.\n\n{}",
            self.options.minutes,
            self.options.live,
            self.counts,
            self.crashes,
            self.watcher.table()
        )
    }
}
