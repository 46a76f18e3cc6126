//! Objects that tests start from, and what is looked for in them.

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::ConfigMap, networking::v1::NetworkPolicy};
use kidp_core::conditions::{READY, is_true};
use kidp_core::crd::{
    Broker, Cache, Database, MessageQueue, Phase, ServiceInstance, ServiceResource, Team, TeamSpec,
};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::cluster::{connect, create_namespace, install_crds, purge};
use crate::error::Doing;
use crate::wait::{Seen, until};
use crate::{Error, Result};

/// Longest wait for an instance; the image is on the node already.
pub const READY_LIMIT: Duration = Duration::from_mins(3);

fn document<T: serde::de::DeserializeOwned>(what: &str, value: serde_json::Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| Error::Document {
        doing: what.to_owned(),
        reason: error.to_string(),
    })
}

/// A small instance of the team `payments`, of any kind.
pub fn resource<K: ServiceResource>(namespace: &str, name: &str, engine: &str, version: &str) -> Result<K> {
    document(
        "the fixture",
        json!({"apiVersion": K::api_version(&()), "kind": K::kind(&()),
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"owner": {"kind": "Team", "name": "payments"}, "engine": engine, "version": version,
                "size": "small", "storage": {"size": "1Gi"}}}),
    )
}

/// A small PostgreSQL 15 of the team `payments`.
pub fn database(namespace: &str, name: &str) -> Result<Database> {
    resource(namespace, name, "postgresql", "15")
}

/// A small Redis 7 of the team `payments`.
pub fn cache(namespace: &str, name: &str) -> Result<Cache> {
    resource(namespace, name, "redis", "7")
}

/// A small RabbitMQ 4 of the team `payments`.
pub fn queue(namespace: &str, name: &str) -> Result<MessageQueue> {
    resource(namespace, name, "rabbitmq", "4")
}

/// Makes the team `payments` in a namespace.
pub async fn create_team(client: &Client, namespace: &str) -> Result<()> {
    let spec: TeamSpec = document(
        "the team fixture",
        json!({"displayName": "Payments", "owners": ["ada"], "members": ["ada"]}),
    )?;
    let api: Api<Team> = Api::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &Team::new("payments", spec))
        .await
        .doing("creating the team")?;
    Ok(())
}

/// A client of a cluster with the definitions, and in it an empty namespace with the team; what an earlier run left in
/// namespaces whose names begin so is removed.
pub async fn begin(namespace: &str) -> Result<Client> {
    let client = connect().await?;
    install_crds(&client).await?;
    purge(&client, namespace).await?;
    create_namespace(&client, namespace).await?;
    create_team(&client, namespace).await?;
    Ok(client)
}

/// Registers a broker for PostgreSQL that asks nobody who they are.
pub async fn create_broker(client: &Client, namespace: &str, name: &str, endpoint: &str) -> Result<()> {
    create_guarded_broker(client, namespace, name, endpoint, "none").await
}

/// Registers a broker for PostgreSQL, which the operator authenticates itself to as `authentication` (`none`, `jwt`) says.
pub async fn create_guarded_broker(
    client: &Client,
    namespace: &str,
    name: &str,
    endpoint: &str,
    authentication: &str,
) -> Result<()> {
    let spec = json!({"endpoint": endpoint, "authentication": {"type": authentication}, "region": "local", "cloudProvider": "devcluster",
        "capabilities": [{"resourceType": "Database", "providers": ["postgresql"]}],
        "healthCheck": {"intervalSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 3}});
    let broker = Broker::new(name, document("the broker fixture", spec)?);
    let api: Api<Broker> = Api::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &broker)
        .await
        .doing("registering the broker")?;
    Ok(())
}

/// Lets a registered broker be asked for every engine of every kind.
pub async fn offer_every_engine(client: &Client, namespace: &str, name: &str) -> Result<()> {
    let all = ["Database", "Cache", "MessageQueue"].map(|kind| json!({"resourceType": kind}));
    change_broker(client, namespace, name, json!({"capabilities": all})).await
}

/// Changes what a registered broker is declared to be.
pub async fn change_broker(
    client: &Client,
    namespace: &str,
    name: &str,
    spec: serde_json::Value,
) -> Result<()> {
    let api: Api<Broker> = Api::namespaced(client.clone(), namespace);
    let patch = Patch::Merge(json!({"spec": spec}));
    api.patch(name, &PatchParams::default(), &patch)
        .await
        .doing("declaring what the broker can do")?;
    Ok(())
}

/// Creates a resource.
pub async fn create<K: ServiceResource>(client: &Client, resource: &K) -> Result<K> {
    let namespace = resource.namespace().unwrap_or_default();
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    api.create(&PostParams::default(), resource)
        .await
        .doing("creating the resource")
}

fn describe<K: ServiceResource>(resource: &K) -> String {
    serde_json::to_string(&resource.status()).unwrap_or_default()
}

/// Whether a status speaks of the current spec and says Ready.
pub fn is_ready<K: ServiceResource>(resource: &K) -> bool {
    resource.status().is_some_and(|status| {
        status.phase == Phase::Ready
            && status.observed_generation == resource.meta().generation
            && is_true(&status.conditions, READY)
    })
}

/// Waits until `accept` holds for a resource.
pub async fn wait_for<K: ServiceResource>(
    client: &Client,
    namespace: &str,
    name: &str,
    what: &str,
    accept: impl Fn(&K) -> bool,
) -> Result<K> {
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    until(&format!("{namespace}/{name} {what}"), READY_LIMIT, async || {
        let resource = api.get(name).await.doing("reading the resource")?;
        Ok(if accept(&resource) {
            Seen::Done(resource)
        } else {
            Seen::NotYet(describe(&resource))
        })
    })
    .await
}

/// Waits until a resource is Ready at its current generation.
pub async fn wait_ready<K: ServiceResource>(client: &Client, namespace: &str, name: &str) -> Result<K> {
    wait_for(client, namespace, name, "to be Ready", is_ready).await
}

/// Waits until a resource has a condition `Ready=False` with this reason.
pub async fn wait_reason<K: ServiceResource>(
    client: &Client,
    namespace: &str,
    name: &str,
    reason: &str,
) -> Result<K> {
    let has = |resource: &K| {
        let status = resource.status();
        status.is_some_and(|s| {
            s.conditions
                .iter()
                .any(|c| c.type_ == READY && c.status == "False" && c.reason == reason)
        })
    };
    wait_for(client, namespace, name, &format!("to say {reason}"), has).await
}

/// Names of everything in a namespace that an instance is made of, Secrets and volumes included.
pub async fn leftovers(client: &Client, namespace: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    macro_rules! list {
        ($($kind:ty),*) => {$(
            let api: Api<$kind> = Api::namespaced(client.clone(), namespace);
            let items = api.list(&ListParams::default().labels("app.kubernetes.io/managed-by=kidp")).await;
            let kind = std::any::type_name::<$kind>().rsplit("::").next().unwrap_or_default();
            found.extend(items.doing(format!("listing {kind}"))?.iter().map(|o| format!("{kind}/{}", o.name_any())));
        )*};
    }
    list!(
        StatefulSet,
        Pod,
        Service,
        Secret,
        ConfigMap,
        NetworkPolicy,
        PersistentVolumeClaim
    );
    let instances: Api<ServiceInstance> = Api::namespaced(client.clone(), namespace);
    let instances = instances
        .list(&ListParams::default())
        .await
        .doing("listing service instances")?;
    found.extend(
        instances
            .iter()
            .map(|o| format!("ServiceInstance/{}", o.name_any())),
    );
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let volumes = volumes
        .list(&ListParams::default())
        .await
        .doing("listing volumes")?;
    let ours = volumes.iter().filter(|v| {
        let claim = v.spec.as_ref().and_then(|s| s.claim_ref.as_ref());
        claim.and_then(|c| c.namespace.as_deref()) == Some(namespace)
    });
    found.extend(ours.map(|v| format!("PersistentVolume/{}", v.name_any())));
    Ok(found)
}

/// Waits until a resource has let go of its instance: without its operator nobody takes the finalizer off.
pub async fn wait_gone<K: ServiceResource>(client: &Client, namespace: &str, name: &str) -> Result<()> {
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    until(
        &format!("{namespace}/{name} to be gone"),
        READY_LIMIT,
        async || {
            let found = api.get_opt(name).await.doing("reading the resource")?;
            Ok(found.map_or(Seen::Done(()), |resource| Seen::NotYet(describe(&resource))))
        },
    )
    .await
}

/// Waits until a resource and everything of it is gone; nothing else may be in its namespace.
pub async fn wait_clean<K: ServiceResource>(client: &Client, namespace: &str, name: &str) -> Result<()> {
    wait_gone::<K>(client, namespace, name).await?;
    until(
        &format!("{namespace} to be empty after {name}"),
        READY_LIMIT,
        async || {
            let left = leftovers(client, namespace).await?;
            Ok(if left.is_empty() {
                Seen::Done(())
            } else {
                Seen::NotYet(left.join(", "))
            })
        },
    )
    .await
}
