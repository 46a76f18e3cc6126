//! Provisions a PostgreSQL from a tool of one's own: no operator, no broker, only the SDK and a kubeconfig.
//!
//! ```text
//! cargo run -p kidp-examples --example embed -- <namespace>
//! ```
//! Uses the cluster of `KUBECONFIG`; prints where to connect, then removes the instance again.

use std::time::{Duration, Instant};

use kidp_core::instance::{DeletionPolicy, Engine, ResourceType};
use kidp_provisioners::{Deprovisioned, Instance, Options, Readiness, Registry};
use kube::Client;

type Failure = Box<dyn std::error::Error>;

const PATIENCE: Duration = Duration::from_mins(3);
const PAUSE: Duration = Duration::from_millis(250);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let namespace = std::env::args().nth(1).unwrap_or_else(|| "default".to_owned());
    let client = Client::try_default().await?;
    let instance = instance(&namespace)?;

    let registry = Registry::standard();
    let postgresql = registry
        .get(ResourceType::Database, Engine::Postgresql)
        .ok_or("no PostgreSQL provisioner")?;
    postgresql
        .validate(&instance)
        .map_err(|faults| kidp_core::problem::summarise(&faults))?;

    let start = Instant::now();
    let applied = postgresql
        .provision(&client, &instance, &Options::default())
        .await?;
    println!("{:>6.2?} applied {}", start.elapsed(), applied.written.join(", "));
    loop {
        let observed = postgresql.observe(&client, &instance).await?;
        match postgresql.readiness(&instance, &observed) {
            Readiness::Ready => break,
            Readiness::Failed(why) => println!("{:>6.2?} failed: {why}", start.elapsed()),
            Readiness::Progressing(why) => println!("{:>6.2?} {why}", start.elapsed()),
        }
        if start.elapsed() > PATIENCE {
            return Err("not ready in time".into());
        }
        tokio::time::sleep(PAUSE).await;
    }
    let connection = postgresql.connection(&instance);
    println!("{:>6.2?} ready", start.elapsed());
    println!(
        "connect to {}:{} as Secret {} says",
        connection.host, connection.port, connection.secret
    );

    let start = Instant::now();
    while let Deprovisioned::InProgress(left) = postgresql
        .deprovision(&client, &instance, DeletionPolicy::Delete)
        .await?
    {
        println!("{:>6.2?} still there: {}", start.elapsed(), left.join(", "));
        if start.elapsed() > PATIENCE {
            return Err("not removed in time".into());
        }
        tokio::time::sleep(PAUSE).await;
    }
    println!("{:>6.2?} removed", start.elapsed());
    Ok(())
}

fn instance(namespace: &str) -> Result<Instance, Failure> {
    let spec = serde_json::from_value(serde_json::json!({
        "engine": "postgresql", "version": "15", "size": "small", "storage": {"size": "1Gi"}
    }))?;
    Ok(Instance {
        team: "platform".to_owned(),
        ..Instance::new(ResourceType::Database, namespace, "embedded", spec)
    })
}
