//! Whether one more object fits: a pure function of the limits of team and tenant, and of what there is.
//!
//! The verdict is a list of [`Bound`]s that would be exceeded. What is limited is how many there are, and what a team's
//! resources are expected to cost a month.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;

use kidp_core::crd::{TeamQuotas, TenantQuotas};
use kidp_core::problem::FieldError;
use serde::{Deserialize, Serialize};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum What {
    /// A database.
    Database,
    /// A cache.
    Cache,
    /// A message queue.
    MessageQueue,
    /// An application.
    Application,
    /// A team.
    Team,
}

impl What {
    const fn is_service(self) -> bool {
        matches!(self, Self::Database | Self::Cache | Self::MessageQueue)
    }
}

/// An object that is there, or is about to be. Two are equal whatever they cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Its kind.
    pub what: What,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Namespace and name of its team; of a team, itself.
    pub team: (String, String),
    /// What it is expected to cost a month, in hundredths of the price book's currency; absent while it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly: Option<u64>,
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.what, &self.namespace, &self.name, &self.team).cmp(&(
            other.what,
            &other.namespace,
            &other.name,
            &other.team,
        ))
    }
}

impl Item {
    /// Whether both are of the same object, whoever's it is.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.what, &self.namespace, &self.name) == (other.what, &other.namespace, &other.name)
    }
}

/// A limit of money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// In hundredths of the currency.
    pub monthly: u64,
    /// ISO 4217 code.
    pub currency: String,
}

/// The limits that hold for an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of its team.
    pub team: TeamQuotas,
    /// Of what its team's resources cost a month.
    pub budget: Option<Limit>,
    /// Of the tenant of that team, with its namespace and name.
    pub tenant: Option<((String, String), TenantQuotas)>,
}

impl Limits {
    /// Those of money alone: what is there already takes no second place when it grows.
    #[must_use]
    pub fn of_money(self) -> Self {
        Self {
            budget: self.budget,
            ..Self::default()
        }
    }
}

/// A limit that one more object would exceed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Whose limit it is, such as ``Team `shop/payments` ``.
    pub holder: String,
    /// The field of the holder with the limit.
    pub field: &'static str,
    /// What there is, with what is being created.
    pub used: String,
    /// What is asked for beside.
    pub asked: String,
    /// The limit.
    pub limit: String,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            holder,
            field,
            used,
            asked,
            limit,
        } = self;
        write!(
            f,
            "{holder} has no room: used {used}, asked {asked}, limit {limit} ({field})"
        )
    }
}

impl Bound {
    /// As a fault of the field that asks.
    pub fn at(&self, field: &str) -> FieldError {
        FieldError::new(field, self.to_string())
    }
}

/// Whether any limit speaks of the item; what nothing limits needs no reservation.
pub fn is_limited(item: &Item, limits: &Limits) -> bool {
    !checks(item, limits).is_empty() || (limits.budget.is_some() && item.monthly.is_some())
}

/// Every limit that `item` would exceed beside `there`, in which it may be already.
pub fn exceeded(item: &Item, limits: &Limits, there: &BTreeSet<Item>) -> Vec<Bound> {
    let judged = checks(item, limits).into_iter().filter_map(|check| {
        let others = there.iter().filter(|other| !other.is_same(item));
        let used = others.filter(|other| (check.counts)(item, other)).count();
        let fits = u32::try_from(used).is_ok_and(|used| used < check.limit);
        (!fits).then_some(Bound {
            holder: check.holder,
            field: check.field,
            used: used.to_string(),
            asked: "1".to_owned(),
            limit: check.limit.to_string(),
        })
    });
    judged.chain(over_budget(item, limits, there)).collect()
}

/// Whether the team's budget would be exceeded. What has no known price counts for nothing, and is asked nothing.
fn over_budget(item: &Item, limits: &Limits, there: &BTreeSet<Item>) -> Option<Bound> {
    let Limit { monthly, currency } = limits.budget.as_ref()?;
    let asked = item.monthly.filter(|_| item.what.is_service())?;
    let others = there
        .iter()
        .filter(|other| !other.is_same(item) && service_of_team(item, other));
    let used = others
        .filter_map(|other| other.monthly)
        .fold(0, u64::saturating_add);
    let money = |hundredths: u64| format!("{}.{:02} {currency} a month", hundredths / 100, hundredths % 100);
    (used.saturating_add(asked) > *monthly).then(|| Bound {
        holder: format!("Team `{}/{}`", item.team.0, item.team.1),
        field: "spec.budget.monthlyLimit",
        used: money(used),
        asked: money(asked),
        limit: money(*monthly),
    })
}

struct Check {
    holder: String,
    field: &'static str,
    limit: u32,
    counts: fn(&Item, &Item) -> bool,
}

fn checks(item: &Item, limits: &Limits) -> Vec<Check> {
    let mut all = Vec::new();
    let mut add = |holder: &str, field, limit: Option<u32>, counts| {
        all.extend(limit.map(|limit| Check {
            holder: holder.to_owned(),
            field,
            limit,
            counts,
        }));
    };
    let (namespace, name) = &item.team;
    let team = format!("Team `{namespace}/{name}`");
    let quotas = &limits.team;
    match item.what {
        What::Database => add(
            &team,
            "spec.quotas.maxDatabases",
            quotas.max_databases,
            of_team_and_kind,
        ),
        What::Cache => add(
            &team,
            "spec.quotas.maxCaches",
            quotas.max_caches,
            of_team_and_kind,
        ),
        What::Application => add(
            &team,
            "spec.quotas.maxApplications",
            quotas.max_applications,
            of_team_and_kind,
        ),
        What::MessageQueue | What::Team => {}
    }
    if item.what.is_service() {
        add(
            &team,
            "spec.quotas.maxServices",
            quotas.max_services,
            service_of_team,
        );
    }
    if let Some(((namespace, name), quotas)) = &limits.tenant {
        let tenant = format!("Tenant `{namespace}/{name}`");
        match item.what {
            What::Team => add(&tenant, "spec.quotas.maxTeams", quotas.max_teams, of_kind),
            What::Database => add(&tenant, "spec.quotas.maxDatabases", quotas.max_databases, of_kind),
            _ => {}
        }
        if item.what.is_service() {
            add(&tenant, "spec.quotas.maxServices", quotas.max_services, service);
        }
    }
    all
}

fn of_kind(item: &Item, other: &Item) -> bool {
    item.what == other.what
}

fn of_team_and_kind(item: &Item, other: &Item) -> bool {
    of_kind(item, other) && item.team == other.team
}

fn service(_: &Item, other: &Item) -> bool {
    other.what.is_service()
}

fn service_of_team(item: &Item, other: &Item) -> bool {
    service(item, other) && item.team == other.team
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn item(what: What, name: &str, team: &str) -> Item {
        let team = ("org".to_owned(), team.to_owned());
        Item {
            what,
            namespace: "shop".into(),
            name: name.into(),
            team,
            monthly: None,
        }
    }

    fn limits() -> Limits {
        Limits {
            team: TeamQuotas {
                max_databases: Some(2),
                max_services: Some(3),
                ..TeamQuotas::default()
            },
            budget: None,
            tenant: Some((
                ("org".into(), "acme".into()),
                TenantQuotas {
                    max_databases: Some(3),
                    ..TenantQuotas::default()
                },
            )),
        }
    }

    #[test]
    fn a_verdict_says_used_asked_and_limit() {
        let there = BTreeSet::from([
            item(What::Database, "a", "red"),
            item(What::Database, "b", "red"),
            item(What::Database, "c", "blue"),
        ]);
        let refused = exceeded(&item(What::Database, "d", "red"), &limits(), &there);
        let said: Vec<_> = refused.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "Team `org/red` has no room: used 2, asked 1, limit 2 (spec.quotas.maxDatabases)",
                "Tenant `org/acme` has no room: used 3, asked 1, limit 3 (spec.quotas.maxDatabases)",
            ]
        );
        assert!(exceeded(&item(What::Cache, "d", "red"), &limits(), &there).is_empty());
        let again = exceeded(&item(What::Database, "b", "red"), &limits(), &there);
        assert_eq!(
            again.len(),
            0,
            "what is there already does not count against itself"
        );
    }

    #[test]
    fn a_budget_counts_what_is_known_to_cost_something() {
        let costing = |name: &str, team: &str, monthly| Item {
            monthly,
            ..item(What::Cache, name, team)
        };
        let limits = Limits {
            budget: Some(Limit {
                monthly: 10_000,
                currency: "EUR".into(),
            }),
            ..Limits::default()
        };
        let there = BTreeSet::from([
            costing("a", "red", Some(6_050)),
            costing("b", "red", None),
            costing("c", "blue", Some(9_000)),
        ]);
        let verdict = |item: &Item| -> Vec<String> {
            let bounds = exceeded(item, &limits, &there);
            bounds.iter().map(ToString::to_string).collect()
        };
        assert!(
            verdict(&costing("d", "red", Some(3_950))).is_empty(),
            "to the hundredth"
        );
        assert_eq!(
            verdict(&costing("d", "red", Some(3_951))),
            [
                "Team `org/red` has no room: used 60.50 EUR a month, asked 39.51 EUR a month, limit 100.00 EUR a month \
              (spec.budget.monthlyLimit)"
            ]
        );
        assert!(
            verdict(&costing("d", "red", None)).is_empty(),
            "a price that is not known"
        );
        assert!(
            verdict(&costing("a", "red", Some(9_999))).is_empty(),
            "instead of itself"
        );
        assert!(is_limited(&costing("d", "red", Some(1)), &limits));
        assert!(!is_limited(&costing("d", "red", None), &limits));
    }

    #[test]
    fn what_nothing_limits_is_not_limited() {
        assert!(!is_limited(&item(What::Application, "a", "red"), &limits()));
        assert!(is_limited(&item(What::MessageQueue, "a", "red"), &limits()));
        assert!(!is_limited(&item(What::Database, "a", "red"), &Limits::default()));
    }

    proptest! {
        /// Whatever order objects come in, as many are taken as the limit says and no more.
        #[test]
        fn as_many_as_the_limit_are_taken(max in 0_u32..6, names in proptest::collection::vec("[a-z]{1,2}", 0..20)) {
            let team = TeamQuotas { max_databases: Some(max), ..TeamQuotas::default() };
            let limits = Limits { team, ..Limits::default() };
            let mut there = BTreeSet::new();
            for name in &names {
                let item = item(What::Database, name, "red");
                if exceeded(&item, &limits, &there).is_empty() {
                    there.insert(item);
                }
            }
            let distinct = names.iter().collect::<BTreeSet<_>>().len();
            prop_assert_eq!(there.len(), distinct.min(max as usize));
        }
    }
}
