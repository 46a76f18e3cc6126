//! A model of one cluster's API server, as far as the two controllers can see it.
//!
//! # Faithful
//! Create, read, list by label or name, replace, JSON merge patch, server-side apply with ownership of fields, the status
//! subresource; optimistic concurrency by resourceVersion and UID; generations that move with the spec; finalizers,
//! deletion timestamps, preconditions and propagation of deletes; `Status` bodies with the real codes and reasons.
//! [`controllers`] plays what runs beside it: garbage collector, StatefulSet controller, volume binder, kubelet.
//!
//! # Not modelled
//! Admission beyond a few immutable fields, defaults, watches (the driver delivers changes itself, so that it can lose
//! them) and the merging of lists by key: one manager writes each list that matters here.

pub mod controllers;
mod patch;
mod path;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use path::Target;

/// The status and body of an answer.
pub type Answer = (u16, Value);

/// An object and what the server keeps beside it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// As it is.
    pub value: Value,
    /// As it was one version ago.
    pub previous: Option<Value>,
    /// What each manager last applied, for `""` and `status`.
    applied: BTreeMap<(String, String), Value>,
    /// When it was made, in milliseconds of the run.
    pub born: u64,
    /// When its deletion began.
    pub dying: Option<u64>,
}

/// A change, in the order in which a watch would tell of it.
#[derive(Clone, Debug)]
pub struct Change {
    /// Path of the object.
    pub path: String,
    /// Before; none for a creation.
    pub old: Option<Value>,
    /// After; none for a removal.
    pub new: Option<Value>,
}

/// One cluster.
#[derive(Debug, Default)]
pub struct Api {
    /// Objects by path.
    pub objects: BTreeMap<String, Stored>,
    /// Changes that nobody has taken yet.
    pub log: Vec<Change>,
    /// Password that the data on a claim was initialised with, by the claim's UID.
    pub initialised: BTreeMap<String, String>,
    /// What distinguishes the UIDs of this cluster.
    pub name: &'static str,
    counter: u64,
    /// The version at which the controllers last found nothing to do, and until when that holds.
    looked: Option<(u64, u64)>,
}

/// A request, taken apart.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// Query parameters, decoded.
    pub query: BTreeMap<String, String>,
    /// The media type of the body.
    pub content_type: String,
    /// Whether only metadata is wanted.
    pub metadata_only: bool,
    /// The body.
    pub body: Value,
}

impl Request {
    /// Whether it may change something.
    pub fn is_write(&self) -> bool {
        self.method != "GET"
    }
}

/// A failure as the API server puts it.
pub fn failure(code: u16, reason: &str, message: &str, kind: &str) -> Answer {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": message, "details": {"kind": kind}});
    (code, body)
}

fn not_found(target: &Target) -> Answer {
    let message = format!("{} \"{}\" not found", target.plural, target.name);
    failure(404, "NotFound", &message, &target.plural)
}

/// A write that was decided on another version.
pub fn conflict(message: &str) -> Answer {
    failure(409, "Conflict", message, "")
}

/// A text in an object; empty where there is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Whether the object is on its way out.
pub fn is_deleting(value: &Value) -> bool {
    value.pointer("/metadata/deletionTimestamp").is_some()
}

/// The finalizers of an object.
pub fn finalizers(value: &Value) -> Vec<&str> {
    let all = value.pointer("/metadata/finalizers").and_then(Value::as_array);
    all.into_iter().flatten().filter_map(Value::as_str).collect()
}

impl Api {
    /// What changes with every change.
    pub const fn version(&self) -> u64 {
        self.counter
    }

    /// An empty cluster.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    /// Answers one request at `now` milliseconds of the run, which is `wall` on the clock.
    pub fn answer(&mut self, request: &Request, now: u64, wall: Timestamp) -> Answer {
        self.run_controllers(now, wall);
        let answer = match Target::parse(&request.path) {
            None => failure(
                404,
                "NotFound",
                "the server could not find the requested resource",
                "",
            ),
            Some(target) => self.act(&target, request, now, wall),
        };
        self.run_controllers(now, wall);
        answer
    }

    fn act(&mut self, target: &Target, request: &Request, now: u64, wall: Timestamp) -> Answer {
        let manager = request.query.get("fieldManager").cloned().unwrap_or_default();
        match request.method.as_str() {
            "GET" if target.name.is_empty() => (200, self.list(target, request)),
            "GET" => match self.objects.get(&target.object_path()) {
                Some(stored) => (200, shown(&stored.value, request.metadata_only)),
                None => not_found(target),
            },
            "POST" => self.create(target, request.body.clone(), now, wall),
            "PUT" => self.replace(target, request.body.clone(), now),
            "PATCH" if request.content_type.contains("apply") => {
                self.apply(target, &manager, request.body.clone(), now, wall)
            }
            "PATCH" => self.merge(target, request.body.clone(), now),
            "DELETE" => self.delete(target, &request.body, now, wall),
            _ => failure(405, "MethodNotAllowed", "", ""),
        }
    }

    /// As it was one version ago, for a read that comes from an old cache.
    pub fn stale(&self, request: &Request) -> Option<Answer> {
        let target = Target::parse(&request.path).filter(|t| !t.name.is_empty())?;
        let stored = self.objects.get(&target.object_path())?;
        let previous = stored.previous.as_ref()?;
        Some((200, shown(previous, request.metadata_only)))
    }

    fn list(&self, target: &Target, request: &Request) -> Value {
        let empty = String::new();
        let labels = request.query.get("labelSelector").unwrap_or(&empty);
        let fields = request.query.get("fieldSelector").unwrap_or(&empty);
        let items: Vec<_> = self
            .objects
            .iter()
            .filter(|(path, stored)| target.covers(path) && selected(&stored.value, labels, fields))
            .map(|(_, stored)| shown(&stored.value, request.metadata_only))
            .collect();
        json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": self.counter.to_string()},
            "items": items})
    }

    fn create(&mut self, target: &Target, mut body: Value, now: u64, wall: Timestamp) -> Answer {
        let name = text(&body, "/metadata/name").to_owned();
        let target = target.named(&name);
        if self.objects.contains_key(&target.object_path()) {
            let message = format!("{} \"{name}\" already exists", target.plural);
            return failure(409, "AlreadyExists", &message, &target.plural);
        }
        self.counter += 1;
        let Some(object) = body.as_object_mut() else {
            return failure(400, "BadRequest", "no object", "");
        };
        if target.has_status() {
            object.remove("status");
        }
        let generation = target.has_generation();
        if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.insert("uid".into(), format!("{}-{}", self.name, self.counter).into());
            meta.insert("creationTimestamp".into(), seconds(wall).into());
            if generation {
                meta.insert("generation".into(), 1.into());
            }
            if target.plural == "persistentvolumeclaims" {
                meta.insert("finalizers".into(), json!(["kubernetes.io/pvc-protection"]));
            }
        }
        (201, self.store(&target.object_path(), body, now))
    }

    fn replace(&mut self, target: &Target, body: Value, now: u64) -> Answer {
        let Some(stored) = self.objects.get(&target.object_path()) else {
            return not_found(target);
        };
        if let Some(refusal) = differs(&stored.value, &body) {
            return refusal;
        }
        let mut next = stored.value.clone();
        if target.subresource == "status" {
            next["status"] = body["status"].clone();
        } else {
            next = kept(&stored.value, body, target);
        }
        self.update(target, next, now)
    }

    fn merge(&mut self, target: &Target, body: Value, now: u64) -> Answer {
        let Some(stored) = self.objects.get(&target.object_path()) else {
            return not_found(target);
        };
        if let Some(refusal) = differs(&stored.value, &body) {
            return refusal;
        }
        let mut next = stored.value.clone();
        patch::merge(&mut next, body);
        let next = if target.subresource == "status" {
            let status = next["status"].take();
            let mut whole = stored.value.clone();
            whole["status"] = status;
            whole
        } else {
            kept(&stored.value, next, target)
        };
        self.update(target, next, now)
    }

    fn apply(&mut self, target: &Target, manager: &str, body: Value, now: u64, wall: Timestamp) -> Answer {
        let path = target.object_path();
        let key = (manager.to_owned(), target.subresource.clone());
        let Some(stored) = self.objects.get(&path) else {
            if target.subresource == "status" {
                return not_found(target);
            }
            if body.pointer("/metadata/uid").is_some() {
                return conflict("the UID names an object that is not there");
            }
            let answer = self.create(target, body.clone(), now, wall);
            if let Some(stored) = self.objects.get_mut(&path) {
                stored.applied.insert(key, body);
            }
            return answer;
        };
        if let Some(refusal) = differs(&stored.value, &body) {
            return refusal;
        }
        let mut next = stored.value.clone();
        let mut config = body;
        if let Some(meta) = config.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.remove("resourceVersion");
            meta.remove("uid");
        }
        let before = stored.applied.get(&key).cloned().unwrap_or(Value::Null);
        patch::apply(&mut next, &before, &config);
        let next = if target.subresource == "status" {
            let mut whole = stored.value.clone();
            whole["status"] = next["status"].clone();
            whole
        } else {
            kept(&stored.value, next, target)
        };
        let answer = self.update(target, next, now);
        if let (true, Some(stored)) = (answer.0 < 300, self.objects.get_mut(&path)) {
            stored.applied.insert(key, config);
        }
        answer
    }

    /// Stores what a write has made of an object, if that is allowed.
    fn update(&mut self, target: &Target, mut next: Value, now: u64) -> Answer {
        let path = target.object_path();
        let Some(stored) = self.objects.get(&path) else {
            return not_found(target);
        };
        if let Some(refusal) = path::immutable(target, &stored.value, &next) {
            return refusal;
        }
        if target.has_generation() && target.subresource.is_empty() && stored.value["spec"] != next["spec"] {
            let generation = stored.value["metadata"]["generation"].as_i64().unwrap_or(0);
            next["metadata"]["generation"] = (generation + 1).into();
        }
        (200, self.store(&path, next, now))
    }

    fn delete(&mut self, target: &Target, options: &Value, now: u64, wall: Timestamp) -> Answer {
        let path = target.object_path();
        let Some(stored) = self.objects.get(&path) else {
            return not_found(target);
        };
        let mut object = stored.value.clone();
        for (key, place) in [("uid", "uid"), ("resourceVersion", "resourceVersion")] {
            let wanted = &options["preconditions"][key];
            if wanted.is_string() && *wanted != object["metadata"][place] {
                return conflict(&format!("Precondition failed: {key}"));
            }
        }
        if options["propagationPolicy"] == "Orphan" {
            self.orphan_dependents(text(&object, "/metadata/uid"), now);
        }
        let grace = grace(target, options, &object);
        let graceful = grace > 0 || !finalizers(&object).is_empty();
        if !graceful {
            self.remove(&path);
            return (
                200,
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}),
            );
        }
        let given = object["metadata"]["deletionGracePeriodSeconds"].as_i64();
        if !is_deleting(&object) {
            object["metadata"]["deletionTimestamp"] = seconds(wall).into();
            object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
            if let Some(generation) = object["metadata"]["generation"].as_i64() {
                object["metadata"]["generation"] = (generation + 1).into();
            }
        } else if given.is_some_and(|given| grace < given) {
            object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        }
        (200, self.store(&path, object, now))
    }

    fn orphan_dependents(&mut self, uid: &str, now: u64) {
        let dependents: Vec<_> = self
            .objects
            .iter()
            .filter(|(_, s)| owners(&s.value).contains(&uid))
            .map(|(path, s)| (path.clone(), s.value.clone()))
            .collect();
        for (path, mut object) in dependents {
            object["metadata"]["ownerReferences"] = json!([]);
            self.store(&path, object, now);
        }
    }

    /// Stores a version, unless it says nothing new, and lets go of what only waited for its finalizers.
    pub(crate) fn store(&mut self, path: &str, mut object: Value, now: u64) -> Value {
        let old = self.objects.get(path).cloned();
        if let Some(old) = &old {
            object["metadata"]["resourceVersion"] = old.value["metadata"]["resourceVersion"].clone();
            if old.value == object {
                return object;
            }
        }
        self.counter += 1;
        object["metadata"]["resourceVersion"] = self.counter.to_string().into();
        let is_pod = path.contains("/pods/");
        if is_deleting(&object) && finalizers(&object).is_empty() && !is_pod {
            self.remove(path);
            return object;
        }
        let before = old.as_ref().map(|o| o.value.clone());
        let dying = old.as_ref().and_then(|o| o.dying);
        let stored = Stored {
            previous: before.clone(),
            applied: old.as_ref().map(|o| o.applied.clone()).unwrap_or_default(),
            born: old.as_ref().map_or(now, |o| o.born),
            dying: dying.or(is_deleting(&object).then_some(now)),
            value: object.clone(),
        };
        self.objects.insert(path.to_owned(), stored);
        self.log.push(Change {
            path: path.to_owned(),
            old: before,
            new: Some(object.clone()),
        });
        object
    }

    fn remove(&mut self, path: &str) {
        if let Some(gone) = self.objects.remove(path) {
            self.counter += 1;
            self.log.push(Change {
                path: path.to_owned(),
                old: Some(gone.value),
                new: None,
            });
        }
    }

    /// Objects of a kind.
    pub fn of(&self, plural: &str) -> impl Iterator<Item = (&String, &Stored)> {
        let plural = plural.to_owned();
        self.objects
            .iter()
            .filter(move |(path, _)| path.rsplit('/').nth(1) == Some(&plural))
    }
}

/// UIDs of the owners of an object.
pub fn owners(value: &Value) -> Vec<&str> {
    let all = value
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array);
    all.into_iter()
        .flatten()
        .filter_map(|owner| owner["uid"].as_str())
        .collect()
}

/// Seconds that an object is given to end; only a pod is given any.
fn grace(target: &Target, options: &Value, object: &Value) -> i64 {
    if target.plural != "pods" {
        return 0;
    }
    let own = object
        .pointer("/spec/terminationGracePeriodSeconds")
        .and_then(Value::as_i64);
    options["gracePeriodSeconds"].as_i64().or(own).unwrap_or(30)
}

/// Whether a write names another version or object than there is.
fn differs(live: &Value, body: &Value) -> Option<Answer> {
    for key in ["resourceVersion", "uid"] {
        let named = &body["metadata"][key];
        if named.is_string() && *named != live["metadata"][key] {
            return Some(conflict(&format!("the object has been modified: {key}")));
        }
    }
    None
}

/// `next` with what a write to an object itself cannot change.
fn kept(live: &Value, mut next: Value, target: &Target) -> Value {
    for key in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        match live["metadata"].get(key) {
            Some(value) => next["metadata"][key] = value.clone(),
            None => {
                if let Some(meta) = next["metadata"].as_object_mut() {
                    meta.remove(key);
                }
            }
        }
    }
    if target.has_status() {
        match live.get("status") {
            Some(status) => next["status"] = status.clone(),
            None => {
                if let Some(object) = next.as_object_mut() {
                    object.remove("status");
                }
            }
        }
    }
    next
}

fn shown(value: &Value, metadata_only: bool) -> Value {
    if metadata_only {
        return json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": value["metadata"]});
    }
    value.clone()
}

fn selected(object: &Value, labels: &str, fields: &str) -> bool {
    let pairs = |text: &str| -> Vec<(String, String)> {
        text.split(',')
            .filter_map(|pair| pair.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    };
    let by_label = pairs(labels)
        .into_iter()
        .all(|(key, value)| object["metadata"]["labels"][&key] == value);
    by_label
        && pairs(fields)
            .into_iter()
            .all(|(key, value)| key != "metadata.name" || object["metadata"]["name"] == value)
}

/// A time as the API writes it.
pub fn seconds(wall: Timestamp) -> String {
    wall.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl Api {
    /// Puts an object of the platform's group there, whole, as somebody with every right would.
    pub fn put(&mut self, plural: &str, object: Value, now: u64, wall: Timestamp) {
        let target = Target {
            prefix: "/apis/platform.company.com/v1".to_owned(),
            namespace: text(&object, "/metadata/namespace").to_owned(),
            plural: plural.to_owned(),
            name: String::new(),
            subresource: String::new(),
        };
        let path = target.named(text(&object, "/metadata/name")).object_path();
        let status = object.get("status").cloned();
        self.create(&target, object, now, wall);
        if let (Some(status), Some(stored)) = (status, self.objects.get(&path)) {
            let mut whole = stored.value.clone();
            whole["status"] = status;
            self.store(&path, whole, now);
        }
    }

    /// Changes the spec of an object of the platform's group, as its owner would.
    pub fn edit(&mut self, plural: &str, name: &str, spec: &Value, now: u64) {
        let target = Self::platform(plural, name);
        self.merge(&target, json!({"spec": spec}), now);
    }

    /// Deletes an object of the platform's group, as its owner would.
    pub fn discard(&mut self, plural: &str, name: &str, now: u64, wall: Timestamp) {
        let target = Self::platform(plural, name);
        self.delete(&target, &Value::Null, now, wall);
    }

    /// An object of the platform's group.
    pub fn find(&self, plural: &str, name: &str) -> Option<&Value> {
        let path = Self::platform(plural, name).object_path();
        self.objects.get(&path).map(|stored| &stored.value)
    }

    fn platform(plural: &str, name: &str) -> Target {
        Target {
            prefix: "/apis/platform.company.com/v1".to_owned(),
            namespace: "shop".to_owned(),
            plural: plural.to_owned(),
            name: name.to_owned(),
            subresource: String::new(),
        }
    }
}
