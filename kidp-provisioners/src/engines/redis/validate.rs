//! What is accepted. What cannot be honoured is refused by name.

use kidp_core::problem::FieldError;

use super::{VERSIONS, parameters};
use crate::engines::checks::{self, Limits};
use crate::instance::Instance;

const LIMITS: Limits = Limits {
    engine: "Redis",
    min_storage: (256 << 20, "256Mi"),
    no_high_availability: None,
    no_tls: None,
    adopts: false,
    no_monitoring: None,
    no_tls_with_members: Some(
        "TLS of Redis with Sentinel is not provisioned yet; set one of the two to false",
    ),
};

/// Every fault of a request.
pub(super) fn validate(instance: &Instance) -> Result<(), Vec<FieldError>> {
    let version = checks::version(LIMITS.engine, &VERSIONS, 2, &instance.spec.version);
    checks::validate(instance, &LIMITS, &parameters::CATALOGUE, version)
}
