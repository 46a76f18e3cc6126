//! Sums, tables and what is refused.

use serde_json::json;

use super::*;
use crate::costs::export;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn book() -> PriceBookSpec {
    serde_json::from_value(json!({"currency": "EUR", "rates": [
        {"name": "small", "match": {"size": "small"}, "instanceHour": "0.10", "storageGiBMonth": "0.073"}]}))
    .unwrap()
}

fn record(name: &str, team: &str, size: &str, from: &str, to: Option<&str>) -> UsageRecordSpec {
    serde_json::from_value(json!({
        "resource": {"namespace": "shop", "kind": "Database", "name": name, "uid": format!("uid-{name}")},
        "location": {"cloudProvider": "metal", "region": "eu"},
        "intervals": [{"from": from, "to": to, "generation": 1,
            "shape": {"resourceType": "Database", "engine": "mysql", "size": size, "members": 1, "storageMebibytes": 10240},
            "chargeTo": {"teamNamespace": "shop", "team": team, "costCenter": "=1+1"}}]}))
    .unwrap()
}

fn records() -> Vec<UsageRecordSpec> {
    vec![
        record("b", "pay", "small", "2026-06-01T00:00:00Z", None),
        record(
            "a",
            "pay",
            "small",
            "2026-05-31T12:00:00Z",
            Some("2026-06-01T06:00:00Z"),
        ),
        record("c", "web", "large", "2026-06-01T00:00:00Z", None),
    ]
}

fn period() -> (Timestamp, Timestamp) {
    (at("2026-05-31T18:00:00Z"), at("2026-06-01T10:00:00Z"))
}

#[test]
fn sums_cover_the_time_that_is_asked_about_and_say_what_is_missing() {
    let (records, book) = (records(), book());
    let uses = uses(&records, &book, period()).unwrap();
    let told = report(("standard", &book), &uses, period(), GroupBy::Team);
    // a: 12 h, b: 10 h; 22 × 0.10, and 10 GiB × 0.073 × 22 h / 730 h.
    assert_eq!(
        (told.groups[0].key.as_str(), told.groups[0].cost.as_str()),
        ("shop/pay", "2.222000")
    );
    assert_eq!((told.total.as_str(), told.complete), ("2.222000", false));
    let web = &told.groups[1];
    assert!(!web.complete && web.unpriced_count == 2 && web.components.is_empty());
    assert_eq!(
        web.unpriced[0].message,
        "no rate has a price for the compute of a large mysql Database at metal/eu"
    );
    let by = |group_by| report(("standard", &book), &uses, period(), group_by);
    assert_eq!(by(GroupBy::Resource).groups.len(), 3);
    assert_eq!(by(GroupBy::Tenant).groups[0].key, "");
    for group_by in [
        GroupBy::Namespace,
        GroupBy::Tenant,
        GroupBy::CostCenter,
        GroupBy::Resource,
    ] {
        assert_eq!(by(group_by).total, told.total);
    }
}

#[test]
fn a_table_is_safe_to_open() {
    let (records, book) = (records(), book());
    let uses = uses(&records, &book, period()).unwrap();
    let table = export::sums(&report(("standard", &book), &uses, period(), GroupBy::CostCenter)).unwrap();
    let text = String::from_utf8(table).unwrap();
    assert!(text.contains("\n'=1+1,2.222000,EUR,"), "{text}");
    for bad in ["=x", "+x", "-x", "@x", "\tx"] {
        assert!(export::cell(bad).starts_with('\''));
    }
}

#[test]
fn focus_rows_have_every_column_and_no_zero_for_what_is_unknown() {
    let (records, book) = (records(), book());
    let uses = uses(&records, &book, period()).unwrap();
    let table = export::focus(("standard", &book), &uses).unwrap();
    let mut reader = csv::Reader::from_reader(table.as_slice());
    assert_eq!(
        reader.headers().unwrap().iter().collect::<Vec<_>>(),
        export::FOCUS_COLUMNS
    );
    let rows: Vec<std::collections::HashMap<String, String>> =
        reader.deserialize().map(Result::unwrap).collect();
    // a is cut at the month: two charges of two components; b and c have two each.
    assert_eq!(rows.len(), 8);
    let first = &rows[0];
    for (column, value) in [
        ("BilledCost", "0.600000"),
        ("ListUnitPrice", "0.1"),
        ("PricingQuantity", "6.000000000"),
        ("PricingUnit", "Instance-Hours"),
        ("BillingPeriodStart", "2026-05-01T00:00:00Z"),
        ("BillingPeriodEnd", "2026-06-01T00:00:00Z"),
        ("ChargePeriodStart", "2026-05-31T18:00:00Z"),
        ("ChargePeriodEnd", "2026-06-01T00:00:00Z"),
        ("ServiceCategory", "Databases"),
        ("ResourceId", "uid-a"),
        ("SubAccountId", "shop/pay"),
        ("RegionId", "eu"),
    ] {
        assert_eq!(first[column], value, "{column}");
    }
    let tags: serde_json::Value = serde_json::from_str(&first["Tags"]).unwrap();
    assert_eq!(tags["cost-center"], "=1+1");
    let unknown = rows.iter().find(|row| row["ResourceId"] == "uid-c").unwrap();
    assert_eq!(
        (unknown["BilledCost"].as_str(), unknown["ListCost"].as_str()),
        ("", "")
    );
    assert!(unknown["x_UnpricedReason"].starts_with("no rate has a price"));
}

#[test]
fn a_period_is_bounded_and_its_faults_are_named() {
    let now = at("2026-06-15T12:00:00Z");
    let of = |from: Option<&str>, to: Option<&str>| {
        let query = Query {
            from: from.map(Into::into),
            to: to.map(Into::into),
            ..Query::default()
        };
        query
            .period(now)
            .map_err(|problem| problem.details[0].field.clone())
    };
    assert_eq!(of(None, None), Ok((at("2026-06-01T00:00:00Z"), now)));
    assert_eq!(
        of(Some("2026-05-01"), Some("2027-01-01")),
        Ok((at("2026-05-01T00:00:00Z"), now)),
        "nothing is foretold"
    );
    assert_eq!(of(Some("yesterday"), None), Err("from".into()));
    assert_eq!(of(None, Some("2026-13-01")), Err("to".into()));
    assert_eq!(of(Some("2026-06-15T12:00:00Z"), None), Err("from".into()));
    assert_eq!(of(Some("2024-01-01"), None), Err("from".into()));
}
