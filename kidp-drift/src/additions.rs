//! What others added to an object: a container, a label, an environment variable that nobody asked for.
//!
//! [`crate::diff`] walks through what was asked for and cannot see it, and a walk through the live object would meet
//! every default. So this one walks through `managedFields`: what somebody else owns, is there, and was not asked for.
//! That leaves out what admission added to KIDP's own writes, which is recorded under KIDP's own name. Defaults that came
//! with somebody's write are recorded under theirs; they are told by the names of their fields ([`DEFAULTED`]).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::author::{self, Author};
use crate::change::Change;
use crate::compare::{OWN, key};
use crate::consequence::Consequence;
use crate::items::Items;
use crate::path::{self, Step};
use crate::schema::{Keys, List, Type};
use crate::secrets;
use crate::walk::{DEPTH, is_empty};

/// Managers that write to objects of others by design.
const CONTROLLERS: &[&str] = &[
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
];

/// Fields that the API server fills in where they are not given, with the values that it takes; any where none is named.
/// In order.
const DEFAULTED: &[(&str, &[&str])] = &[
    ("allocateLoadBalancerNodePorts", &["true"]),
    ("apiVersion", &[]),
    ("clusterIP", &[]),
    ("clusterIPs", &[]),
    ("defaultMode", &["420"]),
    ("dnsPolicy", &["ClusterFirst"]),
    ("externalTrafficPolicy", &["Cluster"]),
    ("failureThreshold", &["3"]),
    ("healthCheckNodePort", &[]),
    ("hostPort", &[]),
    ("imagePullPolicy", &["Always", "IfNotPresent"]),
    ("internalTrafficPolicy", &["Cluster"]),
    ("ipFamilies", &[]),
    ("ipFamilyPolicy", &["SingleStack"]),
    ("kind", &[]),
    ("maxUnavailable", &["1"]),
    ("nodePort", &[]),
    ("partition", &["0"]),
    ("path", &["/"]),
    ("periodSeconds", &["10"]),
    ("podManagementPolicy", &["OrderedReady"]),
    ("policyTypes", &[]),
    ("protocol", &["TCP"]),
    ("replicas", &["1"]),
    ("restartPolicy", &["Always"]),
    ("revisionHistoryLimit", &["10"]),
    ("schedulerName", &["default-scheduler"]),
    ("scheme", &["HTTP"]),
    ("service", &[""]),
    ("serviceAccount", &[]),
    ("sessionAffinity", &["None"]),
    ("successThreshold", &["1"]),
    ("targetPort", &[]),
    ("terminationGracePeriodSeconds", &["30"]),
    ("terminationMessagePath", &["/dev/termination-log"]),
    ("terminationMessagePolicy", &["File"]),
    ("timeoutSeconds", &["1"]),
    ("type", &["ClusterIP", "Opaque", "RollingUpdate"]),
    ("volumeMode", &["Filesystem"]),
    ("whenDeleted", &["Retain"]),
    ("whenScaled", &["Retain"]),
];

/// Annotations in which `kubectl` keeps its notes; a restart that was asked for is one.
const NOTES: &str = "kubectl.kubernetes.io/";

/// What others than KIDP added to the object: list items, keys of maps and fields that `desired` does not name.
///
/// Each is a [`Change`] with `added`, of which `before` is null and `after` says no more than what tells an item apart,
/// since what others write may hold secrets. Of built-in kinds only: those of custom resources belong to their
/// controllers as well. The object's own `metadata` is everybody's and is not looked at; that of a pod template is.
pub fn additions(desired: &Value, live: &Value) -> Vec<Change> {
    additions_as(&[], desired, live)
}

/// [`additions`] where the managers in `own` are the host's, besides KIDP's.
pub fn additions_as(own: &[&str], desired: &Value, live: &Value) -> Vec<Change> {
    let kind = Type::of(desired);
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let (Type::Known(_), Some(entries)) = (kind, entries) else {
        return Vec::new();
    };
    let own: Vec<_> = OWN.iter().chain(own).copied().collect();
    let mut search = Search {
        live,
        own: &own,
        path: Vec::new(),
        found: BTreeMap::new(),
        object: None,
    };
    for entry in entries {
        let manager = author::text(entry, "manager");
        let is_stranger = !own.contains(&manager) && !CONTROLLERS.contains(&manager);
        if !is_stranger || author::text(entry, "subresource") == "status" {
            continue;
        }
        if let (Some(owned), Some(desired), Some(live)) = (
            entry.get("fieldsV1").and_then(Value::as_object),
            desired.as_object(),
            live.as_object(),
        ) {
            search.fields(kind, owned, desired, live);
        }
    }
    search.found.into_values().collect()
}

struct Search<'a> {
    live: &'a Value,
    own: &'a [&'a str],
    path: Vec<Step<'a>>,
    /// By path: several may own the same.
    found: BTreeMap<String, Change>,
    object: Option<String>,
}

impl<'a> Search<'a> {
    fn fields(
        &mut self,
        kind: Type,
        owned: &'a Map<String, Value>,
        desired: &'a Map<String, Value>,
        live: &'a Map<String, Value>,
    ) {
        for (name, below) in owned {
            let Some(name) = name.strip_prefix("f:") else {
                continue;
            };
            let Some(value) = live.get(name) else { continue };
            if self.path.is_empty() && matches!(name, "apiVersion" | "kind" | "metadata" | "status") {
                continue;
            }
            let within = kind.field(name);
            let asked = desired.get(name).filter(|asked| !asked.is_null());
            let asked = asked.or_else(|| nothing(within, name, value));
            let is_annotation = matches!(self.path.last(), Some(Step::Field("annotations")));
            self.path.push(Step::Field(name));
            match asked {
                Some(asked) => self.below(within, name, below, asked, value),
                None if is_annotation && name.starts_with(NOTES) => {}
                None if kind.has_fields() && is_default(name, value) => {}
                None if says_something(within, value, DEPTH) => self.found(value),
                None => {}
            }
            self.path.pop();
        }
    }

    /// What is below a field or an item that was asked for.
    fn below(&mut self, kind: Type, name: &str, owned: &'a Value, desired: &'a Value, live: &'a Value) {
        let Some(owned) = owned.as_object().filter(|owned| !owned.is_empty()) else {
            return;
        };
        if self.path.len() >= DEPTH {
            return;
        }
        match (desired, live) {
            // What is one value is compared as a whole.
            (Value::Object(_), Value::Object(_)) if kind.is_atomic_map() => {}
            (Value::Object(desired), Value::Object(live)) => self.fields(kind, owned, desired, live),
            (Value::Array(desired), Value::Array(live)) => match kind.list(name, live) {
                List::Keyed(keys, item) => self.items(keys, item, owned, desired, live),
                List::Set => self.items(&[], kind, owned, desired, live),
                List::Ordered(_) => {}
            },
            _ => {}
        }
    }

    /// The items of a list with keys, or of a set where there are none.
    fn items(
        &mut self,
        keys: Keys,
        item: Type,
        owned: &'a Map<String, Value>,
        desired: &'a [Value],
        live: &'a [Value],
    ) {
        let mut items = Items::new(keys, live, desired);
        for (at, value) in live.iter().enumerate() {
            let (nth, asked) = items.find(at);
            let step = if keys.is_empty() {
                Step::Member(value)
            } else {
                Step::Item(keys, value, nth)
            };
            let Some(below) = path::owned(&step).and_then(|name| author::entry(owned, &name)) else {
                continue;
            };
            self.path.push(step);
            match asked {
                Some(asked) if !keys.is_empty() => self.below(item, "", below, asked, value),
                Some(_) => {}
                None => self.found(value),
            }
            self.path.pop();
        }
    }

    fn found(&mut self, value: &Value) {
        let path = path::shown(&self.path);
        if self.found.contains_key(&path) {
            return;
        }
        let author = author::of(self.live, &self.path, self.own);
        if self.is_own(author.as_ref()) {
            return;
        }
        let object = self.object.get_or_insert_with(|| key(self.live, self.live));
        let change = Change {
            object: object.clone(),
            path: path.clone(),
            before: Value::Null,
            after: shown(&self.path, value).into_owned(),
            added: true,
            consequence: Consequence::None,
            author,
        };
        self.found.insert(path, change.without_secrets());
    }

    /// Whether KIDP wrote it as well, by way of admission.
    fn is_own(&self, author: Option<&Author>) -> bool {
        author.is_none() || author::owners(self.live, &self.path).any(|name| self.own.contains(&name))
    }
}

/// In place of a list or a map of names that was not asked for at all, an empty one, so that each thing in it is named.
fn nothing(kind: Type, name: &str, live: &Value) -> Option<&'static Value> {
    static LIST: Value = Value::Array(Vec::new());
    static MAP: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));
    match (kind, live) {
        (Type::Known(_), Value::Array(list)) if !matches!(kind.list(name, list), List::Ordered(_)) => {
            Some(&LIST)
        }
        (Type::Known(_), Value::Object(_)) if !kind.has_fields() && !kind.is_atomic_map() => Some(&MAP),
        _ => None,
    }
}

/// Whether the API server may have filled in this value of a field.
fn is_default(name: &str, value: &Value) -> bool {
    let known = DEFAULTED.binary_search_by_key(&name, |(name, _)| name);
    let Some((_, values)) = known.ok().and_then(|at| DEFAULTED.get(at)) else {
        return false;
    };
    let text = value
        .as_str()
        .map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed);
    values.is_empty() || values.contains(&text.as_ref())
}

/// Whether a value holds anything but defaults.
fn says_something(kind: Type, value: &Value, depth: usize) -> bool {
    match (kind, value) {
        // A field that is newer than the table may be filled in by anything.
        (Type::Guessed, _) => false,
        (_, Value::Object(map)) if kind.has_fields() && depth > 0 => map.iter().any(|(name, value)| {
            !is_default(name, value) && says_something(kind.field(name), value, depth - 1)
        }),
        (_, value) => !is_empty(value, depth),
    }
}

/// What may be told of an addition: what names it. Its values are somebody else's, and may be secrets.
fn shown<'v>(path: &[Step<'_>], value: &'v Value) -> Cow<'v, Value> {
    let is_data = path
        .iter()
        .any(|step| matches!(step, Step::Field("annotations" | "data" | "binaryData" | "value")));
    match (path.last(), value) {
        (Some(Step::Item(keys, ..)), Value::Object(map)) => {
            let names = keys.iter().map(|(key, _)| *key).chain(["image"]);
            let rest = names.filter_map(|name| Some((name.to_owned(), map.get(name)?.clone())));
            Cow::Owned(Value::Object(rest.collect()))
        }
        (_, Value::Object(_) | Value::Array(_)) => Cow::Owned(secrets::hidden(value)),
        _ if is_data => Cow::Owned(secrets::hidden(value)),
        _ => Cow::Borrowed(value),
    }
}
