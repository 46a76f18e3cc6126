//! The watch of one kind: keeps its store current and turns each change into requests for the controllers.
//!
//! The store is written before a request is queued, so that whoever handles the request sees the change. After
//! a relist the old and the new contents are compared, so that deletions in between are seen as well.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_stream};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::cache::Caches;
use crate::metrics::{Metrics, kind_word};
use crate::queues::Queues;
use crate::route::Route;

/// Object kinds that can be watched here.
pub trait Watched:
    Resource<DynamicType = ()> + Route + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}

impl<K> Watched for K where
    K: Resource<DynamicType = ()> + Route + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}

type Changes<K> = Vec<(Option<Arc<K>>, Option<Arc<K>>)>;

/// Watches all objects until `stop`.
pub async fn watch<K: Watched>(
    api: Api<K>,
    writer: Writer<K>,
    caches: Caches,
    queues: Queues,
    metrics: Metrics,
    stop: CancellationToken,
) where
    ObjectRef<K>: Hash + Eq,
{
    let all = watcher::Config::default();
    watch_some((api, all), writer, caches, queues, metrics, stop).await;
}

/// Watches what `config` selects until `stop`.
pub async fn watch_some<K: Watched>(
    (api, config): (Api<K>, watcher::Config),
    mut writer: Writer<K>,
    caches: Caches,
    queues: Queues,
    metrics: Metrics,
    stop: CancellationToken,
) where
    ObjectRef<K>: Hash + Eq,
{
    let reader = writer.as_reader();
    let mut before = HashMap::new();
    let stream = watch_stream(api, config)
        .default_backoff()
        .map_ok(|event| event.modify(|object| object.managed_fields_mut().clear()))
        .take_until(stop.cancelled_owned());
    let mut stream = std::pin::pin!(stream);
    while let Some(event) = stream.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                metrics.watch_failed(kind_word::<K>());
                tracing::warn!(kind = %K::kind(&()), %error, "watch failed, trying again");
                continue;
            }
        };
        let changes = apply(&mut writer, &reader, &mut before, &event);
        for (old, new) in changes {
            for trigger in K::route((old.as_deref(), new.as_deref()), &caches) {
                if !queues.send(trigger).await {
                    return;
                }
            }
        }
    }
}

fn contents<K: Watched>(reader: &Store<K>) -> HashMap<ObjectRef<K>, Arc<K>> {
    reader
        .state()
        .into_iter()
        .map(|object| (ObjectRef::from_obj(object.as_ref()), object))
        .collect()
}

/// Writes the event to the store and tells what changed by it.
fn apply<K: Watched>(
    writer: &mut Writer<K>,
    reader: &Store<K>,
    before: &mut HashMap<ObjectRef<K>, Arc<K>>,
    event: &Event<K>,
) -> Changes<K> {
    match event {
        Event::Init => {
            *before = contents(reader);
            writer.apply_watcher_event(event);
            Vec::new()
        }
        Event::InitApply(_) => {
            writer.apply_watcher_event(event);
            Vec::new()
        }
        Event::InitDone => {
            writer.apply_watcher_event(event);
            let mut old = std::mem::take(before);
            let mut changes: Changes<K> = contents(reader)
                .into_iter()
                .map(|(key, new)| (old.remove(&key), Some(new)))
                .collect();
            changes.extend(old.into_values().map(|gone| (Some(gone), None)));
            changes
        }
        Event::Apply(object) => {
            let key = ObjectRef::from_obj(object);
            let old = reader.get(&key);
            writer.apply_watcher_event(event);
            vec![(old, reader.get(&key))]
        }
        Event::Delete(object) => {
            let old = reader.get(&ObjectRef::from_obj(object));
            writer.apply_watcher_event(event);
            vec![(old.or_else(|| Some(Arc::new(object.clone()))), None)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kidp_core::crd::Team;
    use kube::runtime::reflector::store;

    fn team(name: &str, generation: i64) -> Team {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "platform.company.com/v1", "kind": "Team",
            "metadata": {"name": name, "namespace": "shop", "uid": name, "generation": generation},
            "spec": {"displayName": name, "owners": ["ada"]},
        }))
        .unwrap()
    }

    #[test]
    fn a_relist_reports_what_went_away_meanwhile() {
        let (reader, mut writer) = store();
        let mut before = HashMap::new();
        let mut feed = |event: Event<Team>| apply(&mut writer, &reader, &mut before, &event);
        for event in [
            Event::Init,
            Event::InitApply(team("a", 1)),
            Event::InitApply(team("b", 1)),
        ] {
            assert!(feed(event).is_empty());
        }
        assert_eq!(feed(Event::InitDone).len(), 2);
        feed(Event::Init);
        feed(Event::InitApply(team("a", 2)));
        let mut changes = feed(Event::InitDone);
        changes.sort_by_key(|(_, new)| new.is_none());
        let generations = |c: &(Option<Arc<Team>>, Option<Arc<Team>>)| {
            let of = |t: &Option<Arc<Team>>| t.as_ref().and_then(|t| t.metadata.generation);
            (of(&c.0), of(&c.1))
        };
        assert_eq!(
            changes.iter().map(generations).collect::<Vec<_>>(),
            [(Some(1), Some(2)), (Some(1), None)]
        );
    }

    #[test]
    fn a_deletion_carries_the_last_known_object() {
        let (reader, mut writer) = store();
        let mut before = HashMap::new();
        let changes = apply(&mut writer, &reader, &mut before, &Event::Delete(team("a", 1)));
        assert!(changes[0].0.is_some() && changes[0].1.is_none());
    }
}
