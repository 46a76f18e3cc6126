//! Bindings: logins of one's own to an instance, one for each client, made and removed inside the engine.
//!
//! What an engine has to say is pure: a [`Binder`] writes the script and its input, and whoever hosts the SDK runs it
//! in one of the instance's own pods. There it needs no further image, passes no NetworkPolicy, and finds the
//! administrator's login where the pod has it anyway. A secret is only ever in a script's input: never in its words,
//! which the API server may record, nor in a variable.
//!
//! ```text
//! password (made once) ─> Secret ─> bind: script + input ─> exec in a ready pod ─> usable
//!                                   unbind: script + input ─> exec ─────────────> login refused
//! ```
//!
//! # Guarantees that a binder gives
//! - Each script may be run again, at any time, with the same result.
//! - After `bind`, the login has exactly the password that was given.
//! - After `unbind`, the login is refused, and its open connections are cut. Data that came over it stays.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kidp_core::labels::{self, Labels};
use kidp_core::names::short_hash;

use crate::instance::{Credentials, Instance};
use crate::resources::meta::Scope;
use crate::resources::secret::connection_type;
use crate::tls;

/// Where a script runs: in any ready pod with these labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Labels of the pod.
    pub labels: Labels,
    /// The container in it.
    pub container: String,
}

/// A program to run in a pod. `Debug` does not show the input.
#[derive(Clone, PartialEq, Eq)]
pub struct Script {
    /// Program and arguments; never a secret.
    pub command: Vec<String>,
    /// What it reads from its standard input.
    pub input: String,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script")
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

impl Script {
    pub(crate) fn new(command: &[&str], input: String) -> Self {
        Self {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            input,
        }
    }
}

/// How an engine makes and removes logins. Every method is pure.
pub trait Binder: Send + Sync {
    /// Where its scripts run.
    fn place(&self, instance: &Instance) -> Place;

    /// Makes the login, or gives it this password where it is there.
    fn bind(&self, instance: &Instance, login: &Credentials) -> Script;

    /// Removes the login; one that is not there is fine.
    fn unbind(&self, instance: &Instance, username: &str) -> Script;

    /// What the login's Secret says, besides `type` and `provider`.
    fn entries(&self, instance: &Instance, login: &Credentials) -> Vec<(&'static str, String)>;
}

/// The user of a binding: the same for the same id, and short enough for every engine (`MySQL` allows 32 characters).
///
/// ```
/// use kidp_provisioners::binding::username;
/// assert_eq!(username("b-1"), username("b-1"));
/// assert!(username(&"x".repeat(200)).len() <= 32);
/// ```
pub fn username(binding_id: &str) -> String {
    format!("bind_{}", short_hash(&[binding_id], 24))
}

/// The Secret of a binding, in the form of servicebinding.io. It goes with its owner, the binding.
pub fn secret(
    instance: &Instance,
    name: &str,
    owner: OwnerReference,
    entries: &[(&str, String)],
    ca: Option<&ByteString>,
) -> Secret {
    let engine = instance.spec.engine.as_str();
    let common = [("type", engine.to_owned()), ("provider", "kidp".to_owned())];
    let data: BTreeMap<_, _> = common
        .iter()
        .chain(entries)
        .map(|(key, value)| ((*key).to_owned(), ByteString(value.clone().into_bytes())))
        .chain(ca.map(|ca| (tls::CA.to_owned(), ca.clone())))
        .collect();
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(instance.namespace.clone()),
            labels: Some(secret_labels(instance)),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some(connection_type(engine)),
        data: Some(data),
        ..Secret::default()
    }
}

/// Not the labels of the instance's objects, by which its removal finds them: this one is its binding's.
fn secret_labels(instance: &Instance) -> Labels {
    labels::labels([
        (labels::NAME, instance.spec.engine.as_str()),
        (labels::COMPONENT, "binding"),
        (labels::PART_OF, labels::MANAGED_BY),
        (labels::MANAGED_BY_KEY, labels::MANAGED_BY),
        (labels::CLIENT, &Scope::new(instance).base),
    ])
}

/// A name in double quotes, as standard SQL has it.
pub(crate) fn sql_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in single quotes, as standard SQL has it: a backslash is a character like any other.
pub(crate) fn sql_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The text between two quotes of a kind, each doubled inside, if that is all there is.
    fn unquote(text: &str, quote: char) -> Option<String> {
        let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
        let double: String = [quote, quote].iter().collect();
        let single_left = inner.replace(&double, "").contains(quote);
        (!single_left).then(|| inner.replace(&double, &quote.to_string()))
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_one_value(text in "[a-z'\"\\\\; -]{0,20}") {
            prop_assert_eq!(unquote(&sql_literal(&text), '\''), Some(text.clone()));
            prop_assert_eq!(unquote(&sql_identifier(&text), '"'), Some(text));
        }

        #[test]
        fn user_names_need_no_quotes_and_fit(id in ".{0,80}") {
            let name = username(&id);
            prop_assert!(name.len() <= 32);
            prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
        }
    }

    #[test]
    fn a_script_does_not_show_its_input() {
        let script = Script::new(&["psql"], "hunter2".to_owned());
        assert!(!format!("{script:?}").contains("hunter2"));
    }
}
