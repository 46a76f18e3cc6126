//! The estimate in a resource's status: a pure function of the status that is about to be written and the price.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kidp_core::conditions::{self, COST_ESTIMATED, Statement};
use kidp_core::cost::{Estimate, Location, PriceError, Shape, estimate};
use kidp_core::crd::{CostStatus, ResourceStatus, ServiceResource};
use thiserror::Error;

use super::{Costs, location_of};
use crate::cache::{Caches, namespace_of, resolve};
use crate::context::Context;
use crate::events::truncated;
use crate::resource::validate::MAX_MESSAGE;

/// Why a resource has no estimate.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Unpriced {
    /// The book is not there. Create it.
    #[error("there is no PriceBook `{0}`")]
    NoBook(String),
    /// The book has no price for it, or two. Add a rate.
    #[error("PriceBook `{book}`: {source}")]
    NoPrice {
        /// The book.
        book: String,
        /// What is missing.
        source: PriceError,
    },
}

impl Unpriced {
    const fn reason(&self) -> &'static str {
        match self {
            Self::NoBook(_) => "NoPriceBook",
            Self::NoPrice { source, .. } => source.reason(),
        }
    }
}

/// Where a resource is, by the status that is about to be written. `None` until it is placed, and while its broker's
/// object is not there.
pub fn location<K: ServiceResource>(
    resource: &K,
    status: &ResourceStatus,
    caches: &Caches,
) -> Option<Location> {
    let (namespace, name) = resolve(status.broker_ref.as_ref()?, &namespace_of(resource));
    let broker = caches.broker(&namespace, &name)?;
    Some(location_of(&broker))
}

/// `next` with the estimate of the resource, where costs are on and it is placed.
pub fn estimated<K: ServiceResource>(next: ResourceStatus, resource: &K, ctx: &Context) -> ResourceStatus {
    let Some(costs) = &ctx.costs else {
        return next;
    };
    let Some(location) = location(resource, &next, &ctx.caches) else {
        return next;
    };
    let now = ctx.clock.now();
    let told = tell(costs, resource, &location, now);
    let generation = resource.meta().generation.unwrap_or_default();
    let old = resource
        .status()
        .map(|s| s.conditions.as_slice())
        .unwrap_or_default();
    with(next, old, told, generation, now)
}

fn tell<K: ServiceResource>(
    costs: &Costs,
    resource: &K,
    location: &Location,
    now: Timestamp,
) -> Result<Estimate, Unpriced> {
    let book = costs
        .book()
        .ok_or_else(|| Unpriced::NoBook(costs.book_name.clone()))?;
    Shape::of(K::TYPE, &resource.instance())
        .map_err(PriceError::from)
        .and_then(|shape| estimate(&book.spec, &shape, location, now))
        .map_err(|source| Unpriced::NoPrice {
            book: costs.book_name.clone(),
            source,
        })
}

/// `next` with what was told of its cost. Equal to what it was when nothing is new.
fn with(
    mut next: ResourceStatus,
    old: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition],
    told: Result<Estimate, Unpriced>,
    generation: i64,
    now: Timestamp,
) -> ResourceStatus {
    let (holds, say) = match told {
        Ok(estimate) => {
            let (amount, currency) = (estimate.monthly.to_number(), estimate.currency);
            let message = format!("about {} {currency} a month", estimate.monthly.to_decimal(2));
            let before = next.cost.take();
            let same = before.filter(|cost| {
                cost.currency == currency && cost.estimated_monthly.to_bits() == amount.to_bits()
            });
            next.cost = Some(same.unwrap_or(CostStatus {
                estimated_monthly: amount,
                currency,
                last_updated: Time(now),
            }));
            (true, Statement::new("Estimated", message))
        }
        Err(why) => {
            next.cost = None;
            let message = truncated(&why.to_string(), MAX_MESSAGE);
            (false, Statement::new(why.reason(), message))
        }
    };
    let condition = conditions::aside(COST_ESTIMATED, Some(holds), &say, generation, now);
    let condition = conditions::carry_over(old, vec![condition]);
    for condition in condition {
        conditions::set(&mut next.conditions, condition);
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use kidp_core::crd::PriceBookSpec;
    use serde_json::json;

    fn told(rates: &serde_json::Value) -> Result<Estimate, Unpriced> {
        let book: PriceBookSpec = serde_json::from_value(json!({"currency": "EUR", "rates": rates})).unwrap();
        let resource = crate::testing::database("orders");
        let shape = Shape::of(
            kidp_core::instance::ResourceType::Database,
            &resource.spec.instance(),
        )
        .unwrap();
        estimate(&book, &shape, &Location::default(), at(0)).map_err(|source| Unpriced::NoPrice {
            book: "standard".into(),
            source,
        })
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn step(status: &ResourceStatus, rates: &serde_json::Value, second: i64) -> ResourceStatus {
        let mut next = status.clone();
        // As the reconciler does: the conditions of kstatus are made anew each time.
        next.conditions.clear();
        with(next, &status.conditions, told(rates), 1, at(second))
    }

    #[test]
    fn an_estimate_is_written_once_and_moves_with_the_price() {
        let price = json!([{"name": "a", "instanceHour": "0.05", "storageGiBMonth": "0.1"}]);
        let first = step(&ResourceStatus::default(), &price, 1);
        let cost = first.cost.clone().unwrap();
        assert_eq!((cost.estimated_monthly, cost.currency.as_str()), (36.6, "EUR"));
        assert_eq!(step(&first, &price, 2), first, "nothing new, nothing to write");
        let dearer = json!([{"name": "a", "instanceHour": "0.06", "storageGiBMonth": "0.1"}]);
        let next = step(&first, &dearer, 3);
        assert_eq!(next.cost.clone().unwrap().last_updated, Time(at(3)));
        assert_eq!(next.conditions[0].last_transition_time, Time(at(1)));
    }

    #[test]
    fn a_price_that_is_not_known_is_said_and_not_zero() {
        let priced = step(
            &ResourceStatus::default(),
            &json!([{"name": "a", "instanceHour": "1", "storageGiBMonth": "1"}]),
            1,
        );
        let next = step(&priced, &json!([{"name": "a", "instanceHour": "1"}]), 2);
        assert_eq!(next.cost, None);
        assert_eq!(next.conditions.len(), 1);
        assert_eq!(
            (
                next.conditions[0].status.as_str(),
                next.conditions[0].reason.as_str()
            ),
            ("False", "PriceUnknown")
        );
        assert!(
            next.conditions[0]
                .message
                .contains("the storage of a small postgresql Database")
        );
    }
}
