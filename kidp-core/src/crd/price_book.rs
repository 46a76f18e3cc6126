//! `PriceBook`: what a platform team charges.
//!
//! A change of price is a further rate with a later `effectiveFrom`: a rate that is there cannot be changed, so that what
//! was charged stays what it was. One that was wrong is replaced by one of another name.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::instance::{Engine, ResourceType};
use crate::size::Size;

/// Prices, in one currency.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "platform.company.com",
    version = "v1",
    kind = "PriceBook",
    plural = "pricebooks",
    category = "kidp",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Currency","type":"string","jsonPath":".spec.currency"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PriceBookSpec {
    /// ISO 4217 code of the currency of every price. Fixed at creation.
    #[schemars(length(min = 3, max = 3))]
    #[x_kube(
        validation = Rule::new("self.matches('^[A-Z]{3}$')").message("currency must be an ISO 4217 code, such as EUR"),
        validation = Rule::new("self == oldSelf").message("currency is fixed at creation: make another PriceBook")
    )]
    pub currency: String,
    /// Prices by what they are for. Of those that match, the one with the most fields in `match` is taken, and of its
    /// versions the one that took effect last.
    #[schemars(length(min = 1, max = 200), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub rates: Vec<Rate>,
}

/// Prices of what matches.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("self == oldSelf")
        .message("a rate is fixed once it is there: add another with a later effectiveFrom"),
    validation = Rule::new("has(self.cpuHour) == has(self.memoryGiBHour)")
        .message("cpuHour and memoryGiBHour go together"),
    validation = Rule::new("!(has(self.instanceHour) && has(self.cpuHour))")
        .message("instanceHour excludes cpuHour and memoryGiBHour"),
    validation = Rule::new("has(self.instanceHour) || has(self.cpuHour) || has(self.storageGiBMonth) || has(self.backupGiBMonth)")
        .message("a rate needs a price")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rate {
    /// Its name, for reports.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    )]
    pub name: String,
    /// What it is for; everything when empty.
    #[serde(default, rename = "match")]
    pub matches: RateMatch,
    /// When it takes effect; it always was when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_from: Option<Time>,
    /// A member for an hour, its CPU and memory included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 19), regex(pattern = "^[0-9]{1,9}([.][0-9]{1,9})?$"))]
    pub instance_hour: Option<String>,
    /// A CPU core of a member for an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 19), regex(pattern = "^[0-9]{1,9}([.][0-9]{1,9})?$"))]
    pub cpu_hour: Option<String>,
    /// A GiB of a member's memory for an hour.
    #[serde(default, rename = "memoryGiBHour", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 19), regex(pattern = "^[0-9]{1,9}([.][0-9]{1,9})?$"))]
    pub memory_gib_hour: Option<String>,
    /// A GiB of a member's volume for a month of 730 hours.
    #[serde(default, rename = "storageGiBMonth", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 19), regex(pattern = "^[0-9]{1,9}([.][0-9]{1,9})?$"))]
    pub storage_gib_month: Option<String>,
    /// Backups, by the GiB of the volume that they are of, for a month of 730 hours.
    #[serde(default, rename = "backupGiBMonth", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 19), regex(pattern = "^[0-9]{1,9}([.][0-9]{1,9})?$"))]
    pub backup_gib_month: Option<String>,
}

/// What a rate is for. A field that is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateMatch {
    /// Cloud provider of the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub cloud_provider: Option<String>,
    /// Region of the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub region: Option<String>,
    /// Kind of the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<ResourceType>,
    /// The engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// The size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Whether it is highly available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high_availability: Option<bool>,
    /// The storage class. An instance on the cluster's default class matches no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class: Option<String>,
}
