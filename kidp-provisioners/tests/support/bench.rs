//! A namespace of a real cluster, and what tests of engines do in it.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kidp_core::deployment::DeploymentId;
use kidp_core::instance::{DeletionPolicy, Engine, ResourceType};
use kidp_core::size::Size;
use kidp_provisioners::{ApplyError, Deprovisioned, Instance, Options, Provisioner, Readiness};
use kube::api::{Api, DeleteParams, ListParams, LogParams, ObjectMeta, PostParams};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Starts on a loaded machine with one disk take their time.
const PATIENCE: Duration = Duration::from_mins(6);
const PAUSE: Duration = Duration::from_millis(500);

/// A namespace that enforces the `restricted` profile, and an engine in it. Each test binary uses a part of it.
pub struct Bench {
    pub client: Client,
    pub namespace: String,
    pub engine: Box<dyn Provisioner>,
}

#[allow(dead_code)]
impl Bench {
    pub async fn new(test: &str, engine: Box<dyn Provisioner>) -> Self {
        let client = Client::try_default().await.unwrap();
        let namespace = format!("kidp-{test}-{}", std::process::id());
        let object = Namespace {
            metadata: ObjectMeta {
                name: Some(namespace.clone()),
                labels: Some(BTreeMap::from([(
                    "pod-security.kubernetes.io/enforce".to_owned(),
                    "restricted".to_owned(),
                )])),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.create(&PostParams::default(), &object).await.unwrap();
        Self {
            client,
            namespace,
            engine,
        }
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The instance `orders`; `uid` tells one life of the resource from the next.
    pub fn orders(&self, version: &str, uid: &str, extra: &Value) -> Instance {
        let mut spec = json!({
            "engine": self.engine.engine(), "version": version, "size": Size::Small, "storage": {"size": "1Gi"}
        });
        let more = extra.as_object().cloned().unwrap_or_default();
        spec.as_object_mut().unwrap().extend(more);
        let kind: ResourceType = self.engine.resource_type();
        Instance {
            deployment_id: DeploymentId::derive("here", &self.namespace, kind.as_str(), "orders", uid),
            resource_uid: uid.to_owned(),
            team: "payments".to_owned(),
            ..Instance::new(
                kind,
                &self.namespace,
                "orders",
                serde_json::from_value(spec).unwrap(),
            )
        }
    }

    /// The name that the objects of `orders` share.
    pub fn base(&self) -> String {
        let engine: Engine = self.engine.engine();
        format!("orders-{engine}")
    }

    pub async fn provision(&self, instance: &Instance) -> Result<Vec<String>, ApplyError> {
        assert_eq!(self.engine.validate(instance), Ok(()));
        let options = Options::default();
        let applied = self.engine.provision(&self.client, instance, &options).await?;
        Ok(applied.written)
    }

    pub async fn readiness(&self, instance: &Instance) -> Readiness {
        let observed = self.engine.observe(&self.client, instance).await.unwrap();
        self.engine.readiness(instance, &observed)
    }

    pub async fn ready(&self, instance: &Instance) {
        eventually("ready", || async {
            self.readiness(instance).await == Readiness::Ready
        })
        .await;
    }

    pub async fn remove(&self, instance: &Instance, policy: DeletionPolicy) {
        eventually("removed", || async {
            let state = self
                .engine
                .deprovision(&self.client, instance, policy)
                .await
                .unwrap();
            state == Deprovisioned::Done
        })
        .await;
    }

    /// The pod of a member; it must be there.
    pub async fn pod(&self, ordinal: usize) -> Pod {
        let name = format!("{}-{ordinal}", self.base());
        self.api::<Pod>().get(&name).await.unwrap()
    }

    /// Deletes a member's pod and waits for the one that takes its place.
    pub async fn restart(&self, ordinal: usize) {
        let (name, before) = (
            format!("{}-{ordinal}", self.base()),
            self.pod(ordinal).await.uid(),
        );
        let pods = self.api::<Pod>();
        pods.delete(&name, &DeleteParams::default()).await.unwrap();
        eventually("replaced", || async {
            let now = pods.get_opt(&name).await.unwrap();
            now.is_some_and(|pod| pod.uid() != before)
        })
        .await;
    }

    pub async fn secret(&self) -> BTreeMap<String, String> {
        let name = format!("{}-connection", self.base());
        let secret = self.api::<Secret>().get(&name).await.unwrap();
        let text = |bytes: k8s_openapi::ByteString| String::from_utf8(bytes.0).unwrap();
        secret
            .data
            .unwrap()
            .into_iter()
            .map(|(key, value)| (key, text(value)))
            .collect()
    }

    /// Runs a script in a client's pod, which has the connection Secret under `/binding` as applications do, and
    /// answers what it prints. It must succeed, but for a connection that nobody listens to yet: an endpoint reaches
    /// the node's packet filter a moment after its pod is ready, and applications connect again.
    pub async fn client(&self, image: &str, uid: i64, script: &str) -> String {
        let secret = format!("{}-connection", self.base());
        self.client_with(&secret, image, uid, script).await
    }

    /// The same, with another Secret.
    pub async fn client_with(&self, secret: &str, image: &str, uid: i64, script: &str) -> String {
        let refused = ["onnection refused", "econnrefused", "ECONNREFUSED", "(111)"];
        for _ in 0..6 {
            match self.client_once(secret, image, uid, script).await {
                Err(log) if refused.iter().any(|said| log.contains(said)) => {}
                outcome => return outcome.unwrap_or_else(|log| panic!("{log}")),
            }
        }
        panic!("nobody listens")
    }

    async fn client_once(&self, secret: &str, image: &str, uid: i64, script: &str) -> Result<String, String> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "generateName": "client-",
                "labels": {"platform.company.com/client-of": self.base()}
            },
            "spec": {
                "restartPolicy": "Never", "automountServiceAccountToken": false,
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": uid, "runAsGroup": uid, "fsGroup": uid,
                    "seccompProfile": {"type": "RuntimeDefault"}
                },
                "containers": [{
                    "name": "client", "image": image, "command": ["bash", "-euc", script],
                    "env": [{"name": "HOME", "value": "/tmp"}],
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "binding", "mountPath": "/binding"}, {"name": "tmp", "mountPath": "/tmp"}]
                }],
                "volumes": [
                    {"name": "binding", "secret": {"secretName": secret}},
                    {"name": "tmp", "emptyDir": {}}
                ]
            }
        }))
        .unwrap();
        let pods = self.api::<Pod>();
        let name = pods
            .create(&PostParams::default(), &pod)
            .await
            .unwrap()
            .name_any();
        let phase = || async {
            let pod = pods.get(&name).await.unwrap();
            pod.status.and_then(|status| status.phase).unwrap_or_default()
        };
        eventually("client done", || async {
            ["Succeeded", "Failed"].contains(&phase().await.as_str())
        })
        .await;
        let log = pods.logs(&name, &LogParams::default()).await.unwrap();
        let succeeded = phase().await == "Succeeded";
        pods.delete(&name, &DeleteParams::default().grace_period(0))
            .await
            .unwrap();
        if succeeded { Ok(log) } else { Err(log) }
    }

    /// Names of the objects of a kind in the namespace, but those that every namespace has.
    pub async fn names<K>(&self) -> Vec<String>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let found = self.api::<K>().list(&ListParams::default()).await.unwrap();
        // What every namespace has of itself.
        let builtin = ["default", "kube-root-ca.crt"];
        let names = found.iter().map(ResourceExt::name_any);
        names.filter(|name| !builtin.contains(&name.as_str())).collect()
    }

    /// Everything in the namespace but pods of clients.
    pub async fn leftovers(&self) -> Vec<String> {
        let mut pods = self.names::<Pod>().await;
        pods.retain(|name| !name.starts_with("client-"));
        [
            self.names::<StatefulSet>().await,
            pods,
            self.names::<Service>().await,
            self.names::<ConfigMap>().await,
            self.names::<ServiceAccount>().await,
            self.names::<NetworkPolicy>().await,
            self.names::<PodDisruptionBudget>().await,
            self.names::<PersistentVolumeClaim>().await,
            self.names::<Secret>().await,
        ]
        .concat()
    }

    pub async fn finish(self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await
            .unwrap();
    }
}

pub async fn eventually<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let start = Instant::now();
    while !check().await {
        assert!(start.elapsed() < PATIENCE, "not {what} within {PATIENCE:?}");
        tokio::time::sleep(PAUSE).await;
    }
    println!("{what} after {:.1?}", start.elapsed());
}
