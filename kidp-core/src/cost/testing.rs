//! Price books and shapes for tests.

use serde_json::json;

use super::{Location, Shape};
use crate::crd::PriceBookSpec;

/// A book in euros with these rates.
pub fn book(rates: &serde_json::Value) -> PriceBookSpec {
    serde_json::from_value(json!({"currency": "EUR", "rates": rates})).unwrap()
}

/// A small PostgreSQL database with 10 GiB.
pub fn small() -> Shape {
    serde_json::from_value(
        json!({"resourceType": "Database", "engine": "postgresql", "size": "small",
        "members": 1, "storageMebibytes": 10240}),
    )
    .unwrap()
}

/// Where it is.
pub fn metal() -> Location {
    Location {
        cloud_provider: "metal".into(),
        region: "eu".into(),
    }
}

/// A moment.
pub fn at(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}
