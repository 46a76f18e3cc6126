//! The namespaces of a team: made, put back where somebody changed them, and removed with it.
//!
//! # Guarantees
//! - A namespace is the team's if it was created for it; the label with the team's UID says so. One that exists
//!   already is never taken over.
//! - Nothing is written that does not differ, see `kidp_drift`.
//! - Removal goes from the outside in: not before the team's resources are gone; then who may do what, then quota and
//!   limits; then the namespace, if nothing of anybody else is in it. The network policies stay until it goes.
//!
//! # Caveats
//! - Secrets are not looked at: the operator may not read them. A Secret that matters stands beside a claim or a
//!   workload that is.

use k8s_openapi::api::core::v1::{LimitRange, Namespace, ResourceQuota};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kidp_core::conditions::Statement;
use kidp_core::crd::{Team, TeamNamespace};
use kidp_core::group::OPERATOR_FIELD_MANAGER;
use kidp_core::labels;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, PartialObjectMeta, Patch, PatchParams, PostParams,
    Preconditions,
};
use kube::core::{GroupVersionKind, NamespaceResourceScope};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::Value;

use super::objects::{self, Desired, MEMBERS, OWNERS, TEAM_OBJECT};
use crate::cache::Caches;
use crate::context::Context;
use crate::kube_io::{WriteError, timed};

/// Kinds that are looked for before a namespace is removed.
const KINDS: &[(&str, &str, &str)] = &[
    ("", "v1", "PersistentVolumeClaim"),
    ("", "v1", "Pod"),
    ("", "v1", "Service"),
    ("", "v1", "ConfigMap"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "StatefulSet"),
    ("apps", "v1", "DaemonSet"),
    ("batch", "v1", "Job"),
    ("batch", "v1", "CronJob"),
    ("broker.platform.company.com", "v1alpha1", "ServiceInstance"),
];
/// What Kubernetes itself puts into every namespace.
const OF_KUBERNETES: &[&str] = &["ConfigMap/kube-root-ca.crt"];
/// How many of what is left are named.
const NAMED: usize = 5;

/// What keeps a team from having, or from losing, its namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It passes by itself, or when somebody removes what is named.
    Waiting(Statement),
    /// It does not pass.
    Refused(Statement),
}

/// What is held of the team's and what keeps the rest.
pub type Findings = Vec<Finding>;

fn say(reason: &'static str, message: String) -> Finding {
    Finding::Waiting(Statement::new(reason, message))
}

/// Brings the namespaces of a team to what its spec says.
pub async fn bring(team: &Team, ctx: &Context) -> Result<Findings, WriteError> {
    let mut findings = Vec::new();
    for wanted in &team.spec.namespaces {
        if let Some(finding) = hold(team, wanted, &ctx.client).await? {
            findings.push(finding);
            continue;
        }
        for object in objects::of_namespace(team, wanted).map_err(|e| unserialisable(&e))? {
            put(&ctx.client, &object).await?;
        }
        if team.spec.members.is_empty() {
            unbind(&ctx.client, &wanted.name, MEMBERS).await?;
        }
    }
    for object in objects::of_home(team).map_err(|e| unserialisable(&e))? {
        put(&ctx.client, &object).await?;
    }
    let uid = team.uid().unwrap_or_default();
    for held in ctx.caches.namespaces_of(&uid) {
        if !team.spec.namespaces.iter().any(|n| n.name == held.name_any()) {
            findings.extend(retire(&held, ctx).await?);
        }
    }
    Ok(findings)
}

/// Takes the team's namespaces down; empty when all are gone.
pub async fn take_down(team: &Team, ctx: &Context) -> Result<Findings, WriteError> {
    let left = resources_of(team, &ctx.caches);
    if !left.is_empty() {
        let message = format!("the team still has {}: remove them first", listed(&left));
        return Ok(vec![say("ResourcesRemain", message)]);
    }
    let uid = labels::value(&team.uid().unwrap_or_default());
    // Not from the cache: what was made a moment ago counts.
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    let params = ListParams::default().labels(&format!("{}={uid}", labels::TEAM_UID));
    let mut findings = Vec::new();
    for held in timed(api.list_metadata(&params)).await?.items {
        findings.extend(retire(&held, ctx).await?);
    }
    Ok(findings)
}

/// What belongs to the team, as `Kind namespace/name`.
fn resources_of(team: &Team, caches: &Caches) -> Vec<String> {
    let mut owned = super::resources_of_team(team, caches)
        .iter()
        .map(|resource| resource.key().to_string())
        .collect::<Vec<_>>();
    let (namespace, name) = (crate::cache::namespace_of(team), team.name_any());
    let applications = caches.applications_of_team(&namespace, &name);
    owned.extend(applications.iter().map(|app| {
        format!(
            "Application {}/{}",
            crate::cache::namespace_of(app.as_ref()),
            app.name_any()
        )
    }));
    owned.sort();
    owned
}

/// Makes the namespace, or says why it is not the team's.
async fn hold(team: &Team, wanted: &TeamNamespace, client: &Client) -> Result<Option<Finding>, WriteError> {
    let api: Api<Namespace> = Api::all(client.clone());
    if let Some(live) = timed(api.get_metadata_opt(&wanted.name)).await? {
        return Ok(judge(team, &live));
    }
    let params = PostParams {
        field_manager: Some(OPERATOR_FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    // Created, not applied: somebody else's that comes up meanwhile is a conflict.
    timed(api.create(&params, &objects::namespace(team, wanted))).await?;
    tracing::info!(namespace = %wanted.name, team = %team.name_any(), "namespace made");
    Ok(None)
}

/// Whether an existing namespace is the team's; pure.
fn judge(team: &Team, live: &PartialObjectMeta<Namespace>) -> Option<Finding> {
    let name = live.name_any();
    let uid = labels::value(&team.uid().unwrap_or_default());
    if live.labels().get(labels::TEAM_UID) != Some(&uid) {
        let message = format!(
            "spec.namespaces: namespace `{name}` exists and was not made for this team; it is not taken over"
        );
        return Some(Finding::Refused(Statement::new("NamespaceTaken", message)));
    }
    live.metadata.deletion_timestamp.is_some().then(|| {
        say(
            "NamespaceTerminating",
            format!("namespace `{name}` is being removed, and is made anew after that"),
        )
    })
}

/// Makes an object what it should be, if it is not.
async fn put(client: &Client, object: &Desired) -> Result<(), WriteError> {
    let api = dynamic(client, &object.resource, object.namespace());
    let mut body = object.json.clone();
    if let Some(live) = timed(api.get_opt(object.name())).await? {
        let live_json = serde_json::to_value(&live).unwrap_or_default();
        let changes = kidp_drift::diff(&object.json, &live_json);
        if changes.is_empty() {
            return Ok(());
        }
        for change in &changes {
            tracing::info!(%change, namespace = object.namespace(), "put back");
        }
        if changes.iter().any(|change| change.path.starts_with("roleRef")) {
            // What a binding refers to cannot be changed.
            delete(
                &api,
                &live.metadata.name.clone().unwrap_or_default(),
                &live.metadata,
            )
            .await?;
        } else if let Some(uid) = live.metadata.uid {
            body["metadata"]["uid"] = Value::from(uid);
        }
    }
    let params = PatchParams::apply(OPERATOR_FIELD_MANAGER).force();
    timed(api.patch(object.name(), &params, &Patch::Apply(&body))).await?;
    Ok(())
}

/// Removes a binding that is there, and asks for nothing where there is none.
async fn unbind(client: &Client, namespace: &str, name: &str) -> Result<(), WriteError> {
    let api: Api<RoleBinding> = Api::namespaced(client.clone(), namespace);
    match timed(api.get_metadata_opt(name)).await? {
        Some(live) => delete(&api, name, &live.metadata).await,
        None => Ok(()),
    }
}

/// Takes one namespace down as far as it goes.
async fn retire(held: &PartialObjectMeta<Namespace>, ctx: &Context) -> Result<Option<Finding>, WriteError> {
    let name = held.name_any();
    if held.metadata.deletion_timestamp.is_some() {
        return Ok(Some(say(
            "NamespaceTerminating",
            format!("namespace `{name}` is on its way out"),
        )));
    }
    let inside = ctx.caches.resources(|resource| resource.key().namespace == name);
    if !inside.is_empty() {
        let inside: Vec<_> = inside.iter().map(|resource| resource.key().to_string()).collect();
        let message = format!(
            "namespace `{name}` still has {}: remove them first",
            listed(&inside)
        );
        return Ok(Some(say("ResourcesRemain", message)));
    }
    for binding in [OWNERS, MEMBERS] {
        delete_if_there::<RoleBinding>(&ctx.client, &name, binding).await?;
    }
    let left = left_in(&ctx.client, &name).await?;
    if !left.is_empty() {
        let message = format!("namespace `{name}` is kept, since it holds {}", listed(&left));
        return Ok(Some(say("NamespaceNotEmpty", message)));
    }
    delete_if_there::<ResourceQuota>(&ctx.client, &name, TEAM_OBJECT).await?;
    delete_if_there::<LimitRange>(&ctx.client, &name, TEAM_OBJECT).await?;
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    delete(&api, &name, &held.metadata).await?;
    tracing::info!(namespace = %name, "namespace removed");
    Ok(Some(say(
        "NamespaceTerminating",
        format!("namespace `{name}` is on its way out"),
    )))
}

/// What is in a namespace that is not of Kubernetes or of this module; a few of each kind.
async fn left_in(client: &Client, namespace: &str) -> Result<Vec<String>, WriteError> {
    let mut left = Vec::new();
    for (group, version, kind) in KINDS {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api = dynamic(client, &resource, namespace);
        let params = ListParams::default().limit(20);
        let found = match timed(api.list_metadata(&params)).await {
            // There is no broker in this cluster.
            Err(WriteError::Gone) => continue,
            found => found?,
        };
        let names = found
            .items
            .iter()
            .map(|object| format!("{kind}/{}", object.name_any()));
        left.extend(names.filter(|name| !OF_KUBERNETES.contains(&name.as_str())));
    }
    Ok(left)
}

/// The first few, and how many more there are.
fn listed(all: &[String]) -> String {
    let named = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn dynamic(client: &Client, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
    if namespace.is_empty() {
        Api::all_with(client.clone(), resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, resource)
    }
}

async fn delete_if_there<K>(client: &Client, namespace: &str, name: &str) -> Result<(), WriteError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    match timed(api.delete(name, &DeleteParams::default())).await {
        Ok(_) | Err(WriteError::Gone) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes exactly what was read.
async fn delete<K>(
    api: &Api<K>,
    name: &str,
    seen: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
) -> Result<(), WriteError>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let params = DeleteParams::default().preconditions(Preconditions {
        uid: seen.uid.clone(),
        resource_version: seen.resource_version.clone(),
    });
    match timed(api.delete(name, &params)).await {
        Ok(_) | Err(WriteError::Gone) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A rendering that is no JSON; it cannot come about with the types that are used.
fn unserialisable(error: &serde_json::Error) -> WriteError {
    WriteError::Unserialisable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;
    use serde_json::json;

    fn team() -> Team {
        object(
            "Team",
            "payments",
            &json!({"displayName": "P", "owners": ["ada"]}),
        )
    }

    fn live(uid: Option<&str>, deleting: bool) -> PartialObjectMeta<Namespace> {
        let labels = uid.map(|uid| json!({labels::TEAM_UID: uid}));
        let deleted = deleting.then_some("2026-01-01T00:00:00Z");
        serde_json::from_value(
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": "prod", "labels": labels, "deletionTimestamp": deleted}}),
        )
        .unwrap()
    }

    #[test]
    fn only_a_namespace_that_was_made_for_the_team_is_its() {
        assert_eq!(judge(&team(), &live(Some("uid-payments"), false)), None);
        for foreign in [None, Some("uid-other"), Some("")] {
            let finding = judge(&team(), &live(foreign, false));
            let Some(Finding::Refused(say)) = finding else {
                panic!("{foreign:?}: {finding:?}");
            };
            assert!(
                say.reason == "NamespaceTaken" && say.message.contains("spec.namespaces: namespace `prod`")
            );
        }
        let going = judge(&team(), &live(Some("uid-payments"), true));
        assert!(matches!(going, Some(Finding::Waiting(say)) if say.reason == "NamespaceTerminating"));
    }

    #[test]
    fn what_is_left_is_named_up_to_a_bound() {
        let all: Vec<_> = (0..7).map(|n| format!("Pod/{n}")).collect();
        assert_eq!(listed(&all), "Pod/0, Pod/1, Pod/2, Pod/3, Pod/4 and 2 more");
        assert_eq!(listed(&all[..1]), "Pod/0");
    }
}
