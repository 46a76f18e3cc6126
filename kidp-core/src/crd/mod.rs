//! The custom resources: what a user writes and what a controller answers.
//!
//! One file a kind; the kinds that a broker serves share one definition, [`ServiceResource`]. Rules that the API server can check are CEL in the schema, so that a bad object is refused
//! with the field named before any controller sees it.

mod application;
mod broker;
mod cache;
mod database;
mod message_queue;
mod price_book;
mod service;
mod service_binding;
mod service_instance;
mod service_kind;
mod team;
mod team_namespace;
mod tenant;
mod usage_record;

pub use application::{Application, ApplicationSpec, ApplicationStatus};
pub use broker::{
    Authentication, AuthenticationType, Broker, BrokerPhase, BrokerSpec, BrokerStatus, Capability,
    HealthCheck, PreviousKey, SecretRef,
};
pub use cache::{Cache, CacheSpec};
pub use database::{Database, DatabaseSpec};
pub use message_queue::{MessageQueue, MessageQueueSpec};
pub use price_book::{PriceBook, PriceBookSpec, Rate, RateMatch};
pub use service::{
    AntiAffinity, CostStatus, LocalRef, PendingChanges, Phase, ResourceStatus, ServiceResource, Target,
    TopologyKey,
};
pub use service_binding::{ServiceBinding, ServiceBindingSpec, ServiceBindingStatus};
pub use service_instance::{
    DriftStatus, OutboxEntry, ServiceInstance, ServiceInstanceSpec, ServiceInstanceStatus,
};
pub use team::{Budget, Team, TeamCost, TeamQuotas, TeamSpec, TeamStatus};
pub use team_namespace::{ContainerLimits, PodSecurity, TeamNamespace};
pub use tenant::{Tenant, TenantQuotas, TenantSpec, TenantStatus};
pub use usage_record::{ChargeTo, MAX_INTERVALS, UsageInterval, UsageRecord, UsageRecordSpec, UsedResource};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// Every CRD of the management cluster, in the order they are installed.
pub fn operator_crds() -> Vec<CustomResourceDefinition> {
    vec![
        Tenant::crd(),
        Team::crd(),
        Application::crd(),
        Broker::crd(),
        Database::crd(),
        Cache::crd(),
        MessageQueue::crd(),
        PriceBook::crd(),
        UsageRecord::crd(),
    ]
}

/// Every CRD of a target cluster.
pub fn broker_crds() -> Vec<CustomResourceDefinition> {
    vec![ServiceInstance::crd(), ServiceBinding::crd()]
}
