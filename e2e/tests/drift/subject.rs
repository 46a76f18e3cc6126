//! An instance under test, and what happens to it.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kidp_core::conditions::IN_SYNC;
use kidp_core::crd::{Phase, ServiceInstance, ServiceResource};
use kidp_core::group::APPLIED_HASH_ANNOTATION;
use kidp_core::names::base_name;
use kidp_e2e::fixtures::{create, resource, wait_ready};
use kidp_e2e::host::Platform;
use kidp_e2e::wait::{Seen, until};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::mutations::{Act, Mutation};

/// Who changes things here, as `managedFields` has it.
pub const AUTHOR: &str = "kubectl-edit";
/// In which drift is found.
const FOUND: Duration = Duration::from_mins(1);
pub const SETTLED: Duration = Duration::from_mins(3);

pub struct Bench {
    pub client: Client,
    pub namespace: String,
    pub platform: Platform,
}

/// An instance under test.
pub struct Subject<'a> {
    bench: &'a Bench,
    pub name: String,
    pub base: String,
}

impl Bench {
    pub fn must<T>(&self, result: kidp_e2e::Result<T>) -> T {
        result.unwrap_or_else(|error| panic!("{error}\n{}", self.platform.log_tails()))
    }

    /// An instance under this policy, once it is ready.
    pub async fn make<K: ServiceResource>(&self, engine: &str, version: &str, policy: &str) -> Subject<'_> {
        let name = format!("{policy}-{engine}");
        let object: K = resource(&self.namespace, &name, engine, version).unwrap();
        let mut object = serde_json::to_value(object).unwrap();
        object["spec"]["drift"] = json!({"policy": policy});
        let object: K = serde_json::from_value(object).unwrap();
        self.must(create(&self.client, &object).await);
        self.must(wait_ready::<K>(&self.client, &self.namespace, &name).await);
        let base = base_name(&name, engine);
        Subject {
            bench: self,
            name,
            base,
        }
    }
}

impl Subject<'_> {
    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.bench.client.clone(), &self.bench.namespace)
    }

    fn objects(&self, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.bench.client.clone(), &self.bench.namespace, resource)
    }

    async fn record(&self) -> ServiceInstance {
        let all = self
            .api::<ServiceInstance>()
            .list(&ListParams::default())
            .await
            .unwrap();
        all.into_iter()
            .find(|r| r.spec.resource_name == self.name)
            .unwrap()
    }

    async fn pods(&self) -> Vec<String> {
        let of = ListParams::default().labels(&format!("app.kubernetes.io/instance={}", self.base));
        let pods = self.api::<Pod>().list(&of).await.unwrap();
        pods.iter().filter_map(ResourceExt::uid).collect()
    }

    async fn edit(&self, (resource, name): &(ApiResource, String), patch: &Value) {
        let params = PatchParams {
            field_manager: Some(AUTHOR.to_owned()),
            ..PatchParams::default()
        };
        self.objects(resource)
            .patch(name, &params, &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// The lines of the Events of put backs of this instance since `since`.
    async fn put_back(&self, since: jiff::Timestamp) -> Vec<String> {
        let record = self.record().await.name_any();
        let events = self.api::<Event>().list(&ListParams::default()).await.unwrap();
        let of_this = |event: &Event| {
            let is_of = event.regarding.as_ref().and_then(|r| r.name.as_deref()) == Some(record.as_str());
            let last = event
                .series
                .as_ref()
                .map(|s| s.last_observed_time.0)
                .or(event.event_time.as_ref().map(|t| t.0));
            is_of
                && event.reason.as_deref() == Some("DriftRemediated")
                && last.is_some_and(|last| last >= since)
        };
        events
            .into_iter()
            .filter(of_this)
            .filter_map(|event| event.note)
            .collect()
    }

    /// What the StatefulSet has yet to do. Records are told of a change a moment later than it, and what is changed while a
    /// pod starts or stops tests the StatefulSet controller's back-off, which grows with each try to make a pod whose
    /// predecessor is there still.
    async fn waits_for(&self) -> Option<&'static str> {
        let Some(set) = self.api::<StatefulSet>().get_opt(&self.base).await.unwrap() else {
            return Some("no StatefulSet");
        };
        let status = set.status.clone().unwrap_or_default();
        if status.observed_generation != set.metadata.generation || status.ready_replicas != Some(1) {
            return Some("not settled");
        }
        if status.current_revision != status.update_revision {
            return Some("a pod of the revision before");
        }
        let of = ListParams::default().labels(&format!("app.kubernetes.io/instance={}", self.base));
        let pods = self.api::<Pod>().list(&of).await.unwrap().items;
        let [pod] = pods.as_slice() else {
            return Some("not one pod");
        };
        let of_set = pod
            .owner_references()
            .iter()
            .any(|owner| Some(&owner.uid) == set.metadata.uid.as_ref());
        let leaves = pod.metadata.deletion_timestamp.is_some();
        (leaves || !of_set).then_some("a pod on its way out")
    }

    async fn in_sync(&self) {
        let what = format!("{} to be in sync", self.name);
        let settled = until(&what, SETTLED, async || {
            let record = self.record().await;
            let status = record.status.clone().unwrap_or_default();
            let synced = status
                .conditions
                .iter()
                .any(|c| c.type_ == IN_SYNC && c.status == "True");
            let waits = self.waits_for().await;
            Ok(if synced && status.phase == Phase::Ready && waits.is_none() {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{waits:?}, {}", serde_json::to_string(&status).unwrap()))
            })
        });
        self.bench.must(settled.await);
    }

    /// The line that tells of the mutation, in the record where it is left, in an Event where it was put back.
    async fn found(&self, mutation: &Mutation, left: bool, since: jiff::Timestamp) -> String {
        let what = format!("{} of {} to be found", mutation.name, self.name);
        let line = until(&what, FOUND, async || {
            let status = self.record().await.status.unwrap_or_default();
            let lines = if left {
                status.drift.clone().unwrap_or_default().details
            } else {
                self.put_back(since).await
            };
            let found = lines.into_iter().find(|line| line.contains(&mutation.told));
            Ok(found.map_or(Seen::NotYet(serde_json::to_string(&status).unwrap()), Seen::Done))
        });
        self.bench.must(line.await)
    }

    /// Takes the mutation through, and gives its line of the report.
    pub async fn suffer(&self, mutation: &Mutation, policy: &str) -> String {
        let left = mutation.guarded || policy == "alert";
        let (resource, name) = &mutation.object;
        let (before, pods) = (self.objects(resource).get(name).await.unwrap(), self.pods().await);
        let (since, start) = (jiff::Timestamp::now(), Instant::now());
        match &mutation.act {
            Act::Edit(there, _) => self.edit(&mutation.object, there).await,
            Act::Delete => {
                self.objects(resource)
                    .delete(name, &DeleteParams::default())
                    .await
                    .unwrap();
            }
        }
        let line = self.found(mutation, left, since).await;
        let seconds = start.elapsed().as_secs_f32();
        let is_edit = matches!(mutation.act, Act::Edit(..));
        let author = !is_edit || line.contains(AUTHOR);
        assert!(author, "{}: no author in `{line}`", mutation.name);
        if left {
            self.undo(mutation, &before).await;
        }
        self.in_sync().await;
        let restarted = self.pods().await != pods;
        let name = mutation.name;
        // What is put back before its controller looked restarts nothing.
        let is_certain = left || !mutation.restarts;
        assert!(
            !is_certain || restarted == mutation.restarts,
            "{name} under {policy}: restarted {restarted}"
        );
        let (done, author) = (
            if left { "left" } else { "put back" },
            if is_edit { AUTHOR } else { "-" },
        );
        format!("{name:<28} {policy:<10} {seconds:>6.1} s  {done:<9} {author:<13} {restarted}")
    }

    /// Changes the policy of the resource, and waits until its broker has it; gives the policy.
    pub async fn change_policy<K: ServiceResource>(&self, policy: &'static str) -> &'static str {
        let patch = Patch::Merge(json!({"spec": {"drift": {"policy": policy}}}));
        let changed = self
            .api::<K>()
            .patch(&self.name, &PatchParams::default(), &patch)
            .await;
        changed.unwrap();
        let what = format!("{} to be under {policy}", self.name);
        let known = until(&what, FOUND, async || {
            let spec = serde_json::to_value(self.record().await.spec).unwrap();
            let now = &spec["instance"]["drift"]["policy"];
            Ok(if now == policy {
                Seen::Done(())
            } else {
                Seen::NotYet(now.to_string())
            })
        });
        self.bench.must(known.await);
        self.in_sync().await;
        policy
    }

    /// Somebody else's label and container in the pod template, and the note of the rendering gone with it: the additions
    /// are told with their author, nothing is taken away, and the note comes back.
    pub async fn suffer_addition(&self) -> String {
        let set = (ApiResource::erase::<StatefulSet>(&()), self.base.clone());
        let before = self.objects(&set.0).get(&set.1).await.unwrap();
        let containers = before.data["spec"]["template"]["spec"]["containers"].clone();
        let mut with = containers.clone();
        let mut sidecar = containers[0].clone();
        sidecar["name"] = "sidecar".into();
        for field in [
            "ports",
            "livenessProbe",
            "readinessProbe",
            "startupProbe",
            "lifecycle",
        ] {
            sidecar.as_object_mut().unwrap().remove(field);
        }
        sidecar["command"] = json!(["sh", "-c", "trap 'exit 0' TERM; sleep 3600 & wait"]);
        with.as_array_mut().unwrap().push(sidecar);
        let labels = |value: Value| json!({"labels": {"example.com/team": value}});
        let template = |label: Value, containers: Value| json!({"metadata": labels(label), "spec": {"containers": containers}});
        let start = Instant::now();
        let mut add = json!({"spec": {"template": template("x".into(), with)}});
        add["metadata"]["annotations"] = json!({APPLIED_HASH_ANNOTATION: null});
        self.edit(&set, &add).await;
        let what = format!("what was added to {} to be told", self.name);
        let told = until(&what, FOUND, async || {
            let lines = self
                .record()
                .await
                .status
                .unwrap_or_default()
                .drift
                .unwrap_or_default()
                .details;
            let named = |part: &str| {
                lines.iter().any(|line| {
                    line.contains(part) && line.contains("added by others") && line.contains(AUTHOR)
                })
            };
            let note = self.objects(&set.0).get(&set.1).await.unwrap();
            let note = note.annotations().get(APPLIED_HASH_ANNOTATION).cloned();
            let is_back = note.as_ref() == before.annotations().get(APPLIED_HASH_ANNOTATION);
            Ok(
                if named("containers[name=sidecar]") && named("labels[example.com/team]") && is_back {
                    Seen::Done(lines)
                } else {
                    Seen::NotYet(format!("{lines:?}, note {note:?}"))
                },
            )
        });
        let lines = self.bench.must(told.await);
        assert_eq!(lines.len(), 2, "{lines:?}");
        let seconds = start.elapsed().as_secs_f32();
        let live = self.objects(&set.0).get(&set.1).await.unwrap();
        assert_eq!(
            live.data["spec"]["template"]["spec"]["containers"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
        self.edit(
            &set,
            &json!({"spec": {"template": template(Value::Null, containers)}}),
        )
        .await;
        self.in_sync().await;
        format!(
            "{:<28} {:<10} {seconds:>6.1} s  {:<9} {AUTHOR:<13} true",
            "a sidecar and a label", "alert", "left"
        )
    }

    /// Sees that the mutation was left alone, and takes it back by hand.
    async fn undo(&self, mutation: &Mutation, before: &DynamicObject) {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let (resource, name) = &mutation.object;
        let live = self.objects(resource).get_opt(name).await.unwrap();
        match &mutation.act {
            Act::Edit(_, back) => {
                let live = live.unwrap();
                assert!(
                    live.data != before.data || live.labels() != before.labels(),
                    "{} was put back",
                    mutation.name
                );
                self.edit(&mutation.object, back).await;
            }
            Act::Delete => {
                assert!(
                    live.is_none_or(|live| live.uid() == before.uid()),
                    "{} was put back",
                    mutation.name
                );
                let mut again = before.clone();
                again.metadata.uid = None;
                again.metadata.resource_version = None;
                again.metadata.managed_fields = None;
                if let Some(spec) = again.data.get_mut("spec").and_then(Value::as_object_mut)
                    && spec.get("clusterIP").is_some_and(|ip| ip != "None")
                {
                    spec.retain(|field, _| !field.starts_with("clusterIP"));
                }
                let made = until("the object to be made again", FOUND, async || {
                    let made = self
                        .objects(resource)
                        .create(&PostParams::default(), &again)
                        .await;
                    Ok(made.map_or_else(|error| Seen::NotYet(error.to_string()), |_| Seen::Done(())))
                });
                self.bench.must(made.await);
            }
        }
    }
}
