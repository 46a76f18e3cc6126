//! The choice of a rate.

use serde_json::json;

use super::*;
use crate::cost::testing::{at, book, metal, small};
use crate::size::Size;

fn rate_of(book: &PriceBookSpec, what: Component, shape: &Shape, when: &str) -> Result<String, PriceError> {
    let priced = price(book, what, shape, &metal(), at(when))?;
    let texts: Vec<_> = priced.iter().map(|p| format!("{}={}", p.rate, p.price)).collect();
    Ok(texts.join(" "))
}

const NOW: &str = "2026-06-01T00:00:00Z";

#[test]
fn the_most_specific_rate_that_has_the_price_is_taken() {
    let book = book(&json!([
        {"name": "all", "cpuHour": "0.03", "memoryGiBHour": "0.004", "storageGiBMonth": "0.1"},
        {"name": "small", "match": {"size": "small"}, "instanceHour": "0.05"},
        {"name": "small-here", "match": {"size": "small", "region": "eu"}, "instanceHour": "0.06"},
        {"name": "elsewhere", "match": {"size": "small", "region": "us", "cloudProvider": "aws"}, "instanceHour": "9"},
        {"name": "fast", "match": {"storageClass": "fast"}, "storageGiBMonth": "0.3"},
    ]));
    let mut shape = small();
    assert_eq!(
        rate_of(&book, Component::Compute, &shape, NOW).unwrap(),
        "small-here=0.06"
    );
    assert_eq!(
        rate_of(&book, Component::Storage, &shape, NOW).unwrap(),
        "all=0.1"
    );
    shape.storage_class = Some("fast".into());
    assert_eq!(
        rate_of(&book, Component::Storage, &shape, NOW).unwrap(),
        "fast=0.3"
    );
    shape.size = Size::Large;
    assert_eq!(
        rate_of(&book, Component::Compute, &shape, NOW).unwrap(),
        "all=0.03 all=0.004"
    );
}

#[test]
fn a_later_version_takes_over_when_it_takes_effect() {
    let book = book(&json!([
        {"name": "v1", "instanceHour": "1"},
        {"name": "v3", "effectiveFrom": "2026-07-01T00:00:00Z", "instanceHour": "3"},
        {"name": "v2", "effectiveFrom": "2026-06-01T00:00:00Z", "instanceHour": "2"},
    ]));
    let of = |when| rate_of(&book, Component::Compute, &small(), when).unwrap();
    assert_eq!(of("2026-05-31T23:59:59Z"), "v1=1");
    assert_eq!(of("2026-06-01T00:00:00Z"), "v2=2");
    assert_eq!(of("2026-08-01T00:00:00Z"), "v3=3");
}

#[test]
fn what_has_no_price_is_named_and_never_free() {
    let rates = book(&json!([{"name": "us", "match": {"region": "us"}, "instanceHour": "1"}]));
    let error = rate_of(&rates, Component::Compute, &small(), NOW).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no rate has a price for the compute of a small postgresql Database at metal/eu"
    );
    let rates =
        book(&json!([{"name": "next", "effectiveFrom": "2027-01-01T00:00:00Z", "instanceHour": "1"}]));
    assert_eq!(
        rate_of(&rates, Component::Compute, &small(), NOW)
            .unwrap_err()
            .reason(),
        "PriceUnknown"
    );
    let mut half = rates;
    half.rates[0] = serde_json::from_value(json!({"name": "half", "cpuHour": "1"})).unwrap();
    assert!(
        rate_of(&half, Component::Compute, &small(), NOW).is_err(),
        "half of a price"
    );
    half.rates[0] = serde_json::from_value(json!({"name": "bad", "instanceHour": "-1"})).unwrap();
    let error = rate_of(&half, Component::Compute, &small(), NOW).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("spec.rates[bad].instanceHour: `-1`"),
        "{error}"
    );
}

#[test]
fn two_rates_that_are_equally_specific_are_both_named() {
    let rates = book(&json!([
        {"name": "by-size", "match": {"size": "small"}, "instanceHour": "1"},
        {"name": "by-region", "match": {"region": "eu"}, "instanceHour": "2", "effectiveFrom": "2026-01-01T00:00:00Z"},
    ]));
    let error = rate_of(&rates, Component::Compute, &small(), NOW)
        .unwrap_err()
        .to_string();
    assert!(error.contains("`by-region` and `by-size`"), "{error}");
    let twins = book(&json!([{"name": "a", "instanceHour": "1"}, {"name": "b", "instanceHour": "1"}]));
    let error = rate_of(&twins, Component::Compute, &small(), NOW).unwrap_err();
    assert_eq!(error.reason(), "PriceAmbiguous");
}
