//! Faults, and the gate that lets each request pass or has it meet one.

use std::collections::BTreeSet;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The server answers with this status and does nothing.
    Error(u16),
    /// The request is lost, and the caller waits for its own limit.
    NoAnswer,
    /// The server does it, and the answer is lost.
    AnswerLost,
    /// The server says that the object has changed meanwhile.
    Conflict,
    /// A read of one object is answered with the version before.
    StaleRead,
    /// The caller dies before the request leaves, and starts anew with an empty memory.
    CrashBefore,
    /// The caller dies after the server has done it.
    CrashAfter,
    /// The called process dies after it has done it, and before it answers.
    PeerCrash,
    /// The request arrives twice.
    Doubled,
    /// The request arrives ten times.
    Tenfold,
    /// The caller is told that the connection broke, and the request arrives half a minute later.
    Late,
    /// From now on, for a while, no process reaches another.
    NetworkCut,
    /// The caller's clock jumps by so many seconds, until the faults end.
    ClockJump(i64),
    /// A watch breaks off with this change, and lists anew half a minute later.
    WatchLost,
    /// A change is told of twice.
    EventDoubled,
    /// A watch lags behind for some seconds.
    EventLate,
}

impl Fault {
    /// What the column of the table is called.
    pub const fn column(self) -> &'static str {
        match self {
            Self::Error(_) => "error before",
            Self::NoAnswer => "no answer",
            Self::AnswerLost => "answer lost",
            Self::Conflict => "conflict",
            Self::StaleRead => "stale read",
            Self::CrashBefore => "crash before",
            Self::CrashAfter => "crash after",
            Self::PeerCrash => "peer crash",
            Self::Doubled | Self::Tenfold => "duplicate",
            Self::Late => "late",
            Self::NetworkCut => "network cut",
            Self::ClockJump(_) => "clock ±1 h",
            Self::WatchLost => "watch lost",
            Self::EventDoubled => "event twice",
            Self::EventLate => "event late",
        }
    }
}

/// Every column, in the order of the table.
pub const COLUMNS: [&str; 15] = [
    "error before",
    "no answer",
    "answer lost",
    "conflict",
    "stale read",
    "crash before",
    "crash after",
    "peer crash",
    "duplicate",
    "late",
    "network cut",
    "clock ±1 h",
    "watch lost",
    "event twice",
    "event late",
];

/// Where a fault can strike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// Who asks: `operator`, or a broker's name. For a change: who is told.
    pub from: String,
    /// What it is about.
    pub what: String,
    /// What kind of place it is.
    pub kind: SiteKind,
}

/// Kinds of place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SiteKind {
    /// A read from an API server: of one object, or a list.
    Read {
        /// Whether it is of one object.
        one: bool,
    },
    /// A write to an API server.
    Write {
        /// Whether it names the version that it was decided on, so that it may arrive late.
        guarded: bool,
    },
    /// A request of the operator to a broker.
    Request,
    /// A callback.
    Callback,
    /// A change that a watch tells of.
    Event,
}

impl SiteKind {
    /// Every fault that can strike there.
    pub fn faults(self) -> Vec<Fault> {
        use Fault::{
            AnswerLost, ClockJump, Conflict, CrashAfter, CrashBefore, Doubled, Error, EventDoubled,
            EventLate, Late, NetworkCut, NoAnswer, PeerCrash, StaleRead, Tenfold, WatchLost,
        };
        let jumps = [ClockJump(3600), ClockJump(-3600)];
        match self {
            Self::Read { one } => {
                let mut all = vec![Error(500), Error(503), NoAnswer, CrashBefore];
                all.extend(one.then_some(StaleRead));
                all
            }
            Self::Write { guarded } => {
                let mut all = vec![Error(500), Error(503), Error(429), NoAnswer, AnswerLost, Conflict];
                all.extend([CrashBefore, CrashAfter, NetworkCut]);
                all.extend(jumps);
                all.extend(guarded.then_some(Late));
                all
            }
            Self::Request => {
                let mut all = vec![Error(503), NoAnswer, AnswerLost, CrashBefore, CrashAfter];
                all.extend([PeerCrash, Doubled, Late, NetworkCut]);
                all.extend(jumps);
                all
            }
            Self::Callback => {
                let mut all = vec![Error(503), NoAnswer, AnswerLost, CrashBefore, CrashAfter];
                all.extend([PeerCrash, Tenfold, Late, NetworkCut]);
                all.extend(jumps);
                all
            }
            Self::Event => vec![WatchLost, EventDoubled, EventLate],
        }
    }
}

/// A fault at the site of this number, counted from 0 over a run.
pub type Planned = (usize, Fault);

/// Counts sites and says which meets a fault.
#[derive(Debug, Default)]
pub struct Gate {
    /// Whether faults strike; sites are only counted while they do.
    pub armed: bool,
    plan: Vec<Planned>,
    count: usize,
    /// Sites so far.
    pub sites: Vec<Site>,
    /// What struck where.
    pub fired: Vec<(usize, Site, Fault)>,
}

impl Gate {
    /// A gate for a plan.
    pub fn new(plan: &[Planned]) -> Self {
        Self {
            armed: true,
            plan: plan.to_vec(),
            ..Self::default()
        }
    }

    /// Counts a site; a fault if one is planned for it that can strike there.
    pub fn pass(&mut self, site: Site) -> Option<Fault> {
        if !self.armed {
            return None;
        }
        let number = self.count;
        self.count += 1;
        let fault = self
            .plan
            .iter()
            .find(|(at, _)| *at == number)
            .map(|(_, fault)| *fault);
        let fault = fault.filter(|fault| site.kind.faults().contains(fault));
        if let Some(fault) = fault {
            self.fired.push((number, site.clone(), fault));
        }
        self.sites.push(site);
        fault
    }

    /// Columns of what struck.
    pub fn columns(&self) -> BTreeSet<&'static str> {
        self.fired.iter().map(|(_, _, fault)| fault.column()).collect()
    }
}
