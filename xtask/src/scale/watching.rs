//! What is seen of a run from outside: when the last object is there, and when the last `Database` is Ready.

use std::collections::HashSet;
use std::time::Instant;

use futures::TryStreamExt as _;
use k8s_openapi::api::apps::v1::StatefulSet;
use kidp_core::crd::{Database, Phase};
use kube::api::{WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt as _};

use super::{LIMIT, ScaleError};

/// Longest that the API server keeps a watch; its own limit is 5 minutes.
const WATCH_SECONDS: u32 = 290;

/// When so many `StatefulSets` were there. It is the last object that an instance gets.
pub async fn stateful_sets(client: &Client, namespace: &str, count: usize) -> Result<Instant, ScaleError> {
    let api: Api<StatefulSet> = Api::namespaced(client.clone(), namespace);
    let mut seen = HashSet::new();
    let all = async {
        loop {
            // From what there is: a name that was seen before changes nothing.
            let params = WatchParams::default().timeout(WATCH_SECONDS);
            let mut events = std::pin::pin!(api.watch_metadata(&params, "0").await?);
            while let Some(event) = events.try_next().await? {
                if let WatchEvent::Added(found) = event {
                    seen.insert(found.name_any());
                }
                if seen.len() >= count {
                    return Ok(Instant::now());
                }
            }
        }
    };
    within(&format!("{count} StatefulSets"), all).await
}

/// Waits until so many `Database`s are Ready.
pub async fn ready(client: &Client, namespace: &str, count: usize) -> Result<(), ScaleError> {
    let api: Api<Database> = Api::namespaced(client.clone(), namespace);
    let mut seen = HashSet::new();
    let all = async {
        loop {
            let params = WatchParams::default().timeout(WATCH_SECONDS);
            let mut events = std::pin::pin!(api.watch(&params, "0").await?);
            while let Some(event) = events.try_next().await? {
                if let WatchEvent::Added(found) | WatchEvent::Modified(found) = event
                    && found.status.as_ref().is_some_and(|s| s.phase == Phase::Ready)
                {
                    seen.insert(found.name_any());
                }
                if seen.len() >= count {
                    return Ok(());
                }
            }
        }
    };
    within(&format!("{count} ready databases"), all).await
}

async fn within<T>(what: &str, work: impl Future<Output = Result<T, ScaleError>>) -> Result<T, ScaleError> {
    let late = || ScaleError::Unexpected(format!("not within {} s: {what}", LIMIT.as_secs()));
    tokio::time::timeout(LIMIT, work).await.map_err(|_| late())?
}
