//! `cargo xtask rights`: which of the rights that the manifests grant to operator and broker were used, as the devcluster's
//! audit log has it, and what was asked for in vain. After `cargo xtask test` it shows what could be taken away.
//!
//! The log has every request of the two service accounts. What is not in it may still be needed: a repair that no
//! test makes necessary, an engine that no test runs. So nothing fails on a right that was never used.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use k8s_openapi::api::rbac::v1::{PolicyRule, RoleRef, Subject};
use serde::Deserialize;
use serde_json::Value;

use crate::paths::{Layout, checkout};

/// Folders of the manifests that grant rights.
const FOLDERS: [&str; 3] = ["operator", "admission", "broker"];

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum RightsError {
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A manifest is none.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_yaml_ng::Error,
    },
    /// Nothing of the two accounts was logged.
    #[error("{} has no request of operator or broker; run `cargo xtask test` on a devcluster that stays up", .0.display())]
    Silent(PathBuf),
}

impl RightsError {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// One verb on one resource, for one account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    /// `system:serviceaccount:<namespace>:<name>`.
    account: String,
    /// Where it holds; everywhere when absent.
    namespace: Option<String>,
    group: String,
    /// With its subresource.
    resource: String,
    verb: String,
    /// Objects that it is about; all when empty.
    names: Vec<String>,
}

/// One request, as the audit log has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    account: String,
    namespace: String,
    group: String,
    resource: String,
    verb: String,
    name: String,
    allowed: bool,
}

impl Right {
    fn covers(&self, request: &Request) -> bool {
        let name = self.names.is_empty() || self.names.contains(&request.name);
        let place = self
            .namespace
            .as_ref()
            .is_none_or(|own| *own == request.namespace);
        name && place
            && self.account == request.account
            && self.group == request.group
            && self.resource == request.resource
            && self.verb == request.verb
    }
}

/// Reads manifests and log, and gives the report.
pub fn run() -> Result<String, RightsError> {
    let rights = rights(&manifests()?);
    let accounts: BTreeSet<&str> = rights.iter().map(|right| right.account.as_str()).collect();
    let logs = Layout::from_env().logs();
    let requests = logged(&logs, &accounts)?;
    if requests.is_empty() {
        return Err(RightsError::Silent(logs));
    }
    Ok(report(&rights, &requests))
}

/// Objects of all manifests.
fn manifests() -> Result<Vec<Value>, RightsError> {
    let mut objects = Vec::new();
    for folder in FOLDERS {
        let folder = checkout().join("deploy/manifests").join(folder);
        let entries = std::fs::read_dir(&folder).map_err(RightsError::io(&folder))?;
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let text = std::fs::read_to_string(&path).map_err(RightsError::io(&path))?;
            for document in serde_yaml_ng::Deserializer::from_str(&text) {
                let object = Value::deserialize(document).map_err(|source| RightsError::Manifest {
                    path: path.clone(),
                    source,
                })?;
                objects.push(object);
            }
        }
    }
    Ok(objects)
}

/// What the bindings among `objects` grant to service accounts, by the roles among them.
fn rights(objects: &[Value]) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for binding in objects {
        let kind = binding["kind"].as_str().unwrap_or_default();
        if !["RoleBinding", "ClusterRoleBinding"].contains(&kind) {
            continue;
        }
        let namespace = binding["metadata"]["namespace"].as_str().map(str::to_owned);
        let role: RoleRef = parsed(&binding["roleRef"]);
        let subjects: Vec<Subject> = parsed(&binding["subjects"]);
        for rule in rules(objects, &role, namespace.as_deref()) {
            for subject in &subjects {
                rights.extend(of_rule(&rule, subject, namespace.as_ref()));
            }
        }
    }
    rights
}

fn parsed<T: serde::de::DeserializeOwned + Default>(value: &Value) -> T {
    T::deserialize(value).unwrap_or_default()
}

fn rules(objects: &[Value], role: &RoleRef, namespace: Option<&str>) -> Vec<PolicyRule> {
    let is_role = |object: &&Value| {
        let meta = &object["metadata"];
        object["kind"] == role.kind.as_str()
            && meta["name"] == role.name.as_str()
            && (role.kind == "ClusterRole" || meta["namespace"].as_str() == namespace)
    };
    let found = objects.iter().filter(is_role);
    found
        .flat_map(|object| parsed::<Vec<PolicyRule>>(&object["rules"]))
        .collect()
}

fn of_rule(rule: &PolicyRule, subject: &Subject, namespace: Option<&String>) -> Vec<Right> {
    let mut rights = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            for verb in &rule.verbs {
                rights.push(Right {
                    account: format!(
                        "system:serviceaccount:{}:{}",
                        subject.namespace.as_deref().unwrap_or_default(),
                        subject.name
                    ),
                    namespace: namespace.cloned(),
                    group: group.clone(),
                    resource: resource.clone(),
                    verb: verb.clone(),
                    names: rule.resource_names.clone().unwrap_or_default(),
                });
            }
        }
    }
    rights
}

/// Requests of these accounts in the audit log and the one before it.
fn logged(folder: &Path, accounts: &BTreeSet<&str>) -> Result<BTreeSet<Request>, RightsError> {
    let entries = std::fs::read_dir(folder).map_err(RightsError::io(folder))?;
    let mut requests = BTreeSet::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with("audit") {
            continue;
        }
        let file = std::fs::File::open(&path).map_err(RightsError::io(&path))?;
        for line in BufReader::new(file).lines() {
            let line = line.map_err(RightsError::io(&path))?;
            let request = serde_json::from_str(&line).ok().and_then(|event| request(&event));
            requests.extend(request.filter(|r| accounts.contains(r.account.as_str())));
        }
    }
    Ok(requests)
}

/// The request that an audit event tells of; none where it was for no resource.
fn request(event: &Value) -> Option<Request> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = event.get("objectRef")?;
    let resource = text(&object["resource"]);
    let resource = match object["subresource"].as_str() {
        Some(subresource) => format!("{resource}/{subresource}"),
        None => resource,
    };
    Some(Request {
        account: text(&event["user"]["username"]),
        namespace: text(&object["namespace"]),
        group: text(&object["apiGroup"]),
        resource,
        verb: text(&event["verb"]),
        name: text(&object["name"]),
        allowed: event["annotations"]["authorization.k8s.io/decision"] != "forbid",
    })
}

/// What was never used and what was refused, one line each.
fn report(rights: &BTreeSet<Right>, requests: &BTreeSet<Request>) -> String {
    let is_used = |right: &Right| {
        requests
            .iter()
            .any(|request| request.allowed && right.covers(request))
    };
    // To bind is no request: it is what a RoleBinding may name.
    let unused = rights
        .iter()
        .filter(|right| right.verb != "bind" && !is_used(right));
    let unused: Vec<_> = unused.map(Right::to_string).collect();
    // Whose object it was says nothing of the right.
    let refused: BTreeSet<_> = requests
        .iter()
        .filter(|r| !r.allowed)
        .map(Request::to_string)
        .collect();
    let mut text = format!("{} rights, {} of them never used\n", rights.len(), unused.len());
    for line in unused {
        let _ = writeln!(text, "  unused   {line}");
    }
    let _ = writeln!(text, "{} kinds of request refused", refused.len());
    for line in refused {
        let _ = writeln!(text, "  refused  {line}");
    }
    text
}

/// The resource as rules and commands name it.
fn named(group: &str, resource: &str) -> String {
    if group.is_empty() {
        return resource.to_owned();
    }
    match resource.split_once('/') {
        Some((resource, subresource)) => format!("{resource}.{group}/{subresource}"),
        None => format!("{resource}.{group}"),
    }
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let resource = named(&self.group, &self.resource);
        write!(f, "{}: {} {resource}", self.account, self.verb)?;
        if let Some(namespace) = &self.namespace {
            write!(f, " in {namespace}")?;
        }
        if self.names.is_empty() {
            return Ok(());
        }
        write!(f, " named {}", self.names.join(", "))
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let resource = named(&self.group, &self.resource);
        write!(f, "{}: {} {resource}", self.account, self.verb)?;
        if self.namespace.is_empty() {
            return Ok(());
        }
        write!(f, " in {}", self.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ACCOUNT: &str = "system:serviceaccount:system:op";

    fn objects() -> Vec<Value> {
        let subjects = json!([{"kind": "ServiceAccount", "name": "op", "namespace": "system"}]);
        let reference =
            |kind: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "op"});
        vec![
            json!({"kind": "ClusterRole", "metadata": {"name": "op"}, "rules": [
                {"apiGroups": ["g"], "resources": ["things", "things/status"], "verbs": ["patch"]},
                {"nonResourceURLs": ["/x"], "verbs": ["get"]}]}),
            json!({"kind": "ClusterRole", "metadata": {"name": "nobodys"}, "rules": [
                {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]}),
            json!({"kind": "ClusterRoleBinding", "roleRef": reference("ClusterRole"), "subjects": subjects}),
            json!({"kind": "Role", "metadata": {"name": "op", "namespace": "system"}, "rules": [
                {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["key"], "verbs": ["get"]}]}),
            json!({"kind": "RoleBinding", "metadata": {"namespace": "system"}, "roleRef": reference("Role"), "subjects": subjects}),
        ]
    }

    fn event(verb: &str, object: &Value, decision: &str) -> Request {
        let event = json!({"user": {"username": ACCOUNT}, "verb": verb, "objectRef": object,
            "annotations": {"authorization.k8s.io/decision": decision}});
        request(&event).unwrap()
    }

    #[test]
    fn rights_are_those_of_bound_roles() {
        let rights: Vec<_> = rights(&objects()).iter().map(Right::to_string).collect();
        assert_eq!(
            rights,
            [
                format!("{ACCOUNT}: patch things.g"),
                format!("{ACCOUNT}: patch things.g/status"),
                format!("{ACCOUNT}: get secrets in system named key"),
            ]
        );
    }

    #[test]
    fn what_was_used_is_not_listed_and_what_was_refused_is() {
        let thing = json!({"apiGroup": "g", "resource": "things", "subresource": "status", "namespace": "a", "name": "t"});
        let key = json!({"resource": "secrets", "namespace": "system", "name": "key"});
        let elsewhere = json!({"resource": "secrets", "namespace": "a", "name": "key"});
        let requests = BTreeSet::from([
            event("patch", &thing, "allow"),
            event("get", &elsewhere, "forbid"),
        ]);
        let text = report(&rights(&objects()), &requests);
        assert_eq!(
            text,
            format!(
                "3 rights, 2 of them never used\n  unused   {ACCOUNT}: patch things.g\n  \
                 unused   {ACCOUNT}: get secrets in system named key\n1 kinds of request refused\n  \
                 refused  {ACCOUNT}: get secrets in a\n"
            )
        );
        let all = BTreeSet::from([event("get", &key, "allow")]);
        assert!(!report(&rights(&objects()), &all).contains("named key"));
    }

    #[test]
    fn the_manifests_give_both_programs_rights() {
        let rights = rights(&manifests().unwrap());
        let accounts: BTreeSet<_> = rights.iter().map(|right| right.account.as_str()).collect();
        assert_eq!(
            accounts.into_iter().collect::<Vec<_>>(),
            [
                "system:serviceaccount:kidp-broker-local:kidp-broker",
                "system:serviceaccount:kidp-system:kidp-operator",
            ]
        );
        let has =
            |verb: &str, resource: &str| rights.iter().any(|r| r.verb == verb && r.resource == resource);
        assert!(has("create", "serviceinstances") && has("bind", "clusterroles"));
        assert!(has("update", "validatingwebhookconfigurations"));
    }
}
