//! The catalog: what the registry provisions, as offerings and plans. Pure.
//!
//! An offering is a kind and an engine, a plan is a size, alone or with failover where the engine has it in this
//! cluster. What else can be chosen is a parameter. Ids are derived, so that they are the same after a restart, and
//! differ between brokers, since a platform has one marketplace for all.

use std::collections::BTreeMap;

use kidp_core::crd::ServiceInstanceSpec;
use kidp_core::instance::{Engine, ResourceType};
use kidp_core::names::short_hash;
use kidp_core::revision::Revision;
use kidp_core::size::Size;
use kidp_provisioners::{ClusterFeatures, Provisioner, Registry};
use serde_json::{Value, json};

use super::parameters;
use super::wire::{
    BindingSchemas, Catalog, InputSchema, InstanceSchemas, MaintenanceInfo, Schemas, ServiceOffering,
    ServicePlan,
};

/// What a plan stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Kind.
    pub resource_type: ResourceType,
    /// Engine.
    pub engine: Engine,
    /// Size.
    pub size: Size,
    /// Whether there is failover.
    pub high_availability: bool,
}

impl Choice {
    /// What a record stands for.
    pub fn of(spec: &ServiceInstanceSpec) -> Self {
        Self {
            resource_type: spec.resource_type,
            engine: spec.instance.engine,
            size: spec.instance.size,
            high_availability: spec.instance.high_availability,
        }
    }

    fn name(&self) -> String {
        let suffix = if self.high_availability { "-ha" } else { "" };
        format!("{}{suffix}", self.size)
    }

    /// Id of the offering.
    pub fn service_id(&self, broker: &str) -> String {
        uuid(&[
            "service",
            broker,
            self.resource_type.as_str(),
            self.engine.as_str(),
        ])
    }

    /// Id of the plan.
    pub fn plan_id(&self, broker: &str) -> String {
        let (kind, engine) = (self.resource_type.as_str(), self.engine.as_str());
        uuid(&["plan", broker, kind, engine, &self.name()])
    }
}

/// A UUID of version 8 (RFC 9562: made from a hash of one's own choice) from `parts`.
fn uuid(parts: &[&str]) -> String {
    let hex = short_hash(parts, 32);
    let variant = match u8::from_str_radix(&hex[16..17], 16).unwrap_or_default() & 3 {
        0 => '8',
        1 => '9',
        2 => 'a',
        _ => 'b',
    };
    format!(
        "{}-{}-8{}-{variant}{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..]
    )
}

/// Every plan of an engine in a cluster that offers these.
fn choices(provisioner: &dyn Provisioner, features: ClusterFeatures) -> Vec<Choice> {
    let with_failover = provisioner.capabilities_with(features).high_availability;
    let shapes: &[bool] = if with_failover { &[false, true] } else { &[false] };
    let choice = |size, high_availability| Choice {
        resource_type: provisioner.resource_type(),
        engine: provisioner.engine(),
        size,
        high_availability,
    };
    shapes
        .iter()
        .flat_map(|&shape| Size::ALL.map(|size| choice(size, shape)))
        .collect()
}

/// The plan of these ids; the field at fault where there is none.
pub fn find(
    broker: &str,
    registry: &Registry,
    features: ClusterFeatures,
    service_id: &str,
    plan_id: &str,
) -> Result<Choice, &'static str> {
    let mut found_service = false;
    for choice in registry.iter().flat_map(|p| choices(p.as_ref(), features)) {
        if choice.service_id(broker) == service_id {
            found_service = true;
            if choice.plan_id(broker) == plan_id {
                return Ok(choice);
            }
        }
    }
    Err(if found_service { "plan_id" } else { "service_id" })
}

/// A render revision as a platform sees it.
pub fn maintenance_info(revision: Revision) -> MaintenanceInfo {
    MaintenanceInfo {
        version: format!("{revision}.0.0"),
        description: Some("How the instance is rendered; a later one may restart it.".to_owned()),
    }
}

/// The catalog of a broker in a cluster that offers these.
pub fn catalog(broker: &str, registry: &Registry, features: ClusterFeatures) -> Catalog {
    Catalog {
        services: registry
            .iter()
            .map(|provisioner| offering(broker, provisioner.as_ref(), features))
            .collect(),
    }
}

fn offering(broker: &str, provisioner: &dyn Provisioner, features: ClusterFeatures) -> ServiceOffering {
    let (engine, kind) = (provisioner.engine(), provisioner.resource_type());
    let choices = choices(provisioner, features);
    let bindable = provisioner.binder().is_some();
    let schema = parameters::schema(&provisioner.capabilities_with(features));
    let noun = kind.noun().replace(' ', "-");
    ServiceOffering {
        name: format!("{engine}-{noun}"),
        id: choices.first().map(|c| c.service_id(broker)).unwrap_or_default(),
        description: format!(
            "A {} of engine {engine}, in a namespace of this cluster",
            kind.noun()
        ),
        tags: vec![engine.to_string(), noun],
        bindable,
        instances_retrievable: true,
        bindings_retrievable: bindable,
        plan_updateable: true,
        metadata: BTreeMap::from([
            (
                "displayName".to_owned(),
                Value::from(format!("{engine} {}", kind.noun())),
            ),
            (
                "versions".to_owned(),
                json!(provisioner.capabilities_with(features).versions),
            ),
        ]),
        plans: choices
            .iter()
            .map(|choice| plan(broker, choice, provisioner.latest_revision(), bindable, &schema))
            .collect(),
    }
}

fn plan(broker: &str, choice: &Choice, revision: Revision, bindable: bool, schema: &Value) -> ServicePlan {
    let input = |parameters: &Value| InputSchema {
        parameters: parameters.clone(),
    };
    let shape = if choice.high_availability {
        ", several members with failover"
    } else {
        ""
    };
    let (cores, memory) = (choice.size.cpu_cores(), choice.size.memory_bytes() >> 30);
    ServicePlan {
        name: choice.name(),
        id: choice.plan_id(broker),
        description: format!("{cores} CPU and {memory} GiB{shape}"),
        free: true,
        bindable,
        maintenance_info: maintenance_info(revision),
        schemas: Schemas {
            service_instance: InstanceSchemas {
                create: input(schema),
                update: input(schema),
            },
            service_binding: bindable.then(|| BindingSchemas {
                create: input(&parameters::nothing()),
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn whole(broker: &str) -> Catalog {
        let features = ClusterFeatures {
            cloudnative_pg: true,
            ..ClusterFeatures::default()
        };
        catalog(broker, &Registry::standard(), features)
    }

    #[test]
    fn the_offerings_and_their_plans() {
        let lines: Vec<_> = whole("eu")
            .services
            .iter()
            .map(|service| {
                let plans: Vec<_> = service.plans.iter().map(|p| p.name.as_str()).collect();
                format!(
                    "{} {} bindable={} rendering={}: {}",
                    service.id,
                    service.name,
                    service.bindable,
                    service.plans[0].maintenance_info.version,
                    plans.join(" ")
                )
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn ids_are_uuids_that_differ_between_plans_and_brokers_and_lead_back() {
        let (eu, us) = (whole("eu"), whole("us"));
        let ids = |catalog: &Catalog| -> BTreeSet<String> {
            let services = catalog.services.iter().map(|s| s.id.clone());
            let plans = catalog
                .services
                .iter()
                .flat_map(|s| s.plans.iter().map(|p| p.id.clone()));
            services.chain(plans).collect()
        };
        let count: usize = eu.services.iter().map(|s| s.plans.len() + 1).sum();
        assert_eq!(ids(&eu).len(), count);
        assert!(ids(&eu).is_disjoint(&ids(&us)));
        for id in ids(&eu) {
            let parts: Vec<_> = id.split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12], "{id}");
            assert!(id[14..15] == *"8" && "89ab".contains(&id[19..20]), "{id}");
        }
        let features = ClusterFeatures {
            cloudnative_pg: true,
            ..ClusterFeatures::default()
        };
        for service in &eu.services {
            for plan in &service.plans {
                let found = find("eu", &Registry::standard(), features, &service.id, &plan.id).unwrap();
                assert_eq!(
                    (found.plan_id("eu"), found.name()),
                    (plan.id.clone(), plan.name.clone())
                );
            }
        }
    }

    #[test]
    fn plans_with_failover_are_there_where_the_cluster_has_it() {
        let plain = catalog("eu", &Registry::standard(), ClusterFeatures::default());
        let of = |catalog: &Catalog, name: &str| {
            catalog
                .services
                .iter()
                .find(|s| s.name == name)
                .map(|s| s.plans.len())
        };
        assert_eq!(of(&plain, "postgresql-database"), Some(4));
        assert_eq!(of(&whole("eu"), "postgresql-database"), Some(8));
    }

    #[test]
    fn schemas_stand_alone_and_are_small() {
        for service in whole("eu").services {
            let schema = service.plans[0]
                .schemas
                .service_instance
                .create
                .parameters
                .to_string();
            assert!(!schema.contains("$ref"), "{}", service.name);
            assert!(schema.len() < 64 * 1024);
        }
    }

    #[test]
    fn the_schema_of_a_plan() {
        let catalog = whole("eu");
        let plan = &catalog
            .services
            .iter()
            .find(|s| s.name == "rabbitmq-message-queue")
            .unwrap()
            .plans[0];
        insta::assert_yaml_snapshot!(plan);
    }
}
