//! `Team`: the people who own resources, what they may use and who pays.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LocalRef, TeamNamespace};
use crate::instance::DriftSpec;

/// Desired state of a team.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "platform.company.com",
    version = "v1",
    kind = "Team",
    plural = "teams",
    category = "kidp",
    namespaced,
    status = "TeamStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Display Name","type":"string","jsonPath":".spec.displayName"}"#,
    printcolumn = r#"{"name":"Tenant","type":"string","jsonPath":".spec.tenantRef.name"}"#,
    printcolumn = r#"{"name":"Databases","type":"integer","jsonPath":".status.databases"}"#,
    printcolumn = r#"{"name":"Caches","type":"integer","jsonPath":".status.caches"}"#,
    printcolumn = r#"{"name":"Queues","type":"integer","jsonPath":".status.messageQueues"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[x_kube(
    validation = Rule::new("!has(oldSelf.tenantRef) || (has(self.tenantRef) && self.tenantRef == oldSelf.tenantRef)")
        .message("tenantRef stays as it is once set: a team is not moved between tenants").field_path(".tenantRef")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TeamSpec {
    /// Name for people.
    #[schemars(length(min = 1, max = 200))]
    pub display_name: String,
    /// Members, by the user name the cluster knows them by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub members: Vec<String>,
    /// Members who may change what the team has; the team itself is changed by who runs the platform.
    #[schemars(length(min = 1, max = 50), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub owners: Vec<String>,
    /// The tenant it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_ref: Option<LocalRef>,
    /// Who pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub cost_center: Option<String>,
    /// Spending limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// Namespaces that are the team's alone: made, guarded and removed with it. With at least one, its resources live in
    /// these and in the namespace of the team itself, and nowhere else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub namespaces: Vec<TeamNamespace>,
    /// What is done about drift of its resources, where they do not say so themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = Rule::new("!has(self.rules) || self.rules.size() <= 32")
            .message("drift.rules can have at most 32 entries").field_path(".rules"),
        validation = Rule::new("!has(self.maintenanceWindow) || !self.maintenanceWindow.duration.matches('^[1-9][0-9]*[mh]$') || duration(self.maintenanceWindow.duration) <= duration('24h')")
            .message("drift.maintenanceWindow.duration can be at most 24h").field_path(".maintenanceWindow")
    )]
    pub drift: Option<DriftSpec>,
    /// Most objects of each kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quotas: Option<TeamQuotas>,
}

/// A spending limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Budget {
    /// Amount a month, in the platform's currency.
    #[schemars(range(min = 0))]
    pub monthly_limit: f64,
    /// Percentages of the limit at which the team is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(range(min = 1, max = 1000)))]
    pub alert_thresholds: Vec<u32>,
    /// ISO 4217 code of the limit; the price book's currency when absent. A limit in another currency is not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 3), regex(pattern = "^[A-Z]{3}$"))]
    pub currency: Option<String>,
}

/// Most objects of each kind; no limit where absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TeamQuotas {
    /// Applications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100_000))]
    pub max_applications: Option<u32>,
    /// Databases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100_000))]
    pub max_databases: Option<u32>,
    /// Services of any kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100_000))]
    pub max_services: Option<u32>,
    /// Caches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100_000))]
    pub max_caches: Option<u32>,
}

/// What a team's resources are expected to cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TeamCost {
    /// Amount a month of those whose cost is known, in `currency`.
    pub estimated_monthly: f64,
    /// ISO 4217 code.
    pub currency: String,
    /// Resources whose cost is not known, and is not in the amount.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unpriced: u32,
    /// Whole percent of the budget that the amount is; absent without a budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_used_percent: Option<u32>,
    /// Thresholds of the budget that it has reached: the team was told of each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerted_thresholds: Vec<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Observed state of a team.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TeamStatus {
    /// Databases owned, directly or through an application.
    pub databases: u32,
    /// Caches owned, directly or through an application.
    pub caches: u32,
    /// Message queues owned, directly or through an application.
    pub message_queues: u32,
    /// Applications owned.
    pub applications: u32,
    /// What they are expected to cost together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<TeamCost>,
    /// Ready, Reconciling and Stalled, as kstatus reads them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}
