//! Inputs of the benches in `benches/`. Each bench prints its subject beside a yardstick measured in the same
//! run: what serialising the same objects costs.

use kidp_core::deployment::DeploymentId;
use kidp_core::instance::{InstanceSpec, ResourceType};
use kidp_provisioners::Instance;

/// A small PostgreSQL with a few parameters.
pub fn instance() -> Result<Instance, serde_json::Error> {
    let spec: InstanceSpec = serde_json::from_value(serde_json::json!({
        "engine": "postgresql", "version": "15", "size": "large", "storage": {"size": "50Gi"},
        "parameters": {"work_mem": "16MB", "max_connections": "300"}
    }))?;
    Ok(Instance {
        resource_type: ResourceType::Database,
        name: "orders".into(),
        namespace: "shop".into(),
        deployment_id: DeploymentId::derive("local", "shop", "Database", "orders", "uid"),
        resource_uid: "uid".into(),
        team: "payments".into(),
        owner: None,
        spec,
        owner_reference: None,
    })
}
