//! Objects that tests start from, and what is looked for in them.

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::ConfigMap, networking::v1::NetworkPolicy};
use kidp_core::conditions::{READY, is_true};
use kidp_core::crd::{Broker, Database, DatabaseSpec, Phase, ServiceInstance, Team, TeamSpec};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::error::Doing;
use crate::wait::{Seen, until};
use crate::{Error, Result};

/// Longest wait for a database; the image is on the node already.
pub const READY_LIMIT: Duration = Duration::from_mins(3);

fn document<T: serde::de::DeserializeOwned>(what: &str, value: serde_json::Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| Error::Document {
        doing: what.to_owned(),
        reason: error.to_string(),
    })
}

/// A small PostgreSQL 15 of the team `payments`.
pub fn database(namespace: &str, name: &str) -> Result<Database> {
    let spec: DatabaseSpec = document(
        "the database fixture",
        json!({"owner": {"kind": "Team", "name": "payments"}, "engine": "postgresql", "version": "15",
            "size": "small", "storage": {"size": "1Gi"}}),
    )?;
    let mut database = Database::new(name, spec);
    database.metadata.namespace = Some(namespace.to_owned());
    Ok(database)
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

/// Registers a broker for PostgreSQL.
pub async fn create_broker(client: &Client, namespace: &str, name: &str, endpoint: &str) -> Result<()> {
    let spec = json!({"endpoint": endpoint, "region": "local", "cloudProvider": "devcluster",
        "capabilities": [{"resourceType": "Database", "providers": ["postgresql"]}],
        "healthCheck": {"intervalSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 3}});
    let broker = Broker::new(name, document("the broker fixture", spec)?);
    let api: Api<Broker> = Api::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &broker)
        .await
        .doing("registering the broker")?;
    Ok(())
}

/// Creates a database.
pub async fn create(client: &Client, database: &Database) -> Result<Database> {
    let namespace = database.namespace().unwrap_or_default();
    let api: Api<Database> = Api::namespaced(client.clone(), &namespace);
    api.create(&PostParams::default(), database)
        .await
        .doing("creating the database")
}

fn describe(database: &Database) -> String {
    serde_json::to_string(&database.status).unwrap_or_default()
}

/// Whether a status speaks of the current spec and says Ready.
pub fn is_ready(database: &Database) -> bool {
    database.status.as_ref().is_some_and(|status| {
        status.phase == Phase::Ready
            && status.observed_generation == database.metadata.generation
            && is_true(&status.conditions, READY)
    })
}

/// Waits until `accept` holds for a database.
pub async fn wait_for(
    client: &Client,
    namespace: &str,
    name: &str,
    what: &str,
    accept: impl Fn(&Database) -> bool,
) -> Result<Database> {
    let api: Api<Database> = Api::namespaced(client.clone(), namespace);
    until(&format!("{namespace}/{name} {what}"), READY_LIMIT, async || {
        let database = api.get(name).await.doing("reading the database")?;
        Ok(if accept(&database) {
            Seen::Done(database)
        } else {
            Seen::NotYet(describe(&database))
        })
    })
    .await
}

/// Waits until a database is Ready at its current generation.
pub async fn wait_ready(client: &Client, namespace: &str, name: &str) -> Result<Database> {
    wait_for(client, namespace, name, "to be Ready", is_ready).await
}

/// Waits until a database has a condition `Ready=False` with this reason.
pub async fn wait_reason(client: &Client, namespace: &str, name: &str, reason: &str) -> Result<Database> {
    let has = |database: &Database| {
        let status = database.status.as_ref();
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

/// Waits until a database and everything of it is gone.
pub async fn wait_clean(client: &Client, namespace: &str, name: &str) -> Result<()> {
    let api: Api<Database> = Api::namespaced(client.clone(), namespace);
    until(
        &format!("{namespace}/{name} to be gone"),
        READY_LIMIT,
        async || {
            if let Some(database) = api.get_opt(name).await.doing("reading the database")? {
                return Ok(Seen::NotYet(describe(&database)));
            }
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
