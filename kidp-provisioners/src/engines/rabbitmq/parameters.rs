//! The engine parameters that are accepted, with their types and ranges.
//!
//! Names and types are those of RabbitMQ 4's schema, `deps/rabbit/priv/schema/rabbit.schema`; ranges are narrowed to
//! what a node of any size starts with. Names that the schema has had only since a later 4.x are left out.

mod list;
mod refused;

use kidp_core::instance::InstanceSpec;
use kidp_core::quantity::parse_bytes;

use crate::engines::parameters::{Catalogue, Kind, Parameter};

pub use list::PARAMETERS;

/// The plugins besides those that KIDP enables: a file of its own, not a line of `rabbitmq.conf`.
pub(super) const PLUGINS: &str = "enabled_plugins";

/// What is accepted.
pub(super) const CATALOGUE: Catalogue = Catalogue {
    engine: "RabbitMQ",
    accepted: PARAMETERS,
    refused: refused::REFUSED,
    dash_is_underscore: false,
    check: fits,
};

/// What does not fit the volume would keep publishers waiting for ever; what does not fit the memory would be killed.
fn fits(parameter: &Parameter, value: &str, spec: &InstanceSpec) -> Option<String> {
    let bytes = match parameter.kind {
        Kind::Memory { units, .. } => units.bytes(value)?,
        _ => value.parse().ok()?,
    };
    let (limit, whose) = match parameter.name {
        "disk_free_limit.absolute" => (
            parse_bytes(&spec.storage.size).ok()? / 2,
            "half of spec.storage.size",
        ),
        "raft.wal_max_size_bytes" => (spec.size.memory_bytes() / 4, "a quarter of its memory"),
        _ => return None,
    };
    (bytes > limit).then(|| {
        format!(
            "`{value}` does not fit size {}; at most {whose}, {limit}",
            spec.size
        )
    })
}
