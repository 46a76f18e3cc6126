//! From a callback to the CR's status: the real operator and API server, while this program plays the broker, so that
//! it knows when each callback leaves. In turns with that: the same write to a status without an operator, which is what
//! the API server takes of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use kidp_core::crd::{Broker, BrokerPhase, Database, Phase};
use kidp_core::deployment::DeploymentId;
use kidp_e2e::cluster::{create_namespace, purge};
use kidp_e2e::fixtures::{create, create_broker, database, is_ready};
use kidp_e2e::process::{Process, free_port};
use kidp_e2e::wait::{Seen, until};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use url::Url;

use super::played::Played;
use super::{Bench, LoadError, NAMESPACE};
use crate::figures::{Goal, percentile};
use crate::progress::Progress;

/// Objects of the same kind that no operator looks at.
const BARE: &str = "kidp-e2e-load-bare";
/// Pause between two callbacks that come one by one.
const PACE: Duration = Duration::from_millis(50);
/// Callbacks that come one by one, at most.
const PACED: usize = 200;
/// Pause after many instances were made: the operator asks for each often at first, and the cluster is to be idle.
const SETTLE: Duration = Duration::from_secs(15);
/// Pause until the watches have told what was there before.
const WATCH_STARTS: Duration = Duration::from_secs(2);
/// Callbacks that a broker sends at once, at most.
const SENT_AT_ONCE: usize = 32;
const LIMIT: Duration = Duration::from_mins(5);

/// When each `Database` was first seen Ready.
type Sightings = Arc<Mutex<HashMap<String, Instant>>>;

/// The table of callbacks, and the p99 of those that come one by one with the most under way.
pub async fn measure(bench: &Bench<'_>, progress: &Progress) -> Result<(String, Goal), LoadError> {
    let [broker, callback, health] = [free_port()?, free_port()?, free_port()?];
    let callback_url = Url::parse(&format!("http://127.0.0.1:{callback}/v1/callback"))
        .map_err(|error| LoadError::answer("the URL", error))?;
    let played = Played::start(broker, callback_url.clone()).await?;
    register(bench, broker).await?;
    let arguments = [
        "--callback-listen".to_owned(),
        format!("127.0.0.1:{callback}"),
        "--callback-url".to_owned(),
        callback_url.to_string(),
        "--health-listen".to_owned(),
        format!("127.0.0.1:{health}"),
        "--broker-namespace".to_owned(),
        NAMESPACE.to_owned(),
        "--watch-namespace".to_owned(),
        NAMESPACE.to_owned(),
    ];
    let operator = Process::start(
        &bench.programs.join("kidp-operator"),
        &bench.kubeconfig,
        &arguments,
        &bench.folder.path().join("operator.log"),
        &format!("http://127.0.0.1:{health}/readyz"),
    )
    .await?;
    wait_broker(bench).await?;
    let mut table = String::from(
        "| under way | values | callback p50, ms | p99, ms | the write alone p50, ms | p99, ms |\n|---|---|---|---|---|---|\n",
    );
    let mut most = (0, Duration::ZERO);
    for &count in &bench.options.in_flight {
        let step = format!("callbacks with {count} under way");
        let lines = Box::pin(with_in_flight(bench, &played, count));
        let (lines, p99) = progress.step(&step, lines).await?;
        table += &lines;
        most = (count, p99);
    }
    operator.kill().await?;
    purge(&bench.client, BARE).await?;
    let what = format!("callback to status with {} under way, p99", most.0);
    let p99 = most.1.as_secs_f64() * 1000.0;
    Ok((table, Goal::at_most(what, 50.0, p99, "ms")))
}

async fn register(bench: &Bench<'_>, port: u16) -> Result<(), LoadError> {
    create_broker(
        &bench.client,
        NAMESPACE,
        NAMESPACE,
        &format!("http://127.0.0.1:{port}"),
    )
    .await?;
    let brokers: Api<Broker> = Api::namespaced(bench.client.clone(), NAMESPACE);
    let patch = Patch::Merge(json!({"spec": {"maxConcurrentDeployments": 1000}}));
    brokers
        .patch(NAMESPACE, &PatchParams::default(), &patch)
        .await
        .map_err(Box::new)?;
    Ok(())
}

async fn wait_broker(bench: &Bench<'_>) -> Result<(), LoadError> {
    let brokers: Api<Broker> = Api::namespaced(bench.client.clone(), NAMESPACE);
    until("the broker to be Ready", Duration::from_mins(1), async || {
        let seen = brokers.get_status(NAMESPACE).await;
        Ok(match seen {
            Ok(broker)
                if broker
                    .status
                    .as_ref()
                    .is_some_and(|s| s.phase == BrokerPhase::Ready) =>
            {
                Seen::Done(())
            }
            Ok(broker) => Seen::NotYet(format!("{:?}", broker.status)),
            Err(error) => Seen::NotYet(error.to_string()),
        })
    })
    .await?;
    Ok(())
}

/// Times of callbacks, and of the same writes without an operator.
#[derive(Default)]
struct Times {
    callbacks: Vec<Duration>,
    bare: Vec<Duration>,
}

/// The lines of the table for this many instances under way, callbacks one by one and the rest all at once; and the p99 of
/// those that came one by one.
async fn with_in_flight(
    bench: &Bench<'_>,
    played: &Played,
    count: usize,
) -> Result<(String, Duration), LoadError> {
    let api: Api<Database> = Api::namespaced(bench.client.clone(), NAMESPACE);
    // One alone is one value only, so it has its turn many times.
    let turns = if count == 1 { 50 } else { 1 };
    let (mut paced, mut burst) = (Times::default(), Times::default());
    for turn in 0..turns {
        let bare = bare(&bench.client, count).await?;
        let ids = under_way(bench, played, &format!("d{count}-{turn}"), count).await?;
        let sightings = Sightings::default();
        let alone: Api<Database> = Api::namespaced(bench.client.clone(), BARE);
        let watches = futures::future::select(
            Box::pin(watch(&api, &sightings)),
            Box::pin(watch(&alone, &sightings)),
        );
        let writes = Writes {
            played,
            alone: &alone,
            sightings: &sightings,
        };
        let (first, rest) = ids.split_at(PACED.min(count.div_ceil(2)));
        let (first_bare, rest_bare) = bare.split_at(first.len());
        let measured = async {
            tokio::time::sleep(WATCH_STARTS).await;
            writes.one_by_one(first, first_bare, &mut paced).await?;
            writes.all_at_once(rest, rest_bare, &mut burst).await
        };
        tokio::select! {
            done = measured => done,
            error = watches => Err(error.factor_first().0),
        }?;
        clear(&api, played).await?;
    }
    let every = PACE.as_millis();
    paced.callbacks.sort_unstable();
    let p99 = percentile(&paced.callbacks, 0.99);
    let mut lines = line(count, &format!("one every {every} ms"), paced);
    if count > 1 {
        lines += &line(count, "all at once", burst);
    }
    Ok((lines, p99))
}

/// Objects for the writes without an operator.
async fn bare(client: &Client, count: usize) -> Result<Vec<String>, LoadError> {
    purge(client, BARE).await?;
    create_namespace(client, BARE).await?;
    make(client, BARE, "bare", count).await
}

/// Makes so many `Database`s, and gives their names.
async fn make(
    client: &Client,
    namespace: &str,
    prefix: &str,
    count: usize,
) -> Result<Vec<String>, LoadError> {
    let names: Vec<_> = (0..count).map(|n| format!("{prefix}-{n}")).collect();
    let made = stream::iter(names.iter().map(|name| async move {
        let database = database(namespace, name)?;
        create(client, &database).await
    }));
    let _: Vec<_> = made.buffer_unordered(16).try_collect().await?;
    Ok(names)
}

/// The two kinds of writes that are timed.
struct Writes<'a> {
    played: &'a Played,
    alone: &'a Api<Database>,
    sightings: &'a Sightings,
}

impl Writes<'_> {
    async fn one_by_one(
        &self,
        ids: &[DeploymentId],
        bare: &[String],
        to: &mut Times,
    ) -> Result<(), LoadError> {
        let (mut announced, mut written) = (Vec::new(), Vec::new());
        for (id, name) in ids.iter().zip(bare) {
            announced.push(self.played.announce(id).await?);
            tokio::time::sleep(PACE / 2).await;
            written.push(self.write(name).await?);
            tokio::time::sleep(PACE / 2).await;
        }
        to.callbacks.extend(latencies(self.sightings, &announced).await?);
        to.bare.extend(latencies(self.sightings, &written).await?);
        Ok(())
    }

    async fn all_at_once(
        &self,
        ids: &[DeploymentId],
        bare: &[String],
        to: &mut Times,
    ) -> Result<(), LoadError> {
        let sending = stream::iter(ids.iter().map(|id| self.played.announce(id)));
        let announced: Vec<_> = sending.buffer_unordered(SENT_AT_ONCE).try_collect().await?;
        to.callbacks.extend(latencies(self.sightings, &announced).await?);
        // All of them are asked for at this moment, as the callbacks are; a client sends some at a time.
        let began = Instant::now();
        let writing = stream::iter(bare.iter().map(|name| self.write(name)));
        let written: Vec<_> = writing.buffer_unordered(SENT_AT_ONCE).try_collect().await?;
        let written: Vec<_> = written.into_iter().map(|(name, _)| (name, began)).collect();
        to.bare.extend(latencies(self.sightings, &written).await?);
        Ok(())
    }

    /// The operator's write, without what it asks and decides before.
    async fn write(&self, name: &str) -> Result<(String, Instant), LoadError> {
        let now = jiff::Timestamp::now().to_string();
        let patch = json!({
            "apiVersion": "platform.company.com/v1",
            "kind": "Database",
            "metadata": {"name": name},
            "status": {
                "phase": "Ready",
                "observedGeneration": 1,
                "endpoint": "db.example",
                "port": 5432,
                "connectionSecretRef": {"name": format!("{name}-connection")},
                "conditions": [
                    {"type": "Ready", "status": "True", "reason": "Provisioned", "message": "",
                     "observedGeneration": 1, "lastTransitionTime": now},
                ],
            },
        });
        let params = PatchParams::apply("kidp-load").force();
        let began = Instant::now();
        self.alone
            .patch_status(name, &params, &Patch::Apply(&patch))
            .await
            .map_err(Box::new)?;
        Ok((name.to_owned(), began))
    }
}

/// Makes instances and waits until the operator has asked for all of them and written so.
async fn under_way(
    bench: &Bench<'_>,
    played: &Played,
    prefix: &str,
    count: usize,
) -> Result<Vec<DeploymentId>, LoadError> {
    let made = make(&bench.client, NAMESPACE, prefix, count).await?;
    let api: Api<Database> = Api::namespaced(bench.client.clone(), NAMESPACE);
    until("every request", LIMIT, async || {
        let asked = played.deployments.lock().len();
        if asked < made.len() {
            return Ok(Seen::NotYet(format!("{asked} requests")));
        }
        Ok(match api.list(&ListParams::default()).await {
            Ok(list) => {
                let written =
                    |d: &Database| d.status.as_ref().is_some_and(|s| s.phase == Phase::Provisioning);
                let waiting = list.iter().filter(|d| !written(d)).count();
                if waiting == 0 {
                    Seen::Done(())
                } else {
                    Seen::NotYet(format!("{waiting} without a status"))
                }
            }
            Err(error) => Seen::NotYet(error.to_string()),
        })
    })
    .await?;
    if count > 1 {
        tokio::time::sleep(SETTLE).await;
    }
    Ok(played.deployments.lock().keys().cloned().collect())
}

/// Notes when each becomes Ready; it returns with an error only.
async fn watch(api: &Api<Database>, sightings: &Sightings) -> LoadError {
    let watched = async {
        // From what is there, so that nothing between a list and a watch is missed.
        let params = WatchParams::default().timeout(290);
        let mut events = std::pin::pin!(api.watch(&params, "0").await.map_err(Box::new)?);
        while let Some(event) = events.try_next().await.map_err(Box::new)? {
            if let WatchEvent::Added(found) | WatchEvent::Modified(found) = event
                && is_ready(&found)
            {
                let now = Instant::now();
                let mut seen = sightings.lock().unwrap_or_else(PoisonError::into_inner);
                seen.entry(found.name_any()).or_insert(now);
            }
        }
        Ok::<(), LoadError>(())
    };
    match watched.await {
        Ok(()) => LoadError::answer("the watch", "its end"),
        Err(error) => error,
    }
}

async fn latencies(sightings: &Sightings, sent: &[(String, Instant)]) -> Result<Vec<Duration>, LoadError> {
    let found = until("every status", LIMIT, async || {
        let seen = sightings.lock().unwrap_or_else(PoisonError::into_inner);
        let times: Vec<_> = sent
            .iter()
            .filter_map(|(name, began)| Some(seen.get(name)?.saturating_duration_since(*began)))
            .collect();
        Ok(if times.len() == sent.len() {
            Seen::Done(times)
        } else {
            Seen::NotYet(format!("{} of {}", times.len(), sent.len()))
        })
    });
    Ok(found.await?)
}

async fn clear(api: &Api<Database>, played: &Played) -> Result<(), LoadError> {
    api.delete_collection(&DeleteParams::default(), &ListParams::default())
        .await
        .map_err(Box::new)?;
    until("every instance to be gone", LIMIT, async || {
        let left = api.list_metadata(&ListParams::default().limit(1)).await;
        Ok(match left {
            Ok(left) if left.items.is_empty() => Seen::Done(()),
            Ok(_) => Seen::NotYet("some are left".into()),
            Err(error) => Seen::NotYet(error.to_string()),
        })
    })
    .await?;
    played.deployments.lock().clear();
    Ok(())
}

fn line(count: usize, how: &str, times: Times) -> String {
    let values = times.callbacks.len();
    let columns: Vec<_> = [times.callbacks, times.bare]
        .into_iter()
        .flat_map(|mut times| {
            times.sort_unstable();
            [0.5, 0.99].map(|part| format!("{:.1}", percentile(&times, part).as_secs_f64() * 1000.0))
        })
        .collect();
    format!("| {count} | {values}, {how} | {} |\n", columns.join(" | "))
}
