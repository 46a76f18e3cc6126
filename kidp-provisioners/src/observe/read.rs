//! From API objects to plain data.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{self, PersistentVolumeClaim, Service};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use super::{Claim, Observed, Pod, Workload, certificate};
use crate::apply::{self, ApplyError, REQUEST_TIMEOUT, get};
use crate::instance::Instance;
use crate::resources::meta::Scope;

/// Reads everything at the same time.
pub(crate) async fn observe(client: &Client, instance: &Instance) -> Result<Observed, ApplyError> {
    let scope = Scope::new(instance);
    let namespace = instance.namespace.as_str();
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), namespace);
    let (base, set) = (scope.base.as_str(), scope.set());
    let (set, members, certificate) = tokio::try_join!(
        get("StatefulSet", namespace, REQUEST_TIMEOUT, sets.get_opt(set)),
        members(client, &scope, base),
        Box::pin(certificate::observe(client, &scope)),
    )?;
    Ok(Observed {
        workload: set.as_ref().map(workload),
        pods: members.pods.iter().map(pod).collect(),
        claims: members.claims.iter().map(claim).collect(),
        service: members.service,
        certificate,
    })
}

/// What there is of an instance's members, whatever made them.
pub(super) struct Members {
    /// Their pods.
    pub pods: Vec<v1::Pod>,
    /// Their claims.
    pub claims: Vec<PersistentVolumeClaim>,
    /// Whether the Service is there that clients reach them by.
    pub service: bool,
}

/// Reads the members of an instance, and whether there is a Service of this name.
pub(super) async fn members(
    client: &Client,
    scope: &Scope<'_>,
    service: &str,
) -> Result<Members, ApplyError> {
    let namespace = scope.instance.namespace.as_str();
    let pods: Api<v1::Pod> = Api::namespaced(client.clone(), namespace);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let members = ListParams::default().labels_from(&apply::pod_selector(scope));
    let own = ListParams::default().labels_from(&apply::claim_selector(scope));
    let (pods, claims, service) = tokio::try_join!(
        get("Pod", namespace, REQUEST_TIMEOUT, pods.list(&members)),
        get(
            "PersistentVolumeClaim",
            namespace,
            REQUEST_TIMEOUT,
            claims.list(&own)
        ),
        get(
            "Service",
            namespace,
            REQUEST_TIMEOUT,
            services.get_metadata_opt(service)
        ),
    )?;
    Ok(Members {
        pods: pods.items,
        claims: claims.items,
        service: service.is_some(),
    })
}

fn workload(set: &StatefulSet) -> Workload {
    let spec = set.spec.as_ref();
    let status = set.status.as_ref();
    let container = spec
        .and_then(|s| s.template.spec.as_ref())
        .and_then(|s| s.containers.first());
    let limit = |name: &str| {
        let limits = container?.resources.as_ref()?.limits.as_ref()?;
        limits.get(name).map(|quantity| quantity.0.clone())
    };
    Workload {
        generation: set.metadata.generation.unwrap_or_default(),
        observed_generation: status.and_then(|s| s.observed_generation).unwrap_or_default(),
        replicas: spec.and_then(|s| s.replicas).unwrap_or(1),
        ready: status.and_then(|s| s.ready_replicas).unwrap_or_default(),
        updated: status.and_then(|s| s.updated_replicas).unwrap_or_default(),
        current_revision: status
            .and_then(|s| s.current_revision.clone())
            .unwrap_or_default(),
        update_revision: status.and_then(|s| s.update_revision.clone()).unwrap_or_default(),
        image: container.and_then(|c| c.image.clone()).unwrap_or_default(),
        cpu: limit("cpu").unwrap_or_default(),
        memory: limit("memory").unwrap_or_default(),
        deleting: set.metadata.deletion_timestamp.is_some(),
        operator: None,
    }
}

pub(super) fn pod(pod: &v1::Pod) -> Pod {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    let condition = |kind: &str| conditions.iter().find(|c| c.type_ == kind);
    let statuses = [
        status
            .and_then(|s| s.init_container_statuses.as_deref())
            .unwrap_or_default(),
        status
            .and_then(|s| s.container_statuses.as_deref())
            .unwrap_or_default(),
    ]
    .concat();
    let waiting = statuses.iter().find_map(|s| s.state.as_ref()?.waiting.as_ref());
    let ended = statuses.iter().find_map(|s| {
        let now = s.state.as_ref().and_then(|state| state.terminated.as_ref());
        now.or_else(|| s.last_state.as_ref().and_then(|state| state.terminated.as_ref()))
    });
    Pod {
        name: pod.name_any(),
        revision: pod
            .labels()
            .get("controller-revision-hash")
            .cloned()
            .unwrap_or_default(),
        ready: condition("Ready").is_some_and(|c| c.status == "True"),
        deleting: pod.metadata.deletion_timestamp.is_some(),
        unschedulable: condition("PodScheduled")
            .filter(|c| c.status == "False" && c.reason.as_deref() == Some("Unschedulable"))
            .map(|c| c.message.clone().unwrap_or_default()),
        waiting: waiting.map(|w| {
            (
                w.reason.clone().unwrap_or_default(),
                w.message.clone().unwrap_or_default(),
            )
        }),
        last_exit: ended.map(|t| (t.exit_code, t.reason.clone().unwrap_or_default())),
        restarts: statuses.iter().map(|s| s.restart_count).sum(),
    }
}

pub(super) fn claim(claim: &PersistentVolumeClaim) -> Claim {
    let status = claim.status.as_ref();
    let size = |quantities: Option<&std::collections::BTreeMap<String, Quantity>>| {
        quantities
            .and_then(|q| q.get("storage"))
            .map(|q| q.0.clone())
            .unwrap_or_default()
    };
    let requests = claim
        .spec
        .as_ref()
        .and_then(|s| s.resources.as_ref())
        .and_then(|r| r.requests.as_ref());
    Claim {
        name: claim.name_any(),
        phase: status.and_then(|s| s.phase.clone()).unwrap_or_default(),
        capacity: size(status.and_then(|s| s.capacity.as_ref())),
        requested: size(requests),
    }
}
