//! The objects that every engine has, in the order in which they are applied.

use kidp_core::instance::Adopted;

use crate::manifests::{BuildError, Manifests, Prepared, Wave};
use crate::resources::config_map::{self, Files};
use crate::resources::meta::Scope;
use crate::resources::service::{self, Port};
use crate::resources::stateful_set::{self, Workload};
use crate::resources::{
    adopted, certificate, monitor, network_policy, pod_disruption_budget, secret, service_account,
};

/// The manifests of an instance: what its pods need, then the pods. `connection` are the entries of its Secret,
/// `files` its configuration. Where a container has the port `metrics`, it is opened to those who read them. More objects
/// may be added by the caller.
pub fn manifests(
    scope: &Scope<'_>,
    connection: &[(&str, String)],
    files: Files,
    ports: &[Port],
    workload: Workload,
) -> Result<Manifests<Prepared>, BuildError> {
    if let Some(kept) = scope.kept() {
        return around(scope, connection, ports, kept);
    }
    let replicas = workload.replicas;
    // The Service that governs what was taken over is its own.
    let metrics = workload.metrics();
    let members: Vec<Port> = ports.iter().copied().chain(metrics).collect();
    let has_headless = scope.adopted().is_none();
    let headless = has_headless.then(|| service::headless(scope, &members));
    let by_service = metrics
        .filter(|_| has_headless)
        .and_then(|_| monitor::of_service(scope));
    let by_pods = metrics
        .filter(|_| !has_headless)
        .and_then(|_| monitor::of_pods(scope));
    let mut policy = network_policy::clients_only(scope, ports);
    if let Some(metrics) = metrics {
        policy = monitor::admit_scrapers(scope, policy, metrics.number);
    }
    let mut set = stateful_set::stateful_set(scope, workload);
    if let Some(found) = scope.adopted() {
        set = adopted::replaced(scope, found, set)?;
    }
    let budget = pod_disruption_budget::pod_disruption_budget(scope, replicas);
    certificates(scope)?
        .with(Wave::Foundation, &secret::connection(scope, connection, replicas))?
        .with(Wave::Foundation, &config_map::config_map(scope, files))?
        .with(Wave::Foundation, &service_account::service_account(scope))?
        .with(Wave::Foundation, &policy)?
        .with_option(Wave::Foundation, headless.as_ref())?
        .with(Wave::Foundation, &service::client(scope, ports))?
        .with_option(Wave::Foundation, budget.as_ref())?
        .with_option(Wave::Foundation, by_service.as_ref())?
        .with_option(Wave::Foundation, by_pods.as_ref())?
        .with(Wave::Workload, &set)
}

/// What is added around a StatefulSet whose pods stay as they are. A NetworkPolicy is not: it would cut off clients that
/// it does not know yet.
fn around(
    scope: &Scope<'_>,
    connection: &[(&str, String)],
    ports: &[Port],
    kept: &Adopted,
) -> Result<Manifests<Prepared>, BuildError> {
    Manifests::new()
        .with(Wave::Foundation, &secret::connection(scope, connection, 1))?
        .with(Wave::Foundation, &service::client(scope, ports))?
        .with(Wave::Workload, &adopted::kept(scope, kept)?)
}

/// What the certificate is made from, first of all.
fn certificates(scope: &Scope<'_>) -> Result<Manifests<Prepared>, BuildError> {
    let chain = certificate::chain(scope);
    let mut manifests = Manifests::new();
    for issuer in &chain.issuers {
        manifests = manifests.with(Wave::Certificate, issuer)?;
    }
    for certificate in &chain.certificates {
        manifests = manifests.with(Wave::Certificate, certificate)?;
    }
    Ok(manifests)
}
