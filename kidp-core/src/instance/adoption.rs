//! What a request says about a StatefulSet that is there already and is to be taken over, and what is on record of one
//! that was.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::labels::Labels;
use crate::names::validate_subdomain;
use crate::problem::FieldError;

/// Characters of a plan's digest.
pub const DIGEST_CHARS: usize = 32;

/// Longest login and database name that is taken over; PostgreSQL cuts longer ones.
const MAX_NAME: usize = 63;

/// A StatefulSet in the resource's namespace that becomes the instance. Its name, its claim and its password stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdoptSpec {
    /// Name of the StatefulSet.
    #[schemars(length(min = 1, max = 253))]
    pub stateful_set: String,
    /// The Secret with its password. It is read, and never changed.
    pub secret_ref: AdoptedSecretRef,
    /// Login, where the Secret does not hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub username: Option<String>,
    /// Database, where the Secret does not hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub database: Option<String>,
    /// What becomes of its pod template. `Keep` restarts nothing; from `Replace` there is no way back.
    #[serde(default)]
    pub pod_template: PodTemplatePolicy,
    /// Digest of the plan whose restart is accepted, as the plan and the condition say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 32, max = 32))]
    pub accept_plan: Option<String>,
}

/// The Secret that an adopted instance has its password in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdoptedSecretRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// What its entries are called.
    #[serde(default)]
    pub keys: AdoptedSecretKeys,
}

/// What the entries of an adopted Secret are called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdoptedSecretKeys {
    /// The entry with the password.
    #[serde(default = "password_key")]
    #[schemars(length(min = 1, max = 253))]
    pub password: String,
    /// The entry with the login; `username` of the request instead, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub username: Option<String>,
    /// The entry with the database; `database` of the request instead, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub database: Option<String>,
}

impl Default for AdoptedSecretKeys {
    fn default() -> Self {
        Self {
            password: password_key(),
            username: None,
            database: None,
        }
    }
}

fn password_key() -> String {
    "password".to_owned()
}

/// What becomes of an adopted StatefulSet's pod template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PodTemplatePolicy {
    /// It stays as it was found, and is kept so. Nothing restarts; size, version and parameters are its own.
    #[default]
    Keep,
    /// It becomes the one of a new instance. The pods are replaced.
    Replace,
}

/// What is on record of an adopted StatefulSet: all that an instance is rendered from besides its spec. No secret value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adopted {
    /// Name of the StatefulSet.
    pub stateful_set: String,
    /// Its UID when it was looked at.
    pub uid: String,
    /// Its generation when it was looked at: what was decided holds for that one.
    pub generation: i64,
    /// UID of its claim.
    pub claim_uid: String,
    /// The Secret that the password came from.
    pub secret_ref: AdoptedSecretRef,
    /// Login.
    pub username: String,
    /// Database.
    pub database: String,
    /// Container of the server in the pod template as it was found.
    pub container: String,
    /// Port that the server listens on.
    pub port: u16,
    /// Name of that port in the pod template, by which Services of others may lead to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_name: Option<String>,
    /// Folder of the data on the volume, where the pod template is replaced; absent where it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_folder: Option<String>,
    /// The StatefulSet's `spec` as it was found; without the pod template where that is replaced.
    #[schemars(schema_with = "any_object")]
    pub spec: Value,
}

fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

impl Adopted {
    /// Whether the pod template is KIDP's.
    pub fn is_replaced(&self) -> bool {
        self.data_folder.is_some()
    }

    /// The labels that select the pods.
    pub fn selector(&self) -> Labels {
        let labels = self
            .spec
            .pointer("/selector/matchLabels")
            .and_then(Value::as_object);
        let pair = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        labels
            .into_iter()
            .flatten()
            .filter_map(pair)
            .collect::<BTreeMap<_, _>>()
    }

    /// Name of the Service that governs the members.
    pub fn service_name(&self) -> &str {
        self.text("/serviceName")
    }

    /// Name of the claim template.
    pub fn claim_template(&self) -> &str {
        self.text("/volumeClaimTemplates/0/metadata/name")
    }

    fn text(&self, pointer: &str) -> &str {
        self.spec
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

impl AdoptSpec {
    /// What is wrong with it, each with the path of its field below `at`.
    pub fn faults(&self, at: &str) -> Vec<FieldError> {
        let mut faults = Vec::new();
        let names = [
            ("statefulSet", &self.stateful_set),
            ("secretRef.name", &self.secret_ref.name),
        ];
        for (field, name) in names {
            if let Err(error) = validate_subdomain(name) {
                faults.push(FieldError::new(format!("{at}.{field}"), error.to_string()));
            }
        }
        let keys = &self.secret_ref.keys;
        let entries = [
            ("password", Some(&keys.password)),
            ("username", keys.username.as_ref()),
            ("database", keys.database.as_ref()),
        ];
        for (field, key) in entries {
            if key.is_some_and(|key| !is_key(key)) {
                let say = "must be 1 to 253 letters, digits, `-`, `_` and `.`";
                faults.push(FieldError::new(format!("{at}.secretRef.keys.{field}"), say));
            }
        }
        let given = [
            ("username", self.username.as_ref(), keys.username.is_some()),
            ("database", self.database.as_ref(), keys.database.is_some()),
        ];
        for (field, value, in_secret) in given {
            let say = match value {
                Some(_) if in_secret => {
                    format!("is in the Secret, by secretRef.keys.{field}; give one of the two")
                }
                None if !in_secret => format!("is needed, here or by secretRef.keys.{field}"),
                Some(value) if !is_plain_name(value) => NAME_RULE.to_owned(),
                _ => continue,
            };
            faults.push(FieldError::new(format!("{at}.{field}"), say));
        }
        let is_digest =
            |text: &String| text.len() == DIGEST_CHARS && text.bytes().all(|b| b.is_ascii_hexdigit());
        if self.accept_plan.as_ref().is_some_and(|digest| !is_digest(digest)) {
            let say = format!("must be the {DIGEST_CHARS} hexadecimal digits of a plan's digest");
            faults.push(FieldError::new(format!("{at}.acceptPlan"), say));
        }
        faults
    }
}

/// What a login or a database must be called to be taken over: it is written into addresses, probes and scripts.
pub const NAME_RULE: &str = "must be 1 to 63 letters, digits, `_` and `-`, starting with a letter or `_`";

/// Whether a login or a database can be taken over by this name.
pub fn is_plain_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(allowed)
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// <https://kubernetes.io/docs/concepts/configuration/secret/#restriction-names-data>
fn is_key(key: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=253).contains(&key.len()) && key.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(change: &Value) -> Vec<String> {
        let mut spec = json!({"statefulSet": "legacy", "secretRef": {"name": "legacy"},
            "username": "shop", "database": "shop"});
        for (key, value) in change.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let spec: AdoptSpec = serde_json::from_value(spec).unwrap();
        spec.faults("spec.adopt")
            .into_iter()
            .map(|fault| fault.field)
            .collect()
    }

    #[test]
    fn every_fault_names_its_field() {
        let named = |keys: Value| json!({"secretRef": {"name": "legacy", "keys": keys}});
        for (change, field) in [
            (json!({"statefulSet": "Legacy"}), "statefulSet"),
            (json!({"secretRef": {"name": "a b"}}), "secretRef.name"),
            (named(json!({"password": "a/b"})), "secretRef.keys.password"),
            (named(json!({"username": "user"})), "username"),
            (json!({"username": null}), "username"),
            (json!({"database": "a;b"}), "database"),
            (json!({"database": "-shop"}), "database"),
            (json!({"acceptPlan": "yes"}), "acceptPlan"),
        ] {
            assert_eq!(fields(&change), [format!("spec.adopt.{field}")], "{change}");
        }
        assert!(fields(&json!({})).is_empty());
        assert!(fields(&json!({"acceptPlan": "0123456789abcdef0123456789abcdef"})).is_empty());
    }

    #[test]
    fn nothing_is_replaced_unless_it_is_said() {
        let spec = json!({"statefulSet": "legacy", "secretRef": {"name": "legacy"}});
        let spec: AdoptSpec = serde_json::from_value(spec).unwrap();
        assert_eq!(spec.pod_template, PodTemplatePolicy::Keep);
        assert_eq!(spec.secret_ref.keys.password, "password");
    }
}
