//! Tests of the comparison as a whole, by what Kubernetes does with the fields.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

mod additions;
mod authors;
mod kinds;
mod properties;
mod robust;

use serde_json::Value;

use crate::diff;

fn paths(desired: &Value, live: &Value) -> Vec<String> {
    diff(desired, live).into_iter().map(|c| c.path).collect()
}
