//! The engine parameters that are accepted, with their types and ranges.
//!
//! Names are paths in `mongod.conf`, as the manual writes them
//! (<https://www.mongodb.com/docs/manual/reference/configuration-options/>); server parameters are below
//! `setParameter` (<https://www.mongodb.com/docs/manual/reference/parameters/>). Only names that every provisioned
//! version has.

mod list;
mod refused;

use kidp_core::instance::InstanceSpec;

use crate::engines::parameters::{Catalogue, Parameter};

pub use list::PARAMETERS;

/// What is accepted.
pub(super) const CATALOGUE: Catalogue = Catalogue {
    engine: "MongoDB",
    accepted: PARAMETERS,
    refused: refused::REFUSED,
    dash_is_underscore: false,
    check: fits,
};

/// What does not fit the pod's memory would be killed.
fn fits(parameter: &Parameter, value: &str, spec: &InstanceSpec) -> Option<String> {
    if parameter.name != "storage.wiredTiger.engineConfig.cacheSizeGB" {
        return None;
    }
    // Sizes are whole gibibytes.
    let limit = f64::from(spec.size.cpu_cores() * 2) * 0.6;
    value.parse::<f64>().is_ok_and(|size| size > limit).then(|| {
        format!(
            "`{value}` does not fit size {}; at most 60 % of its memory, {limit}",
            spec.size
        )
    })
}
