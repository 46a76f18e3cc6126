//! What is accepted. What cannot be honoured is refused by name.

use kidp_core::problem::FieldError;

use super::{VERSIONS, parameters};
use crate::engines::checks::{self, Limits};
use crate::instance::Instance;

const LIMITS: Limits = Limits {
    engine: "MongoDB",
    // The journal alone takes three files of 100 MB.
    min_storage: (1 << 30, "1Gi"),
    no_high_availability: None,
    no_tls: None,
    adopts: false,
    // <https://github.com/percona/mongodb_exporter/issues/1288>
    no_monitoring: Some(
        "metrics of MongoDB are not provisioned: its exporter takes a password as a variable or an argument only, and \
         passwords are files here; set false",
    ),
    no_tls_with_members: Some(
        "TLS of a replica set of MongoDB is not provisioned yet; set one of the two to false",
    ),
};

/// The series that are maintained for servers of one's own; those between them (7.1 to 7.3) are not.
/// <https://www.mongodb.com/docs/manual/reference/versioning/>
const SERIES: [&str; 3] = ["6.0", "7.0", "8.0"];

/// Every fault of a request.
pub(super) fn validate(instance: &Instance) -> Result<(), Vec<FieldError>> {
    checks::validate(
        instance,
        &LIMITS,
        &parameters::CATALOGUE,
        version(&instance.spec.version),
    )
}

/// `7`, `7.0` or `7.0.14`.
fn version(version: &str) -> Option<String> {
    if VERSIONS.contains(&version) {
        return None;
    }
    checks::version(LIMITS.engine, &SERIES, 2, version)
}
