//! Finds the items of one list in another: by their keys, or by themselves where there are none (a set).

use std::collections::HashMap;

use serde_json::Value;

use crate::schema::Keys;

/// Up to so many comparisons, looking through the list is quicker than an index.
const INDEXED: usize = 256;
/// As many keys as any list of Kubernetes has.
const KEYS: usize = 4;

/// What tells an item apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Part<'a> {
    Text(&'a str),
    Other(&'a Value),
    Missing,
}

type Identity<'a> = [Part<'a>; KEYS];

/// The two lists.
pub(crate) struct Items<'a> {
    keys: Keys,
    desired: &'a [Value],
    live: &'a [Value],
    index: Option<HashMap<Identity<'a>, Known>>,
}

/// Where the items of an identity are, and how many were asked for.
#[derive(Default)]
struct Known {
    at: Vec<usize>,
    asked: usize,
}

impl<'a> Items<'a> {
    pub(crate) fn new(keys: Keys, desired: &'a [Value], live: &'a [Value]) -> Self {
        let longest = desired.len().max(live.len());
        let index = (desired.len().saturating_mul(longest) > INDEXED).then(|| {
            let mut index: HashMap<_, Known> = HashMap::with_capacity(live.len());
            for (at, item) in live.iter().enumerate() {
                index.entry(identity(item, keys)).or_default().at.push(at);
            }
            index
        });
        Self {
            keys,
            desired,
            live,
            index,
        }
    }

    /// The live item of the desired one at `at`. Items with the same keys are paired in their order, and `nth` counts
    /// them. To be asked once for each, in order.
    pub(crate) fn find(&mut self, at: usize) -> (usize, Option<&'a Value>) {
        let Some(item) = self.desired.get(at) else {
            return (0, None);
        };
        let wanted = identity(item, self.keys);
        if let Some(index) = &mut self.index {
            let known = index.entry(wanted).or_default();
            let nth = known.asked;
            known.asked += 1;
            return (nth, known.at.get(nth).and_then(|at| self.live.get(*at)));
        }
        let same = |item: &&Value| identity(item, self.keys) == wanted;
        let nth = self.desired.iter().take(at).filter(same).count();
        (nth, self.live.iter().filter(same).nth(nth))
    }
}

fn identity(item: &Value, keys: Keys) -> Identity<'_> {
    let mut identity = [Part::Missing; KEYS];
    if keys.is_empty() {
        identity[0] = part(item);
    }
    for (part_of, (key, default)) in identity.iter_mut().zip(keys) {
        *part_of = match item.get(*key) {
            Some(value) => part(value),
            None if default.is_empty() => Part::Missing,
            None => Part::Text(default),
        };
    }
    identity
}

fn part(value: &Value) -> Part<'_> {
    value.as_str().map_or(Part::Other(value), Part::Text)
}
