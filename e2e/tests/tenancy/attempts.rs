//! The table of attempts: who, how, at what, with which body, and the HTTP status that has to come of it.
//!
//! `{me}` and `{other}` are two teams, `{mine}` and `{theirs}` their namespaces, `{home}` the namespace of the `Team`s.

use kube::Client;
use serde_json::{Value, json};

use super::{HOME, of_team, space};

const OWNER: &str = "{me}-owner";
const MEMBER: &str = "{me}-member";
const STRANGER: &str = "stranger";

const KIDP: &str = "platform.company.com/v1";
const BROKER: &str = "broker.platform.company.com/v1alpha1";
const RBAC: &str = "rbac.authorization.k8s.io/v1";
const NET: &str = "networking.k8s.io/v1";
const CORE: &str = "v1";

/// Who, verb, group, path below it, body, status.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    u16,
);

const SIZE: &str = r#"{"spec": {"size": "medium"}}"#;

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // What is theirs to do.
    (OWNER, "list", KIDP, "namespaces/{mine}/databases", "", 200),
    (OWNER, "create", KIDP, "namespaces/{mine}/databases", "database", 201),
    (OWNER, "patch", KIDP, "namespaces/{mine}/databases/orders", SIZE, 200),
    (OWNER, "delete", KIDP, "namespaces/{mine}/databases/orders", "", 200),
    (OWNER, "get", CORE, "namespaces/{mine}/secrets/orders-connection", "", 200),
    (OWNER, "get", KIDP, "namespaces/{home}/teams/{me}", "", 200),
    (MEMBER, "list", KIDP, "namespaces/{mine}/databases", "", 200),
    (MEMBER, "get", KIDP, "namespaces/{home}/teams/{me}", "", 200),
    (MEMBER, "list", CORE, "namespaces/{mine}/pods", "", 200),
    // What members may not.
    (MEMBER, "create", KIDP, "namespaces/{mine}/databases", "database", 403),
    (MEMBER, "delete", KIDP, "namespaces/{mine}/databases/orders", "", 403),
    (MEMBER, "get", CORE, "namespaces/{mine}/secrets/orders-connection", "", 403),
    // To see what is another team's.
    (OWNER, "list", KIDP, "namespaces/{theirs}/databases", "", 403),
    (OWNER, "get", KIDP, "namespaces/{theirs}/databases/orders", "", 403),
    (OWNER, "get", KIDP, "namespaces/{theirs}/databases/orders/status", "", 403),
    (OWNER, "watch", KIDP, "namespaces/{theirs}/databases?watch=1&timeoutSeconds=1", "", 403),
    (OWNER, "list", KIDP, "databases", "", 403),
    (OWNER, "list", KIDP, "namespaces/{theirs}/applications", "", 403),
    (OWNER, "list", CORE, "namespaces/{theirs}/secrets", "", 403),
    (OWNER, "get", CORE, "namespaces/{theirs}/secrets/orders-connection", "", 403),
    (OWNER, "list", CORE, "namespaces/{theirs}/pods", "", 403),
    (OWNER, "list", CORE, "namespaces/{theirs}/services", "", 403),
    (OWNER, "list", CORE, "namespaces/{theirs}/configmaps", "", 403),
    (OWNER, "list", BROKER, "namespaces/{theirs}/serviceinstances", "", 403),
    (OWNER, "get", CORE, "namespaces/{theirs}", "", 403),
    (OWNER, "list", CORE, "namespaces", "", 403),
    (OWNER, "get", KIDP, "namespaces/{home}/teams/{other}", "", 403),
    (OWNER, "list", KIDP, "namespaces/{home}/teams", "", 403),
    (MEMBER, "list", KIDP, "namespaces/{theirs}/databases", "", 403),
    // To change it.
    (OWNER, "create", KIDP, "namespaces/{theirs}/databases", "database", 403),
    (OWNER, "patch", KIDP, "namespaces/{theirs}/databases/orders", SIZE, 403),
    (OWNER, "delete", KIDP, "namespaces/{theirs}/databases/orders", "", 403),
    (OWNER, "create", CORE, "namespaces/{theirs}/pods", "pod", 403),
    (OWNER, "create", CORE, "namespaces/{theirs}/pods/x/exec", "", 403),
    (OWNER, "patch", KIDP, "namespaces/{home}/teams/{other}", r#"{"spec": {"members": ["{me}-owner"]}}"#, 403),
    // To bind to it.
    (OWNER, "create", BROKER, "namespaces/{theirs}/servicebindings", "binding", 403),
    (OWNER, "create", BROKER, "namespaces/{mine}/servicebindings", "binding", 403),
    (OWNER, "list", BROKER, "namespaces/{theirs}/servicebindings", "", 403),
    // To get rights that one was not given, in one's own place or another's.
    (OWNER, "create", RBAC, "namespaces/{mine}/rolebindings", "seize", 403),
    (OWNER, "create", RBAC, "namespaces/{theirs}/rolebindings", "seize", 403),
    (OWNER, "patch", RBAC, "namespaces/{mine}/rolebindings/kidp-team-owners", r#"{"subjects": []}"#, 403),
    (OWNER, "patch", KIDP, "namespaces/{home}/teams/{me}", r#"{"spec": {"quotas": {"maxDatabases": 99}}}"#, 403),
    (OWNER, "create", KIDP, "namespaces/{home}/teams", "team", 403),
    (OWNER, "patch", KIDP, "namespaces/{mine}/databases/orders/status", r#"{"status": {"phase": "Ready"}}"#, 403),
    // To take down what bounds it.
    (OWNER, "list", CORE, "namespaces/{mine}/secrets", "", 403),
    (OWNER, "delete", NET, "namespaces/{mine}/networkpolicies/kidp-default-deny", "", 403),
    (OWNER, "patch", CORE, "namespaces/{mine}/resourcequotas/kidp-team", r#"{"spec": {"hard": {"pods": "9999"}}}"#, 403),
    (OWNER, "delete", CORE, "namespaces/{mine}/limitranges/kidp-team", "", 403),
    (OWNER, "patch", CORE, "namespaces/{mine}",
        r#"{"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}"#, 403),
    (OWNER, "delete", CORE, "namespaces/{mine}", "", 403),
    (STRANGER, "list", KIDP, "namespaces/{mine}/databases", "", 403),
    (STRANGER, "get", KIDP, "namespaces/{home}/teams/{me}", "", 403),
];

/// One request in the name of somebody.
pub struct Attempt {
    who: String,
    verb: &'static str,
    path: String,
    body: Value,
    expected: u16,
}

impl Attempt {
    /// To list the databases of a namespace, which is to be refused.
    pub fn to_list(who: &str, namespace: &str) -> Self {
        Self {
            who: who.to_owned(),
            verb: "list",
            path: format!("/apis/{KIDP}/namespaces/{namespace}/databases"),
            body: Value::Null,
            expected: 403,
        }
    }

    /// Makes the request, and gives the status. Every one but for reads is a dry run: an attempt that succeeds against
    /// expectation breaks nothing for the next one.
    pub async fn made(&self, client: &Client) -> u16 {
        let (method, kind) = match self.verb {
            "create" => ("POST", "application/json"),
            "patch" => ("PATCH", "application/merge-patch+json"),
            "delete" => ("DELETE", "application/json"),
            _ => ("GET", "application/json"),
        };
        let dry = if method == "GET" { "" } else { "?dryRun=All" };
        let body = match &self.body {
            Value::Null => Vec::new(),
            body => serde_json::to_vec(body).unwrap(),
        };
        let request = axum::http::Request::builder()
            .method(method)
            .uri(format!("{}{dry}", self.path))
            .header("content-type", kind)
            .header("impersonate-user", &self.who)
            .body(kube::client::Body::from(body))
            .unwrap();
        client.send(request).await.unwrap().status().as_u16()
    }
}

fn body(name: &str, me: &str) -> Value {
    let owner = format!("{me}-owner");
    match name {
        "" => Value::Null,
        "database" => of_team("new", me),
        "pod" => json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"},
            "spec": {"containers": [{"name": "x", "image": "x"}]}}),
        "binding" => json!({"apiVersion": BROKER, "kind": "ServiceBinding", "metadata": {"name": "b"},
            "spec": {"deploymentId": "deploy-0", "bindingId": "b", "username": "u"}}),
        "seize" => json!({"apiVersion": RBAC, "kind": "RoleBinding", "metadata": {"name": "seize"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": owner}]}),
        "team" => json!({"apiVersion": KIDP, "kind": "Team", "metadata": {"name": "own"},
            "spec": {"displayName": "x", "owners": [owner]}}),
        json => serde_json::from_str(&json.replace("{me}", me)).unwrap(),
    }
}

/// Every row for people of `me`, `other` being another team.
fn attempts(me: &str, other: &str) -> Vec<Attempt> {
    let filled = |text: &str| {
        text.replace("{me}", me)
            .replace("{other}", other)
            .replace("{mine}", &space(me))
            .replace("{theirs}", &space(other))
            .replace("{home}", HOME)
    };
    let rows = ROWS.iter().map(|(who, verb, group, path, wanted, expected)| {
        let root = if *group == CORE { "/api" } else { "/apis" };
        Attempt {
            who: filled(who),
            verb,
            path: format!("{root}/{group}/{}", filled(path)),
            body: body(wanted, me),
            expected: *expected,
        }
    });
    rows.collect()
}

/// Makes every attempt in both directions, prints the table and gives the rows that came out otherwise.
pub async fn table(client: &Client, one: &str, other: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let all: Vec<_> = attempts(one, other)
        .into_iter()
        .chain(attempts(other, one))
        .collect();
    println!("{:<12} {:<7} {:<6} {:<6} what", "who", "verb", "answer", "expect");
    for row in &all {
        let answer = row.made(client).await;
        let line = format!(
            "{:<12} {:<7} {answer:<6} {:<6} {}",
            row.who, row.verb, row.expected, row.path
        );
        println!("{line}");
        if answer != row.expected {
            wrong.push(line);
        }
    }
    println!("{} attempts, {} not as expected", all.len(), wrong.len());
    wrong
}
