//! What makes the controller look at a record besides the record itself: its objects, as soon as one changes.
//!
//! Of every kind but `StatefulSet` only metadata is watched, and nothing of it is kept: an event is a reason to look, and
//! the reconcile reads what there is. Kinds that not every cluster has (`Cluster`, `Certificate`) are not watched; who has
//! them is swept more often.
//!
//! A controller waits after an error of any of its watches with all of them. So the pause is short and does not grow: when
//! the API server comes back, each watch errs once more (its position has expired), and growing pauses would add up to
//! minutes in which nothing is looked at.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kidp_core::crd::ServiceInstance;
use kidp_core::labels;
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::controller::Controller;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt as _};

/// Objects in one answer.
const PAGE: u32 = 200;

/// Pause after an error of a watch.
const PAUSE: Duration = Duration::from_millis(500);

/// The same pause each time.
struct Pause;

impl Iterator for Pause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(PAUSE)
    }
}

impl Backoff for Pause {
    fn reset(&mut self) {}
}

/// Watches what records' objects are of.
pub fn all(controller: Controller<ServiceInstance>, client: &Client) -> Controller<ServiceInstance> {
    let ours = format!(
        "{}={},{}",
        labels::MANAGED_BY_KEY,
        labels::MANAGED_BY,
        labels::DEPLOYMENT_ID
    );
    let config = watcher::Config::default().labels(&ours).page_size(PAGE);
    controller
        .trigger_backoff(Pause)
        .watches(metadata::<ConfigMap>(client), config.clone(), record_of)
        .watches(metadata::<Secret>(client), config.clone(), record_of)
        .watches(metadata::<Service>(client), config.clone(), record_of)
        .watches(metadata::<ServiceAccount>(client), config.clone(), record_of)
        .watches(
            metadata::<PersistentVolumeClaim>(client),
            config.clone(),
            record_of,
        )
        .watches(metadata::<PodDisruptionBudget>(client), config.clone(), record_of)
        .watches(metadata::<NetworkPolicy>(client), config, record_of)
}

/// With this type, only metadata is asked for.
fn metadata<K>(client: &Client) -> Api<PartialObjectMeta<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::all(client.clone())
}

/// The record that an object was made for.
#[expect(clippy::needless_pass_by_value, reason = "the signature is kube's")]
fn record_of<K>(object: PartialObjectMeta<K>) -> Option<ObjectRef<ServiceInstance>>
where
    K: Resource<DynamicType = ()>,
{
    let id = object.labels().get(labels::DEPLOYMENT_ID)?;
    Some(ObjectRef::new(id).within(object.metadata.namespace.as_deref()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_leads_to_the_record_of_its_label() {
        let object = |labels: serde_json::Value| -> PartialObjectMeta<ConfigMap> {
            let meta = json!({"metadata": {"name": "orders", "namespace": "shop", "labels": labels}});
            serde_json::from_value(meta).unwrap()
        };
        let id = "deploy-1";
        let found = record_of(object(json!({labels::DEPLOYMENT_ID: id})));
        assert_eq!(found, Some(ObjectRef::new(id).within("shop")));
        assert_eq!(record_of(object(json!({}))), None);
    }
}
