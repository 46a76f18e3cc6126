//! What runs beside an API server, as far as it decides whether a database comes up and goes away: garbage collector,
//! StatefulSet controller, volume binder and kubelet.
//!
//! They act when the cluster is looked at, with the delays that are written here. A pod is ready when its claim is
//! bound, what it mounts is there, and the password in the Secret opens the data: the first pod on a claim initialises
//! the data with the password of that moment.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kidp_core::names::short_hash;
use kidp_core::quantity::parse_bytes;
use serde_json::{Value, json};

use super::{Api, Stored, Target, is_deleting, owners, text};

/// Milliseconds from a pod to its readiness.
const START: u64 = 2_000;
/// Milliseconds from a claim to its volume, and from a wish for more to more.
const BIND: u64 = 500;
/// Longest that a pod takes to end, in milliseconds.
const STOP: u64 = 1_500;
/// Most CPUs that the only node has.
const NODE_CPUS: u64 = 4;
/// When the controllers look again, in milliseconds.
pub const TICK: u64 = 500;

impl Api {
    /// Lets the controllers do what is due.
    pub fn run_controllers(&mut self, now: u64, wall: Timestamp) {
        let known = |(version, until): (u64, u64)| version == self.counter && now < until;
        if self.looked.is_some_and(known) {
            return;
        }
        loop {
            let before = self.counter;
            self.collect_garbage(now, wall);
            self.end_pods(now);
            self.release_claims(now);
            self.bind_claims(now);
            self.run_sets(now, wall);
            self.run_pods(now);
            self.report_sets(now);
            if self.counter == before {
                self.looked = Some((before, self.next_look(now)));
                return;
            }
        }
    }

    /// Whether something here is on its way without anybody's doing.
    pub fn is_busy(&self) -> bool {
        let starting = self
            .of("pods")
            .any(|(_, pod)| !is_ready(&pod.value) && !is_stuck(&pod.value));
        let ending = self.of("pods").any(|(_, pod)| is_deleting(&pod.value));
        let binding = self.of("persistentvolumeclaims").any(|(_, claim)| {
            let wanted = text(&claim.value, "/spec/resources/requests/storage");
            text(&claim.value, "/status/phase") != "Bound"
                || text(&claim.value, "/status/capacity/storage") != wanted
        });
        starting || ending || binding
    }

    /// When something comes due by itself.
    fn next_look(&self, now: u64) -> u64 {
        let pods = self.of("pods").map(|(_, pod)| match pod.dying {
            Some(since) => since + pause(&pod.value),
            None => pod.born + START,
        });
        let claims = self
            .of("persistentvolumeclaims")
            .map(|(_, claim)| claim.born + BIND);
        pods.chain(claims)
            .filter(|at| *at > now)
            .min()
            .unwrap_or(u64::MAX)
    }

    fn values(&self, plural: &str) -> Vec<(String, Stored)> {
        self.of(plural)
            .map(|(path, stored)| (path.clone(), stored.clone()))
            .collect()
    }

    fn collect_garbage(&mut self, now: u64, wall: Timestamp) {
        let alive: Vec<_> = self
            .objects
            .values()
            .map(|s| text(&s.value, "/metadata/uid").to_owned())
            .collect();
        let lost: Vec<_> = self
            .objects
            .iter()
            .filter(|(_, s)| {
                let owners = owners(&s.value);
                !owners.is_empty()
                    && !is_deleting(&s.value)
                    && !owners.iter().any(|uid| alive.iter().any(|a| a == uid))
            })
            .map(|(path, _)| path.clone())
            .collect();
        for path in lost {
            if let Some(target) = Target::parse(&path) {
                self.delete(&target, &Value::Null, now, wall);
            }
        }
    }

    fn end_pods(&mut self, now: u64) {
        for (path, pod) in self.values("pods") {
            let wait = pause(&pod.value);
            if pod.dying.is_some_and(|since| now >= since + wait) {
                self.remove(&path);
            }
        }
    }

    fn release_claims(&mut self, now: u64) {
        let in_use: Vec<_> = self.of("pods").map(|(_, pod)| claim_of(&pod.value)).collect();
        for (path, claim) in self.values("persistentvolumeclaims") {
            let name = text(&claim.value, "/metadata/name");
            if is_deleting(&claim.value) && !in_use.iter().any(|used| used == name) {
                let mut next = claim.value.clone();
                next["metadata"]["finalizers"] = json!([]);
                self.store(&path, next, now);
            }
        }
    }

    fn bind_claims(&mut self, now: u64) {
        for (path, claim) in self.values("persistentvolumeclaims") {
            let wanted = text(&claim.value, "/spec/resources/requests/storage");
            if now >= claim.born + BIND && text(&claim.value, "/status/capacity/storage") != wanted {
                let mut next = claim.value.clone();
                next["status"] = json!({"phase": "Bound", "capacity": {"storage": wanted}});
                self.store(&path, next, now);
            }
        }
    }

    /// Makes claims and pods, takes over pods without an owner, and replaces those of an older revision.
    fn run_sets(&mut self, now: u64, wall: Timestamp) {
        for (path, set) in self.values("statefulsets") {
            let (set, Some(target)) = (set.value, Target::parse(&path)) else {
                continue;
            };
            let (revision, name) = (revision(&set), text(&set, "/metadata/name").to_owned());
            for ordinal in 0..set["spec"]["replicas"].as_u64().unwrap_or(1) {
                let pod_name = format!("{name}-{ordinal}");
                let core = |plural: &str, name: &str| Target {
                    prefix: "/api/v1".to_owned(),
                    plural: plural.to_owned(),
                    ..target.named(name)
                };
                let pod = core("pods", &pod_name);
                match self.objects.get(&pod.object_path()).map(|s| s.value.clone()) {
                    None => {
                        for template in set["spec"]["volumeClaimTemplates"]
                            .as_array()
                            .into_iter()
                            .flatten()
                        {
                            let claim = claim_for(template, &set, &pod_name);
                            self.create(&core("persistentvolumeclaims", ""), claim, now, wall);
                        }
                        self.create(&core("pods", ""), pod_for(&set, &pod_name, &revision), now, wall);
                    }
                    Some(live) if owners(&live).is_empty() && !is_deleting(&live) => {
                        let mut next = live;
                        next["metadata"]["ownerReferences"] = json!([owner(&set)]);
                        self.store(&pod.object_path(), next, now);
                    }
                    Some(live) => {
                        let old = text(&live, "/metadata/labels/controller-revision-hash") != revision;
                        if old && !is_deleting(&live) && owners(&live).contains(&text(&set, "/metadata/uid"))
                        {
                            self.delete(&pod, &Value::Null, now, wall);
                        }
                    }
                }
            }
        }
    }

    fn run_pods(&mut self, now: u64) {
        for (path, pod) in self.values("pods") {
            if is_deleting(&pod.value) {
                continue;
            }
            let mut next = pod.value.clone();
            if !fits(&pod.value) {
                let why = "0/1 nodes are available: 1 Insufficient cpu.";
                next["status"] = json!({"conditions": [{"type": "PodScheduled", "status": "False",
                    "reason": "Unschedulable", "message": why}]});
            } else if !is_ready(&pod.value) && now >= pod.born + START && self.opens(&path, &pod.value) {
                next["status"] =
                    json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
            }
            self.store(&path, next, now);
        }
    }

    /// Whether everything that the pod mounts is there, and the password opens the data.
    fn opens(&mut self, path: &str, pod: &Value) -> bool {
        let Some(target) = Target::parse(path) else {
            return false;
        };
        let object = |plural: &str, name: &str| {
            let target = Target {
                plural: plural.to_owned(),
                ..target.named(name)
            };
            self.objects.get(&target.object_path()).map(|s| &s.value)
        };
        let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
        let mut secret = None;
        for volume in volumes.into_iter().flatten() {
            if let Some(name) = volume.pointer("/configMap/name").and_then(Value::as_str)
                && object("configmaps", name).is_none()
            {
                return false;
            }
            if let Some(name) = volume.pointer("/secret/secretName").and_then(Value::as_str) {
                match object("secrets", name) {
                    Some(found) => secret = secret.or_else(|| password(found)),
                    None => return false,
                }
            }
        }
        let claim = object("persistentvolumeclaims", &claim_of(pod));
        let bound = claim.filter(|claim| text(claim, "/status/phase") == "Bound");
        let (Some(claim), Some(password)) = (bound, secret) else {
            return false;
        };
        let uid = text(claim, "/metadata/uid").to_owned();
        *self.initialised.entry(uid).or_insert_with(|| password.clone()) == password
    }

    fn report_sets(&mut self, now: u64) {
        for (path, set) in self.values("statefulsets") {
            let (revision, uid) = (revision(&set.value), text(&set.value, "/metadata/uid"));
            let pods: Vec<_> = self
                .of("pods")
                .map(|(_, pod)| &pod.value)
                .filter(|pod| owners(pod).contains(&uid) && !is_deleting(pod))
                .collect();
            let current = |pod: &&&Value| text(pod, "/metadata/labels/controller-revision-hash") == revision;
            let updated = pods.iter().filter(current).count();
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            let updated_and_ready = pods.iter().filter(current).filter(|pod| is_ready(pod)).count() as u64;
            let all = updated_and_ready == set.value["spec"]["replicas"].as_u64().unwrap_or(1);
            let was = text(&set.value, "/status/currentRevision");
            let current = if all || was.is_empty() {
                revision.as_str()
            } else {
                was
            };
            let mut next = set.value.clone();
            next["status"] = json!({"observedGeneration": set.value["metadata"]["generation"],
                "replicas": pods.len(), "readyReplicas": ready, "updatedReplicas": updated,
                "currentRevision": current, "updateRevision": revision});
            self.store(&path, next, now);
        }
    }
}

/// How long a pod on its way out takes, in milliseconds.
fn pause(pod: &Value) -> u64 {
    let grace = pod["metadata"]["deletionGracePeriodSeconds"]
        .as_u64()
        .unwrap_or(30);
    (grace * 1000).min(STOP)
}

/// The password in a connection Secret.
pub fn password(secret: &Value) -> Option<String> {
    let bytes = STANDARD.decode(text(secret, "/data/password")).ok()?;
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

/// Whether a pod's condition `Ready` is true.
pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .any(|c| c["type"] == "Ready" && c["status"] == "True")
}

fn is_stuck(pod: &Value) -> bool {
    !fits(pod)
}

fn fits(pod: &Value) -> bool {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    let cpus = |c: &Value| text(c, "/resources/limits/cpu").parse().unwrap_or(0_u64);
    containers.into_iter().flatten().map(cpus).sum::<u64>() <= NODE_CPUS
}

/// The claim that a pod has its data on.
fn claim_of(pod: &Value) -> String {
    let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
    let claims = volumes.into_iter().flatten();
    let mut names = claims.filter_map(|v| v.pointer("/persistentVolumeClaim/claimName")?.as_str());
    names.next().unwrap_or_default().to_owned()
}

/// The revision of a set, as its pods carry it.
pub fn revision(set: &Value) -> String {
    short_hash(&[&set["spec"]["template"].to_string()], 10)
}

fn owner(set: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": set["metadata"]["name"],
        "uid": set["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true})
}

fn claim_for(template: &Value, set: &Value, pod: &str) -> Value {
    let name = format!("{}-{pod}", text(template, "/metadata/name"));
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": template["spec"],
        "metadata": {"name": name, "namespace": set["metadata"]["namespace"],
            "labels": template["metadata"]["labels"]}, "status": {"phase": "Pending"}})
}

fn pod_for(set: &Value, name: &str, revision: &str) -> Value {
    let template = &set["spec"]["template"];
    let mut labels: BTreeMap<String, Value> =
        serde_json::from_value(template["metadata"]["labels"].clone()).unwrap_or_default();
    labels.insert("controller-revision-hash".to_owned(), revision.into());
    let mut spec = template["spec"].clone();
    let mut volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
    for claim in set["spec"]["volumeClaimTemplates"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let volume = text(claim, "/metadata/name");
        volumes.push(
            json!({"name": volume, "persistentVolumeClaim": {"claimName": format!("{volume}-{name}")}}),
        );
    }
    spec["volumes"] = volumes.into();
    json!({"apiVersion": "v1", "kind": "Pod", "spec": spec, "metadata": {"name": name,
        "namespace": set["metadata"]["namespace"], "labels": labels,
        "annotations": template["metadata"]["annotations"], "ownerReferences": [owner(set)]}})
}

/// Whether a claim has been given at least so much.
pub fn has_storage(claim: &Value, wanted: &str) -> bool {
    let bytes = |text: &str| parse_bytes(text).unwrap_or_default();
    bytes(text(claim, "/status/capacity/storage")) >= bytes(wanted)
}
