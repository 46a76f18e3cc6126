//! What every part of a run shares: the clusters, the gate, the judge and the time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use jiff::{SignedDuration, Timestamp};
use kidp_core::clock::Clock;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::{Answer, Api, Request};
use crate::fault::{Gate, Planned};
use crate::judge::Judge;
use crate::planted::Planted;

/// Names of the brokers, each with a cluster of its own.
pub const BROKERS: [&str; 2] = ["eu", "us"];
/// The host that callbacks go to.
pub const OPERATOR: &str = "operator";
/// Seconds since 1970 at which every run begins.
const BEGIN: i64 = 1_780_000_000;

/// One life of a process; it ends with a crash.
#[derive(Clone, Debug)]
pub struct Life {
    /// `operator`, or a broker's name.
    pub name: &'static str,
    died: CancellationToken,
}

impl Life {
    /// A new life.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            died: CancellationToken::new(),
        }
    }

    /// Ends it.
    pub fn crash(&self) {
        self.died.cancel();
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.died.is_cancelled()
    }

    /// Waits for its end.
    pub async fn over(&self) {
        self.died.cancelled().await;
    }
}

/// The state of a run.
pub struct State {
    start: Instant,
    /// The management cluster.
    pub management: Api,
    /// The brokers' clusters.
    pub targets: BTreeMap<&'static str, Api>,
    /// Where faults strike.
    pub gate: Gate,
    /// What must hold.
    pub judge: Judge,
    /// Who serves a host, and in which life.
    pub hosts: BTreeMap<&'static str, (Router, Life)>,
    /// How far a process's clock is off, in seconds.
    pub skew: BTreeMap<&'static str, i64>,
    /// Until when no process reaches another, in milliseconds of the run.
    pub cut_until: u64,
    /// Writes to API servers that processes have asked for.
    pub writes: usize,
    /// The fault that is planted.
    pub planted: Option<&'static Planted>,
    /// What the planted fault remembers.
    pub notes: BTreeMap<String, String>,
    /// Callbacks as they were sent: headers and body.
    pub callbacks: Vec<(http::HeaderMap, Vec<u8>)>,
}

impl State {
    /// Milliseconds since the run began.
    pub fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The time of day, by the clock of this process.
    pub fn wall(&self, of: &str) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.start.elapsed()).unwrap_or_default();
        let skew = SignedDuration::from_secs(self.skew.get(of).copied().unwrap_or_default());
        let begin = Timestamp::from_second(BEGIN).unwrap_or_default();
        begin.saturating_add(elapsed + skew).unwrap_or(begin)
    }

    /// A cluster by name: `management`, or a broker's.
    pub fn cluster(&mut self, name: &str) -> &mut Api {
        match self.targets.get_mut(name) {
            Some(target) => target,
            None => &mut self.management,
        }
    }

    /// Has a cluster answer, and the judge look at what became of it.
    pub fn perform(&mut self, cluster: &str, request: &Request) -> Answer {
        let (now, wall) = (self.now(), self.wall("server"));
        if request.is_write() {
            self.judge.read_write(cluster, request);
        }
        let before = self.status_of(cluster, request);
        let answer = self.cluster(cluster).answer(request, now, wall);
        if request.is_write() {
            let mut judge = std::mem::take(&mut self.judge);
            judge.look(self);
            if answer.0 < 300 {
                judge.status_written(self, cluster, request, &before);
            }
            self.judge = judge;
        }
        answer
    }

    fn status_of(&mut self, cluster: &str, request: &Request) -> Value {
        let path = request.path.trim_end_matches("/status");
        let stored = self.cluster(cluster).objects.get(path);
        stored.map(|s| s.value["status"].clone()).unwrap_or_default()
    }

    /// Lets every cluster's controllers do what is due.
    pub fn tick(&mut self) {
        let (now, wall) = (self.now(), self.wall("server"));
        self.management.run_controllers(now, wall);
        self.targets
            .values_mut()
            .for_each(|api| api.run_controllers(now, wall));
        let mut judge = std::mem::take(&mut self.judge);
        judge.look(self);
        self.judge = judge;
    }
}

/// A shared handle on a run.
#[derive(Clone)]
pub struct Sim(Arc<Mutex<State>>);

impl Sim {
    /// A run with this plan.
    pub fn new(plan: &[Planned], planted: Option<&'static Planted>) -> Self {
        Self(Arc::new(Mutex::new(State {
            start: Instant::now(),
            management: Api::new("m"),
            targets: BROKERS.iter().map(|name| (*name, Api::new(name))).collect(),
            gate: Gate::new(plan),
            judge: Judge::default(),
            hosts: BTreeMap::new(),
            skew: BTreeMap::new(),
            cut_until: 0,
            writes: 0,
            planted,
            notes: BTreeMap::new(),
            callbacks: Vec::new(),
        })))
    }

    /// The state. Never held over an `await`.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock of a process.
    pub fn clock(&self, of: &'static str) -> Clock {
        let sim = self.clone();
        Clock::new(move || sim.state().wall(of))
    }

    /// Ends every fault that lasts.
    pub fn calm(&self) {
        let mut state = self.state();
        state.gate.armed = false;
        state.skew.clear();
        state.cut_until = 0;
    }
}

/// How long a request that arrives late is under way.
pub const LATE: Duration = Duration::from_secs(30);
/// How long the network is cut.
pub const CUT: Duration = Duration::from_secs(45);
