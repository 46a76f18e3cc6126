//! Renders the objects of a PostgreSQL as YAML: no cluster, no network.
//!
//! ```text
//! cargo run -p kidp-examples --example render -- <name> [size] [version] [storage] [parameter=value ...]
//! ```
//! The password is given in `KIDP_PASSWORD`; without it, the Secret is rendered without values.

use kidp_core::deployment::DeploymentId;
use kidp_core::instance::{Engine, ResourceType};
use kidp_provisioners::{Instance, Registry};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (parameters, words): (Vec<_>, Vec<_>) = arguments.iter().partition(|a| a.contains('='));
    let word = |index: usize, default: &str| words.get(index).map_or(default.to_owned(), |w| (*w).clone());
    let parameters: serde_json::Map<_, _> = parameters
        .iter()
        .filter_map(|p| p.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    let name = word(0, "orders");
    let instance = Instance {
        resource_type: ResourceType::Database,
        deployment_id: DeploymentId::derive("rendered", "default", "Database", &name, ""),
        name,
        namespace: "default".to_owned(),
        resource_uid: String::new(),
        team: "platform".to_owned(),
        owner: None,
        spec: serde_json::from_value(serde_json::json!({
            "engine": "postgresql",
            "version": word(2, "16"),
            "size": word(1, "small"),
            "storage": {"size": word(3, "10Gi")},
            "parameters": parameters,
        }))?,
        owner_reference: None,
    };
    let registry = Registry::standard();
    let postgresql = registry
        .get(ResourceType::Database, Engine::Postgresql)
        .ok_or("no PostgreSQL provisioner")?;
    postgresql
        .validate(&instance)
        .map_err(|faults| kidp_core::problem::summarise(&faults))?;
    let password = std::env::var("KIDP_PASSWORD").ok();
    let credentials = postgresql.credentials(&instance, password.clone().unwrap_or_default());
    let manifests = postgresql.build(&instance, &credentials)?;
    let yaml = if password.is_some() {
        manifests.to_yaml()
    } else {
        manifests.to_yaml_redacted()
    };
    print!("{}", yaml?);
    Ok(())
}
