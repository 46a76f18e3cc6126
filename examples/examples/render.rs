//! Renders the objects of an instance of any engine as YAML: no cluster, no network.
//!
//! ```text
//! cargo run -p kidp-examples --example render -- [[kind/]engine] [name] [size] [version] [storage] [parameter=value ...]
//! cargo run -p kidp-examples --example render -- Cache/redis sessions small 8 1Gi maxmemory-policy=allkeys-lru
//! ```
//! The password is given in `KIDP_PASSWORD`; without it, the Secret is rendered without values.

use std::sync::Arc;

use kidp_core::problem::summarise;
use kidp_provisioners::{Instance, Provisioner, Registry};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (parameters, words): (Vec<_>, Vec<_>) = arguments.iter().partition(|a| a.contains('='));
    let provisioner = find(words.first().map_or("postgresql", |word| word))?;
    let instance = instance(provisioner.as_ref(), &words, &parameters)?;
    provisioner
        .validate(&instance)
        .map_err(|faults| summarise(&faults))?;
    let password = std::env::var("KIDP_PASSWORD").ok();
    let credentials = provisioner.credentials(&instance, password.clone().unwrap_or_default());
    let manifests = provisioner.build(&instance, &credentials)?;
    let yaml = if password.is_some() {
        manifests.to_yaml()
    } else {
        manifests.to_yaml_redacted()
    };
    print!("{}", yaml?);
    Ok(())
}

/// The provisioner of `engine`, the first where several kinds have it, or of `kind/engine`.
fn find(words: &str) -> Result<Arc<dyn Provisioner>, Failure> {
    let (kind, engine) = match words.split_once('/') {
        Some((kind, engine)) => (Some(kind), engine),
        None => (None, words),
    };
    Registry::standard()
        .iter()
        .find(|p| p.engine().as_str() == engine && kind.is_none_or(|kind| p.resource_type().as_str() == kind))
        .cloned()
        .ok_or_else(|| format!("no provisioner for {words}").into())
}

/// The instance that the command line describes; the engine's first version where it names none.
fn instance(
    provisioner: &dyn Provisioner,
    words: &[&String],
    parameters: &[&String],
) -> Result<Instance, Failure> {
    let word = |index: usize, default: &str| words.get(index).map_or(default.to_owned(), |w| (*w).clone());
    let versions = provisioner.capabilities().versions;
    let parameters: serde_json::Map<_, _> = parameters
        .iter()
        .filter_map(|p| p.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    let spec = serde_json::from_value(serde_json::json!({
        "engine": provisioner.engine(),
        "size": word(2, "small"),
        "version": word(3, versions.first().map_or("", |version| version)),
        "storage": {"size": word(4, "10Gi")},
        "parameters": parameters,
    }))?;
    Ok(Instance {
        team: "platform".to_owned(),
        ..Instance::new(provisioner.resource_type(), "default", &word(1, "orders"), spec)
    })
}
