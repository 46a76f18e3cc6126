//! `cargo xtask demo`: the main job in one command. A `Database` object becomes a PostgreSQL that answers SQL,
//! and is removed without a trace, with the time of every step.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Event, Pod};
use kidp_core::crd::{Database, Phase, ServiceInstance};
use kidp_core::names::base_name;
use kidp_e2e::cluster::{create_namespace, delete_namespace, install_crds};
use kidp_e2e::{fixtures, host, pods, sql};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt};

use crate::devcluster::{self, ClusterHandle};
use crate::paths::Layout;
use crate::platform::{self, Profile};
use crate::process::Cmd;
use crate::progress::Progress;

const NAMESPACE: &str = "kidp-demo";
const NAME: &str = "orders";
const LIMIT: Duration = Duration::from_mins(3);

/// What the demo can be told.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Leave database, operator, broker and cluster running.
    #[arg(long)]
    keep: bool,
}

/// Why the demo ended early.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The cluster did not come up.
    #[error(transparent)]
    Cluster(#[from] devcluster::Error),
    /// Operator and broker could not be made ready.
    #[error(transparent)]
    Platform(#[from] platform::PlatformError),
    /// A step against the cluster failed.
    #[error(transparent)]
    Step(#[from] kidp_e2e::Error),
    /// The database answered something else.
    #[error("the database answered `{0}` instead of `42`")]
    Answer(String),
    /// Not every step was seen in time.
    #[error("within {}s these steps were not seen: {}", LIMIT.as_secs(), .0.join(", "))]
    Missing(Vec<&'static str>),
}

/// Operator and broker, in the form that the cluster allows.
enum Running {
    Pods,
    Host(Box<host::Platform>),
}

/// Runs the demo.
pub async fn run(options: &Options) -> Result<(), DemoError> {
    let progress = Progress::default();
    let cluster = Box::pin(devcluster::ensure()).await?;
    let client = cluster.client().await?;
    let outcome = on_cluster(&cluster, &client, options, &progress).await;
    if outcome.is_err() {
        progress.note(&format!("events of {NAMESPACE}:\n{}", events(&client).await));
    }
    if options.keep {
        progress.note(&format!(
            "kept running: export KUBECONFIG={}",
            cluster.kubeconfig().display()
        ));
        return outcome;
    }
    progress
        .step("taking down what this command started", cluster.release())
        .await?;
    outcome
}

async fn on_cluster(
    cluster: &ClusterHandle,
    client: &Client,
    options: &Options,
    progress: &Progress,
) -> Result<(), DemoError> {
    platform::load(cluster, Profile::Dev, progress).await?;
    progress
        .step("custom resource definitions", install_crds(client))
        .await?;
    let running = progress
        .step("operator and broker", start(cluster, client))
        .await?;
    let prepare = async {
        delete_namespace(client, NAMESPACE).await?;
        create_namespace(client, NAMESPACE).await?;
        fixtures::create_team(client, NAMESPACE).await
    };
    progress.step("namespace and team", prepare).await?;
    let outcome = life_of_a_database(cluster, client, options, progress).await;
    if !options.keep {
        let stop = async {
            delete_namespace(client, NAMESPACE).await?;
            match running {
                Running::Pods => pods::uninstall(client).await,
                Running::Host(platform) => platform.stop().await,
            }
        };
        progress.step("removing operator and broker", stop).await?;
    }
    outcome
}

/// As containers on the devcluster; as processes against a cluster whose nodes take no images from here.
async fn start(cluster: &ClusterHandle, client: &Client) -> Result<Running, kidp_e2e::Error> {
    if cluster.is_devcluster() {
        pods::install(client).await?;
        return Ok(Running::Pods);
    }
    Ok(Running::Host(Box::new(
        host::Platform::start(client, "kidp-demo-broker", NAMESPACE).await?,
    )))
}

async fn life_of_a_database(
    cluster: &ClusterHandle,
    client: &Client,
    options: &Options,
    progress: &Progress,
) -> Result<(), DemoError> {
    let database = fixtures::database(NAMESPACE, NAME)?;
    let began = Instant::now();
    progress
        .step("Database object created", fixtures::create(client, &database))
        .await?;
    for (step, at) in watch_steps(client, began).await? {
        println!("    {:>6.2}s  {step}", at.as_secs_f64());
    }
    let ready = fixtures::wait_ready::<Database>(client, NAMESPACE, NAME).await?;
    if cluster.is_devcluster() {
        show_with_kubectl(cluster).await;
    }
    let statements = "create table life(answer int); insert into life values (42); select answer from life";
    let answer = progress
        .step(
            "SQL insert and select from a client pod",
            sql::run(client, &ready, statements),
        )
        .await?;
    println!("    > {statements}\n    {answer}");
    if answer != "42" {
        return Err(DemoError::Answer(answer));
    }
    if options.keep {
        return Ok(());
    }
    let remove = async {
        let api: Api<Database> = Api::namespaced(client.clone(), NAMESPACE);
        api.delete(NAME, &DeleteParams::default())
            .await
            .map_err(|source| kidp_e2e::Error::Kube {
                doing: "deleting the database".into(),
                source: source.into(),
            })?;
        fixtures::wait_clean::<Database>(client, NAMESPACE, NAME).await
    };
    progress
        .step("Database object deleted, everything of it gone", remove)
        .await?;
    let left = fixtures::leftovers(client, NAMESPACE).await?;
    println!(
        "    objects left in {NAMESPACE}: {}",
        if left.is_empty() {
            "none".into()
        } else {
            left.join(", ")
        }
    );
    Ok(())
}

async fn show_with_kubectl(cluster: &ClusterHandle) {
    let Ok(kubectl) = devcluster::kubectl(&Layout::from_env()) else {
        return;
    };
    let shown = Cmd::new(kubectl)
        .args([
            "get",
            "database,serviceinstance,statefulset,service,secret",
            "-n",
            NAMESPACE,
        ])
        .env("KUBECONFIG", cluster.kubeconfig());
    if let Ok(table) = shown.output().await {
        println!("{table}");
    }
}

const STEPS: [&str; 7] = [
    "broker chosen, phase Provisioning",
    "request recorded as a ServiceInstance",
    "StatefulSet applied",
    "pod running",
    "PostgreSQL answers",
    "callback acknowledged",
    "status Ready with endpoint and Secret",
];

/// Looks at the cluster until every step was seen, and when each was seen first.
async fn watch_steps(client: &Client, began: Instant) -> Result<Vec<(&'static str, Duration)>, DemoError> {
    let mut seen: [Option<Duration>; STEPS.len()] = [None; STEPS.len()];
    while seen.iter().any(Option::is_none) {
        if began.elapsed() > LIMIT {
            let missing = STEPS
                .iter()
                .zip(seen)
                .filter(|(_, at)| at.is_none())
                .map(|(step, _)| *step);
            return Err(DemoError::Missing(missing.collect()));
        }
        let now = look(client).await;
        for (first, true_now) in seen.iter_mut().zip(now) {
            if true_now && first.is_none() {
                *first = Some(began.elapsed());
            }
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Ok(STEPS.into_iter().zip(seen.into_iter().flatten()).collect())
}

/// Which of [`STEPS`] hold now. An answer that fails counts as "not yet".
async fn look(client: &Client) -> [bool; STEPS.len()] {
    let base = base_name(NAME, "postgresql");
    let databases: Api<Database> = Api::namespaced(client.clone(), NAMESPACE);
    let instances: Api<ServiceInstance> = Api::namespaced(client.clone(), NAMESPACE);
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let pod_name = format!("{base}-0");
    let all = ListParams::default();
    let (database, instances, set, pod) = tokio::join!(
        databases.get_opt(NAME),
        instances.list(&all),
        sets.get_opt(&base),
        pods.get_opt(&pod_name)
    );
    let database = database.ok().flatten();
    let status = database
        .as_ref()
        .and_then(|d| d.status.clone())
        .unwrap_or_default();
    let instance = instances.ok().and_then(|list| list.items.into_iter().next());
    let set = set.ok().flatten();
    let pod_phase = pod.ok().flatten().and_then(|p| p.status).and_then(|s| s.phase);
    let record = instance
        .as_ref()
        .and_then(|i| i.status.clone())
        .unwrap_or_default();
    [
        status.broker_ref.is_some(),
        instance.is_some(),
        set.is_some(),
        pod_phase.as_deref() == Some("Running"),
        set.and_then(|s| s.status).and_then(|s| s.ready_replicas) == Some(1),
        record.phase == Phase::Ready && record.outbox.is_empty(),
        database.as_ref().is_some_and(fixtures::is_ready),
    ]
}

/// The namespace's events, the latest last.
async fn events(client: &Client) -> String {
    let api: Api<Event> = Api::namespaced(client.clone(), NAMESPACE);
    let events = api
        .list(&ListParams::default())
        .await
        .map(|list| list.items)
        .unwrap_or_default();
    let line = |event: &Event| {
        let subject = event
            .involved_object
            .name
            .clone()
            .unwrap_or_else(|| event.name_any());
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        format!("    {subject}: {} {}", text(&event.reason), text(&event.message))
    };
    events.iter().map(line).collect::<Vec<_>>().join("\n")
}
