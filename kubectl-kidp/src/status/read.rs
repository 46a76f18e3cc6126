//! Reads the chain of a resource. What may not be read, or is in another cluster, is told and not guessed.

use std::fmt::Debug;

use futures::StreamExt as _;
use futures::stream;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod, Secret, Service};
use kidp_core::crd::{Broker, ServiceInstance};
use kidp_core::labels::DEPLOYMENT_ID;
use kidp_core::names::{base_name, with_suffix};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::{GroupVersionKind, NamespaceResourceScope, Selector};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::seen::Seen;
use crate::error::{Error, Result};
use crate::kinds::Subject;
use crate::session::Session;

/// Most pods, claims and Services that are read of an instance.
const MEMBERS: u32 = 20;
/// Most events that are read of one object.
const EVENTS: u32 = 30;
/// Requests at once.
const AT_ONCE: usize = 6;

/// Reads everything that belongs to the resource.
pub async fn chain(session: &Session, subject: Subject) -> Seen {
    let mut seen = Seen::of(subject);
    read_broker(session, &mut seen).await;
    read_record(session, &mut seen).await;
    if let Some(record) = seen.record.clone() {
        read_objects(session, &mut seen, &record).await;
    }
    read_events(session, &mut seen).await;
    seen
}

/// An answer, or a line about why there is none.
fn keep<T>(gaps: &mut Vec<String>, answer: Result<T>) -> Option<T> {
    match answer {
        Ok(value) => Some(value),
        Err(error) => {
            gaps.push(told(&error));
            None
        }
    }
}

fn told(error: &Error) -> String {
    match error {
        Error::Kube { doing, source } => match source.as_ref() {
            kube::Error::Api(status) if status.code == 403 => format!("{doing}: not allowed"),
            _ => error.to_string(),
        },
        _ => error.to_string(),
    }
}

async fn read_broker(session: &Session, seen: &mut Seen) {
    let Some(reference) = seen.subject.status.broker_ref.clone() else {
        return;
    };
    let own = seen.subject.namespace().to_owned();
    let namespace = reference.namespace.unwrap_or(own);
    let api: Api<Broker> = Api::namespaced(session.client.clone(), &namespace);
    let doing = format!("reading Broker {namespace}/{}", reference.name);
    let found = session.ask(&doing, api.get_opt(&reference.name)).await;
    match keep(&mut seen.gaps, found) {
        Some(None) => seen
            .gaps
            .push(format!("there is no Broker {namespace}/{}", reference.name)),
        Some(broker) => seen.broker = broker,
        None => {}
    }
}

async fn read_record(session: &Session, seen: &mut Seen) {
    let Some(id) = seen.subject.status.deployment_id.clone() else {
        return;
    };
    let namespace = seen.subject.namespace().to_owned();
    let api: Api<ServiceInstance> = Api::namespaced(session.target.clone(), &namespace);
    let found = session
        .ask(&format!("reading ServiceInstance {id}"), api.get_opt(&id))
        .await;
    match keep(&mut seen.gaps, found) {
        Some(Some(record)) => seen.record = Some(record),
        Some(None) => seen.gaps.push(not_here(session, seen, &id)),
        None => {}
    }
}

fn not_here(session: &Session, seen: &Seen, id: &str) -> String {
    let broker = seen
        .subject
        .status
        .broker_ref
        .as_ref()
        .map_or("", |r| r.name.as_str());
    if session.has_target {
        format!(
            "the target cluster has no record {id}: broker `{broker}` has not accepted it, or is in another cluster"
        )
    } else {
        format!(
            "the record {id} of broker `{broker}` is not in this cluster: to see further, name its cluster with --target-context"
        )
    }
}

async fn read_objects(session: &Session, seen: &mut Seen, record: &ServiceInstance) {
    let namespace = record.namespace().unwrap_or_default();
    let base = base_name(&record.spec.resource_name, record.spec.instance.engine.as_str());
    let set_name = record
        .spec
        .adopted
        .as_ref()
        .map_or(base.as_str(), |a| a.stateful_set.as_str());
    let sets: Api<StatefulSet> = Api::namespaced(session.target.clone(), &namespace);
    let set = session
        .ask(&format!("reading StatefulSet {set_name}"), sets.get_opt(set_name))
        .await;
    seen.set = keep(&mut seen.gaps, set).flatten();
    let selector = if let Some(set) = &seen.set {
        selector(set)
    } else {
        read_cluster(session, seen, &namespace, &base).await;
        let cluster = seen.cluster.as_ref();
        cluster.map(|_| Selector::from_iter([("cnpg.io/cluster".to_owned(), base.clone())]))
    };
    if let Some(selector) = selector {
        let pods = list::<Pod>(
            session,
            &namespace,
            "pods",
            &ListParams::default().labels_from(&selector),
        )
        .await;
        seen.pods = keep(&mut seen.gaps, pods).unwrap_or_default();
        read_claims(session, seen, &namespace, &selector).await;
    }
    let own = ListParams::default().labels(&format!("{DEPLOYMENT_ID}={}", record.spec.deployment_id));
    let services = list::<Service>(session, &namespace, "Services", &own).await;
    seen.services = keep(&mut seen.gaps, services)
        .unwrap_or_default()
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    read_secret(session, seen, record, &with_suffix(&base, "connection")).await;
}

fn selector(set: &StatefulSet) -> Option<Selector> {
    let labels = set.spec.as_ref()?.selector.match_labels.clone()?;
    Some(labels.into_iter().collect())
}

/// CloudNativePG's object, where the engine is run by it.
async fn read_cluster(session: &Session, seen: &mut Seen, namespace: &str, base: &str) {
    if !seen.subject.instance.high_availability {
        return;
    }
    let kind = GroupVersionKind::gvk("postgresql.cnpg.io", "v1", "Cluster");
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = Api::namespaced_with(session.target.clone(), namespace, &resource);
    let found = session
        .ask(&format!("reading Cluster {base}"), api.get_opt(base))
        .await;
    seen.cluster = keep(&mut seen.gaps, found).flatten();
}

/// The claims of the members: by their names where there is a StatefulSet, since one that was kept may have the labels of its
/// former instance.
async fn read_claims(session: &Session, seen: &mut Seen, namespace: &str, selector: &Selector) {
    let Some(set) = &seen.set else {
        let own = ListParams::default().labels_from(selector);
        let claims = list::<PersistentVolumeClaim>(session, namespace, "volume claims", &own).await;
        seen.claims = keep(&mut seen.gaps, claims).unwrap_or_default();
        return;
    };
    let names = claim_names(set);
    let api: Api<PersistentVolumeClaim> = Api::namespaced(session.target.clone(), namespace);
    let reads = stream::iter(names).map(|name| {
        let api = api.clone();
        async move {
            session
                .ask(
                    &format!("reading PersistentVolumeClaim {name}"),
                    api.get_opt(&name),
                )
                .await
        }
    });
    let answers: Vec<_> = reads.buffered(AT_ONCE).collect().await;
    for answer in answers {
        seen.claims.extend(keep(&mut seen.gaps, answer).flatten());
    }
}

fn claim_names(set: &StatefulSet) -> Vec<String> {
    let name = set.name_any();
    let spec = set.spec.as_ref();
    let templates = spec
        .and_then(|spec| spec.volume_claim_templates.clone())
        .unwrap_or_default();
    let replicas = spec.and_then(|spec| spec.replicas).unwrap_or(1);
    let members = u32::try_from(replicas).unwrap_or_default().min(MEMBERS);
    let of_member = |ordinal: u32| {
        let name = name.as_str();
        templates
            .iter()
            .map(move |template| format!("{}-{name}-{ordinal}", template.name_any()))
    };
    (0..members).flat_map(of_member).collect()
}

/// Whether the Secret is there; its metadata is all that is asked for.
async fn read_secret(session: &Session, seen: &mut Seen, record: &ServiceInstance, usual: &str) {
    let status = record.status.as_ref();
    let named = status.and_then(|status| status.connection_secret_ref.as_ref());
    let name = named.map_or(usual, |reference| reference.name.as_str());
    let namespace = record.namespace().unwrap_or_default();
    let api: Api<Secret> = Api::namespaced(session.target.clone(), &namespace);
    let found = session
        .ask(
            &format!("reading the metadata of Secret {name}"),
            api.get_metadata_opt(name),
        )
        .await;
    if let Some(found) = keep(&mut seen.gaps, found) {
        seen.secret = Some((name.to_owned(), found.is_some()));
    }
}

async fn list<K>(session: &Session, namespace: &str, what: &str, params: &ListParams) -> Result<Vec<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(session.target.clone(), namespace);
    let params = params.clone().limit(MEMBERS);
    let found = session.ask(&format!("listing {what}"), api.list(&params)).await?;
    let mut items = found.items;
    items.sort_by_key(ResourceExt::name_any);
    Ok(items)
}

/// Events of everything that was seen; those of the resource itself are in its own cluster.
async fn read_events(session: &Session, seen: &mut Seen) {
    let namespace = seen.subject.namespace().to_owned();
    let mut objects = vec![(session.client.clone(), seen.subject.name().to_owned())];
    let mut add =
        |name: Option<&String>| objects.extend(name.map(|name| (session.target.clone(), name.clone())));
    add(seen.record.as_ref().and_then(|o| o.metadata.name.as_ref()));
    add(seen.set.as_ref().and_then(|o| o.metadata.name.as_ref()));
    add(seen.cluster.as_ref().and_then(|o| o.metadata.name.as_ref()));
    seen.pods.iter().for_each(|o| add(o.metadata.name.as_ref()));
    seen.claims.iter().for_each(|o| add(o.metadata.name.as_ref()));
    let reads = stream::iter(objects).map(|(client, name)| events(session, client, &namespace, name));
    let answers: Vec<_> = reads.buffered(AT_ONCE).collect().await;
    for answer in answers {
        seen.events
            .extend(keep(&mut seen.gaps, answer).unwrap_or_default());
    }
    let kind = seen.subject.kind.as_str();
    let kinds = [
        kind,
        "ServiceInstance",
        "StatefulSet",
        "Cluster",
        "Pod",
        "PersistentVolumeClaim",
    ];
    seen.events.retain(|event| {
        event
            .involved_object
            .kind
            .as_deref()
            .is_some_and(|kind| kinds.contains(&kind))
    });
    // A pod that was replaced had the same name; its troubles are over.
    let known = known(seen);
    seen.events.retain(|event| {
        let object = &event.involved_object;
        let key = (
            object.kind.as_deref().unwrap_or_default(),
            object.name.as_deref().unwrap_or_default(),
        );
        let same = known.iter().find(|(kind, name, _)| (*kind, name.as_str()) == key);
        same.is_none_or(|(_, _, uid)| object.uid.is_none() || object.uid == *uid)
    });
    seen.events
        .dedup_by(|a, b| a.metadata.uid.is_some() && a.metadata.uid == b.metadata.uid);
    seen.gaps.dedup();
}

/// Kind, name and UID of the pods and claims that were seen.
fn known(seen: &Seen) -> Vec<(&'static str, String, Option<String>)> {
    let pods = seen.pods.iter().map(|pod| ("Pod", pod.name_any(), pod.uid()));
    let claims = seen
        .claims
        .iter()
        .map(|claim| ("PersistentVolumeClaim", claim.name_any(), claim.uid()));
    pods.chain(claims).collect()
}

async fn events(session: &Session, client: Client, namespace: &str, name: String) -> Result<Vec<Event>> {
    let api: Api<Event> = Api::namespaced(client, namespace);
    let params = ListParams::default()
        .fields(&format!("involvedObject.name={name}"))
        .limit(EVENTS);
    let found = session.ask("listing events", api.list(&params)).await?;
    Ok(found.items)
}
