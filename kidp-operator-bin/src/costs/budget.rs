//! What a team's resources are expected to cost together, and how far its budget reaches: pure functions.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kidp_core::conditions::{self, BUDGET_ALERT, COST_ESTIMATED, Statement};
use kidp_core::cost::Amount;
use kidp_core::crd::{Budget, CostStatus, TeamCost};
use kube::runtime::events::{Event, EventType};

use crate::kind::AnyResource;

/// The cost of resources, against a budget; `None` where nothing is known of any cost.
pub fn team_cost(resources: &[Arc<dyn AnyResource>], budget: Option<&Budget>) -> Option<TeamCost> {
    let costs: Vec<_> = resources.iter().filter_map(|resource| resource.cost()).collect();
    let unknown = resources.iter().filter(|resource| resource.is_unpriced()).count();
    if costs.is_empty() && unknown == 0 {
        return None;
    }
    let currency = costs
        .first()
        .map(|cost| cost.currency.clone())
        .unwrap_or_default();
    // While a book is replaced by one in another currency there are both for a moment; they are never added up.
    let (same, other): (Vec<&CostStatus>, Vec<_>) =
        costs.iter().copied().partition(|cost| cost.currency == currency);
    let monthly: Amount = same
        .iter()
        .filter_map(|cost| Amount::of_number(cost.estimated_monthly))
        .sum();
    let percent = budget
        .filter(|budget| comparable(budget, &currency))
        .and_then(|budget| monthly.percent_of(Amount::of_number(budget.monthly_limit)?));
    let reached = |threshold: &u32| percent.is_some_and(|percent| *threshold <= percent);
    let mut alerted: Vec<u32> = budget
        .map(|budget| budget.alert_thresholds.iter().copied().filter(reached).collect())
        .unwrap_or_default();
    alerted.sort_unstable();
    alerted.dedup();
    Some(TeamCost {
        estimated_monthly: monthly.to_number(),
        currency,
        unpriced: u32::try_from(unknown + other.len()).unwrap_or(u32::MAX),
        budget_used_percent: percent,
        alerted_thresholds: alerted,
    })
}

fn comparable(budget: &Budget, currency: &str) -> bool {
    budget.currency.as_deref().is_none_or(|wanted| wanted == currency)
}

/// The condition of a team that has a budget with thresholds.
pub fn alert(cost: &TeamCost, budget: &Budget, generation: i64, now: Timestamp) -> Condition {
    let (holds, say) = match cost.alerted_thresholds.last() {
        _ if !comparable(budget, &cost.currency) => {
            let message = format!(
                "spec.budget.currency: is {}, and the price book is in {}",
                budget.currency.as_deref().unwrap_or_default(),
                cost.currency
            );
            (None, Statement::new("CurrencyMismatch", message))
        }
        Some(threshold) => (
            Some(true),
            Statement::new("ThresholdReached", told(cost, budget, *threshold)),
        ),
        None if cost.unpriced > 0 => {
            let message = format!("the cost of {} resources is not known", cost.unpriced);
            (None, Statement::new("CostUnknown", message))
        }
        None => (
            Some(false),
            Statement::new(
                "WithinBudget",
                "the estimated cost is below every threshold of the budget",
            ),
        ),
    };
    conditions::aside(BUDGET_ALERT, holds, &say, generation, now)
}

fn told(cost: &TeamCost, budget: &Budget, threshold: u32) -> String {
    let TeamCost {
        estimated_monthly,
        currency,
        ..
    } = cost;
    let limit = budget.monthly_limit;
    format!(
        "the estimated cost of {estimated_monthly:.2} {currency} a month has reached {threshold}% of the budget of \
         {limit:.2} {currency}"
    )
}

/// An Event for each threshold that is reached now and was not before.
pub fn news(before: Option<&TeamCost>, after: Option<&TeamCost>, budget: Option<&Budget>) -> Vec<Event> {
    let (Some(after), Some(budget)) = (after, budget) else {
        return Vec::new();
    };
    let known = before
        .map(|b| b.alerted_thresholds.as_slice())
        .unwrap_or_default();
    let new = after.alerted_thresholds.iter().filter(|t| !known.contains(t));
    new.map(|threshold| Event {
        type_: EventType::Warning,
        reason: "BudgetThresholdReached".to_owned(),
        note: Some(told(after, budget, *threshold)),
        action: "Reconcile".to_owned(),
        secondary: None,
    })
    .collect()
}

/// Whether conditions say that the cost of a resource is not known.
pub fn is_unpriced(all: &[Condition]) -> bool {
    all.iter()
        .any(|c| c.type_ == COST_ESTIMATED && c.status == "False")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::database;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use proptest::prelude::*;

    fn costing(name: &str, amount: f64, currency: &str) -> Arc<dyn AnyResource> {
        let mut db = database(name);
        db.status.get_or_insert_default().cost = Some(CostStatus {
            estimated_monthly: amount,
            currency: currency.into(),
            last_updated: Time(Timestamp::UNIX_EPOCH),
        });
        Arc::new(db)
    }

    fn budget(limit: f64) -> Budget {
        Budget {
            monthly_limit: limit,
            alert_thresholds: vec![90, 50, 100],
            currency: None,
        }
    }

    #[test]
    fn each_threshold_is_told_once_and_again_after_it_was_left() {
        let budget = budget(100.0);
        let at = |amount| team_cost(&[costing("a", amount, "EUR")], Some(&budget));
        let (low, mid, high) = (at(49.99), at(50.0), at(100.0));
        let notes = |a: &Option<TeamCost>, b: &Option<TeamCost>| {
            let events = news(a.as_ref(), b.as_ref(), Some(&budget));
            events.into_iter().map(|e| e.note.unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(notes(&None, &low), Vec::<String>::new());
        assert_eq!(
            notes(&low, &mid),
            ["the estimated cost of 50.00 EUR a month has reached 50% of the budget of 100.00 EUR"]
        );
        assert!(notes(&mid, &mid).is_empty());
        assert_eq!(notes(&mid, &high).len(), 2, "90 and 100");
        assert!(notes(&high, &low).is_empty());
        assert_eq!(notes(&low, &high).len(), 3);
        let told =
            |cost: &Option<TeamCost>| alert(cost.as_ref().unwrap(), &budget, 1, Timestamp::UNIX_EPOCH).status;
        assert_eq!([told(&low), told(&mid)], ["False", "True"]);
    }

    #[test]
    fn currencies_are_never_mixed_and_what_is_unknown_is_counted() {
        let both = [costing("a", 10.0, "EUR"), costing("b", 5.0, "USD")];
        let cost = team_cost(&both, None).unwrap();
        assert_eq!((cost.estimated_monthly, cost.unpriced), (10.0, 1));
        let dollars = Budget {
            currency: Some("USD".into()),
            ..budget(5.0)
        };
        let cost = team_cost(&both[..1], Some(&dollars)).unwrap();
        assert_eq!(cost.budget_used_percent, None);
        let condition = alert(&cost, &dollars, 1, Timestamp::UNIX_EPOCH);
        assert_eq!(
            (condition.status.as_str(), condition.reason.as_str()),
            ("Unknown", "CurrencyMismatch")
        );
        assert!(condition.message.starts_with("spec.budget.currency: is USD"));
        assert_eq!(
            team_cost(&[Arc::new(database("c")) as Arc<dyn AnyResource>], None),
            None,
            "costs are off"
        );
    }

    proptest! {
        #[test]
        fn a_sum_of_statuses_is_exact_to_the_cent(cents in prop::collection::vec(0_u32..10_000_000, 1..50)) {
            let resources: Vec<_> = cents.iter().map(|c| costing("a", f64::from(*c) / 100.0, "EUR")).collect();
            let total: u64 = cents.iter().map(|c| u64::from(*c)).sum();
            let cost = team_cost(&resources, None).unwrap();
            let expected: f64 = format!("{}.{:02}", total / 100, total % 100).parse().unwrap();
            prop_assert_eq!(cost.estimated_monthly.to_bits(), expected.to_bits());
        }
    }
}
