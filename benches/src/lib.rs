//! Inputs of the benches in `benches/`. Each bench prints its subject beside a yardstick measured in the same
//! run: what serialising the same objects costs.

pub mod choice;
pub mod live;

use kidp_core::instance::{InstanceSpec, ResourceType};
use kidp_provisioners::Instance;

/// The password of every instance that is rendered; none of them is provisioned.
pub const PASSWORD: &str = "benchbenchbenchbenchbenchbench00";

/// A large PostgreSQL with a few parameters.
pub fn instance() -> Result<Instance, serde_json::Error> {
    let spec: InstanceSpec = serde_json::from_value(serde_json::json!({
        "engine": "postgresql", "version": "15", "size": "large", "storage": {"size": "50Gi"},
        "parameters": {"work_mem": "16MB", "max_connections": "300"}
    }))?;
    Ok(Instance {
        team: "payments".into(),
        ..Instance::new(ResourceType::Database, "shop", "orders", spec)
    })
}
