//! What is accepted. What cannot be honoured is refused by name.

use kidp_core::problem::FieldError;

use super::{VERSIONS, parameters};
use crate::engines::checks::{self, Limits};
use crate::instance::Instance;

const LIMITS: Limits = Limits {
    engine: "MySQL",
    // System tables, undo and redo logs of an empty server take 250 MiB.
    min_storage: (1 << 30, "1Gi"),
    no_high_availability: Some(
        "MySQL with failover is not provisioned: Group Replication needs an operator and a router of its own; \
         set false",
    ),
    no_tls: None,
    adopts: false,
    no_monitoring: None,
    no_tls_with_members: Some(
        "TLS of MySQL with failover is not provisioned yet; set one of the two to false",
    ),
};

/// Every fault of a request.
pub(super) fn validate(instance: &Instance) -> Result<(), Vec<FieldError>> {
    let version = checks::version(LIMITS.engine, &VERSIONS, 2, &instance.spec.version);
    checks::validate(instance, &LIMITS, &parameters::CATALOGUE, version)
}
