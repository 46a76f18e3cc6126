//! PostgreSQL with failover: three members that CloudNativePG runs.
//!
//! ```text
//! consequence.rs  what CloudNativePG does when a field changes
//! settings.rs     what of presets and parameters goes into the Cluster
//! refused.rs      parameters that CloudNativePG keeps for itself
//! validate.rs     what is refused with failover, and not without
//! ```
//!
//! KIDP renders the `Cluster`, the connection Secret that its database is made with, and who may connect. Pods, claims,
//! Services, the account of the pods and its rights are CloudNativePG's, and go with the `Cluster`.
//!
//! # Durability
//! A commit is answered when any one of the two standbys has it (`synchronous`, `required`): like a majority of three,
//! one member can be lost without a transaction, and writes wait when two are away.
//! <https://cloudnative-pg.io/documentation/current/replication/#synchronous-replication>

mod consequence;
mod refused;
mod settings;
mod validate;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{SeccompProfile, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kidp_core::labels::{self, Labels};
use kidp_core::names::short_hash;

use super::{PORT, PostgresqlConfig, pod};
use crate::engines::parameters::units;
use crate::instance::{Credentials, Instance};
use crate::manifests::{BuildError, Manifests, Prepared, Wave};
use crate::resources::cloudnative_pg::{
    Affinity, Bootstrap, CLUSTER_LABEL, Cluster, ClusterSpec, InheritedMetadata, InitDb, Monitoring,
    PostgresConfiguration, SPEC_CHECKSUM, SecretName, Storage, Synchronous, WATCHED, primary_service,
    standby_service,
};
use crate::resources::meta::{Scope, object_meta};
use crate::resources::{compute, monitor, network_policy, secret, service};

pub(super) use consequence::consequence;
use settings::settings;
pub(super) use validate::{explain, faults};

/// Members: the fewest of which one can be lost and a commit is still on two.
const MEMBERS: i32 = 3;

/// Where a member's manager answers the operator and the other managers.
/// <https://cloudnative-pg.io/documentation/current/security/#exposed-ports>
const MANAGER_PORT: u16 = 8000;

/// The label of the operator's own pod, in its manifests and in its chart.
const OPERATOR: (&str, &str) = (labels::NAME, "cloudnative-pg");

/// Host name of the member that takes writes.
pub(super) fn host(scope: &Scope<'_>) -> String {
    service::host_of(scope, &primary_service(scope))
}

/// Host name of the standbys, for reads that may be a moment old.
pub(super) fn standby_host(scope: &Scope<'_>) -> String {
    service::host_of(scope, &standby_service(scope))
}

/// The objects of an instance.
pub(super) fn manifests(
    config: &PostgresqlConfig,
    scope: &Scope<'_>,
    credentials: &Credentials,
    connection: &[(&str, String)],
) -> Result<Manifests<Prepared>, BuildError> {
    let between = [(PORT.number, PORT.number), (MANAGER_PORT, MANAGER_PORT)];
    let operator = network_policy::from_everywhere(scope, "operator", OPERATOR, &between);
    let mut secret = secret::connection(scope, connection, MEMBERS);
    let labels = secret.metadata.labels.get_or_insert_default();
    labels.extend(labels::labels([WATCHED]));
    let mut clients = network_policy::clients_only(scope, &[PORT]);
    if monitor::is_on(scope) {
        // Its members serve metrics themselves, on a port of this name and number.
        // <https://cloudnative-pg.io/docs/1.29/monitoring/#monitoring-instances>
        clients = monitor::admit_scrapers(scope, clients, pod::METRICS_PORT);
    }
    Manifests::new()
        .with(Wave::Foundation, &secret)?
        .with(Wave::Foundation, &clients)?
        .with(Wave::Foundation, &network_policy::members(scope, &between))?
        .with(Wave::Foundation, &operator)?
        .with_option(Wave::Foundation, monitor::of_pods(scope).as_ref())?
        .with(Wave::Workload, &cluster(config, scope, credentials)?)
}

fn cluster(
    config: &PostgresqlConfig,
    scope: &Scope<'_>,
    credentials: &Credentials,
) -> Result<Cluster, BuildError> {
    let mut spec = spec(config, scope, credentials);
    let text = serde_json::to_string(&spec).map_err(|source| BuildError::Serialise {
        object: format!("Cluster/{}", scope.base),
        source,
    })?;
    spec.inherited_metadata.annotations =
        BTreeMap::from([(SPEC_CHECKSUM.to_owned(), short_hash(&[&text], 16))]);
    Ok(Cluster::new(object_meta(scope, scope.base.clone()), spec))
}

fn spec(config: &PostgresqlConfig, scope: &Scope<'_>, credentials: &Credentials) -> ClusterSpec {
    let instance = scope.instance;
    let asked = &instance.spec;
    ClusterSpec {
        instances: MEMBERS,
        image_name: config.ha_image.reference(&asked.version),
        image_pull_policy: config.ha_image.pull_policy.as_str().to_owned(),
        postgres_uid: config.ha_uid,
        postgres_gid: config.ha_uid,
        bootstrap: Bootstrap {
            initdb: InitDb {
                database: credentials.database.clone(),
                owner: credentials.username.clone(),
                secret: SecretName { name: scope.secret() },
                data_checksums: true,
            },
        },
        postgresql: PostgresConfiguration {
            parameters: settings(instance),
            shared_preload_libraries: settings::libraries(instance),
            synchronous: Synchronous {
                method: "any".to_owned(),
                number: 1,
                data_durability: "required".to_owned(),
            },
        },
        storage: Storage {
            size: asked.storage.size.clone(),
            storage_class: asked.storage.class.clone(),
        },
        // CloudNativePG refuses a request for less memory than the server's cache takes.
        resources: compute::requirements_for(asked.size, config.request_share, cache(instance)),
        affinity: Affinity {
            enable_pod_anti_affinity: true,
            pod_anti_affinity_type: "preferred".to_owned(),
            topology_key: "kubernetes.io/hostname".to_owned(),
        },
        topology_spread_constraints: vec![over_zones(scope)],
        enable_superuser_access: false,
        // Clients stay connected for as long as they can, so that waiting for them only keeps the others out. The rest is
        // for the last checkpoint.
        smart_shutdown_timeout: 5,
        stop_delay: 120,
        enable_pdb: true,
        primary_update_strategy: "unsupervised".to_owned(),
        seccomp_profile: SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        },
        inherited_metadata: InheritedMetadata {
            labels: inherited(scope),
            annotations: BTreeMap::new(),
        },
        monitoring: Monitoring {
            disable_default_queries: !monitor::is_on(scope),
        },
    }
}

/// Bytes of `shared_buffers`.
fn cache(instance: &Instance) -> u64 {
    let buffers = settings(instance).remove("shared_buffers").unwrap_or_default();
    units::POSTGRESQL.bytes(&buffers).unwrap_or_default()
}

/// The labels by which what CloudNativePG makes is found: all that never change, but for that of who manages it, which
/// CloudNativePG puts there itself.
fn inherited(scope: &Scope<'_>) -> Labels {
    let mut labels = scope.stable_labels();
    labels.remove(labels::MANAGED_BY_KEY);
    labels
}

/// A wish, as for the members of every engine.
fn over_zones(scope: &Scope<'_>) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "topology.kubernetes.io/zone".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector {
            match_labels: Some(labels::labels([(CLUSTER_LABEL, scope.base.as_str())])),
            ..LabelSelector::default()
        }),
        ..TopologySpreadConstraint::default()
    }
}
