//! From a `Cluster` of CloudNativePG to the same plain data as from a StatefulSet.
//!
//! A `Cluster` does not say which generation of its spec its status speaks of. So a hash of the spec is among the
//! annotations that its pods inherit, and it takes the place of a StatefulSet's revision: a member is of the shape that
//! was last asked for when it carries the hash, and was made with the image and the resources that go with it. What it
//! was made with is in another annotation: the pod itself may have been changed by an admission webhook.
//!
//! # Caveats
//! A setting that needs no restart is loaded by the members a moment after the hash is on them.

use k8s_openapi::api::core::v1::{self, ResourceRequirements};
use kube::{Api, Client, ResourceExt};

use super::read::{Members, claim, members, pod};
use super::{Observed, OperatorState, Pod, Workload};
use crate::apply::{ApplyError, REQUEST_TIMEOUT, get, is_absent};
use crate::instance::Instance;
use crate::resources::cloudnative_pg::{
    Cluster, ClusterStatus, HEALTHY, MEMBER, POD_ROLE_LABEL, POD_SPEC, SPEC_CHECKSUM, STUCK, primary_service,
};
use crate::resources::meta::Scope;

/// The revision of a pod that is to be replaced.
const OUTDATED: &str = "outdated";

/// Reads everything at the same time.
pub(crate) async fn observe(client: &Client, instance: &Instance) -> Result<Observed, ApplyError> {
    let scope = Scope::new(instance);
    let namespace = instance.namespace.as_str();
    let clusters: Api<Cluster> = Api::namespaced(client.clone(), namespace);
    let service = primary_service(&scope);
    let cluster = async {
        match get(
            "Cluster",
            namespace,
            REQUEST_TIMEOUT,
            clusters.get_opt(&scope.base),
        )
        .await
        {
            // Without CloudNativePG there is no such path.
            Err(error) if is_absent(&error) => Ok(None),
            other => other,
        }
    };
    let (cluster, members) = tokio::try_join!(cluster, members(client, &scope, &service))?;
    Ok(observed(cluster.as_ref(), &members))
}

fn observed(cluster: Option<&Cluster>, members: &Members) -> Observed {
    let pods: Vec<Pod> = members.pods.iter().map(|pod| member(cluster, pod)).collect();
    Observed {
        workload: cluster.map(|cluster| workload(cluster, &pods)),
        pods,
        claims: members.claims.iter().map(claim).collect(),
        service: members.service,
        // A certificate of one's own is refused with failover.
        certificate: None,
    }
}

fn workload(cluster: &Cluster, pods: &[Pod]) -> Workload {
    let status = cluster.status.clone().unwrap_or_default();
    let generation = cluster.metadata.generation.unwrap_or_default();
    let revision = revision(cluster);
    let updated = pods
        .iter()
        .filter(|pod| pod.ready && pod.revision == revision)
        .count();
    let limit = |name: &str| {
        let limits = cluster.spec.resources.limits.as_ref();
        let found = limits.and_then(|limits| limits.get(name));
        found.map(|quantity| quantity.0.clone()).unwrap_or_default()
    };
    Workload {
        generation,
        observed_generation: generation,
        replicas: cluster.spec.instances,
        ready: status.ready_instances,
        updated: i32::try_from(updated).unwrap_or(i32::MAX),
        current_revision: revision.to_owned(),
        update_revision: revision.to_owned(),
        image: cluster.spec.image_name.clone(),
        cpu: limit("cpu"),
        memory: limit("memory"),
        deleting: cluster.metadata.deletion_timestamp.is_some(),
        operator: Some(state(&status)),
    }
}

fn revision(cluster: &Cluster) -> &str {
    let inherited = &cluster.spec.inherited_metadata.annotations;
    inherited.get(SPEC_CHECKSUM).map_or("", String::as_str)
}

fn state(status: &ClusterStatus) -> OperatorState {
    let message = match (status.phase.as_str(), status.phase_reason.as_str()) {
        ("", _) => "waiting for CloudNativePG".to_owned(),
        (phase, "") => phase.to_owned(),
        (phase, reason) => format!("{phase}: {reason}"),
    };
    OperatorState {
        settled: status.phase == HEALTHY && status.is_ready(),
        stuck: STUCK.contains(&status.phase.as_str()),
        message,
    }
}

/// A pod of the cluster: a member, or one that prepares a member's volume, which is never ready.
fn member(cluster: Option<&Cluster>, found: &v1::Pod) -> Pod {
    let inherited = found.annotations().get(SPEC_CHECKSUM).cloned();
    let is_member = found.labels().get(POD_ROLE_LABEL).map(String::as_str) == Some(MEMBER);
    let plain = pod(found);
    let fits = !is_member || cluster.is_none_or(|cluster| has_shape(cluster, found));
    Pod {
        revision: inherited.filter(|_| fits).unwrap_or_else(|| OUTDATED.to_owned()),
        ready: plain.ready && is_member,
        ..plain
    }
}

/// Whether a pod was made with the image and the resources that its cluster asks for.
fn has_shape(cluster: &Cluster, pod: &v1::Pod) -> bool {
    let made = pod.annotations().get(POD_SPEC);
    let made = made.and_then(|text| serde_json::from_str::<v1::PodSpec>(text).ok());
    made.as_ref()
        .and_then(|spec| spec.containers.first())
        .is_some_and(|container| {
            let own = container.resources.as_ref();
            let wanted = &cluster.spec.resources;
            let same = |of: fn(&ResourceRequirements) -> Option<&Quantities>| own.and_then(of) == of(wanted);
            container.image.as_deref() == Some(cluster.spec.image_name.as_str())
                && same(|resources| resources.limits.as_ref())
                && same(|resources| resources.requests.as_ref())
        })
}

type Quantities = std::collections::BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provisioner::Readiness;
    use serde_json::{Value, json};

    /// These pods, behind a Service.
    fn reached(pods: impl Into<Vec<v1::Pod>>) -> Members {
        Members {
            pods: pods.into(),
            claims: Vec::new(),
            service: true,
        }
    }

    fn cluster(change: impl FnOnce(&mut Value)) -> Cluster {
        let mut json = json!({
            "apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster",
            "metadata": {"name": "orders", "generation": 4},
            "spec": {
                "instances": 3, "imageName": "pg:16", "resources": {"limits": {"cpu": "1", "memory": "2Gi"}},
                "inheritedMetadata": {"annotations": {SPEC_CHECKSUM: "b"}}
            },
            "status": {
                "phase": HEALTHY, "readyInstances": 3,
                "conditions": [{"type": "Ready", "status": "True", "reason": "ClusterIsReady", "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"}]
            }
        });
        change(&mut json);
        serde_json::from_value(json).unwrap()
    }

    /// What the operator made a member with.
    fn made(image: &str, memory: &str) -> Value {
        let resources = json!({"limits": {"cpu": "1", "memory": memory}});
        let spec = json!({"containers": [{"name": "postgres", "image": image, "resources": resources}]});
        json!({SPEC_CHECKSUM: "b", POD_SPEC: spec.to_string()})
    }

    fn pod_of(name: &str, change: impl FnOnce(&mut Value)) -> v1::Pod {
        let mut json = json!({
            "metadata": {"name": name, "labels": {POD_ROLE_LABEL: MEMBER}, "annotations": made("pg:16", "2Gi")},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}
        });
        change(&mut json);
        serde_json::from_value(json).unwrap()
    }

    fn judged(cluster: &Cluster, change: impl FnOnce(&mut Value)) -> Readiness {
        let pods = [pod_of("1", |_| {}), pod_of("2", |_| {}), pod_of("3", change)];
        observed(Some(cluster), &reached(pods)).rollout()
    }

    fn is_progressing(readiness: &Readiness) -> bool {
        matches!(readiness, Readiness::Progressing(_))
    }

    #[test]
    fn ready_is_said_by_the_operator_and_by_every_member() {
        assert_eq!(judged(&cluster(|_| {}), |_| {}), Readiness::Ready);
        assert!(is_progressing(&judged(
            &cluster(|c| c["status"] = json!({})),
            |_| {}
        )));
        let failing = cluster(|c| c["status"]["phase"] = json!("Failing over"));
        assert_eq!(
            judged(&failing, |_| {}),
            Readiness::Progressing("3 of 3 members ready; Failing over".to_owned())
        );
        let fewer = cluster(|c| c["status"]["readyInstances"] = json!(2));
        assert!(is_progressing(&judged(&fewer, |_| {})));
        let unready = cluster(|c| c["status"]["conditions"][0]["status"] = json!("False"));
        assert!(is_progressing(&judged(&unready, |_| {})));
        let stuck = cluster(|c| c["status"]["phase"] = json!(STUCK[0]));
        assert_eq!(judged(&stuck, |_| {}), Readiness::Failed(STUCK[0].to_owned()));
    }

    #[test]
    fn a_member_of_another_shape_does_not_count() {
        let seen = cluster(|_| {});
        for (path, value) in [
            ("/metadata/annotations", json!({SPEC_CHECKSUM: "a"})),
            ("/metadata/annotations", json!({})),
            ("/metadata/annotations", made("pg:15", "2Gi")),
            ("/metadata/annotations", made("pg:16", "4Gi")),
            (
                "/metadata/annotations/platform.company.com~1spec-checksum",
                json!("a"),
            ),
            ("/status/conditions/0/status", json!("False")),
            ("/metadata/labels", json!({})),
        ] {
            let spoil = |pod: &mut Value| *pod.pointer_mut(path).unwrap() = value;
            assert!(is_progressing(&judged(&seen, spoil)), "{path}");
        }
    }

    #[test]
    fn a_job_that_cannot_start_is_told() {
        let job = pod_of("1-initdb", |pod| {
            pod["metadata"]["labels"] = json!({});
            pod["status"] = json!({"containerStatuses": [{"name": "initdb", "image": "", "imageID": "", "ready": false,
                "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]});
        });
        let starting = cluster(|c| c["status"] = json!({"phase": "Setting up primary"}));
        let readiness = observed(Some(&starting), &reached([job])).rollout();
        assert_eq!(
            readiness,
            Readiness::Failed("1-initdb: ImagePullBackOff: no such image".to_owned())
        );
    }
}
