//! What a team's namespace consists of: a pure function of the team.
//!
//! | object | for |
//! |---|---|
//! | `Namespace` | the labels say whose it is, and which Pod Security level is enforced |
//! | `ResourceQuota`, `LimitRange` | one team does not take what all share |
//! | `NetworkPolicy` | nothing in or out but DNS and the namespace itself |
//! | `RoleBinding` | owners and members, to the `ClusterRole`s that are shipped |
//!
//! Network policies add up, so none here may let anybody at the pods of an instance: those have their own, which admits
//! labelled clients only.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    LimitRange, LimitRangeItem, LimitRangeSpec, Namespace, ResourceQuota, ResourceQuotaSpec,
};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kidp_core::crd::{Team, TeamNamespace};
use kidp_core::labels::{self, Labels};
use kidp_core::names::short_hash;
use kube::api::{ApiResource, ObjectMeta};
use kube::core::{ClusterResourceScope, NamespaceResourceScope};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde_json::Value;

use crate::cache::namespace_of;

/// `ClusterRole` of owners in their namespaces.
pub const OWNER_ROLE: &str = "kidp-team-owner";
/// `ClusterRole` of members in their namespaces.
pub const MEMBER_ROLE: &str = "kidp-team-member";
/// Name of the quota and of the limits.
pub const TEAM_OBJECT: &str = "kidp-team";
/// Binding of the owners.
pub const OWNERS: &str = "kidp-team-owners";
/// Binding of the members.
pub const MEMBERS: &str = "kidp-team-members";

/// Label of the pods that CloudNativePG runs.
const CLOUDNATIVE_PG: &str = "cnpg.io/cluster";

/// Quota of a namespace that says nothing of its own. Load balancers and node ports would lead around the policies.
const QUOTA: &[(&str, &str)] = &[
    ("requests.cpu", "32"),
    ("requests.memory", "128Gi"),
    ("requests.storage", "1Ti"),
    ("persistentvolumeclaims", "100"),
    ("pods", "200"),
    ("services.loadbalancers", "0"),
    ("services.nodeports", "0"),
];
const DEFAULT_LIMITS: &[(&str, &str)] = &[("memory", "512Mi")];
const DEFAULT_REQUESTS: &[(&str, &str)] = &[("cpu", "100m"), ("memory", "128Mi")];

/// An object to be there.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Its kind.
    pub resource: ApiResource,
    /// The object, whole.
    pub json: Value,
}

impl Desired {
    fn new<K, S>(object: &K) -> Result<Self, serde_json::Error>
    where
        K: Resource<DynamicType = (), Scope = S> + Serialize,
    {
        Ok(Self {
            resource: ApiResource::erase::<K>(&()),
            json: serde_json::to_value(object)?,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.json["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Its namespace; empty for a `Namespace`.
    pub fn namespace(&self) -> &str {
        self.json["metadata"]["namespace"].as_str().unwrap_or_default()
    }
}

/// Labels of everything that is made for a team.
fn team_labels(team: &Team) -> Labels {
    let mut set = labels::labels([
        (labels::PART_OF, labels::MANAGED_BY),
        (labels::MANAGED_BY_KEY, labels::MANAGED_BY),
        (labels::TEAM, &labels::value(&team.name_any())),
        (labels::TEAM_NAMESPACE, &labels::value(&namespace_of(team))),
        (labels::TEAM_UID, &labels::value(&team.uid().unwrap_or_default())),
    ]);
    if let Some(tenant) = &team.spec.tenant_ref {
        set.insert(labels::TENANT.to_owned(), labels::value(&tenant.name));
    }
    set
}

/// The `Namespace` itself.
pub fn namespace(team: &Team, wanted: &TeamNamespace) -> Namespace {
    let level = wanted.pod_security.as_str();
    let mut labels = team_labels(team);
    labels.extend(labels::labels([
        ("pod-security.kubernetes.io/enforce", level),
        ("pod-security.kubernetes.io/enforce-version", "latest"),
        ("pod-security.kubernetes.io/warn", level),
    ]));
    Namespace {
        metadata: ObjectMeta {
            name: Some(wanted.name.clone()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

/// Everything of one namespace, in the order in which it is made: who may do what comes last, when all that bounds it
/// is there.
pub fn of_namespace(team: &Team, wanted: &TeamNamespace) -> Result<Vec<Desired>, serde_json::Error> {
    let meta = |name: &str| ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(wanted.name.clone()),
        labels: Some(team_labels(team)),
        ..ObjectMeta::default()
    };
    let mut all = vec![
        Desired::new::<_, ClusterResourceScope>(&namespace(team, wanted))?,
        Desired::new::<_, NamespaceResourceScope>(&quota(meta(TEAM_OBJECT), wanted))?,
        Desired::new::<_, NamespaceResourceScope>(&limits(meta(TEAM_OBJECT), wanted))?,
    ];
    for policy in policies(&meta) {
        all.push(Desired::new(&policy)?);
    }
    for (name, role, people) in [
        (OWNERS, OWNER_ROLE, &team.spec.owners),
        (MEMBERS, MEMBER_ROLE, &team.spec.members),
    ] {
        if people.is_empty() {
            // A binding of nobody is not told from one that says nothing of its subjects; there is none then.
            continue;
        }
        let binding = binding(meta(name), ("ClusterRole", role), people);
        all.push(Desired::new(&binding)?);
    }
    Ok(all)
}

/// The right to see one's own team, in the namespace where it is. Both objects go with the `Team`.
pub fn of_home(team: &Team) -> Result<Vec<Desired>, serde_json::Error> {
    let name = home_name(&team.name_any());
    let meta = ObjectMeta {
        name: Some(name.clone()),
        namespace: Some(namespace_of(team)),
        labels: Some(team_labels(team)),
        owner_references: team.owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    };
    let role = Role {
        metadata: meta.clone(),
        rules: Some(vec![PolicyRule {
            api_groups: Some(vec![kidp_core::group::GROUP.to_owned()]),
            resources: Some(vec!["teams".to_owned()]),
            resource_names: Some(vec![team.name_any()]),
            verbs: vec!["get".to_owned()],
            ..PolicyRule::default()
        }]),
    };
    let people: Vec<_> = team
        .spec
        .owners
        .iter()
        .chain(&team.spec.members)
        .cloned()
        .collect();
    let binding = binding(meta, ("Role", &name), &people);
    Ok(vec![Desired::new(&role)?, Desired::new(&binding)?])
}

/// Name of the objects of [`of_home`].
pub fn home_name(team: &str) -> String {
    if team.len() <= 200 {
        return format!("kidp-team-{team}");
    }
    format!("kidp-team-{}", short_hash(&[team], 16))
}

fn quantities(
    defaults: &[(&str, &str)],
    own: Option<&BTreeMap<String, String>>,
) -> BTreeMap<String, Quantity> {
    let defaults = defaults
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let own = own
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.clone()));
    defaults
        .chain(own)
        .map(|(key, value)| (key, Quantity(value)))
        .collect()
}

fn quota(metadata: ObjectMeta, wanted: &TeamNamespace) -> ResourceQuota {
    ResourceQuota {
        metadata,
        spec: Some(ResourceQuotaSpec {
            hard: Some(quantities(QUOTA, Some(&wanted.quota))),
            ..ResourceQuotaSpec::default()
        }),
        ..ResourceQuota::default()
    }
}

fn limits(metadata: ObjectMeta, wanted: &TeamNamespace) -> LimitRange {
    let own = wanted.limits.as_ref();
    LimitRange {
        metadata,
        spec: Some(LimitRangeSpec {
            limits: vec![LimitRangeItem {
                type_: "Container".to_owned(),
                default: Some(quantities(DEFAULT_LIMITS, own.map(|l| &l.default))),
                default_request: Some(quantities(DEFAULT_REQUESTS, own.map(|l| &l.default_request))),
                ..LimitRangeItem::default()
            }],
        }),
    }
}

fn binding(metadata: ObjectMeta, (kind, role): (&str, &str), people: &[String]) -> RoleBinding {
    let group = "rbac.authorization.k8s.io";
    let mut people: Vec<_> = people.iter().collect();
    people.sort_unstable();
    people.dedup();
    let subject = |name: &String| Subject {
        api_group: Some(group.to_owned()),
        kind: "User".to_owned(),
        name: name.clone(),
        namespace: None,
    };
    RoleBinding {
        metadata,
        role_ref: RoleRef {
            api_group: Some(group.to_owned()),
            kind: kind.to_owned(),
            name: role.to_owned(),
        },
        subjects: Some(people.into_iter().map(subject).collect()),
    }
}

fn policies(meta: &impl Fn(&str) -> ObjectMeta) -> [NetworkPolicy; 4] {
    let policy = |name: &str, spec: NetworkPolicySpec| NetworkPolicy {
        metadata: meta(name),
        spec: Some(spec),
    };
    let deny = NetworkPolicySpec {
        pod_selector: Some(LabelSelector::default()),
        policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
        ..NetworkPolicySpec::default()
    };
    // Members of an instance reach each other this way: what comes in is bounded by the instance's own policy.
    let mut out = egress(LabelSelector::default(), &[("UDP", 53), ("TCP", 53)]);
    out.egress.get_or_insert_default().push(NetworkPolicyEgressRule {
        to: Some(vec![everybody_here()]),
        ports: None,
    });
    let inside = NetworkPolicySpec {
        pod_selector: Some(expressions(&[
            (labels::DEPLOYMENT_ID, "DoesNotExist"),
            (CLOUDNATIVE_PG, "DoesNotExist"),
        ])),
        policy_types: Some(vec!["Ingress".to_owned()]),
        ingress: Some(vec![NetworkPolicyIngressRule {
            from: Some(vec![everybody_here()]),
            ports: None,
        }]),
        ..NetworkPolicySpec::default()
    };
    // The manager in each member asks the API server about its own `Cluster`.
    let manager = egress(
        expressions(&[(CLOUDNATIVE_PG, "Exists")]),
        &[("TCP", 443), ("TCP", 6443)],
    );
    [
        policy("kidp-default-deny", deny),
        policy("kidp-allow-egress", out),
        policy("kidp-allow-ingress", inside),
        policy("kidp-allow-cloudnative-pg", manager),
    ]
}

fn everybody_here() -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(LabelSelector::default()),
        ..NetworkPolicyPeer::default()
    }
}

fn egress(pods: LabelSelector, ports: &[(&str, i32)]) -> NetworkPolicySpec {
    let port = |(protocol, number): &(&str, i32)| NetworkPolicyPort {
        protocol: Some((*protocol).to_owned()),
        port: Some(IntOrString::Int(*number)),
        ..NetworkPolicyPort::default()
    };
    NetworkPolicySpec {
        pod_selector: Some(pods),
        policy_types: Some(vec!["Egress".to_owned()]),
        egress: Some(vec![NetworkPolicyEgressRule {
            to: None,
            ports: Some(ports.iter().map(port).collect()),
        }]),
        ..NetworkPolicySpec::default()
    }
}

fn expressions(all: &[(&str, &str)]) -> LabelSelector {
    let requirement = |(key, operator): &(&str, &str)| LabelSelectorRequirement {
        key: (*key).to_owned(),
        operator: (*operator).to_owned(),
        values: None,
    };
    LabelSelector {
        match_expressions: Some(all.iter().map(requirement).collect()),
        ..LabelSelector::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;
    use serde_json::json;

    fn team(spec: &Value) -> Team {
        object("Team", "payments", spec)
    }

    fn sample() -> Team {
        team(&json!({
            "displayName": "Payments", "owners": ["ada"], "members": ["bob", "ada"], "tenantRef": {"name": "acme"},
            "namespaces": [{"name": "payments-prod", "quota": {"pods": "20", "requests.cpu": "8"},
                "limits": {"default": {"memory": "1Gi"}}}],
        }))
    }

    fn rendered(team: &Team) -> Vec<Desired> {
        of_namespace(team, &team.spec.namespaces[0]).unwrap()
    }

    #[test]
    fn a_namespace_is_made_of_these() {
        let team = sample();
        let all: Vec<_> = rendered(&team)
            .into_iter()
            .chain(of_home(&team).unwrap())
            .map(|d| d.json)
            .collect();
        insta::assert_yaml_snapshot!(all);
    }

    #[test]
    fn no_policy_lets_anybody_at_an_instance() {
        for object in rendered(&sample()) {
            if object.json["kind"] != "NetworkPolicy" || object.json["spec"].get("ingress").is_none() {
                continue;
            }
            let excluded = &object.json["spec"]["podSelector"]["matchExpressions"];
            assert!(
                excluded
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|e| e["key"] == labels::DEPLOYMENT_ID && e["operator"] == "DoesNotExist"),
                "{}",
                object.name()
            );
        }
    }

    #[test]
    fn everything_says_whose_it_is_and_stays_within_the_namespace() {
        let team = sample();
        for object in rendered(&team) {
            assert_eq!(
                object.json["metadata"]["labels"][labels::TEAM_UID],
                "uid-payments"
            );
            let is_namespace = object.json["kind"] == "Namespace";
            assert_eq!(
                object.namespace(),
                if is_namespace { "" } else { "payments-prod" }
            );
        }
    }

    #[test]
    fn rights_come_after_the_bounds() {
        let kinds: Vec<_> = rendered(&sample())
            .iter()
            .map(|o| o.resource.kind.clone())
            .collect();
        let first = kinds.iter().position(|k| k == "RoleBinding").unwrap();
        assert_eq!(kinds[0], "Namespace");
        assert!(kinds[first..].iter().all(|k| k == "RoleBinding"), "{kinds:?}");
    }

    #[test]
    fn nobody_is_bound_by_no_binding() {
        let mut team = sample();
        team.spec.members.clear();
        assert!(rendered(&team).iter().all(|object| object.name() != MEMBERS));
    }

    #[test]
    fn long_names_of_teams_stay_apart() {
        let [a, b] = ["a", "b"].map(|end| home_name(&format!("{}{end}", "x".repeat(240))));
        assert!(a != b && a.len() < 63);
    }
}
