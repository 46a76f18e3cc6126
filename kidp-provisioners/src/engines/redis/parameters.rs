//! The engine parameters that are accepted, with their types and ranges.
//!
//! Ranges are those of `config.c` in Redis 7.0 (<https://github.com/redis/redis/blob/7.0/src/config.c>), narrowed where
//! a larger value makes no sense in any size. The list holds what every minor version from 7.0 on reads: a server
//! does not start with a setting that it does not know.

mod list;
mod refused;

use kidp_core::instance::InstanceSpec;

use crate::engines::parameters::{Catalogue, Parameter, units};

pub use list::PARAMETERS;

/// What is accepted.
pub(super) const CATALOGUE: Catalogue = Catalogue {
    engine: "Redis",
    accepted: PARAMETERS,
    refused: refused::REFUSED,
    dash_is_underscore: false,
    check: fits,
};

/// What does not fit the pod's memory would be killed. Memory is not only keys: buffers of clients, the pages that
/// change while a snapshot is written, and fragmentation come on top.
fn fits(parameter: &Parameter, value: &str, spec: &InstanceSpec) -> Option<String> {
    let limit = spec.size.memory_bytes() / 10 * 9;
    let too_large =
        parameter.name == "maxmemory" && units::REDIS.bytes(value).is_some_and(|bytes| bytes > limit);
    too_large.then(|| {
        format!(
            "`{value}` does not fit size {}; at most 90 % of its memory, {}mb",
            spec.size,
            limit >> 20
        )
    })
}
