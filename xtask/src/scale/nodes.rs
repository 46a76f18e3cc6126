//! Nodes that run nothing: kwok plays their kubelets and says of every pod that it is ready, so that a cluster of one machine
//! holds thousands of instances, and what is measured is what makes them.
//!
//! # Flow
//! [`FakeNodes::start`]: clean up, make the nodes, start kwok, wait until they are ready, cordon the real nodes.
//! [`FakeNodes::stop`]: delete the nodes, their pods, claims and volumes, uncordon what was cordoned, end kwok.
//!
//! # Volumes
//! The devcluster's own provisioner serves these nodes too: a volume of [`STORAGE_CLASS`] is a folder of this machine and
//! bound to the node that the scheduler picked, by the label `kubernetes.io/hostname`, which they have. It is a process of
//! its own, and does the same work for a claim whoever asked for it.
//!
//! # Caveats
//! What keeps making pods, such as a StatefulSet, has to be deleted before [`FakeNodes::stop`]: its pods would go to the real
//! nodes. The devcluster's scheduler and controllers have limits of their own on their requests, 50 and 100 a second.

use std::path::Path;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kidp_e2e::Error as StepError;
use kidp_e2e::error::Doing as _;
use kidp_e2e::process::{Process, free_port};
use kidp_e2e::wait::{Seen, until};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::devcluster::{self, KWOK, MANIFESTS, storage};
use crate::paths::Layout;
use crate::progress::Progress;

/// The class of volumes that pods on these nodes can have.
pub const STORAGE_CLASS: &str = storage::CLASS;

/// Label of the nodes that kwok plays.
const LABEL: &str = "kidp.dev/fake-node";
/// What their names begin with.
const PREFIX: &str = "kidp-fake-";
/// Annotation of a real node that was cordoned here.
const CORDONED: &str = "kidp.dev/cordoned-for-fake-nodes";
/// Addresses of their pods, which nothing is behind. The devcluster's own pods are in another network.
const POD_NETWORK: &str = "10.246.0.0/16";
/// Requests at once when much is deleted.
const AT_ONCE: usize = 16;
const READY_LIMIT: Duration = Duration::from_mins(2);
/// Between looks at what may be thousands of objects.
const PAUSE: Duration = Duration::from_secs(1);
/// Thousands of volumes take their time.
const GONE_LIMIT: Duration = Duration::from_mins(10);

/// Why there are no fake nodes, or why some are left.
#[derive(Debug, thiserror::Error)]
pub enum NodesError {
    /// kwok could not be built.
    #[error(transparent)]
    Build(#[from] devcluster::Error),
    /// A step against the cluster failed, or did not end in time.
    #[error(transparent)]
    Step(#[from] StepError),
    /// There is no place for the log.
    #[error("a folder for kwok's log: {0}")]
    Log(#[source] std::io::Error),
}

/// Fake nodes, and the kwok that plays them.
pub struct FakeNodes {
    client: Client,
    kwok: Process,
    /// Has its log.
    _folder: TempDir,
}

impl FakeNodes {
    /// Makes `count` nodes that take every new pod from now on.
    pub async fn start(
        client: &Client,
        layout: &Layout,
        kubeconfig: &Path,
        count: usize,
        progress: &Progress,
    ) -> Result<Self, NodesError> {
        let build = devcluster::build_module(layout, KWOK);
        let programs = progress.step("kwok, built once a machine", build).await?;
        clean(client).await?;
        let started = Self::start_clean(client, &programs, kubeconfig, count);
        match progress.step("fake nodes", started).await {
            Ok(nodes) => Ok(nodes),
            Err(error) => {
                clean(client).await?;
                Err(error)
            }
        }
    }

    async fn start_clean(
        client: &Client,
        programs: &Path,
        kubeconfig: &Path,
        count: usize,
    ) -> Result<Self, NodesError> {
        let classes: Api<StorageClass> = Api::all(client.clone());
        let class = classes.get_metadata(STORAGE_CLASS).await;
        class.doing("looking for the devcluster's storage class")?;
        let nodes: Api<Node> = Api::all(client.clone());
        for number in 0..count {
            let made = nodes.create(&PostParams::default(), &node(number)?).await;
            made.doing("making a node")?;
        }
        let folder = tempfile::tempdir().map_err(NodesError::Log)?;
        let started = Self {
            client: client.clone(),
            kwok: kwok(programs, kubeconfig, &folder.path().join("kwok.log")).await?,
            _folder: folder,
        };
        until("fake nodes", READY_LIMIT, async || {
            let all = nodes.list(&ours()).await.doing("listing nodes")?;
            let ready = all.iter().filter(|node| is_usable(node)).count();
            Ok(if ready == count {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{ready} of {count} are ready"))
            })
        })
        .await?;
        cordon(client).await?;
        Ok(started)
    }

    /// Removes the nodes and what is on them, and makes the real ones schedulable again.
    pub async fn stop(self) -> Result<(), NodesError> {
        clean(&self.client).await?;
        self.kwok.terminate().await?;
        Ok(())
    }
}

/// Removes what an earlier measurement left, even one that crashed. Where there is nothing of it, nothing is written.
pub async fn clean(client: &Client) -> Result<(), NodesError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let fake = nodes.list_metadata(&ours()).await.doing("listing fake nodes")?;
    let names = fake.iter().map(|node| (None, node.name_any()));
    // First, so that no further pod gets there.
    delete(names.collect(), |_| nodes.clone(), None).await?;
    delete_on_fake::<Pod>(client, pod_node, Some(0)).await?;
    delete_on_fake::<PersistentVolumeClaim>(client, claim_node, None).await?;
    uncordon(client).await?;
    let gone = until("what was on fake nodes to be gone", GONE_LIMIT, async || {
        let Some(left) = left(client).await? else {
            return Ok(Seen::Done(()));
        };
        tokio::time::sleep(PAUSE).await;
        Ok(Seen::NotYet(left))
    });
    Ok(gone.await?)
}

/// What is left of what was on fake nodes. Volumes are the last to go.
async fn left(client: &Client) -> Result<Option<String>, StepError> {
    let volumes = on_fake::<PersistentVolume>(client, volume_node).await?.len();
    if volumes > 0 {
        return Ok(Some(format!("{volumes} volumes")));
    }
    let claims = on_fake::<PersistentVolumeClaim>(client, claim_node).await?.len();
    let pods = on_fake::<Pod>(client, pod_node).await?.len();
    Ok((claims + pods > 0).then(|| format!("{claims} claims, {pods} pods")))
}

/// Starts kwok, which says that it is there on the loopback.
async fn kwok(programs: &Path, kubeconfig: &Path, log: &Path) -> Result<Process, StepError> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let arguments = arguments(programs, kubeconfig, &address);
    let health = format!("http://{address}/healthz");
    Process::start(&programs.join("kwok"), kubeconfig, &arguments, log, &health).await
}

/// The command line of kwok.
fn arguments(programs: &Path, kubeconfig: &Path, address: &str) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        // A kustomization: nodes with leases, and pods that are ready at once.
        format!("--config={}", programs.join(MANIFESTS).join("fast").display()),
        format!("--manage-nodes-with-label-selector={LABEL}"),
        format!("--cidr={POD_NETWORK}"),
        // Without leases a node counts as lost after 50 s, and its pods as not ready.
        "--node-lease-duration-seconds=40".to_owned(),
        format!("--server-address={address}"),
    ]
}

fn ours() -> ListParams {
    ListParams::default().labels(LABEL)
}

/// A node with room for more than is ever asked of it.
fn node(number: usize) -> Result<Node, StepError> {
    let name = format!("{PREFIX}{number}");
    let room = json!({"cpu": "1000", "memory": "4Ti", "pods": "10000", "ephemeral-storage": "4Ti"});
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {
            LABEL: "true",
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
        }},
        "status": {"capacity": room, "allocatable": room},
    });
    serde_json::from_value(node).map_err(|error| StepError::Document {
        doing: "a fake node".to_owned(),
        reason: error.to_string(),
    })
}

/// Whether pods can be given to a node: it says that it is ready, and nothing keeps them off any more.
fn is_usable(node: &Node) -> bool {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref());
    let ready = |c: &k8s_openapi::api::core::v1::NodeCondition| c.type_ == "Ready" && c.status == "True";
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref());
    conditions.unwrap_or_default().iter().any(ready) && taints.unwrap_or_default().is_empty()
}

/// Keeps new pods off the real nodes, and notes which were open before.
async fn cordon(client: &Client) -> Result<(), StepError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let real = ListParams::default().labels(&format!("!{LABEL}"));
    for node in nodes.list(&real).await.doing("listing real nodes")? {
        if node.spec.as_ref().and_then(|spec| spec.unschedulable) != Some(true) {
            let closed =
                json!({"metadata": {"annotations": {CORDONED: "true"}}, "spec": {"unschedulable": true}});
            change(&nodes, &node, closed).await?;
        }
    }
    Ok(())
}

/// Opens the nodes that were closed here.
async fn uncordon(client: &Client) -> Result<(), StepError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let all = nodes.list(&ListParams::default()).await.doing("listing nodes")?;
    for node in all
        .iter()
        .filter(|node| node.annotations().contains_key(CORDONED))
    {
        let open = json!({"metadata": {"annotations": {CORDONED: null}}, "spec": {"unschedulable": null}});
        change(&nodes, node, open).await?;
    }
    Ok(())
}

async fn change(nodes: &Api<Node>, node: &Node, to: Value) -> Result<(), StepError> {
    let patch = Patch::Merge(to);
    let patched = nodes
        .patch(&node.name_any(), &PatchParams::default(), &patch)
        .await;
    patched.map(drop).doing("changing a real node")
}

fn is_fake(node: &str) -> bool {
    node.starts_with(PREFIX)
}

/// The node that a pod was given to.
fn pod_node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// The node that the scheduler picked for a claim.
fn claim_node(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim
        .annotations()
        .get(storage::SELECTED_NODE)
        .map(String::as_str)
}

/// The node that a volume is on.
fn volume_node(volume: &PersistentVolume) -> Option<&str> {
    let affinity = volume.spec.as_ref()?.node_affinity.as_ref()?.required.as_ref()?;
    let mut requirements = affinity
        .node_selector_terms
        .iter()
        .flat_map(|term| term.match_expressions.iter().flatten());
    requirements.find_map(|one| one.values.as_ref()?.first().map(String::as_str))
}

/// Namespace, where there is one, and name of an object.
type Named = (Option<String>, String);

/// The objects of a kind that are on a fake node.
async fn on_fake<K>(client: &Client, node: fn(&K) -> Option<&str>) -> Result<Vec<Named>, StepError>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let all: Api<K> = Api::all(client.clone());
    let all = all
        .list(&ListParams::default())
        .await
        .doing("listing what is on fake nodes")?;
    let there = all.iter().filter(|object| node(object).is_some_and(is_fake));
    Ok(there
        .map(|object| (object.namespace(), object.name_any()))
        .collect())
}

async fn delete_on_fake<K>(
    client: &Client,
    node: fn(&K) -> Option<&str>,
    grace: Option<u32>,
) -> Result<(), StepError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let found = on_fake(client, node).await?;
    let api = |namespace: Option<&str>| Api::<K>::namespaced(client.clone(), namespace.unwrap_or_default());
    delete(found, api, grace).await
}

/// Deletes objects; one that is gone meanwhile is as good.
async fn delete<K>(
    objects: Vec<Named>,
    api: impl Fn(Option<&str>) -> Api<K>,
    grace: Option<u32>,
) -> Result<(), StepError>
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let params = DeleteParams {
        grace_period_seconds: grace,
        ..DeleteParams::background()
    };
    let (api, params) = (&api, &params);
    stream::iter(objects)
        .map(|(namespace, name)| async move {
            match api(namespace.as_deref()).delete(&name, params).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                other => other.map(drop).doing(format!("deleting {name}")),
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::StatefulSet;
    use k8s_openapi::api::coordination::v1::Lease;
    use kidp_e2e::cluster::{create_namespace, delete_namespace};

    use super::*;

    #[test]
    fn kwok_listens_on_the_loopback_and_manages_our_nodes_only() {
        let arguments = arguments(Path::new("/built"), Path::new("/kubeconfig"), "127.0.0.1:1");
        let has = |argument: &str| arguments.iter().any(|a| a == argument);
        assert!(has("--server-address=127.0.0.1:1"));
        assert!(has("--manage-nodes-with-label-selector=kidp.dev/fake-node"));
        assert!(has("--config=/built/upstream/fast"));
        assert!(!arguments.iter().any(|a| a.contains("manage-all")));
    }

    #[test]
    fn a_node_can_be_scheduled_to_and_given_volumes() {
        let node = node(7).unwrap();
        assert!(is_fake(&node.name_any()) && !is_fake("kidp-node"));
        assert_eq!(node.labels()["kubernetes.io/hostname"], node.name_any());
        let status = node.status.unwrap();
        assert_eq!(status.capacity, status.allocatable);
        assert_eq!(status.capacity.unwrap()["pods"].0, "10000");
    }

    #[test]
    fn a_node_is_usable_once_it_is_ready_and_nothing_keeps_pods_off() {
        let usable = |ready: &str, taints: Value| {
            let node = json!({"spec": {"taints": taints}, "status": {"conditions": [
                {"type": "DiskPressure", "status": "True"}, {"type": "Ready", "status": ready}]}});
            is_usable(&serde_json::from_value(node).unwrap())
        };
        assert!(usable("True", json!([])));
        assert!(!usable("False", json!([])));
        assert!(!usable(
            "True",
            json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}])
        ));
    }

    #[test]
    fn what_is_on_a_node_names_it() {
        let pod = json!({"spec": {"nodeName": "kidp-fake-1", "containers": []}});
        assert_eq!(
            pod_node(&serde_json::from_value(pod).unwrap()),
            Some("kidp-fake-1")
        );
        let claim =
            json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "kidp-fake-2"}}});
        assert_eq!(
            claim_node(&serde_json::from_value(claim).unwrap()),
            Some("kidp-fake-2")
        );
        let volume = json!({"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": ["kidp-fake-3"]}]}]}}}});
        assert_eq!(
            volume_node(&serde_json::from_value(volume).unwrap()),
            Some("kidp-fake-3")
        );
        assert_eq!(pod_node(&Pod::default()), None);
    }

    const NAMESPACE: &str = "kidp-e2e-fake-nodes";

    /// Pods with a claim each, as restricted as KIDP's own.
    fn pods(count: usize) -> StatefulSet {
        let labels = json!({"app": "many"});
        serde_json::from_value(json!({
            "metadata": {"name": "many"},
            "spec": {
                "replicas": count, "serviceName": "many", "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {
                    "securityContext": {"runAsNonRoot": true, "runAsUser": 999, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [{"name": "none", "image": "none", "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
                }},
                "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                    "storageClassName": STORAGE_CLASS, "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Gi"}}}}],
            },
        }))
        .unwrap()
    }

    async fn wait_for(client: &Client, count: i32) {
        let sets: Api<StatefulSet> = Api::namespaced(client.clone(), NAMESPACE);
        until("pods on fake nodes", READY_LIMIT, async || {
            let status = sets.get("many").await.doing("reading the StatefulSet")?.status;
            let ready = status
                .and_then(|status| status.ready_replicas)
                .unwrap_or_default();
            Ok(if ready == count {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{ready} ready"))
            })
        })
        .await
        .unwrap();
    }

    /// Names of the nodes that pods can be given to.
    async fn open_nodes(client: &Client) -> Vec<String> {
        let all = Api::<Node>::all(client.clone())
            .list(&ListParams::default())
            .await;
        let is_open = |node: &Node| node.spec.as_ref().and_then(|spec| spec.unschedulable) != Some(true);
        all.unwrap()
            .iter()
            .filter(|node| is_open(node))
            .map(Node::name_any)
            .collect()
    }

    #[tokio::test]
    #[ignore = "cordons the nodes of the devcluster, which must be up and nobody else's meanwhile"]
    async fn pods_are_ready_on_nodes_that_leave_nothing() {
        let layout = Layout::from_env();
        let kubeconfig = layout.kubeconfig();
        let client = devcluster::client(&kubeconfig).await.unwrap();
        let progress = Progress::default();
        let before = open_nodes(&client).await;
        create_namespace(&client, NAMESPACE).await.unwrap();
        let sets: Api<StatefulSet> = Api::namespaced(client.clone(), NAMESPACE);

        let nodes = FakeNodes::start(&client, &layout, &kubeconfig, 2, &progress)
            .await
            .unwrap();
        assert_eq!(open_nodes(&client).await, ["kidp-fake-0", "kidp-fake-1"]);
        let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
        until("the lease of a fake node", READY_LIMIT, async || {
            leases
                .get("kidp-fake-1")
                .await
                .map(|_| Seen::Done(()))
                .doing("reading it")
        })
        .await
        .unwrap();
        sets.create(&PostParams::default(), &pods(50)).await.unwrap();
        let pods_of_50 = async {
            wait_for(&client, 50).await;
            Ok::<_, NodesError>(())
        };
        progress.step("50 pods", pods_of_50).await.unwrap();
        assert_eq!(on_fake::<Pod>(&client, pod_node).await.unwrap().len(), 50);
        assert_eq!(
            on_fake::<PersistentVolume>(&client, volume_node)
                .await
                .unwrap()
                .len(),
            50
        );
        sets.delete("many", &DeleteParams::background()).await.unwrap();
        progress.step("no fake nodes", nodes.stop()).await.unwrap();
        assert_eq!(open_nodes(&client).await, before);

        let nodes = FakeNodes::start(&client, &layout, &kubeconfig, 1, &progress)
            .await
            .unwrap();
        sets.create(&PostParams::default(), &pods(3)).await.unwrap();
        wait_for(&client, 3).await;
        sets.delete("many", &DeleteParams::orphan()).await.unwrap();
        // As a crash does: kwok is gone, and the rest is there.
        drop(nodes);
        assert_eq!(open_nodes(&client).await, ["kidp-fake-0"]);
        progress.step("after a crash", clean(&client)).await.unwrap();
        assert_eq!(open_nodes(&client).await, before);
        assert!(
            on_fake::<PersistentVolume>(&client, volume_node)
                .await
                .unwrap()
                .is_empty()
        );
        delete_namespace(&client, NAMESPACE).await.unwrap();
    }
}
