//! The objects that every engine has, in the order in which they are applied.

use crate::manifests::{BuildError, Manifests, Prepared, Wave};
use crate::resources::config_map::{self, Files};
use crate::resources::meta::Scope;
use crate::resources::service::{self, Port};
use crate::resources::stateful_set::{self, Workload};
use crate::resources::{network_policy, pod_disruption_budget, secret, service_account};

/// The manifests of an instance: what its pods need, then the pods. `connection` are the entries of its Secret,
/// `files` its configuration. More objects may be added by the caller.
pub fn manifests(
    scope: &Scope<'_>,
    connection: &[(&str, String)],
    files: Files,
    ports: &[Port],
    workload: Workload,
) -> Result<Manifests<Prepared>, BuildError> {
    let budget = pod_disruption_budget::pod_disruption_budget(scope, workload.replicas);
    Manifests::new()
        .with(
            Wave::Foundation,
            &secret::connection(scope, connection, workload.replicas),
        )?
        .with(Wave::Foundation, &config_map::config_map(scope, files))?
        .with(Wave::Foundation, &service_account::service_account(scope))?
        .with(Wave::Foundation, &network_policy::clients_only(scope, ports))?
        .with(Wave::Foundation, &service::headless(scope, ports))?
        .with(Wave::Foundation, &service::client(scope, ports))?
        .with_option(Wave::Foundation, budget.as_ref())?
        .with(Wave::Workload, &stateful_set::stateful_set(scope, workload))
}
