//! Reports as CSV: sums as a table, and every charge with the column names of FOCUS 1.2
//! (<https://focus.finops.org/focus-specification/v1-2/>).
//!
//! A cost that is not known is an empty cell, with the reason in `x_UnpricedReason`: FOCUS allows no null there, and a zero
//! would be wrong. Cells that a spreadsheet would take for a formula begin with an apostrophe
//! (<https://owasp.org/www-community/attacks/CSV_Injection>).

use jiff::Timestamp;
use jiff::ToSpan;
use jiff::tz::TimeZone;
use kidp_core::cost::Charge;
use kidp_core::crd::PriceBookSpec;
use kidp_core::instance::ResourceType;
use serde_json::json;

use super::report::{PLACES, Report, Use, month_start, resource_id};

/// Who provides, publishes and invoices what is charged.
const PROVIDER: &str = "KIDP";
/// Places of a quantity.
const QUANTITY_PLACES: u32 = 9;

/// Columns of an export in the form of FOCUS: its mandatory ones and those that have a value here, in the order of the
/// specification, and then our own.
pub const FOCUS_COLUMNS: [&str; 39] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "SkuId",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_CloudProvider",
    "x_UnpricedReason",
];

/// A text as a cell that no spreadsheet takes for a formula.
pub fn cell(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

fn table(rows: impl IntoIterator<Item = Vec<String>>) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row.iter().map(|text| cell(text)))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// Sums as a table; the last column says how many uses have no price.
pub fn sums(report: &Report) -> Result<Vec<u8>, csv::Error> {
    let header = [
        "group",
        "cost",
        "currency",
        "from",
        "to",
        "complete",
        "unpricedCount",
    ];
    let rows = report.groups.iter().map(|group| {
        vec![
            group.key.clone(),
            group.cost.clone(),
            report.currency.clone(),
            report.from.clone(),
            report.to.clone(),
            group.complete.to_string(),
            group.unpriced_count.to_string(),
        ]
    });
    table(std::iter::once(header.map(str::to_owned).to_vec()).chain(rows))
}

/// Every charge, in the form of FOCUS.
pub fn focus(book: (&str, &PriceBookSpec), uses: &[Use<'_>]) -> Result<Vec<u8>, csv::Error> {
    let header = FOCUS_COLUMNS.map(str::to_owned).to_vec();
    let rows = uses
        .iter()
        .flat_map(|used| used.charges.iter().map(move |charge| row(book, used, charge)));
    table(std::iter::once(header).chain(rows))
}

/// The category of a service: caches are a subcategory of databases, message queues of integration.
/// <https://focus.finops.org/focus-columns/service-category/>
const fn category(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::Database | ResourceType::Cache => "Databases",
        ResourceType::MessageQueue => "Integration",
    }
}

fn row((book_name, book): (&str, &PriceBookSpec), used: &Use<'_>, charge: &Charge) -> Vec<String> {
    let (resource, shape, to) = (
        &used.record.resource,
        &used.interval.shape,
        &used.interval.charge_to,
    );
    let (cost, reason) = match &charge.amount {
        Ok(amount) => (amount.to_decimal(PLACES), String::new()),
        Err(error) => (String::new(), error.to_string()),
    };
    let (sku, price) = match &charge.rate {
        Ok((rate, price)) => (rate.clone(), price.to_string()),
        Err(_) => (String::new(), String::new()),
    };
    let quantity = charge
        .used()
        .map(|used| used.to_decimal(QUANTITY_PLACES))
        .unwrap_or_default();
    let (begin, end) = billing_period(charge.from);
    let unit = charge.component.unit().to_owned();
    let team = format!("{}/{}", to.team_namespace, to.team);
    let text = str::to_owned;
    vec![
        cost.clone(),
        text(book_name),
        text(book_name),
        book.currency.clone(),
        end,
        begin,
        text("Usage"),
        String::new(),
        format!("{} of {shape}", charge.component.as_str()),
        text("Usage-Based"),
        charge.to.to_string(),
        charge.from.to_string(),
        quantity.clone(),
        unit.clone(),
        cost.clone(),
        price.clone(),
        cost.clone(),
        text(PROVIDER),
        cost,
        price,
        text(if sku.is_empty() { "" } else { "Standard" }),
        quantity,
        unit,
        text(PROVIDER),
        text(PROVIDER),
        used.record.location.region.clone(),
        used.record.location.region.clone(),
        resource.uid.clone(),
        resource_id(resource),
        resource.kind.to_string(),
        text(category(resource.kind)),
        format!("KIDP {}", shape.engine),
        text(charge.component.as_str()),
        sku,
        team.clone(),
        team,
        tags(used),
        used.record.location.cloud_provider.clone(),
        reason,
    ]
}

fn tags(used: &Use<'_>) -> String {
    let to = &used.interval.charge_to;
    let tags = json!({
        "application": to.application,
        "cost-center": to.cost_center,
        "namespace": used.record.resource.namespace,
        "size": used.interval.shape.size,
        "team": to.team,
        "tenant": to.tenant,
    });
    tags.to_string()
}

/// The month of UTC that a moment is in.
fn billing_period(at: Timestamp) -> (String, String) {
    let begin = month_start(at);
    let end = begin.and_then(|begin| {
        let next = begin.to_zoned(TimeZone::UTC).checked_add(1.month()).ok()?;
        Some(next.timestamp())
    });
    let text = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    (text(begin), text(end))
}
