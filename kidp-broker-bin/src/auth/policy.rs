//! Authorisation: which client may do what in which namespaces.
//!
//! A policy is a file, YAML or JSON. A client that it does not list may do nothing; without a policy, every client that
//! is authenticated may do everything. What is decided, and how it is told:
//!
//! - A namespace that the client named itself is refused with 403.
//! - A deployment that the client named by its id, in a namespace that it may not touch, is refused with 403 too, and
//!   not with 404: "not found" is what tells an operator that an instance is gone, and lets it forget one that is still
//!   there. Nobody learns much by it: an id is a hash over the UID of the resource, so who knows one knew the resource.
//! - A list over all namespaces leaves out what the client may not read.

use std::collections::{BTreeSet, HashMap};

use kidp_core::names::validate_label;
use kidp_core::problem::{FieldError, Problem, Reason, summarise};
use serde::Deserialize;

use super::identity::{Identity, Method};
use crate::extract::field_of;

const MAX_CLIENTS: usize = 1000;
const MAX_NAMESPACES: usize = 1000;
const EVERY_NAMESPACE: &str = "*";

/// What a client wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// See deployments.
    Read,
    /// Make, change and remove deployments.
    Write,
}

impl Verb {
    /// The verb as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// A policy cannot be used: each fault with its field.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", summarise(.0))]
pub struct PolicyError(pub Vec<FieldError>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    clients: Vec<Client>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Client {
    method: Method,
    name: String,
    namespaces: BTreeSet<String>,
    verbs: BTreeSet<Verb>,
    #[serde(default)]
    requests_per_minute: Option<u32>,
}

/// What one client may do.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    namespaces: BTreeSet<String>,
    verbs: BTreeSet<Verb>,
    requests_per_minute: Option<u32>,
}

/// Who may do what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy(HashMap<Identity, Grant>);

impl Policy {
    /// The policy in the contents of a file.
    pub fn parse(contents: &[u8]) -> Result<Self, PolicyError> {
        let one = |field: &str, say: String| PolicyError(vec![FieldError::new(field, say)]);
        let text =
            std::str::from_utf8(contents).map_err(|_| one("(file)", "is not UTF-8 text".to_owned()))?;
        let reader = serde_yaml_ng::Deserializer::from_str(text);
        let File { clients } = serde_path_to_error::deserialize(reader).map_err(|error| {
            let (path, say) = (error.path().to_string(), error.inner().to_string());
            // YAML errors begin with the path themselves.
            let say = say.strip_prefix(&format!("{path}: ")).unwrap_or(&say);
            one(&field_of(&path, say, "(file)"), say.to_owned())
        })?;
        let mut faults = Vec::new();
        if clients.len() > MAX_CLIENTS {
            faults.push(FieldError::new("clients", format!("are more than {MAX_CLIENTS}")));
        }
        let mut grants = HashMap::new();
        for (index, client) in clients.into_iter().enumerate() {
            client_faults(index, &client, &mut faults);
            let identity = Identity::new(client.method, client.name);
            let grant = Grant {
                namespaces: client.namespaces,
                verbs: client.verbs,
                requests_per_minute: client.requests_per_minute,
            };
            if grants.insert(identity, grant).is_some() {
                let say = "this method and name are listed twice";
                faults.push(FieldError::new(format!("clients[{index}].name"), say));
            }
        }
        if faults.is_empty() {
            Ok(Self(grants))
        } else {
            Err(PolicyError(faults))
        }
    }

    /// The limit that the policy sets for a client, in place of the broker's own; 0 is none.
    pub fn requests_per_minute(&self, who: &Identity) -> Option<u32> {
        self.0.get(who).and_then(|grant| grant.requests_per_minute)
    }
}

fn client_faults(index: usize, client: &Client, faults: &mut Vec<FieldError>) {
    let mut fault =
        |field: &str, say: String| faults.push(FieldError::new(format!("clients[{index}].{field}"), say));
    if client.method == Method::Anonymous {
        fault(
            "method",
            "nobody can be granted anything without authentication".to_owned(),
        );
    }
    if client.name.trim().is_empty() {
        fault("name", "must not be empty".to_owned());
    }
    if client.namespaces.len() > MAX_NAMESPACES {
        fault("namespaces", format!("are more than {MAX_NAMESPACES}"));
    }
    for namespace in client.namespaces.iter().filter(|n| *n != EVERY_NAMESPACE) {
        if let Err(error) = validate_label(namespace) {
            fault("namespaces", format!("`{namespace}`: {error}"));
        }
    }
}

/// Whether a client may do this in the namespace. Without a policy it may.
pub fn authorize(
    policy: Option<&Policy>,
    who: &Identity,
    verb: Verb,
    namespace: &str,
) -> Result<(), Problem> {
    let Some(policy) = policy else { return Ok(()) };
    let allowed = policy.0.get(who).is_some_and(|grant| {
        let has = |name: &str| grant.namespaces.contains(name);
        grant.verbs.contains(&verb) && (has(EVERY_NAMESPACE) || has(namespace))
    });
    if allowed {
        return Ok(());
    }
    // The namespace is not named: the client may not know it.
    let say = format!("{who} may not {} in this namespace", verb.as_str());
    Err(Problem::new(Reason::Forbidden, say))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "
clients:
  - method: serviceAccount
    name: system:serviceaccount:kidp-system:kidp-operator
    namespaces: ['*']
    verbs: [read, write]
    requestsPerMinute: 6000
  - {method: apiKey, name: ci, namespaces: [shop, shop-test], verbs: [read]}
";

    fn may(who: &Identity, verb: Verb, namespace: &str) -> bool {
        let policy = Policy::parse(FILE.as_bytes()).unwrap();
        authorize(Some(&policy), who, verb, namespace).is_ok()
    }

    fn operator(method: Method) -> Identity {
        Identity::new(method, "system:serviceaccount:kidp-system:kidp-operator")
    }

    #[test]
    fn a_grant_is_for_a_method_a_name_verbs_and_namespaces() {
        let ci = Identity::new(Method::ApiKey, "ci");
        assert!(may(&operator(Method::ServiceAccount), Verb::Write, "anything"));
        assert!(may(&ci, Verb::Read, "shop") && may(&ci, Verb::Read, "shop-test"));
        assert!(!may(&ci, Verb::Write, "shop") && !may(&ci, Verb::Read, "shop-prod"));
        for method in [
            Method::Jwt,
            Method::Certificate,
            Method::ApiKey,
            Method::Anonymous,
        ] {
            assert!(!may(&operator(method), Verb::Read, "shop"), "{method:?}");
        }
    }

    #[test]
    fn without_a_policy_everything_is_allowed() {
        assert!(authorize(None, &Identity::anonymous(), Verb::Write, "shop").is_ok());
        let refusal = authorize(
            Some(&Policy::default()),
            &Identity::anonymous(),
            Verb::Write,
            "shop",
        );
        let problem = refusal.unwrap_err();
        assert!(
            problem.code == 403 && !problem.message.contains("shop"),
            "{problem}"
        );
    }

    #[test]
    fn a_limit_is_the_clients_own() {
        let policy = Policy::parse(FILE.as_bytes()).unwrap();
        assert_eq!(
            policy.requests_per_minute(&operator(Method::ServiceAccount)),
            Some(6000)
        );
        assert_eq!(
            policy.requests_per_minute(&Identity::new(Method::ApiKey, "ci")),
            None
        );
    }

    #[test]
    fn json_is_read_as_well_and_faults_name_their_field() {
        assert_eq!(Policy::parse(br#"{"clients": []}"#), Ok(Policy::default()));
        let client = r#"{"method": "apiKey", "name": "a", "namespaces": ["x"], "verbs": ["read"]}"#;
        let with = |from: &str, to: &str| format!(r#"{{"clients": [{}]}}"#, client.replace(from, to));
        for (text, field) in [
            (with("apiKey", "password"), "clients[0].method"),
            (with("apiKey", "anonymous"), "clients[0].method"),
            (with("\"a\"", "\" \""), "clients[0].name"),
            (with("\"x\"", "\"X_\""), "clients[0].namespaces"),
            (with("\"read\"", "\"admin\""), "clients[0].verbs[0]"),
            (with("\"verbs\"", "\"verb\""), "clients[0].verb"),
            (
                with("[\"read\"]", "[\"read\"], \"requestsPerMinute\": -1"),
                "clients[0].requestsPerMinute",
            ),
            (
                format!(r#"{{"clients": [{client}, {client}]}}"#),
                "clients[1].name",
            ),
            ("{\"client\": []}".to_owned(), "client"),
            ("{".to_owned(), "(file)"),
            (String::new(), "clients"),
        ] {
            let error = Policy::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.0[0].field, field, "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_file_panics_and_none_grants_to_an_unlisted_client(text in ".{0,200}", name in "[a-z]{1,8}") {
            if let Ok(policy) = Policy::parse(text.as_bytes()) {
                let who = Identity::new(Method::ApiKey, name);
                prop_assert!(authorize(Some(&policy), &who, Verb::Read, "shop").is_err());
            }
        }
    }
}
