//! States and steps.
//!
//! Numbers stand for what the model need not tell apart further: a resource is its UID (1, then 2 when it is made anew
//! under its name), a spec its generation.
//!
//! A request that was sent once may arrive at any time from then on, any number of times or never, so that none ever
//! leaves the wire: loss, doubling, reordering and delay in one.

use std::collections::BTreeSet;

use kidp_operator::resource::plan::Removal;
use stateright::{Model, Property};

use super::judge::{Judge, Plan, Verdict};

/// Index of a UID in arrays.
const fn at(uid: u8) -> usize {
    uid as usize - 1
}

/// The resource in the management cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    pub uid: u8,
    pub generation: u8,
    pub deleting: bool,
    /// Finalizer and placement are there.
    pub placed: bool,
    /// The generation that its status calls ready.
    pub ready: u8,
}

/// The broker's record of one UID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    pub generation: u8,
    pub deleting: bool,
    /// The controller has begun: objects and data may be there.
    pub began: bool,
    /// The generation that its status calls ready.
    pub ready: u8,
}

impl Record {
    /// Every record that there can be.
    pub fn every() -> Vec<Self> {
        let mut every = Vec::new();
        for (generation, ready) in [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (1, 2)] {
            for deleting in [false, true] {
                for began in [false, true] {
                    every.push(Self {
                        generation,
                        deleting,
                        began,
                        ready,
                    });
                }
            }
        }
        every
    }
}

/// A request that changes something at the broker. It may be on its way for any time, and arrive any number of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    Provision { uid: u8, generation: u8 },
    Deprovision { uid: u8 },
}

/// What the operator is in the middle of; a crash forgets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    Idle,
    /// It has been told what the broker has, some time after it looked at the resource.
    Told {
        seen: Resource,
        answer: Option<Record>,
    },
    /// It waits for the answer to a request.
    Sent {
        seen: Resource,
        request: Request,
    },
    /// The broker has said that it holds nothing.
    Confirmed {
        seen: Resource,
    },
}

/// A request that the broker is in the middle of, one of several; a crash forgets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Handling {
    /// The tombstone was looked at, and the record is to be written.
    Admitted { uid: u8, generation: u8 },
    /// The tombstone is set, and the record is to be looked for.
    Entombed { uid: u8 },
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct System {
    pub resource: Option<Resource>,
    pub operator: Operator,
    pub wire: BTreeSet<Request>,
    pub handling: BTreeSet<Handling>,
    pub records: [Option<Record>; 2],
    pub tombstones: [bool; 2],
    /// UIDs whose objects and data are in the cluster.
    pub data: [bool; 2],
    /// UIDs that a person deleted.
    pub asked: [bool; 2],
    /// Data went that nobody asked to remove.
    pub lost: bool,
    /// A record took an older generation.
    pub regressed: bool,
}

impl System {
    fn gone(&self, uid: u8) -> bool {
        self.asked[at(uid)] && self.resource.is_none_or(|r| r.uid != uid)
    }

    /// What a person asked for is there, and what was deleted is not.
    pub fn is_settled(&self) -> bool {
        let gone = [1, 2].into_iter().filter(|uid| self.gone(*uid));
        let clean = gone
            .map(at)
            .all(|i| !self.data[i] && self.records[i].is_none_or(|r| !r.began));
        let served = |resource: &Resource| {
            let record = self.records[at(resource.uid)];
            !resource.deleting
                && resource.ready == resource.generation
                && record.is_some_and(|r| !r.deleting && r.ready == resource.generation)
        };
        clean && self.resource.as_ref().is_none_or(served)
    }

    /// Settled, with nothing on its way and no record of what is gone.
    pub fn is_quiet(&self) -> bool {
        let gone = [1, 2].into_iter().filter(|uid| self.gone(*uid));
        self.is_settled()
            && self.handling.is_empty()
            && self.operator == Operator::Idle
            && gone.map(at).all(|i| self.records[i].is_none())
    }
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A person changes the spec.
    Change,
    /// A person deletes the resource.
    Delete,
    /// A person creates it under its name.
    Create,
    /// The operator does what comes next.
    Operate,
    /// A request arrives.
    Arrive { request: Request },
    /// The broker goes on with a request that it is in the middle of.
    Handle { handling: Handling },
    /// The broker's controller looks at a record.
    Work { uid: u8 },
    /// The operator dies, or gives up waiting, or another one leads.
    OperatorCrash,
    /// The broker dies.
    BrokerCrash,
}

impl Action {
    /// Done by a person.
    pub const fn is_person(self) -> bool {
        matches!(self, Self::Change | Self::Delete | Self::Create)
    }

    /// Done by the protocol itself, including that it gives up waiting.
    pub const fn is_protocol(self) -> bool {
        !self.is_person() && !matches!(self, Self::BrokerCrash)
    }
}

/// The protocol as it is built, or with one of its precautions left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    AsBuilt,
    NoTombstones,
    TombstoneReadOnce,
    NoFence,
    ReleaseUnconfirmed,
    RemoveByName,
}

/// The model.
pub struct Protocol {
    judge: Judge,
    variant: Variant,
}

impl Protocol {
    pub fn new(variant: Variant) -> Self {
        Self {
            judge: Judge::new(),
            variant,
        }
    }

    /// The operator's next step. Every write carries the resource version of what was seen: it does nothing when the
    /// resource has moved on.
    fn operate(&self, s: &mut System) -> Option<()> {
        let current = s.resource;
        match s.operator {
            Operator::Idle => {
                let seen = current?;
                if seen.deleting && !seen.placed {
                    s.resource = None;
                } else if seen.placed {
                    let answer = s.records[at(seen.uid)];
                    s.operator = Operator::Told { seen, answer };
                } else {
                    s.resource = Some(Resource { placed: true, ..seen });
                }
            }
            Operator::Told { seen, answer } => {
                s.operator = Operator::Idle;
                self.plan(s, seen, answer);
            }
            Operator::Confirmed { seen } => {
                s.operator = Operator::Idle;
                if current == Some(seen) {
                    s.resource = None;
                }
            }
            Operator::Sent { .. } => return None,
        }
        Some(())
    }

    fn plan(&self, s: &mut System, seen: Resource, answer: Option<Record>) {
        let mut send = |request| {
            s.wire.insert(request);
            s.operator = Operator::Sent { seen, request };
        };
        if seen.deleting {
            match self.judge.removal(answer) {
                Removal::Ask => send(Request::Deprovision { uid: seen.uid }),
                Removal::Wait if self.variant == Variant::ReleaseUnconfirmed => {
                    s.operator = Operator::Confirmed { seen };
                }
                Removal::Wait => {}
            }
            return;
        }
        match self.judge.plan(seen.generation, answer) {
            Plan::Submit => send(Request::Provision {
                uid: seen.uid,
                generation: seen.generation,
            }),
            Plan::Finish if s.resource == Some(seen) => {
                s.resource = Some(Resource {
                    ready: seen.generation,
                    ..seen
                });
            }
            Plan::Finish | Plan::Wait | Plan::Other => {}
        }
    }

    /// The operator has its answer, if it still waits for one to that request.
    fn reply(s: &mut System, request: Request, nothing: bool) {
        if let Operator::Sent { seen, request: sent } = s.operator
            && sent == request
        {
            s.operator = if nothing {
                Operator::Confirmed { seen }
            } else {
                Operator::Idle
            };
        }
    }

    fn arrive(&self, s: &mut System, request: Request) {
        match request {
            Request::Provision { uid, generation } => {
                if s.tombstones[at(uid)] && self.variant != Variant::NoTombstones {
                    Self::reply(s, request, false);
                } else {
                    s.handling.insert(Handling::Admitted { uid, generation });
                }
            }
            Request::Deprovision { uid } => {
                s.tombstones[at(uid)] = true;
                s.handling.insert(Handling::Entombed { uid });
            }
        }
    }

    fn handle(&self, s: &mut System, handling: Handling) {
        s.handling.remove(&handling);
        match handling {
            Handling::Admitted { uid, generation } => {
                let other = s.records[at(3 - uid)];
                if other.is_none() {
                    self.accept(s, uid, generation);
                }
                Self::reply(s, Request::Provision { uid, generation }, false);
            }
            Handling::Entombed { uid } => {
                let mut found = uid;
                if self.variant == Variant::RemoveByName && s.records[at(uid)].is_none() {
                    found = 3 - uid;
                }
                let nothing = s.records[at(found)].is_none();
                if let Some(record) = &mut s.records[at(found)] {
                    record.deleting = true;
                }
                Self::reply(s, Request::Deprovision { uid }, nothing);
            }
        }
    }

    fn accept(&self, s: &mut System, uid: u8, generation: u8) {
        let fresh = Record {
            generation,
            deleting: false,
            began: false,
            ready: 0,
        };
        let Some(held) = s.records[at(uid)] else {
            s.records[at(uid)] = Some(fresh);
            return;
        };
        let mut verdict = self.judge.verdict(held, generation);
        if self.variant == Variant::NoFence && verdict == Verdict::Stale {
            verdict = Verdict::Update;
        }
        if verdict == Verdict::Update {
            s.regressed |= generation < held.generation;
            s.records[at(uid)] = Some(Record { generation, ..held });
        }
    }

    fn work(&self, s: &mut System, uid: u8) -> Option<()> {
        let i = at(uid);
        let record = s.records[i]?;
        if record.deleting {
            s.lost |= s.data[i] && !s.asked[i];
            s.data[i] = false;
            s.records[i] = None;
            return Some(());
        }
        let looks = !matches!(self.variant, Variant::NoTombstones | Variant::TombstoneReadOnce);
        let next = if !record.began && looks && s.tombstones[i] {
            Record {
                deleting: true,
                ..record
            }
        } else if !record.began {
            s.data[i] = true;
            Record {
                began: true,
                ..record
            }
        } else {
            Record {
                ready: record.generation,
                ..record
            }
        };
        s.records[i] = Some(next);
        (next != record).then_some(())
    }

    fn person(s: &mut System, action: Action) -> Option<()> {
        match (action, &mut s.resource) {
            (Action::Change, Some(r)) if r.generation == 1 && !r.deleting => r.generation = 2,
            (Action::Delete, Some(r)) if !r.deleting => {
                r.deleting = true;
                s.asked[at(r.uid)] = true;
            }
            (Action::Create, None) if !s.asked[1] => {
                let uid = if s.asked[0] { 2 } else { 1 };
                s.resource = Some(Resource {
                    uid,
                    generation: 1,
                    deleting: false,
                    placed: false,
                    ready: 0,
                });
            }
            _ => return None,
        }
        Some(())
    }
}

impl Model for Protocol {
    type State = System;
    type Action = Action;

    fn init_states(&self) -> Vec<System> {
        vec![System {
            resource: None,
            operator: Operator::Idle,
            wire: BTreeSet::new(),
            handling: BTreeSet::new(),
            records: [None; 2],
            tombstones: [false; 2],
            data: [false; 2],
            asked: [false; 2],
            lost: false,
            regressed: false,
        }]
    }

    fn actions(&self, state: &System, actions: &mut Vec<Action>) {
        actions.extend([Action::Change, Action::Delete, Action::Create, Action::Operate]);
        actions.extend([Action::Work { uid: 1 }, Action::Work { uid: 2 }]);
        actions.extend(
            state
                .handling
                .iter()
                .map(|handling| Action::Handle { handling: *handling }),
        );
        actions.extend([Action::OperatorCrash, Action::BrokerCrash]);
        actions.extend(
            state
                .wire
                .iter()
                .map(|request| Action::Arrive { request: *request }),
        );
    }

    fn next_state(&self, last: &System, action: Action) -> Option<System> {
        let mut s = last.clone();
        match action {
            Action::Change | Action::Delete | Action::Create => Self::person(&mut s, action)?,
            Action::Operate => self.operate(&mut s)?,
            Action::Arrive { request } => self.arrive(&mut s, request),
            Action::Handle { handling } => self.handle(&mut s, handling),
            Action::Work { uid } => self.work(&mut s, uid)?,
            Action::OperatorCrash => s.operator = Operator::Idle,
            Action::BrokerCrash => s.handling.clear(),
        }
        (s != *last).then_some(s)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one instance of a name", |_, s: &System| {
                s.data.iter().filter(|there| **there).count() <= 1
            }),
            Property::always("no instance without its resource", |_, s: &System| {
                [1, 2].into_iter().all(|uid| !s.gone(uid) || !s.data[at(uid)])
            }),
            Property::always("no data is lost that was not asked for", |_, s: &System| !s.lost),
            Property::always("a record never goes back", |_, s: &System| !s.regressed),
            Property::sometimes("a changed resource is ready", |_, s: &System| {
                s.resource.is_some_and(|r| r.ready == 2)
            }),
            Property::sometimes("a resource made anew is ready", |_, s: &System| {
                s.resource.is_some_and(|r| r.uid == 2 && r.ready == 2)
            }),
        ]
    }
}
