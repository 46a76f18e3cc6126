//! What is accepted. What cannot be honoured is refused by name: an instance never pretends to have it.

use kidp_core::instance::{DeletionPolicy, InstanceSpec};
use kidp_core::names;
use kidp_core::problem::FieldError;
use kidp_core::quantity::parse_bytes;

use super::{VERSIONS, parameters};
use crate::instance::Instance;

/// Smallest volume that a first start fits on: 256 MiB.
const MIN_STORAGE: u64 = 256 << 20;

/// Every fault of a request.
pub(super) fn validate(instance: &Instance) -> Result<(), Vec<FieldError>> {
    let mut faults = Vec::new();
    if let Err(error) = names::validate_subdomain(&instance.name) {
        faults.push(FieldError::new("metadata.name", error.to_string()));
    }
    if let Err(error) = names::validate_label(&instance.namespace) {
        faults.push(FieldError::new("metadata.namespace", error.to_string()));
    }
    faults.extend(version(&instance.spec.version));
    faults.extend(storage(&instance.spec));
    faults.extend(unsupported(&instance.spec));
    faults.extend(parameters::faults(&instance.spec));
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn version(version: &str) -> Option<FieldError> {
    let (major, minor) = version
        .split_once('.')
        .map_or((version, None), |(a, b)| (a, Some(b)));
    let minor_is_number =
        minor.is_none_or(|m| (1..=2).contains(&m.len()) && m.bytes().all(|b| b.is_ascii_digit()));
    let supported = VERSIONS.contains(&major) && minor_is_number;
    (!supported).then(|| {
        let message = format!(
            "PostgreSQL `{version}` is not provisioned; supported are {} and their minor versions, such as {}.4",
            VERSIONS.join(", "),
            VERSIONS[0],
        );
        FieldError::new("spec.version", message)
    })
}

fn storage(spec: &InstanceSpec) -> Vec<FieldError> {
    let mut faults = Vec::new();
    match parse_bytes(&spec.storage.size) {
        Err(error) => faults.push(FieldError::new("spec.storage.size", error.to_string())),
        Ok(bytes) if bytes < MIN_STORAGE => faults.push(FieldError::new(
            "spec.storage.size",
            format!(
                "`{}` is too small for PostgreSQL; at least 256Mi",
                spec.storage.size
            ),
        )),
        Ok(_) => {}
    }
    if let Some(Err(error)) = spec.storage.class.as_deref().map(names::validate_subdomain) {
        faults.push(FieldError::new("spec.storage.class", error.to_string()));
    }
    faults
}

fn unsupported(spec: &InstanceSpec) -> Vec<FieldError> {
    let refusals = [
        (
            spec.high_availability,
            "spec.highAvailability",
            "PostgreSQL with failover is not provisioned yet: it will be delegated to CloudNativePG; set false",
        ),
        (
            spec.backup.enabled,
            "spec.backup.enabled",
            "backups of PostgreSQL are not provisioned yet; set false",
        ),
        (
            spec.backup.point_in_time_restore,
            "spec.backup.pointInTimeRestore",
            "point-in-time restore of PostgreSQL is not provisioned yet; set false",
        ),
        (
            spec.encryption.in_transit,
            "spec.encryption.inTransit",
            "TLS for PostgreSQL is not provisioned yet; set false",
        ),
        (
            spec.encryption.at_rest,
            "spec.encryption.atRest",
            "encryption at rest is a property of the storage class, which cannot be verified from here: \
             name an encrypted class in spec.storage.class and set false",
        ),
        (
            spec.deletion_policy == DeletionPolicy::Snapshot,
            "spec.deletionPolicy",
            "Snapshot is not provisioned yet; use Delete or Retain",
        ),
    ];
    refusals
        .into_iter()
        .filter(|(refused, ..)| *refused)
        .map(|(_, field, message)| FieldError::new(field, message))
        .collect()
}
