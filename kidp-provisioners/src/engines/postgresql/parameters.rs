//! The engine parameters that are accepted, with their types and ranges.
//!
//! Ranges are those of `pg_settings` in PostgreSQL 15 to 17, narrowed where a larger value could not start in any
//! size. Memory and time are written with their unit, since a bare number means something else for each
//! parameter (8 kB blocks for `shared_buffers`, milliseconds for `statement_timeout`).

mod list;
mod refused;

use kidp_core::instance::InstanceSpec;

use crate::engines::parameters::{Catalogue, Parameter, units};

pub use list::PARAMETERS;

/// What is accepted.
pub(super) const CATALOGUE: Catalogue = Catalogue {
    engine: "PostgreSQL",
    accepted: PARAMETERS,
    refused: refused::REFUSED,
    dash_is_underscore: false,
    check: fits,
};

/// What does not fit the pod's memory would be killed, or not start at all.
fn fits(parameter: &Parameter, value: &str, spec: &InstanceSpec) -> Option<String> {
    let limit = spec.size.memory_bytes() / 10 * 6;
    let too_large = parameter.name == "shared_buffers"
        && units::POSTGRESQL.bytes(value).is_some_and(|bytes| bytes > limit);
    too_large.then(|| {
        format!(
            "`{value}` does not fit size {}; at most 60 % of its memory, {}MB",
            spec.size,
            limit >> 20
        )
    })
}
