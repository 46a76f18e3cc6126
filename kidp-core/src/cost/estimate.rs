//! What an instance is expected to cost a month, and how a change of it changes that.

use jiff::Timestamp;

use super::charge::components;
use super::price::price;
use super::{Amount, Component, Location, MONTH_SECONDS, Price, PriceError, Shape};
use crate::crd::PriceBookSpec;

/// One component of an estimate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Of what.
    pub component: Component,
    /// How much of it there is: members, cores or MiB.
    pub quantity: u64,
    /// Name of the rate.
    pub rate: String,
    /// The price of a unit.
    pub price: Price,
    /// The cost a month.
    pub amount: Amount,
}

/// What an instance costs for a month of [`super::MONTH_HOURS`] hours at the prices of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// ISO 4217 code.
    pub currency: String,
    /// The sum of the lines.
    pub monthly: Amount,
    /// Its components.
    pub lines: Vec<Line>,
}

/// What `shape` costs a month, or the first thing of it that has no price.
///
/// ```
/// # use kidp_core::cost::{Location, Shape, estimate};
/// # use serde_json::json;
/// let book = serde_json::from_value(json!({"currency": "EUR", "rates": [
///     {"name": "standard", "instanceHour": "0.05", "storageGiBMonth": "0.10"}]})).unwrap();
/// let spec = serde_json::from_value(json!({"engine": "redis", "version": "8", "storage": {"size": "10Gi"}})).unwrap();
/// let shape = Shape::of(kidp_core::instance::ResourceType::Cache, &spec).unwrap();
/// let estimate = estimate(&book, &shape, &Location::default(), jiff::Timestamp::UNIX_EPOCH).unwrap();
/// assert_eq!(estimate.monthly.to_decimal(2), "37.50");
/// ```
pub fn estimate(
    book: &PriceBookSpec,
    shape: &Shape,
    location: &Location,
    at: Timestamp,
) -> Result<Estimate, PriceError> {
    let mut lines = Vec::new();
    for what in components(shape) {
        for priced in price(book, what, shape, location, at)? {
            let component = priced.component;
            lines.push(Line {
                component,
                quantity: component.quantity(shape),
                rate: priced.rate,
                price: priced.price,
                amount: component.amount(priced.price, shape, MONTH_SECONDS)?,
            });
        }
    }
    Ok(Estimate {
        currency: book.currency.clone(),
        monthly: lines.iter().map(|line| line.amount).sum(),
        lines,
    })
}

/// What a change does to the cost of a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// By what is there; nothing for an instance that is new.
    pub before: Option<Estimate>,
    /// By what would be there.
    pub after: Estimate,
}

impl Difference {
    /// How much more a month costs, or less.
    pub fn monthly(&self) -> Amount {
        let before = self.before.as_ref().map_or(Amount::ZERO, |before| before.monthly);
        self.after.monthly.minus(before)
    }
}

/// What a month costs before a change and after it, at the same prices.
pub fn difference(
    book: &PriceBookSpec,
    before: Option<&Shape>,
    after: &Shape,
    location: &Location,
    at: Timestamp,
) -> Result<Difference, PriceError> {
    Ok(Difference {
        before: before
            .map(|before| estimate(book, before, location, at))
            .transpose()?,
        after: estimate(book, after, location, at)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::testing::{at, book, metal, small};
    use crate::cost::{Charge, charges};
    use crate::size::Size;
    use proptest::prelude::*;
    use serde_json::json;

    fn rates() -> PriceBookSpec {
        book(&json!([
            {"name": "any", "cpuHour": "0.031611", "memoryGiBHour": "0.004237", "storageGiBMonth": "0.04", "backupGiBMonth": "0.02"},
            {"name": "small", "match": {"size": "small"}, "instanceHour": "0.05"},
        ]))
    }

    #[test]
    fn members_multiply_and_backups_do_not() {
        let now = at("2026-06-01T00:00:00Z");
        let mut shape = Shape {
            size: Size::Medium,
            members: 3,
            high_availability: true,
            backup: true,
            ..small()
        };
        let told = estimate(&rates(), &shape, &metal(), now).unwrap();
        let lines: Vec<_> = told
            .lines
            .iter()
            .map(|l| (l.component.as_str(), l.quantity, l.amount.to_decimal(4)))
            .collect();
        assert_eq!(
            lines,
            [
                ("cpu", 6, "138.4562".into()),       // 6 × 0.031611 × 730
                ("memory", 12288, "37.1161".into()), // 12 GiB × 0.004237 × 730
                ("storage", 30720, "1.2000".into()), // 30 GiB × 0.04
                ("backup", 10240, "0.2000".into()),  // 10 GiB × 0.02
            ]
        );
        assert_eq!(told.monthly.to_decimal(2), "176.97");
        shape.members = 1;
        shape.backup = false;
        let less = difference(&rates(), Some(&shape), &small(), &metal(), now).unwrap();
        // 36.50 + 0.40 instead of 2 × 0.031611 × 730 + 4 × 0.004237 × 730 + 0.40.
        assert_eq!(less.monthly().to_decimal(2), "-22.02");
        assert_eq!(
            difference(&rates(), None, &small(), &metal(), now)
                .unwrap()
                .monthly()
                .to_decimal(2),
            "36.90"
        );
    }

    #[test]
    fn one_price_that_is_missing_is_no_estimate() {
        let compute = book(&json!([{"name": "c", "instanceHour": "1"}]));
        let error = estimate(&compute, &small(), &metal(), at("2026-06-01T00:00:00Z")).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("the storage of a small postgresql Database"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn an_estimate_is_the_charge_of_a_month_and_the_sum_of_its_lines(
            size in prop::sample::select(Size::ALL.to_vec()), members in 1_u32..9, mib in 1_u64..1 << 24, backup: bool
        ) {
            let shape = Shape { size, members, storage_mebibytes: mib, backup, ..small() };
            let from = at("2026-06-01T00:00:00Z");
            let told = estimate(&rates(), &shape, &metal(), from).unwrap();
            let lines: Amount = told.lines.iter().map(|l| l.amount).sum();
            prop_assert_eq!(lines, told.monthly);
            let to = Timestamp::from_second(from.as_second() + MONTH_SECONDS).unwrap();
            let charged: Amount = charges(&rates(), &shape, &metal(), from, to).into_iter().map(|c: Charge| c.amount.unwrap()).sum();
            prop_assert_eq!(charged, told.monthly);
            prop_assert!(told.monthly > Amount::ZERO);
        }
    }
}
