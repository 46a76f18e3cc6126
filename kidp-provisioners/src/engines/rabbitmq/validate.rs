//! What is accepted. What cannot be honoured is refused by name.

use kidp_core::problem::FieldError;

use super::{VERSIONS, parameters};
use crate::engines::checks::{self, Limits};
use crate::instance::Instance;

const LIMITS: Limits = Limits {
    engine: "RabbitMQ",
    // Sixteen of the smallest logs, see the presets.
    min_storage: (512 << 20, "512Mi"),
    no_high_availability: None,
    no_tls: None,
    adopts: false,
    no_monitoring: None,
    no_tls_with_members: None,
};

/// Every fault of a request.
pub(super) fn validate(instance: &Instance) -> Result<(), Vec<FieldError>> {
    // `4`, `4.1` or `4.1.3`.
    let version = checks::version(LIMITS.engine, &VERSIONS, 2, &instance.spec.version);
    let mut faults = checks::validate(instance, &LIMITS, &parameters::CATALOGUE, version)
        .err()
        .unwrap_or_default();
    faults.extend(discovery(instance));
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// RabbitMQ 4.0 finds its peers by asking the API server, which pods here have no right to.
fn discovery(instance: &Instance) -> Option<FieldError> {
    let version = &instance.spec.version;
    let is_first = version == "4.0" || version.starts_with("4.0.");
    (instance.spec.high_availability && is_first).then(|| {
        FieldError::new(
            "spec.highAvailability",
            "needs RabbitMQ 4.1 or newer, whose nodes find each other without the API server; set spec.version to \
             4.1 or newer, or set false",
        )
    })
}
