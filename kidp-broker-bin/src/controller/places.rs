//! How many instances of one namespace are made at once, and whose turn it is. [`turn`] is pure.
//!
//! # Flow
//! A record that nothing was done for yet asks for its turn. While as many of its namespace are on their way as the limit
//! allows, it is told its position instead. The oldest is next. What has begun is never asked again: a repair, a change
//! and a removal wait for nobody.
//!
//! # Guarantees
//! The queue is derived from the records. What this process began is taken from its memory of unsettled records, which
//! is marked in the same critical section in which the turn is decided, so that a burst does not pass the limit.
//!
//! # Caveats
//! After a restart, a record that was begun less than [`super::status::GRACE`] ago and has no status yet counts as
//! waiting again; there can be that many more for a moment. An instance that does not become ready within
//! [`PLACE_LIMIT`] stops counting: it is stuck rather than on its way, and would keep others out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kidp_core::crd::{Phase, ServiceInstance};
use kidp_core::position::coarse;
use kube::ResourceExt as _;
use kube::runtime::reflector::Store;

use super::key;
use super::memory::Memory;
use super::status::Verdict;
use crate::record;

/// How long an instance that does not become ready takes a place.
const PLACE_LIMIT: Duration = Duration::from_mins(30);

/// What a record means for the places of its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing was done for it yet.
    Waiting,
    /// It is on its way.
    Holding,
    /// It has come to an end, good or bad, or is being removed.
    Settled,
}

/// The stage of a record that this process has been at work on for `age`, if it has.
pub fn stage(record: &ServiceInstance, age: Option<Duration>) -> Stage {
    if record::is_deleting(record) {
        return Stage::Settled;
    }
    if let Some(age) = age {
        return if age < PLACE_LIMIT {
            Stage::Holding
        } else {
            Stage::Settled
        };
    }
    match &record.status {
        None => Stage::Waiting,
        Some(status) => match status.phase {
            Phase::Pending => Stage::Waiting,
            Phase::Provisioning if status.endpoint.is_none() => Stage::Holding,
            _ => Stage::Settled,
        },
    }
}

/// Whether it is the turn of one that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It may begin.
    Begin,
    /// It waits at this position, coarsely.
    Wait(usize),
}

/// The turn of `id` among the records of its namespace, given as stage and a key that sorts them by age.
pub fn turn<K: Ord>(records: &[(Stage, K)], id: &K, limit: usize) -> Turn {
    let holding = records.iter().filter(|(stage, _)| *stage == Stage::Holding);
    let free = limit.saturating_sub(holding.count());
    let ahead = records
        .iter()
        .filter(|(stage, other)| *stage == Stage::Waiting && other < id);
    let ahead = ahead.count();
    if ahead < free {
        Turn::Begin
    } else {
        Turn::Wait(coarse(ahead - free + 1))
    }
}

/// The places of every namespace.
pub struct Places {
    store: Store<ServiceInstance>,
    limit: usize,
    deciding: Mutex<()>,
}

impl Places {
    /// Places for `limit` instances in each namespace, among the records of `store`.
    pub fn new(store: Store<ServiceInstance>, limit: u16) -> Self {
        Self {
            store,
            limit: usize::from(limit),
            deciding: Mutex::new(()),
        }
    }

    /// `None` if the record may be worked on, which then is remembered; otherwise what is said of it.
    pub fn ask(&self, broker: &str, record: &ServiceInstance, memory: &Memory) -> Option<Verdict> {
        if stage(record, memory.age(&key(record))) != Stage::Waiting {
            return None;
        }
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let namespace = record.namespace();
        let age = |r: &ServiceInstance| (r.creation_timestamp().map(|at| at.0), r.name_any());
        let others = self
            .store
            .state_filter(|other| other.namespace() == namespace && record::belongs_to(broker, other));
        let records: Vec<_> = others
            .iter()
            .map(|other| (stage(other, memory.age(&key(other))), age(other)))
            .collect();
        match turn(&records, &age(record), self.limit) {
            Turn::Begin => {
                memory.unsettled(&key(record), true);
                None
            }
            Turn::Wait(position) => Some(Verdict::Queued(format!(
                "waits for a place, number {position} or better in namespace `{}`: at most {} instances of a namespace \
                 are made at once",
                namespace.unwrap_or_default(),
                self.limit
            ))),
        }
    }
}

#[cfg(test)]
mod tests;
