//! A scripted week: the cost report equals a sheet that was computed by hand.
//!
//! Operator and broker are the real ones, over the model of their clusters. The operator's clock shows the time of the
//! script and stands still while something is provisioned, so that the sheet does not depend on how long that takes. The
//! operator crashes in between, again and again: each life begins with what is written.
//!
//! `week.csv` has a line for each charge with its arithmetic, `totals.csv` the sums.
#![allow(clippy::unwrap_used, clippy::panic)]

mod world;

use std::collections::BTreeMap;

use kidp_operator::costs::export;
use kidp_operator::costs::report::{GroupBy, Use, report, uses};
use serde_json::json;
use world::World;

const SHEET: &str = include_str!("week.csv");
const TOTALS: &str = include_str!("totals.csv");
const MONDAY: &str = "2026-06-01T00:00:00Z";
const END: &str = "2026-06-08T00:00:00Z";

fn prices() -> serde_json::Value {
    json!({"currency": "EUR", "rates": [
        {"name": "volumes", "storageGiBMonth": "0.073"},
        {"name": "small-1", "match": {"size": "small"}, "instanceHour": "0.05"},
        {"name": "small-2", "match": {"size": "small"}, "effectiveFrom": "2026-06-04T00:00:00Z", "instanceHour": "0.06"},
        {"name": "medium", "match": {"size": "medium"}, "cpuHour": "0.03", "memoryGiBHour": "0.005"}]})
}

/// The week. After each change the operator goes as far as it can, then crashes.
async fn live(world: &mut World) {
    world.put("pricebooks", "standard", &prices());
    world.put("tenants", "acme", &json!({"displayName": "Acme"}));
    world.put(
        "teams",
        "web",
        &json!({"displayName": "Web", "owners": ["ada"], "costCenter": "CC-9"}),
    );
    let budget = json!({"monthlyLimit": 100.0, "alertThresholds": [50, 100]});
    let payments = json!({"costCenter": "CC-1", "tenantRef": {"name": "acme"}, "budget": budget});
    world.edit("teams", "payments", &payments);
    world.crash();

    world.at(MONDAY);
    world.create("orders", "payments", "small");
    world.create("stock", "web", "large");
    world.settle().await;
    world.at("2026-06-02T06:00:00Z");
    world.create("users", "payments", "small");
    world.settle().await;
    world.at("2026-06-03T00:00:00Z");
    world.crash();
    world.settle().await;
    world.at("2026-06-03T12:00:00Z");
    world.edit("databases", "orders", &json!({"size": "medium"}));
    world.crash();
    world.settle().await;
    world.at("2026-06-04T00:00:00Z");
    world.settle().await;
    world.at("2026-06-04T12:00:00Z");
    world.edit("teams", "payments", &json!({"costCenter": "CC-2"}));
    world.settle().await;
    world.crash();
    world.at("2026-06-05T00:00:00Z");
    world.edit("databases", "orders", &json!({"storage": {"size": "20Gi"}}));
    world.settle().await;
    world.at("2026-06-06T18:00:00Z");
    world.discard("users");
    world.crash();
    world.settle().await;
    world.at("2026-06-07T06:00:00Z");
    world.create("users", "payments", "small");
    world.settle().await;
    world.at(END);
    world.crash();
    world.settle().await;
}

/// Lines of a sheet, by column.
fn lines(sheet: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(sheet.as_bytes());
    reader.deserialize().map(Result::unwrap).collect()
}

/// The same columns of the charges, as they are exported.
fn exported(book: &kidp_core::crd::PriceBookSpec, uses: &[Use<'_>]) -> Vec<Vec<String>> {
    let table = export::focus(("standard", book), uses).unwrap();
    let rows = lines(std::str::from_utf8(&table).unwrap());
    let mut rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let tags: serde_json::Value = serde_json::from_str(&row["Tags"]).unwrap();
            let columns = ["ResourceName", "SkuId", "ChargePeriodStart", "ChargePeriodEnd"];
            let mut cells: Vec<_> = columns.iter().map(|column| row[*column].clone()).collect();
            cells.push(tags["cost-center"].as_str().unwrap_or_default().to_owned());
            cells.extend([row["SkuPriceId"].clone(), row["BilledCost"].clone()]);
            cells
        })
        .collect();
    rows.sort();
    rows
}

#[tokio::test(start_paused = true)]
async fn a_week_costs_what_the_sheet_says() {
    let mut world = World::new();
    live(&mut world).await;
    let (book, records) = (world.book(), world.records());
    let period = (MONDAY.parse().unwrap(), END.parse().unwrap());
    let uses = uses(&records, &book, period).unwrap();

    let columns = [
        "resource",
        "component",
        "from",
        "to",
        "costCenter",
        "rate",
        "amount",
    ];
    let mut sheet: Vec<Vec<String>> = lines(SHEET)
        .iter()
        .map(|line| columns.iter().map(|column| line[*column].clone()).collect())
        .collect();
    sheet.sort();
    assert_eq!(exported(&book, &uses), sheet);

    let mut told = Vec::new();
    for group_by in [
        GroupBy::Resource,
        GroupBy::CostCenter,
        GroupBy::Team,
        GroupBy::Tenant,
        GroupBy::Namespace,
    ] {
        let report = report(("standard", &book), &uses, period, group_by);
        assert_eq!((report.total.as_str(), report.complete), ("19.314000", false));
        let name = serde_json::to_value(group_by)
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned();
        told.extend(
            report
                .groups
                .into_iter()
                .map(|group| [name.clone(), group.key, group.cost]),
        );
    }
    let totals = lines(TOTALS);
    let totals: Vec<_> = totals
        .iter()
        .map(|line| ["groupBy", "group", "cost"].map(|column| line[column].clone()))
        .collect();
    assert_eq!(told, totals);

    statuses(&world);
}

/// What is expected from then on, as the statuses say it.
fn statuses(world: &World) {
    let cost = |name: &str| world.status("databases", name)["cost"]["estimatedMonthly"].as_f64();
    // 0.08 × 730 + 20 × 0.073, and 0.06 × 730 + 10 × 0.073.
    assert_eq!(
        (cost("orders"), cost("users"), cost("stock")),
        (Some(59.86), Some(44.53), None)
    );
    let stock = world.status("databases", "stock").to_string();
    assert!(
        stock.contains("no rate has a price for the compute of a large postgresql Database at metal/eu"),
        "{stock}"
    );
    let team = &world.status("teams", "payments")["cost"];
    assert_eq!(
        *team,
        json!({"estimatedMonthly": 104.39, "currency": "EUR", "budgetUsedPercent": 104, "alertedThresholds": [50, 100]})
    );
    assert_eq!(world.status("teams", "web")["cost"]["unpriced"], 1);
}
