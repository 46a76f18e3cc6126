//! What is refused with failover, and not without.

use kidp_core::problem::FieldError;
use kidp_core::quantity::parse_bytes;

use super::super::parameters;
use super::refused::{FIXED, WHY};
use super::settings;
use crate::engines::parameters::units;
use crate::instance::Instance;

/// Smallest volume: beside the data it holds what standbys have not read yet.
const MIN_STORAGE: (u64, &str) = (1 << 30, "1Gi");

/// Connections and slots of replication that the members and their joining take, with some to spare; PostgreSQL's own
/// default. <https://www.postgresql.org/docs/current/runtime-config-replication.html>
const REPLICATION: [&str; 2] = ["max_replication_slots", "max_wal_senders"];
const MIN_REPLICATION: u32 = 10;

/// Every fault of an instance with failover, beside those that it would have without.
pub(in super::super) fn faults(instance: &Instance) -> Vec<FieldError> {
    let mut faults = Vec::new();
    if !instance.features.cloudnative_pg {
        faults.push(FieldError::new(
            "spec.highAvailability",
            "PostgreSQL with failover is delegated to CloudNativePG, which is not installed in this cluster: there is \
             no Cluster of postgresql.cnpg.io/v1; install it, or set false",
        ));
    }
    let storage = &instance.spec.storage.size;
    if parse_bytes(storage).is_ok_and(|bytes| bytes < MIN_STORAGE.0) {
        faults.push(FieldError::new(
            "spec.storage.size",
            format!(
                "`{storage}` is too small with failover; at least {}",
                MIN_STORAGE.1
            ),
        ));
    }
    faults.extend(replication(instance));
    faults.extend(log_sizes(instance));
    faults
}

/// Says why a parameter is refused, where CloudNativePG keeps it for itself.
pub(in super::super) fn explain(faults: &mut [FieldError]) {
    for fault in faults {
        let name = fault.field.strip_prefix("spec.parameters.").unwrap_or_default();
        if FIXED.contains(&name.to_ascii_lowercase().as_str()) {
            WHY.clone_into(&mut fault.message);
        }
    }
}

fn replication(instance: &Instance) -> Vec<FieldError> {
    let asked = instance.spec.parameters.iter();
    let is_few = |name: &str, value: &str| {
        let parameter = parameters::CATALOGUE.find(name);
        parameter.is_some_and(|parameter| REPLICATION.contains(&parameter.name))
            && value.trim().parse::<u32>().is_ok_and(|n| n < MIN_REPLICATION)
    };
    asked
        .filter(|(name, value)| is_few(name, value))
        .map(|(name, value)| {
            let say = format!("`{value}` is too few for members to follow; at least {MIN_REPLICATION}");
            FieldError::new(format!("spec.parameters.{name}"), say)
        })
        .collect()
}

/// CloudNativePG refuses a smallest size that is not below the largest; PostgreSQL itself does not mind.
fn log_sizes(instance: &Instance) -> Option<FieldError> {
    let settings = settings(instance);
    let bytes = |name: &str| units::POSTGRESQL.bytes(settings.get(name)?);
    let (min, max) = (bytes("min_wal_size")?, bytes("max_wal_size")?);
    let asked = |wanted: &str| {
        let names = instance.spec.parameters.keys();
        names.into_iter().find(|name| name.eq_ignore_ascii_case(wanted))
    };
    // The presets are in order, so that one of the two was asked for.
    let name = asked("min_wal_size").or_else(|| asked("max_wal_size"))?;
    (min >= max).then(|| {
        FieldError::new(
            format!("spec.parameters.{name}"),
            format!(
                "min_wal_size, {}, has to be below max_wal_size, {}",
                units::POSTGRESQL.shown(min),
                units::POSTGRESQL.shown(max)
            ),
        )
    })
}
