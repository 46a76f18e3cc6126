//! Shows what a changed spec would change in the cluster, and changes nothing.
//!
//! ```text
//! cargo run -p kidp-examples --example plan -- <namespace> <name> [size=medium] [version=16] [storage=20Gi] [renderRevision=2] [parameter=value ...]
//! ```
//! Uses the cluster of `KUBECONFIG` and the broker's record of the instance; what the API server would make of each object
//! is asked by dry runs. Without changes, it shows what has drifted. `cargo xtask demo --keep` leaves an instance to try
//! it on: `kidp-demo orders`.

use kidp_broker::record::instance_of;
use kidp_core::crd::ServiceInstance;
use kidp_core::problem::summarise;
use kidp_provisioners::{ClusterFeatures, Instance, Registry, Revision};
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [namespace, name, changes @ ..] = arguments.as_slice() else {
        return Err("usage: plan <namespace> <name> [field=value ...]".into());
    };
    let client = Client::try_default().await?;
    let instance = changed(find(&client, namespace, name).await?, changes)?;
    let registry = Registry::standard();
    let provisioner = registry
        .get(instance.resource_type, instance.spec.engine)
        .ok_or("no provisioner for this engine")?;
    provisioner
        .validate(&instance)
        .map_err(|faults| summarise(&faults))?;
    println!("{}", provisioner.plan(&client, &instance).await?);
    Ok(())
}

/// The instance that the broker has recorded for a resource.
async fn find(client: &Client, namespace: &str, name: &str) -> Result<Instance, Failure> {
    let records: Api<ServiceInstance> = Api::namespaced(client.clone(), namespace);
    let found = records.list(&ListParams::default()).await?;
    let record = found
        .into_iter()
        .find(|record| record.spec.resource_name == name)
        .ok_or_else(|| format!("no instance of {namespace}/{name}"))?;
    Ok(instance_of(&record, ClusterFeatures::discover(client).await?))
}

/// The instance with `field=value` put into its spec; a field that the spec does not have is a parameter.
fn changed(mut instance: Instance, changes: &[String]) -> Result<Instance, Failure> {
    let mut spec = serde_json::to_value(&instance.spec)?;
    for change in changes {
        let (field, value) = change.split_once('=').ok_or("changes are field=value")?;
        match field {
            "size" | "version" => spec[field] = json!(value),
            "storage" => spec["storage"]["size"] = json!(value),
            "renderRevision" => instance.revision = Revision::new(value.parse()?),
            parameter => {
                if !spec["parameters"].is_object() {
                    spec["parameters"] = json!({});
                }
                spec["parameters"][parameter] = Value::from(value);
            }
        }
    }
    instance.spec = serde_json::from_value(spec)?;
    Ok(instance)
}
