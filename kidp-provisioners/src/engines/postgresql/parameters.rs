//! The engine parameters that are accepted, with their types and ranges.
//!
//! Ranges are those of `pg_settings` in PostgreSQL 15 to 17, narrowed where a larger value could not start in any
//! size. Memory and time are written with their unit, since a bare number means something else for each
//! parameter (8 kB blocks for `shared_buffers`, milliseconds for `statement_timeout`).

mod list;
mod refused;
mod value;

use kidp_core::instance::InstanceSpec;
use kidp_core::problem::FieldError;

pub use list::PARAMETERS;
pub use value::Kind;

/// An accepted parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameter {
    /// Its name in `postgresql.conf`.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Whether PostgreSQL reads it at its start only. A change of any parameter starts the pod anew at present.
    pub restart: bool,
}

/// The parameter of a name; names are case-insensitive, as in PostgreSQL.
pub(super) fn find(name: &str) -> Option<&'static Parameter> {
    PARAMETERS.iter().find(|p| p.name.eq_ignore_ascii_case(name))
}

/// Every fault of a spec's parameters.
pub(super) fn faults(spec: &InstanceSpec) -> Vec<FieldError> {
    let mut seen = std::collections::BTreeSet::new();
    spec.parameters
        .iter()
        .filter_map(|(name, value)| {
            let message = match find(name) {
                Some(parameter) if !seen.insert(parameter.name) => {
                    Some(format!("`{}` is given twice, in different case", parameter.name))
                }
                Some(parameter) => fault(parameter, value.trim(), spec),
                None => Some(refused::reason(name)),
            };
            message.map(|message| FieldError::new(format!("spec.parameters.{name}"), message))
        })
        .collect()
}

fn fault(parameter: &Parameter, value: &str, spec: &InstanceSpec) -> Option<String> {
    if !parameter.kind.accepts(value) {
        return Some(format!(
            "`{}` is not accepted; {}",
            value.escape_debug(),
            parameter.kind
        ));
    }
    // What does not fit the pod's memory would be killed, or not start at all.
    let limit = spec.size.memory_bytes() / 10 * 6;
    let too_large =
        parameter.name == "shared_buffers" && value::bytes(value).is_some_and(|bytes| bytes > limit);
    too_large.then(|| {
        format!(
            "`{value}` does not fit size {}; at most 60 % of its memory, {}MB",
            spec.size,
            limit >> 20
        )
    })
}
