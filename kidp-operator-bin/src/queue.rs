//! Whose turn it is when brokers have fewer places than there are resources that wait: a pure function.
//!
//! Namespaces take turns, and within one the oldest resource comes first. A namespace that was served goes to the back
//! of its round; one that has waited since before that is ahead of it. The order is derived from what the objects say
//! (`creationTimestamp`, `status.placedAt`), so that a restart or a change of leader continues it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kidp_core::position::coarse;

use crate::kind::ResourceKey;

/// A resource that waits for a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The resource.
    pub key: ResourceKey,
    /// When it was created.
    pub created: Timestamp,
}

impl Ticket {
    fn age(&self) -> (Timestamp, &str, &str) {
        (self.created, &self.key.name, self.key.kind.as_str())
    }
}

/// The order in which `waiting` are served; `served` says when each namespace was served last.
///
/// # Guarantees
/// Same input, same output, in whatever order the tickets come. Within a namespace the order is that of creation. The
/// n-th of each namespace comes before the n+1-th of any. Among the first of each, who has waited longest since its
/// creation, or since its namespace was served, comes first: nobody waits forever, whatever others create.
pub fn order(mut waiting: Vec<Ticket>, served: &BTreeMap<String, Timestamp>) -> Vec<Ticket> {
    waiting.sort_by(|a, b| (&a.key.namespace, a.age()).cmp(&(&b.key.namespace, b.age())));
    let mut round = 0;
    let mut before: Option<String> = None;
    let mut turns: Vec<_> = waiting
        .into_iter()
        .map(|ticket| {
            round = if before.as_ref() == Some(&ticket.key.namespace) {
                round + 1
            } else {
                0
            };
            before = Some(ticket.key.namespace.clone());
            let last = served.get(&ticket.key.namespace).copied();
            (
                round,
                last.map_or(ticket.created, |at| at.max(ticket.created)),
                ticket,
            )
        })
        .collect();
    turns.sort_by(|(round_a, since_a, a), (round_b, since_b, b)| {
        // Of two who have waited equally long, the one who was not served yet.
        let rest = |t: &Ticket| {
            let namespace = t.key.namespace.clone();
            (served.get(&namespace).copied(), t.created, namespace)
        };
        (round_a, since_a, rest(a)).cmp(&(round_b, since_b, rest(b)))
    });
    turns.into_iter().map(|(_, _, ticket)| ticket).collect()
}

/// Where a resource stands among those of its namespace, coarsely: it is at this position or a better one.
pub fn position(waiting: &[Ticket], key: &ResourceKey) -> usize {
    let mine = waiting.iter().find(|ticket| ticket.key == *key);
    let ahead = waiting.iter().filter(|ticket| {
        let younger = mine.is_some_and(|mine| ticket.age() >= mine.age());
        ticket.key.namespace == key.namespace && !younger
    });
    coarse(ahead.count() + 1)
}

#[cfg(test)]
mod tests;
