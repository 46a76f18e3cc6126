//! What is written of usage: the next version of a resource's record, a pure function of the records there are.
//!
//! # Guarantees
//! - Intervals of a resource follow each other without a gap and do not overlap, over all its records.
//! - A step that is repeated after a crash, or decided on an old copy, writes the same or is refused by the API server.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Location, Shape};
use crate::crd::{ChargeTo, MAX_INTERVALS, UsageInterval, UsageRecordSpec, UsedResource};

/// What holds for a resource from now on.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Generation of the resource.
    pub generation: i64,
    /// What is there; `None` while a change of it is under way, which leaves what was there.
    pub shape: Option<Shape>,
    /// Who it is for; `None` while that cannot be said.
    pub charge_to: Option<ChargeTo>,
    /// When it was first seen usable, for the first interval of all.
    pub since: Timestamp,
}

/// What to write.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A new record.
    Create(Box<UsageRecordSpec>),
    /// The last record, changed. When it is full now, another step follows.
    Update(Box<UsageRecordSpec>),
    /// Nothing.
    None,
}

/// Whether the usage that a record tells of goes on.
pub fn is_open(record: &UsageRecordSpec) -> bool {
    record.intervals.last().is_some_and(|last| last.to.is_none())
}

/// What to write of a living resource, whose last record is `last`.
pub fn next_step(
    last: Option<&UsageRecordSpec>,
    resource: &UsedResource,
    location: &Location,
    wanted: &Wanted,
    now: Timestamp,
) -> Step {
    let interval = |from: i64, shape: &Shape, charge_to: &ChargeTo| UsageInterval {
        from: second(from),
        to: None,
        generation: wanted.generation,
        shape: shape.clone(),
        charge_to: charge_to.clone(),
    };
    let create = |part: u32, interval: UsageInterval| {
        Step::Create(Box::new(UsageRecordSpec {
            resource: resource.clone(),
            location: location.clone(),
            part,
            intervals: vec![interval],
        }))
    };
    let Some((record, end)) = last.and_then(|last| Some((last, last.intervals.last()?))) else {
        return match (&wanted.shape, &wanted.charge_to) {
            (Some(shape), Some(charge_to)) => {
                create(0, interval(wanted.since.min(now).as_second(), shape, charge_to))
            }
            _ => Step::None,
        };
    };
    let shape = wanted.shape.as_ref().unwrap_or(&end.shape);
    let charge_to = wanted.charge_to.as_ref().unwrap_or(&end.charge_to);
    if end.to.is_none() && *shape == end.shape && *charge_to == end.charge_to {
        return Step::None;
    }
    // What was closed too early goes on where it ended: the resource was there all the time.
    let from = end.to.as_ref().map_or(now, |to| to.0);
    let from = from.as_second().max(end.from.0.as_second());
    let full = record.intervals.len() >= MAX_INTERVALS;
    if full && end.to.is_some() {
        return create(record.part.saturating_add(1), interval(from, shape, charge_to));
    }
    let mut next = record.clone();
    close(&mut next, now);
    if !full {
        next.intervals.push(interval(from, shape, charge_to));
    }
    Step::Update(Box::new(next))
}

/// Ends the usage of a record; `false` where it has ended before, which stays as it is.
pub fn close(record: &mut UsageRecordSpec, now: Timestamp) -> bool {
    match record.intervals.last_mut() {
        Some(last) if last.to.is_none() => {
            last.to = Some(second(now.as_second().max(last.from.0.as_second())));
            true
        }
        _ => false,
    }
}

/// Whole seconds are what the API server keeps, so nothing else is decided on.
fn second(at: i64) -> Time {
    Time(Timestamp::from_second(at).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::testing::{metal, small};
    use crate::instance::ResourceType;
    use crate::size::Size;
    use proptest::prelude::*;

    fn resource() -> UsedResource {
        UsedResource {
            namespace: "shop".into(),
            kind: ResourceType::Database,
            name: "orders".into(),
            uid: "u".into(),
        }
    }

    fn wanted(size: Size, team: &str) -> Wanted {
        Wanted {
            generation: 1,
            shape: Some(Shape { size, ..small() }),
            charge_to: Some(ChargeTo {
                team: team.into(),
                ..ChargeTo::default()
            }),
            since: Timestamp::from_second(100).unwrap(),
        }
    }

    fn step(records: &[UsageRecordSpec], wanted: &Wanted, now: i64) -> Step {
        next_step(
            records.last(),
            &resource(),
            &metal(),
            wanted,
            Timestamp::from_second(now).unwrap(),
        )
    }

    /// Takes steps until there is none.
    fn settle(records: &mut Vec<UsageRecordSpec>, wanted: &Wanted, now: i64) {
        for _ in 0..3 {
            match step(records, wanted, now) {
                Step::Create(record) => records.push(*record),
                Step::Update(record) => *records.last_mut().unwrap() = *record,
                Step::None => return,
            }
        }
        panic!("does not settle");
    }

    #[test]
    fn usage_begins_when_it_was_seen_ready_and_a_change_is_a_new_interval() {
        let mut records = Vec::new();
        let nothing = Wanted {
            shape: None,
            ..wanted(Size::Small, "a")
        };
        assert_eq!(step(&records, &nothing, 50), Step::None, "not ready yet");
        settle(&mut records, &wanted(Size::Small, "a"), 130);
        assert_eq!(records[0].intervals[0].from, second(100));
        let underway = Wanted {
            shape: None,
            ..wanted(Size::Large, "a")
        };
        assert_eq!(step(&records, &underway, 200), Step::None);
        settle(&mut records, &wanted(Size::Large, "a"), 300);
        assert_eq!(records[0].intervals[0].to, Some(second(300)));
        let moved = Wanted {
            shape: None,
            ..wanted(Size::Small, "b")
        };
        settle(&mut records, &moved, 400);
        let last = records[0].intervals.last().unwrap();
        assert_eq!(
            (last.shape.size, last.charge_to.team.as_str()),
            (Size::Large, "b")
        );
        let unknown = Wanted {
            charge_to: None,
            ..wanted(Size::Large, "")
        };
        assert_eq!(step(&records, &unknown, 500), Step::None, "the last team stays");
    }

    #[test]
    fn an_end_is_written_once_and_what_was_closed_too_early_goes_on_without_a_gap() {
        let mut records = Vec::new();
        settle(&mut records, &wanted(Size::Small, "a"), 100);
        let at = |s| Timestamp::from_second(s).unwrap();
        assert!(close(&mut records[0], at(200)) && !close(&mut records[0], at(900)));
        assert_eq!(records[0].intervals[0].to, Some(second(200)));
        settle(&mut records, &wanted(Size::Small, "a"), 300);
        assert_eq!(records[0].intervals[1].from, second(200));
    }

    proptest! {
        #[test]
        fn intervals_never_overlap_nor_leave_a_gap(changes in prop::collection::vec((0_usize..4, "[ab]", 0_i64..1000), 1..260)) {
            let (mut records, mut now) = (Vec::new(), 100);
            for (size, team, wait) in changes {
                now += wait;
                settle(&mut records, &wanted(Size::ALL[size], &team), now);
                settle(&mut records, &wanted(Size::ALL[size], &team), now + 1);
                prop_assert!(is_open(records.last().unwrap()));
            }
            let all: Vec<_> = records.iter().flat_map(|r| &r.intervals).collect();
            prop_assert!(records.iter().all(|r| r.intervals.len() <= MAX_INTERVALS));
            prop_assert_eq!(all[0].from.clone(), second(100));
            for pair in all.windows(2) {
                prop_assert_eq!(pair[0].to.clone(), Some(pair[1].from.clone()));
                prop_assert!(pair[0].from <= pair[1].from);
            }
        }
    }
}
