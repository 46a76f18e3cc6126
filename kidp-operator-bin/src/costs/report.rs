//! The report: a pure function of usage records, a price book and a time.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use kidp_core::cost::{Amount, Charge, Component, charges};
use kidp_core::crd::{ChargeTo, PriceBookSpec, UsageInterval, UsageRecordSpec, UsedResource};
use kidp_core::problem::{FieldError, Problem, Reason};
use serde::{Deserialize, Serialize};

/// Longest time of a report.
const MAX_DAYS: i64 = 400;
/// Most charges of a report; ask for a shorter time.
pub const MAX_CHARGES: usize = 100_000;
/// Most unpriced uses that a group names; more are only counted.
const NAMED: usize = 10;
/// Places of an amount in a report.
pub const PLACES: u32 = 6;

/// What sums are made by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GroupBy {
    /// The team, as `namespace/name`.
    #[default]
    Team,
    /// The namespace of the resource.
    Namespace,
    /// The tenant, as `namespace/name`.
    Tenant,
    /// The cost centre.
    CostCenter,
    /// The resource, as `namespace/Kind/name`.
    Resource,
}

impl GroupBy {
    /// The group of a use; empty for what belongs to none.
    pub fn key(self, resource: &UsedResource, to: &ChargeTo) -> String {
        match self {
            Self::Team => format!("{}/{}", to.team_namespace, to.team),
            Self::Namespace => resource.namespace.clone(),
            Self::Tenant => to.tenant.clone().unwrap_or_default(),
            Self::CostCenter => to.cost_center.clone().unwrap_or_default(),
            Self::Resource => resource_id(resource),
        }
    }
}

/// A resource in words.
pub fn resource_id(resource: &UsedResource) -> String {
    format!("{}/{}/{}", resource.namespace, resource.kind, resource.name)
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Sums, with components.
    #[default]
    Json,
    /// Sums, as a table.
    Csv,
    /// Every charge, with the columns of FOCUS.
    Focus,
}

/// Parameters of a report.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Query {
    /// Its first moment: a date, which begins at midnight of UTC, or a time with an offset. The beginning of the month
    /// when absent.
    pub from: Option<String>,
    /// The moment after its last; now when absent or later than now.
    pub to: Option<String>,
    /// What sums are made by.
    #[serde(default)]
    pub group_by: GroupBy,
    /// The form of the answer.
    #[serde(default)]
    pub format: Format,
}

impl Query {
    /// The time that is asked about. Nothing is foretold: it ends now at the latest.
    pub fn period(&self, now: Timestamp) -> Result<(Timestamp, Timestamp), Problem> {
        let refused = |field, message: String| {
            Problem::fields(Reason::InvalidField, vec![FieldError::new(field, message)])
        };
        let read = |field: &'static str, text: &Option<String>| {
            let text = text.as_deref();
            text.map(|text| {
                moment(text).ok_or_else(|| {
                    refused(
                        field,
                        "must be a date such as 2026-06-01 or a time such as 2026-06-01T12:00:00Z".to_owned(),
                    )
                })
            })
            .transpose()
        };
        let to = read("to", &self.to)?.unwrap_or(now).min(now);
        let from = match read("from", &self.from)? {
            Some(from) => from,
            None => month_start(now).ok_or_else(|| refused("from", "must be given".to_owned()))?,
        };
        if from >= to {
            return Err(refused(
                "from",
                format!("must be before `to`, which is {to} at the latest"),
            ));
        }
        if to.duration_since(from) > SignedDuration::from_hours(24 * MAX_DAYS) {
            return Err(refused(
                "from",
                format!("must be at most {MAX_DAYS} days before `to`"),
            ));
        }
        Ok((from, to))
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    let midnight = |date: Date| date.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp());
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| text.parse::<Date>().ok().and_then(midnight))
}

/// Midnight of UTC at the first of the month.
pub fn month_start(at: Timestamp) -> Option<Timestamp> {
    let first = at.to_zoned(TimeZone::UTC).date().with().day(1).build().ok()?;
    Some(first.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Charges of one interval of one resource.
#[derive(Clone, Debug)]
pub struct Use<'a> {
    /// The record.
    pub record: &'a UsageRecordSpec,
    /// The interval.
    pub interval: &'a UsageInterval,
    /// Its charges within the time of the report.
    pub charges: Vec<Charge>,
}

/// Every use from `from` to `to`, in the order of resources and time.
pub fn uses<'a>(
    records: &'a [UsageRecordSpec],
    book: &PriceBookSpec,
    (from, to): (Timestamp, Timestamp),
) -> Result<Vec<Use<'a>>, Problem> {
    let mut all = Vec::new();
    let mut count = 0;
    for record in records {
        for interval in &record.intervals {
            let begin = interval.from.0.max(from);
            let end = interval.to.as_ref().map_or(to, |end| end.0.min(to));
            if begin >= end {
                continue;
            }
            let charges = charges(book, &interval.shape, &record.location, begin, end);
            count += charges.len();
            if count > MAX_CHARGES {
                let message = format!("more than {MAX_CHARGES} charges: ask for a shorter time");
                return Err(Problem::fields(
                    Reason::InvalidField,
                    vec![FieldError::new("from", message)],
                ));
            }
            all.push(Use {
                record,
                interval,
                charges,
            });
        }
    }
    all.sort_by(|a, b| (&a.record.resource, a.interval.from.0).cmp(&(&b.record.resource, b.interval.from.0)));
    Ok(all)
}

/// What something costs, as far as it is known.
#[derive(Clone, Debug, Default)]
struct Sum {
    total: Amount,
    components: BTreeMap<Component, Amount>,
    unpriced: Vec<Unpriced>,
    unpriced_count: usize,
}

/// A use whose price is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unpriced {
    /// The resource.
    pub resource: String,
    /// What of it.
    pub component: Component,
    /// From when.
    pub from: String,
    /// Until when.
    pub to: String,
    /// Why.
    pub message: String,
}

/// The sum of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// What it is the sum of; empty for what belongs to none.
    pub key: String,
    /// The cost of what has a price.
    pub cost: String,
    /// Whether that is all.
    pub complete: bool,
    /// The same by component.
    pub components: BTreeMap<Component, String>,
    /// Uses whose price is not known, the first few.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unpriced: Vec<Unpriced>,
    /// How many there are.
    pub unpriced_count: usize,
}

/// The report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The price book.
    pub price_book: String,
    /// ISO 4217 code of every amount.
    pub currency: String,
    /// Its first moment.
    pub from: String,
    /// The moment after its last.
    pub to: String,
    /// What sums are made by.
    pub group_by: GroupBy,
    /// The sum of the groups before each is rounded.
    pub total: String,
    /// Whether every use has a price.
    pub complete: bool,
    /// Sums, by key.
    pub groups: Vec<Group>,
}

/// Sums of uses by group.
pub fn report(
    book: (&str, &PriceBookSpec),
    uses: &[Use<'_>],
    (from, to): (Timestamp, Timestamp),
    group_by: GroupBy,
) -> Report {
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for used in uses {
        let key = group_by.key(&used.record.resource, &used.interval.charge_to);
        let sum = sums.entry(key).or_default();
        for charge in &used.charges {
            add(sum, &used.record.resource, charge);
        }
    }
    Report {
        price_book: book.0.to_owned(),
        currency: book.1.currency.clone(),
        from: from.to_string(),
        to: to.to_string(),
        group_by,
        total: sums
            .values()
            .map(|sum| sum.total)
            .sum::<Amount>()
            .to_decimal(PLACES),
        complete: sums.values().all(|sum| sum.unpriced_count == 0),
        groups: sums.into_iter().map(|(key, sum)| group(key, sum)).collect(),
    }
}

fn add(sum: &mut Sum, resource: &UsedResource, charge: &Charge) {
    match &charge.amount {
        Ok(amount) => {
            sum.total = sum.total.plus(*amount);
            let component = sum.components.entry(charge.component).or_default();
            *component = component.plus(*amount);
        }
        Err(error) => {
            sum.unpriced_count += 1;
            if sum.unpriced.len() < NAMED {
                sum.unpriced.push(Unpriced {
                    resource: resource_id(resource),
                    component: charge.component,
                    from: charge.from.to_string(),
                    to: charge.to.to_string(),
                    message: error.to_string(),
                });
            }
        }
    }
}

fn group(key: String, sum: Sum) -> Group {
    let decimal = |(component, amount): (Component, Amount)| (component, amount.to_decimal(PLACES));
    Group {
        key,
        cost: sum.total.to_decimal(PLACES),
        complete: sum.unpriced_count == 0,
        components: sum.components.into_iter().map(decimal).collect(),
        unpriced: sum.unpriced,
        unpriced_count: sum.unpriced_count,
    }
}

#[cfg(test)]
mod tests;
