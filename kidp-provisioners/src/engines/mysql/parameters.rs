//! The engine parameters that are accepted, with their types and ranges.
//!
//! Ranges are those of the manual (<https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html>,
//! <https://dev.mysql.com/doc/refman/8.4/en/innodb-parameters.html>), narrowed where a larger value makes no sense in
//! any size. The list holds what every series from 8.0 to 9 reads: a server does not start with an option that it
//! does not know. Dashes in names are underscores, as in MySQL.

mod list;
mod refused;

use kidp_core::instance::InstanceSpec;

use crate::engines::parameters::{Catalogue, Parameter, units};

pub use list::PARAMETERS;

/// What is accepted.
pub(super) const CATALOGUE: Catalogue = Catalogue {
    engine: "MySQL",
    accepted: PARAMETERS,
    refused: refused::REFUSED,
    dash_is_underscore: true,
    check: fits,
};

/// What does not fit the pod's memory would be killed, or not start at all.
fn fits(parameter: &Parameter, value: &str, spec: &InstanceSpec) -> Option<String> {
    let percent = match parameter.name {
        "innodb_buffer_pool_size" => 75,
        "innodb_log_buffer_size"
        | "key_buffer_size"
        | "max_heap_table_size"
        | "temptable_max_ram"
        | "tmp_table_size" => 25,
        _ => return None,
    };
    let limit = spec.size.memory_bytes() / 100 * percent;
    let too_large = units::MYSQL.bytes(value).is_some_and(|bytes| bytes > limit);
    too_large.then(|| {
        format!(
            "`{value}` does not fit size {}; at most {percent} % of its memory, {}M",
            spec.size,
            limit >> 20
        )
    })
}
