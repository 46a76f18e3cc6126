//! What a shape costs from one moment to another.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::price::price;
use super::{Amount, Component, Location, Price, PriceError, Shape};
use crate::crd::PriceBookSpec;

/// What one component costs for a time within a calendar month in which its price does not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Its first second.
    pub from: Timestamp,
    /// The second after its last.
    pub to: Timestamp,
    /// Of what. Compute, where it has no price.
    pub component: Component,
    /// How much of it there is at any moment: members, cores or MiB.
    pub quantity: u64,
    /// The rate and the price of a unit, or why there is none.
    pub rate: Result<(String, Price), PriceError>,
    /// The cost, or why it is not known.
    pub amount: Result<Amount, PriceError>,
}

impl Charge {
    /// How much was used, in [`Component::unit`]s: quantity × time.
    pub fn used(&self) -> Option<Amount> {
        let seconds = self.to.as_second() - self.from.as_second();
        self.component.times(Price::ONE, self.quantity, seconds)
    }
}

/// The charges of a shape from one moment to another, in whole seconds. Cut where a month of UTC begins and where a rate
/// takes effect; their sum does not depend on where else the time is cut.
pub fn charges(
    book: &PriceBookSpec,
    shape: &Shape,
    location: &Location,
    from: Timestamp,
    to: Timestamp,
) -> Vec<Charge> {
    let (from, to) = (from.as_second(), to.as_second());
    let mut all = Vec::new();
    for (from, to) in cuts(book, from, to) {
        for what in components(shape) {
            of_component(book, what, (shape, location), (from, to), &mut all);
        }
    }
    all.sort_by_key(|charge| (charge.component, charge.from));
    joined(all)
}

/// What is priced of a shape.
pub(super) fn components(shape: &Shape) -> Vec<Component> {
    let mut all = vec![Component::Compute, Component::Storage];
    if shape.backup {
        all.push(Component::Backup);
    }
    all
}

fn of_component(
    book: &PriceBookSpec,
    what: Component,
    (shape, location): (&Shape, &Location),
    (from, to): (i64, i64),
    all: &mut Vec<Charge>,
) {
    let (Ok(first), Ok(last)) = (Timestamp::from_second(from), Timestamp::from_second(to)) else {
        return;
    };
    let charge = |component: Component, rate, amount| Charge {
        from: first,
        to: last,
        component,
        quantity: component.quantity(shape),
        rate,
        amount,
    };
    match price(book, what, shape, location, first) {
        Ok(priced) => all.extend(priced.into_iter().map(|p| {
            let amount = p.component.amount(p.price, shape, to - from);
            charge(p.component, Ok((p.rate, p.price)), amount)
        })),
        Err(error) => all.push(charge(what, Err(error.clone()), Err(error))),
    }
}

/// Pieces of a time: no month begins within one, and no rate takes effect.
fn cuts(book: &PriceBookSpec, from: i64, to: i64) -> Vec<(i64, i64)> {
    let mut at: Vec<i64> = book
        .rates
        .iter()
        .filter_map(|rate| Some(first_second(rate.effective_from.as_ref()?.0)))
        .chain(month_starts(from, to))
        .filter(|second| from < *second && *second < to)
        .chain([from, to])
        .collect();
    at.sort_unstable();
    at.dedup();
    at.iter().copied().zip(at.iter().skip(1).copied()).collect()
}

/// The first whole second at which something that begins then holds.
fn first_second(at: Timestamp) -> i64 {
    at.as_second() + i64::from(at.subsec_nanosecond() > 0)
}

/// Where months begin within a time. Bounded by a thousand years.
fn month_starts(from: i64, to: i64) -> impl Iterator<Item = i64> {
    let first = Timestamp::from_second(from).ok().and_then(|at| month_of(at).ok());
    std::iter::successors(first, |month| month.checked_add(1.month()).ok())
        .take(12_000)
        .filter_map(|month| Some(month.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second()))
        .take_while(move |second| *second < to)
}

fn month_of(at: Timestamp) -> Result<Date, jiff::Error> {
    let date = at.to_zoned(TimeZone::UTC).date();
    date.with().day(1).build()
}

/// The same with pieces put together that differ in nothing but their time.
fn joined(all: Vec<Charge>) -> Vec<Charge> {
    let mut joined: Vec<Charge> = Vec::new();
    for next in all {
        match joined.last_mut() {
            Some(last)
                if last.to == next.from
                    && last.component == next.component
                    && last.rate == next.rate
                    && month_of(last.from).ok() == month_of(next.from).ok() =>
            {
                last.to = next.to;
                last.amount = match (last.amount.clone(), next.amount) {
                    (Ok(a), Ok(b)) => Ok(a.plus(b)),
                    (Err(error), _) | (_, Err(error)) => Err(error),
                };
            }
            _ => joined.push(next),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::testing::{at, book, metal, small};
    use proptest::prelude::*;
    use serde_json::json;

    fn rates() -> PriceBookSpec {
        book(&json!([
            {"name": "v1", "instanceHour": "0.10", "storageGiBMonth": "0.073"},
            {"name": "v2", "effectiveFrom": "2026-05-30T12:00:00Z", "instanceHour": "0.20"},
        ]))
    }

    #[test]
    fn a_time_is_cut_at_prices_and_months() {
        let all = charges(
            &rates(),
            &small(),
            &metal(),
            at("2026-05-30T00:00:00Z"),
            at("2026-06-01T06:00:00Z"),
        );
        let told: Vec<_> = all
            .iter()
            .map(|c| {
                let rate = c.rate.as_ref().unwrap().0.clone();
                format!(
                    "{} {} {} {} {}",
                    c.component.as_str(),
                    rate,
                    c.from,
                    c.to,
                    c.amount.clone().unwrap().to_decimal(6)
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "compute v1 2026-05-30T00:00:00Z 2026-05-30T12:00:00Z 1.200000",
                "compute v2 2026-05-30T12:00:00Z 2026-06-01T00:00:00Z 7.200000",
                "compute v2 2026-06-01T00:00:00Z 2026-06-01T06:00:00Z 1.200000",
                // 10 GiB × 0.073 × 48 h / 730 h, and 6 h.
                "storage v1 2026-05-30T00:00:00Z 2026-06-01T00:00:00Z 0.048000",
                "storage v1 2026-06-01T00:00:00Z 2026-06-01T06:00:00Z 0.006000",
            ]
        );
    }

    #[test]
    fn what_is_not_known_is_a_charge_without_an_amount() {
        let mut shape = small();
        shape.backup = true;
        let all = charges(
            &rates(),
            &shape,
            &metal(),
            at("2026-05-01T00:00:00Z"),
            at("2026-05-02T00:00:00Z"),
        );
        let unknown: Vec<_> = all.iter().filter(|c| c.amount.is_err()).collect();
        assert_eq!(unknown.len(), 1);
        assert_eq!(unknown[0].component, Component::Backup);
    }

    fn total(all: &[Charge]) -> Amount {
        all.iter().map(|c| c.amount.clone().unwrap()).sum()
    }

    proptest! {
        #[test]
        fn splitting_a_time_changes_no_sum(start in 1_779_000_000_i64..1_782_000_000, a in 0_i64..5_000_000, b in 0_i64..5_000_000, members in 1_u32..5, mib in 1_u64..1 << 30) {
            let shape = Shape { members, storage_mebibytes: mib, ..small() };
            let time = |s| Timestamp::from_second(s).unwrap();
            let of = |from, to| total(&charges(&rates(), &shape, &metal(), time(from), time(to)));
            prop_assert_eq!(of(start, start + a).plus(of(start + a, start + a + b)), of(start, start + a + b));
        }
    }
}
