//! What must hold at every moment of a run. The judge sees the clusters as they are, after every write, and every
//! message; it knows what the user has asked for, and nothing of what the controllers think.

use std::collections::{BTreeMap, BTreeSet};

use kidp_core::deployment::DeploymentId;
use kidp_core::group::DATABASE_FINALIZER;
use kidp_core::labels;
use serde_json::Value;

use crate::api::controllers::{has_storage, is_ready, password};
use crate::api::{Api, Request, finalizers, is_deleting, text};
use crate::sim::State;
use crate::wire::Message;

/// A rule that is kept, or broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Nothing of an instance is left once its object is gone, but what its policy keeps.
    NoOrphan,
    /// A password whose data lives never changes or vanishes.
    NoLostSecret,
    /// No data and no record goes that nobody asked to remove.
    NoUnaskedDeletion,
    /// One record, one claim, one broker for an object, under the derived id.
    NoDoubleProvision,
    /// `brokerRef` is written once.
    BrokerRefFixed,
    /// The finalizer and `brokerRef` are there while a broker may hold something.
    FinalizerHeld,
    /// Ready is said of what is ready, in the shape that was asked for.
    ReadyIsReady,
    /// A request is recorded before it is accepted.
    DurableBeforeAccepted,
    /// No password anywhere but in Secrets.
    NoLeak,
    /// No forged message is believed.
    NoForgery,
    /// What was asked for comes to be once the faults have stopped.
    Converges,
    /// Nothing is written when nothing is to be done.
    QuietWhenSettled,
}

/// A rule that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// What was seen.
    pub seen: String,
}

/// A claim, as it was first seen.
#[derive(Clone, Debug)]
struct Data {
    password: String,
    owner: String,
}

/// What the judge remembers.
#[derive(Debug, Default)]
pub struct Judge {
    /// Rules that were broken.
    pub violations: BTreeSet<Violation>,
    /// Every password that there was.
    pub passwords: BTreeSet<String>,
    /// UIDs of objects that the user has deleted.
    pub deleted: BTreeSet<String>,
    /// Those of them whose data goes as well.
    pub condemned: BTreeSet<String>,
    broker_refs: BTreeMap<String, Value>,
    data: BTreeMap<String, Data>,
    records: BTreeMap<String, String>,
    seen: u64,
}

impl Judge {
    /// Notes that a rule was broken.
    pub fn break_rule(&mut self, rule: Rule, seen: impl Into<String>) {
        let seen = seen.into();
        self.violations.insert(Violation { rule, seen });
    }

    /// Looks at everything there is.
    pub fn look(&mut self, state: &State) {
        let version = state.management.version() + state.targets.values().map(Api::version).sum::<u64>();
        if std::mem::replace(&mut self.seen, version) == version {
            return;
        }
        for (_, stored) in state.management.of("databases") {
            let uid = text(&stored.value, "/metadata/uid").to_owned();
            let now = &stored.value["status"]["brokerRef"];
            let first = self.broker_refs.entry(uid).or_insert(Value::Null);
            if first.is_null() {
                *first = now.clone();
            } else if first != now {
                let seen = format!("{first} became {now}");
                self.break_rule(Rule::BrokerRefFixed, seen);
            }
        }
        let mut held: BTreeMap<String, usize> = BTreeMap::new();
        for (name, target) in &state.targets {
            self.look_at_records(name, target, &state.management, &mut held);
            self.look_at_objects(target);
            self.look_at_data(target);
        }
        for (uid, records) in held {
            if records > 1 {
                self.break_rule(Rule::NoDoubleProvision, format!("{records} records of {uid}"));
            }
        }
    }

    fn look_at_records(
        &mut self,
        broker: &str,
        target: &Api,
        home: &Api,
        held: &mut BTreeMap<String, usize>,
    ) {
        for (_, stored) in target.of("serviceinstances") {
            let (record, spec) = (&stored.value, &stored.value["spec"]);
            let uid = text(spec, "/resourceUid");
            *held.entry(uid.to_owned()).or_default() += 1;
            let (namespace, name) = (text(record, "/metadata/namespace"), text(spec, "/resourceName"));
            let kind = text(spec, "/resourceType");
            let id = DeploymentId::derive(broker, namespace, kind, name, uid);
            if text(record, "/metadata/name") != id.as_str() {
                let seen = format!("record {} is not {id}", text(record, "/metadata/name"));
                self.break_rule(Rule::NoDoubleProvision, seen);
            }
            let object = home
                .of("databases")
                .find(|(_, s)| text(&s.value, "/metadata/uid") == uid);
            let guarded = object.is_some_and(|(_, s)| {
                finalizers(&s.value).contains(&DATABASE_FINALIZER)
                    && text(&s.value, "/status/brokerRef/name") == broker
            });
            if !guarded {
                let seen = format!("broker {broker} holds {name}, whose object lacks finalizer or brokerRef");
                self.break_rule(Rule::FinalizerHeld, seen);
            }
            if is_deleting(record) && !self.deleted.contains(uid) {
                self.break_rule(
                    Rule::NoUnaskedDeletion,
                    format!("the record of {name} is being deleted"),
                );
            }
            self.records
                .insert(text(record, "/metadata/uid").to_owned(), uid.to_owned());
        }
        let gone: Vec<_> = self
            .records
            .iter()
            .filter(|(record, _)| record.starts_with(&format!("{broker}-")))
            .filter(|(record, _)| {
                !target
                    .of("serviceinstances")
                    .any(|(_, s)| text(&s.value, "/metadata/uid") == record.as_str())
            })
            .map(|(record, uid)| (record.clone(), uid.clone()))
            .collect();
        for (record, uid) in gone {
            self.records.remove(&record);
            if !self.deleted.contains(&uid) {
                self.break_rule(Rule::NoUnaskedDeletion, format!("the record of {uid} is gone"));
            }
        }
    }

    /// Whatever is labelled with a deployment has its record, or is kept.
    fn look_at_objects(&mut self, target: &Api) {
        let records: BTreeSet<_> = target
            .of("serviceinstances")
            .map(|(_, s)| text(&s.value, "/metadata/name"))
            .collect();
        for (path, stored) in &target.objects {
            let label = |key: &str| stored.value["metadata"]["labels"][key].as_str();
            let Some(id) = label(labels::DEPLOYMENT_ID) else {
                continue;
            };
            let kept = label("platform.company.com/retained") == Some("true");
            if !kept && !records.contains(id) {
                self.break_rule(Rule::NoOrphan, format!("{path} has no record"));
            }
        }
    }

    fn look_at_data(&mut self, target: &Api) {
        for (_, secret) in target.of("secrets") {
            self.passwords.extend(password(&secret.value));
        }
        let mut claims: BTreeMap<String, usize> = BTreeMap::new();
        let mut alive = BTreeSet::new();
        for (path, stored) in target.of("persistentvolumeclaims") {
            let claim = &stored.value;
            let uid = text(claim, "/metadata/uid").to_owned();
            let owner = claim["metadata"]["labels"][labels::RESOURCE_UID]
                .as_str()
                .unwrap_or_default();
            *claims.entry(owner.to_owned()).or_default() += 1;
            alive.insert(uid.clone());
            let condemned = self.condemned.contains(owner);
            if is_deleting(claim) && !condemned {
                self.break_rule(Rule::NoUnaskedDeletion, format!("{path} is being deleted"));
            }
            let base = path
                .rsplit("/data-")
                .next()
                .and_then(|rest| rest.rsplit_once('-'));
            let suffix = format!("/secrets/{}-connection", base.map_or("", |(base, _)| base));
            let secret = target.objects.iter().find(|(at, _)| at.ends_with(&suffix));
            let now = secret.and_then(|(_, s)| password(&s.value));
            match (self.data.get_mut(&uid), now) {
                (None, Some(password)) => {
                    let owner = owner.to_owned();
                    self.data.insert(uid, Data { password, owner });
                }
                (Some(data), Some(now)) => {
                    owner.clone_into(&mut data.owner);
                    if data.password != now && !condemned {
                        self.break_rule(Rule::NoLostSecret, format!("the password of {path} has changed"));
                    }
                }
                (_, None) if !condemned => {
                    self.break_rule(
                        Rule::NoLostSecret,
                        format!("{path} lives, and its Secret is gone"),
                    );
                }
                (_, None) => {}
            }
        }
        for (owner, count) in claims {
            if count > 1 && !owner.is_empty() {
                self.break_rule(Rule::NoDoubleProvision, format!("{count} claims of {owner}"));
            }
        }
        let gone: Vec<_> = self
            .data
            .iter()
            .filter(|(uid, _)| uid.starts_with(&format!("{}-", target.name)) && !alive.contains(*uid))
            .map(|(uid, data)| (uid.clone(), data.owner.clone()))
            .collect();
        for (uid, owner) in gone {
            self.data.remove(&uid);
            if !self.condemned.contains(&owner) {
                self.break_rule(Rule::NoUnaskedDeletion, format!("the data of {owner} is gone"));
            }
        }
    }

    /// Looks at a status that was written: what is said to be ready has to be.
    pub fn status_written(&mut self, state: &State, cluster: &str, request: &Request, before: &Value) {
        if !request.path.ends_with("/status") {
            return;
        }
        let path = request.path.trim_end_matches("/status");
        let api = state.targets.get(cluster).unwrap_or(&state.management);
        let Some(object) = api.objects.get(path).map(|s| &s.value) else {
            return;
        };
        let status = &object["status"];
        let speaks_of_now = status["observedGeneration"] == object["metadata"]["generation"];
        let same = |key: &str| before[key] == status[key];
        let news = !(same("phase") && same("observedGeneration"));
        if status["phase"] != "Ready" || !speaks_of_now || !news || is_deleting(object) {
            return;
        }
        let (target, spec, name) = if cluster == "management" {
            let broker = text(status, "/brokerRef/name");
            (
                state.targets.get(broker),
                &object["spec"],
                text(object, "/metadata/name"),
            )
        } else {
            let spec = &object["spec"];
            (Some(api), &spec["instance"], text(spec, "/resourceName"))
        };
        let why = match target {
            None => Some("no broker".to_owned()),
            Some(target) => unready(target, spec, name),
        };
        if let Some(why) = why {
            self.break_rule(
                Rule::ReadyIsReady,
                format!("{name} is said to be Ready in {cluster}: {why}"),
            );
        }
    }

    /// Looks for passwords in a write that is no Secret's.
    pub fn read_write(&mut self, cluster: &str, request: &Request) {
        if !request.path.contains("/secrets") {
            self.search(
                &format!("{} {cluster} {}", request.method, request.path),
                &request.body.to_string(),
            );
        }
    }

    /// Looks for passwords in a message.
    pub fn read_message(&mut self, message: &Message) {
        self.search(&message.path, &String::from_utf8_lossy(&message.body));
    }

    /// Looks at an answer: for passwords, and whether what is accepted is on record.
    pub fn read_answer(&mut self, state: &State, message: &Message, code: u16, body: &[u8]) {
        let body = String::from_utf8_lossy(body);
        self.search(&message.path, &body);
        if message.path != "/v1/provision" || code != 202 {
            return;
        }
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        let id = text(&answer, "/deploymentId");
        let target = state.targets.get(message.host.as_str());
        let recorded = target.is_some_and(|target| {
            target
                .of("serviceinstances")
                .any(|(_, s)| text(&s.value, "/metadata/name") == id)
        });
        if !recorded {
            self.break_rule(
                Rule::DurableBeforeAccepted,
                format!("{id} was accepted and is not on record"),
            );
        }
    }

    /// Looks for passwords in a text.
    pub fn search(&mut self, place: &str, text: &str) {
        if self
            .passwords
            .iter()
            .any(|password| text.contains(password.as_str()))
        {
            self.break_rule(Rule::NoLeak, format!("a password in {place}"));
        }
    }
}

/// Why an instance is not ready in the shape that `spec` asks for.
pub fn unready(target: &Api, spec: &Value, name: &str) -> Option<String> {
    let base = kidp_core::names::base_name(name, text(spec, "/engine"));
    let find = |suffix: String| {
        let found = target.objects.iter().find(|(path, _)| path.ends_with(&suffix));
        found.map(|(_, stored)| &stored.value)
    };
    let Some(pod) = find(format!("/pods/{base}-0")) else {
        return Some("there is no pod".to_owned());
    };
    if !is_ready(pod) || is_deleting(pod) {
        return Some("the pod is not ready".to_owned());
    }
    let size = spec["size"].as_str().unwrap_or("small");
    let cores = kidp_core::size::Size::ALL
        .into_iter()
        .find(|s| s.as_str() == size);
    let cores = cores.map(|s| s.cpu_cores().to_string()).unwrap_or_default();
    let has = text(pod, "/spec/containers/0/resources/limits/cpu");
    if has != cores {
        return Some(format!("it has {has} CPUs and not {cores}"));
    }
    let Some(claim) = find(format!("/persistentvolumeclaims/data-{base}-0")) else {
        return Some("there is no claim".to_owned());
    };
    let wanted = text(spec, "/storage/size");
    let requested = text(claim, "/spec/resources/requests/storage");
    if requested != wanted && !has_storage(claim, wanted) {
        return Some(format!("its volume is {requested} and not {wanted}"));
    }
    if find(format!("/secrets/{base}-connection")).is_none() {
        return Some("there is no Secret".to_owned());
    }
    find(format!("/services/{base}"))
        .is_none()
        .then(|| "there is no Service".to_owned())
}
