//! `cargo xtask chaos`: what the fault harness does to a model, done to the real thing. Parts of a running platform are
//! killed, or cut off from each other, while a database is provisioned, resized and deleted; it has to come to what was
//! asked for all the same, with the data and the password from before, and to nothing at last.
//!
//! Operator and broker run as pods from the shipped manifests. The devcluster only: no other cluster's control plane is
//! ours to kill.

mod faults;

use std::time::{Duration, Instant};

use kidp_core::crd::{Database, Phase, ServiceInstance};
use kidp_e2e::cluster::{create_namespace, delete_namespace, install_crds, purge};
use kidp_e2e::fixtures::{create, create_team, database, wait_clean, wait_for, wait_ready};
use kidp_e2e::{leaks, pods, sql};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::devcluster;
use crate::paths::{Layout, checkout};
use crate::platform::{self, Profile};
use crate::progress::Progress;
use crate::report::{self, ReportError};

pub use faults::{Fault, FaultError};

const NAMESPACE: &str = "kidp-e2e-chaos";
const NAME: &str = "orders";
const ROWS: &str = "1000";
/// Marks of the table in the document.
const SECTION: &str = "chaos";

/// What the command can be told.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Only these faults.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Fault>,
    /// Write the table to `docs/reliability.md`.
    #[arg(long)]
    write: bool,
}

/// Why the run ended early, or what did not hold.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    /// It is about the devcluster's own processes.
    #[error("chaos kills the control plane of the devcluster; unset KUBECONFIG")]
    NotOurs,
    /// The cluster did not come up, or not again.
    #[error(transparent)]
    Cluster(#[from] devcluster::Error),
    /// Operator and broker could not be made ready.
    #[error(transparent)]
    Platform(#[from] platform::PlatformError),
    /// A step against the cluster failed.
    #[error(transparent)]
    Step(#[from] kidp_e2e::Error),
    /// A fault could not be made.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// The table could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The API server refused.
    #[error("{0}")]
    Api(#[from] Box<kube::Error>),
    /// A promise was broken.
    #[error("{fault:?} during {moment}: {what}")]
    Broken {
        /// The fault.
        fault: Fault,
        /// What was under way.
        moment: &'static str,
        /// What did not hold.
        what: String,
    },
}

/// Seconds from the end of a fault to what was asked for.
struct Row {
    fault: Fault,
    seconds: Vec<f64>,
}

/// Prepares the cluster, lives one life a fault, prints the table and, with `--write`, records it.
pub async fn run(options: &Options) -> Result<(), ChaosError> {
    let progress = Progress::default();
    let cluster = Box::pin(devcluster::ensure()).await?;
    if !cluster.is_devcluster() {
        return Err(ChaosError::NotOurs);
    }
    platform::load(&cluster, Profile::Dev, &progress).await?;
    let outcome = lives(&cluster.client().await?, options, &progress).await;
    cluster.release().await?;
    outcome
}

/// The same on a cluster that has the images of operator and broker already.
pub async fn lives(client: &Client, options: &Options, progress: &Progress) -> Result<(), ChaosError> {
    install_crds(client).await?;
    purge(client, NAMESPACE).await?;
    pods::install(client).await?;
    let chosen = if options.only.is_empty() {
        Fault::ALL.to_vec()
    } else {
        options.only.clone()
    };
    let mut rows = Vec::new();
    for fault in chosen {
        let life = Life::new(client, fault);
        let step = format!("a life with faults of: {}", fault.title());
        match progress.step(&step, Box::pin(life.live())).await {
            Ok(row) => rows.push(row),
            Err(error) => {
                progress.note(&pods::logs(client).await.unwrap_or_default());
                return Err(error);
            }
        }
    }
    pods::uninstall(client).await?;
    let table = table(&rows);
    println!("{table}");
    if options.write {
        report::write_section(&checkout().join("docs/reliability.md"), SECTION, &table)?;
    }
    Ok(())
}

/// One database's life under one kind of fault.
struct Life<'a> {
    client: &'a Client,
    fault: Fault,
    layout: Layout,
}

impl<'a> Life<'a> {
    fn new(client: &'a Client, fault: Fault) -> Self {
        Self {
            client,
            fault,
            layout: Layout::from_env(),
        }
    }

    fn databases(&self) -> Api<Database> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    async fn live(&self) -> Result<Row, ChaosError> {
        create_namespace(self.client, NAMESPACE).await?;
        create_team(self.client, NAMESPACE).await?;
        let provision = self.provision().await?;
        let (resize, password) = self.resize().await?;
        let delete = self.delete(&password).await?;
        delete_namespace(self.client, NAMESPACE).await?;
        Ok(Row {
            fault: self.fault,
            seconds: vec![provision, resize, delete],
        })
    }

    /// The fault, then the time until `goal`.
    async fn through<T>(
        &self,
        goal: impl Future<Output = kidp_e2e::Result<T>>,
    ) -> Result<(T, f64), ChaosError> {
        self.fault.strike(self.client, &self.layout).await?;
        let began = Instant::now();
        let reached = goal.await?;
        Ok((reached, began.elapsed().as_secs_f64()))
    }

    async fn provision(&self) -> Result<f64, ChaosError> {
        create(self.client, &database(NAMESPACE, NAME)?).await?;
        if !self.fault.is_cut() {
            // The broker has the request; its work is under way.
            let accepted = |d: &Database| d.status.as_ref().is_some_and(|s| s.deployment_id.is_some());
            wait_for::<Database>(self.client, NAMESPACE, NAME, "to be given to a broker", accepted).await?;
        }
        let ready = wait_ready::<Database>(self.client, NAMESPACE, NAME);
        let (ready, seconds) = self.through(ready).await?;
        self.one_instance("provision").await?;
        let rows = format!("create table kept (n int); insert into kept select generate_series(1, {ROWS})");
        sql::run(self.client, &ready, &rows).await?;
        Ok(seconds)
    }

    async fn resize(&self) -> Result<(f64, String), ChaosError> {
        let before = self.password().await?;
        let patch = Patch::Merge(json!({"spec": {"size": "medium", "parameters": {"work_mem": "8MB"}}}));
        self.databases()
            .patch(NAME, &PatchParams::default(), &patch)
            .await
            .map_err(Box::new)?;
        if !self.fault.is_cut() {
            let busy = |d: &Database| d.status.as_ref().is_some_and(|s| s.phase == Phase::Provisioning);
            wait_for::<Database>(self.client, NAMESPACE, NAME, "to be resized", busy).await?;
        }
        let ready = wait_ready::<Database>(self.client, NAMESPACE, NAME);
        let (ready, seconds) = self.through(ready).await?;
        self.one_instance("resize").await?;
        let seen = sql::run(self.client, &ready, "select count(*) from kept; show work_mem").await?;
        self.holds("resize", seen == format!("{ROWS}\n8MB"), || {
            format!("{ROWS} rows and 8MB were expected, not {seen}")
        })?;
        let after = self.password().await?;
        self.holds("resize", after == before, || "the password has changed".into())?;
        Ok((seconds, after))
    }

    async fn delete(&self, password: &str) -> Result<f64, ChaosError> {
        let namespaces = [NAMESPACE, pods::OPERATOR_NAMESPACE, pods::BROKER_NAMESPACE];
        let leaks = leaks::find(self.client, &namespaces, &[], password).await?;
        self.holds("delete", leaks.is_empty(), || {
            format!("the password is in {}", leaks.join(", "))
        })?;
        self.databases()
            .delete(NAME, &DeleteParams::default())
            .await
            .map_err(Box::new)?;
        if !self.fault.is_cut() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let gone = wait_clean::<Database>(self.client, NAMESPACE, NAME);
        Ok(self.through(gone).await?.1)
    }

    async fn password(&self) -> Result<String, ChaosError> {
        let database = self.databases().get(NAME).await.map_err(Box::new)?;
        let status = database.status.unwrap_or_default();
        let secret = status.connection_secret_ref.map(|r| r.name).unwrap_or_default();
        Ok(leaks::password(self.client, NAMESPACE, &secret).await?)
    }

    async fn one_instance(&self, moment: &'static str) -> Result<(), ChaosError> {
        let api: Api<ServiceInstance> = Api::namespaced(self.client.clone(), NAMESPACE);
        let found = api
            .list(&ListParams::default())
            .await
            .map_err(Box::new)?
            .items
            .len();
        self.holds(moment, found == 1, || format!("{found} records instead of one"))
    }

    fn holds(
        &self,
        moment: &'static str,
        is_so: bool,
        what: impl FnOnce() -> String,
    ) -> Result<(), ChaosError> {
        if is_so {
            return Ok(());
        }
        Err(ChaosError::Broken {
            fault: self.fault,
            moment,
            what: what(),
        })
    }
}

fn table(rows: &[Row]) -> String {
    let head = "| fault | how | provision, s | resize, s | delete, s |\n|---|---|---|---|---|\n";
    let line = |row: &Row| {
        let seconds: Vec<_> = row.seconds.iter().map(|s| format!("{s:.1}")).collect();
        let (title, how) = (row.fault.title(), row.fault.how());
        format!("| {title} | {how} | {} |\n", seconds.join(" | "))
    };
    rows.iter()
        .map(line)
        .fold(head.to_owned(), |text, line| text + &line)
}
