//! Places that were promised to objects which are on their way: what makes a count at admission safe from races.
//!
//! # Flow
//! Between the yes of an admission and the sight of the object lie a write and a watch. A yes is therefore written down
//! first, in one `ConfigMap` for each tenant, or for each team without one, and the next judge counts it as well. The
//! resource version of that object is the lock: of two judges that read the same state, one is refused the write and
//! looks again. So replicas need no leader for this, and a restart forgets nothing.
//!
//! # Assumptions
//! - An object is seen by the watch within [`HOLD`] of its admission, and clocks of replicas differ by less than that.
//! - A replica sees within [`SETTLED`] what another one sees.
//!
//! # Caveats
//! A creation that is refused after the yes, by another webhook say, takes its place for [`HOLD`]. So does an object that
//! is deleted as soon as it was created.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;
use kidp_core::labels;
use kidp_core::names::short_hash;
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::Mutex;

use super::quota::Item;
use crate::backoff::jitter;
use crate::kube_io::{WriteError, timed};

/// How long a place is kept for an object that is not seen: longer than the API server works on one request.
pub const HOLD: SignedDuration = SignedDuration::from_secs(70);
/// How long after it was promised a place is kept beside the sight of its object.
pub const SETTLED: SignedDuration = SignedDuration::from_secs(15);
/// Most places of one tenant or team that are promised at a time.
const MOST: usize = 1000;
/// How often a judge looks again after another was quicker.
const ATTEMPTS: u32 = 8;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);
const ENTRY: &str = "reservations";
const COMPONENT: &str = "quota-ledger";

/// Why nothing could be promised. The request may be made again.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The API server did not do it.
    #[error("cannot keep account: {0}")]
    Write(#[from] WriteError),
    /// Others were quicker every time.
    #[error("too many creations at once; try again")]
    Busy,
    /// More is under way than is kept account of.
    #[error("{MOST} creations are under way; try again in a minute")]
    Full,
    /// The account cannot be written down.
    #[error("cannot keep account: {0}")]
    Json(#[from] serde_json::Error),
}

/// Whose account it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// `Tenant` or `Team`.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Scope {
    fn object(&self) -> String {
        format!(
            "kidp-quota-{}",
            short_hash(&[self.kind, &self.namespace, &self.name], 20)
        )
    }
}

/// A promised place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Reservation {
    item: Item,
    since: Timestamp,
}

/// The accounts of all tenants and teams.
pub struct Ledger {
    api: Api<ConfigMap>,
    /// One judge at a time in this process; replicas meet at the API server.
    turn: Mutex<()>,
}

impl Ledger {
    /// Accounts in `namespace`.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            turn: Mutex::default(),
        }
    }

    /// Lets `judge` look at what is seen and what is promised, and promises a place to `item` if it says nothing
    /// against it. With `dry_run` nothing is written. `seen` is asked anew at each attempt.
    pub async fn promise<V>(
        &self,
        scope: &Scope,
        item: &Item,
        dry_run: bool,
        seen: impl Fn() -> BTreeSet<Item>,
        judge: impl Fn(&BTreeSet<Item>) -> Vec<V>,
    ) -> Result<Vec<V>, LedgerError> {
        let _turn = self.turn.lock().await;
        for attempt in 0..ATTEMPTS {
            let live = timed(self.api.get_opt(&scope.object())).await?;
            let now = Timestamp::now();
            // After the account: what is struck off it for being seen is seen.
            let seen = seen();
            let promised = standing(live.as_ref(), &seen, now);
            let there = together(seen, &promised);
            let objections = judge(&there);
            if !objections.is_empty() || dry_run {
                return Ok(objections);
            }
            let next = with(promised, item, now)?;
            match self.write(scope, live, &next).await {
                Ok(()) => return Ok(objections),
                Err(WriteError::Conflict | WriteError::Gone) => {
                    tokio::time::sleep(jitter(PAUSE * (attempt + 1))).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(LedgerError::Busy)
    }

    async fn write(&self, scope: &Scope, live: Option<ConfigMap>, text: &str) -> Result<(), WriteError> {
        let is_new = live.is_none();
        let mut map = live.unwrap_or_else(|| ConfigMap {
            metadata: ObjectMeta {
                name: Some(scope.object()),
                labels: Some(labels::labels([
                    (labels::PART_OF, labels::MANAGED_BY),
                    (labels::MANAGED_BY_KEY, labels::MANAGED_BY),
                    (labels::COMPONENT, COMPONENT),
                ])),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        });
        let data = map.data.get_or_insert_default();
        data.insert(
            "scope".to_owned(),
            format!("{} {}/{}", scope.kind, scope.namespace, scope.name),
        );
        data.insert(ENTRY.to_owned(), text.to_owned());
        let params = PostParams::default();
        if is_new {
            timed(self.api.create(&params, &map)).await?;
        } else {
            timed(self.api.replace(&scope.object(), &params, &map)).await?;
        }
        Ok(())
    }

    /// Removes accounts in which nothing stands any more.
    pub async fn sweep(&self) -> Result<(), WriteError> {
        let selector = format!("{}={COMPONENT}", labels::COMPONENT);
        let all = timed(self.api.list(&ListParams::default().labels(&selector).limit(500))).await?;
        for map in all {
            if !standing(Some(&map), &BTreeSet::new(), Timestamp::now()).is_empty() {
                continue;
            }
            let params = DeleteParams::default().preconditions(Preconditions {
                uid: map.metadata.uid.clone(),
                resource_version: map.metadata.resource_version.clone(),
            });
            match timed(self.api.delete(&map.name_any(), &params)).await {
                Ok(_) | Err(WriteError::Gone | WriteError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What is seen and what is promised. An object that was promised more money than it is seen with is on its way there.
fn together(mut seen: BTreeSet<Item>, promised: &[Reservation]) -> BTreeSet<Item> {
    for Reservation { item, .. } in promised {
        if seen.get(item).is_none_or(|seen| seen.monthly < item.monthly) {
            seen.replace(item.clone());
        }
    }
    seen
}

/// The promises that stand: not those that are over, nor those whose objects have been seen for long enough. An account
/// that cannot be read is empty: somebody wrote into it, and what is seen still counts.
fn standing(live: Option<&ConfigMap>, seen: &BTreeSet<Item>, now: Timestamp) -> Vec<Reservation> {
    let text = live.and_then(|map| map.data.as_ref()?.get(ENTRY));
    let all: Vec<Reservation> = text
        .map(|text| serde_json::from_str(text))
        .transpose()
        .unwrap_or_else(|error| {
            tracing::warn!(%error, "an account of quotas cannot be read, and begins anew");
            None
        })
        .unwrap_or_default();
    let stands = |reservation: &Reservation| {
        let age = now.duration_since(reservation.since);
        let is_seen = || seen.iter().any(|item| item.is_same(&reservation.item));
        age < HOLD && (age < SETTLED || !is_seen())
    };
    all.into_iter().filter(stands).collect()
}

/// The account with one more promise, or with the same one anew.
fn with(mut promised: Vec<Reservation>, item: &Item, now: Timestamp) -> Result<String, LedgerError> {
    promised.retain(|reservation| !reservation.item.is_same(item));
    if promised.len() >= MOST {
        return Err(LedgerError::Full);
    }
    promised.push(Reservation {
        item: item.clone(),
        since: now,
    });
    Ok(serde_json::to_string(&promised)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::quota::What;

    fn item(name: &str) -> Item {
        Item {
            what: What::Database,
            namespace: "shop".into(),
            name: name.into(),
            team: ("org".into(), "red".into()),
            monthly: None,
        }
    }

    fn map(text: &str) -> ConfigMap {
        ConfigMap {
            data: Some([(ENTRY.to_owned(), text.to_owned())].into()),
            ..ConfigMap::default()
        }
    }

    #[test]
    fn a_promise_stands_until_its_object_is_seen_or_it_is_over() {
        let start = Timestamp::UNIX_EPOCH;
        let account = map(&with(Vec::new(), &item("a"), start).unwrap());
        let at = |seconds, seen: &[Item]| {
            let now = start + SignedDuration::from_secs(seconds);
            standing(Some(&account), &seen.iter().cloned().collect(), now).len()
        };
        let seen = [item("a")];
        assert_eq!([at(0, &[]), at(69, &[]), at(70, &[])], [1, 1, 0]);
        assert_eq!([at(14, &seen), at(15, &seen)], [1, 0]);
    }

    #[test]
    fn a_promise_of_more_money_counts_before_it_is_seen_and_one_of_less_does_not() {
        let costing = |monthly| Item { monthly, ..item("a") };
        let with = |seen, promised| {
            let promised = Reservation {
                item: costing(promised),
                since: Timestamp::UNIX_EPOCH,
            };
            together([costing(seen)].into(), &[promised])
                .first()
                .unwrap()
                .monthly
        };
        assert_eq!(with(Some(2), Some(5)), Some(5));
        assert_eq!(with(Some(5), Some(2)), Some(5));
        assert_eq!(with(None, Some(2)), Some(2));
    }

    #[test]
    fn a_repeat_takes_no_second_place_and_the_account_is_bounded() {
        let now = Timestamp::UNIX_EPOCH;
        let once = with(Vec::new(), &item("a"), now).unwrap();
        let read = standing(Some(&map(&once)), &BTreeSet::new(), now);
        assert_eq!(with(read, &item("a"), now).unwrap(), once);
        let many = (0..MOST).map(|n| Reservation {
            item: item(&n.to_string()),
            since: now,
        });
        assert!(matches!(
            with(many.collect(), &item("more"), now),
            Err(LedgerError::Full)
        ));
    }

    #[test]
    fn an_account_that_somebody_broke_begins_anew() {
        assert!(standing(Some(&map("{")), &BTreeSet::new(), Timestamp::UNIX_EPOCH).is_empty());
        assert!(standing(None, &BTreeSet::new(), Timestamp::UNIX_EPOCH).is_empty());
    }
}
