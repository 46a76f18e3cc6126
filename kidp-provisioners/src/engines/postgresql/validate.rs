//! What is accepted. What cannot be honoured is refused by name.

use kidp_core::problem::FieldError;

use super::{VERSIONS, cluster, parameters};
use crate::engines::checks::{self, Limits};
use crate::instance::Instance;

const LIMITS: Limits = Limits {
    engine: "PostgreSQL",
    min_storage: (256 << 20, "256Mi"),
    no_high_availability: None,
    no_tls: None,
    adopts: true,
    no_monitoring: None,
    no_tls_with_members: Some(
        "TLS of PostgreSQL with failover is not provisioned yet; set one of the two to false",
    ),
};

/// Every fault of a request.
pub(super) fn validate(instance: &Instance) -> Result<(), Vec<FieldError>> {
    let version = checks::version(LIMITS.engine, &VERSIONS, 1, &instance.spec.version);
    let found = checks::validate(instance, &LIMITS, &parameters::CATALOGUE, version);
    let mut faults = found.err().unwrap_or_default();
    if instance.spec.high_availability {
        cluster::explain(&mut faults);
        let more = cluster::faults(instance);
        // Of two faults of a field the first is told.
        let is_new = |fault: &FieldError| faults.iter().all(|known| known.field != fault.field);
        let more: Vec<_> = more.into_iter().filter(is_new).collect();
        faults.extend(more);
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}
