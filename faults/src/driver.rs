//! The driver: says what happens next, one thing after the other, until the script is through and all is quiet.
//!
//! A turn delivers the changes that watches tell of, restarts what has crashed, runs one reconcile that is due, or lets
//! time pass. Time is simulated and passes only while nothing else is to be done. The same plan gives the same run: what
//! random numbers there are, passwords and jitter, decide nothing here.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use kidp_broker::controller;
use kidp_core::crd::{Broker, Database, ServiceInstance};
use kidp_operator::queues::Trigger;
use kidp_operator::resource;
use kidp_operator::route::Route;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::api::controllers::TICK;
use crate::api::{Change, is_deleting, text};
use crate::fault::{Fault, Planned, Site, SiteKind};
use crate::judge::{Rule, Violation, unready};
use crate::planted::Planted;
use crate::process::{BrokerProcess, Operator, all, furnish, list, typed};
use crate::scenario::{Scenario, Step, database};
use crate::sim::{BROKERS, Life, OPERATOR, Sim};

/// Longest that a step of the script may take, in milliseconds of the run: faults last, and back-offs grow.
const PATIENCE: u64 = 30 * 60_000;
/// Longest that one reconcile may take.
const RECONCILE: Duration = Duration::from_mins(12);
/// Longest that all is left alone at the end, and for how long nothing must have been written before that is over.
const SETTLE: u64 = 900_000;
const QUIET: u64 = 160_000;
/// How long it is then watched for writes: longer than any sweep is apart from the next.
const WATCHED: u64 = 300_000;
/// How long a watch lags or is away, in milliseconds.
const LAG: u64 = 8_000;
const RELIST: u64 = 30_000;
/// Longest step of time.
const PAUSE: u64 = 1_000;
/// The same at the end, when nothing is to be expected.
const LONG_PAUSE: u64 = 8_000;

/// What became of a run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What struck where.
    pub fired: Vec<(usize, Site, Fault)>,
    /// Every site, in order.
    pub sites: Vec<Site>,
    /// Rules that were broken.
    pub violations: Vec<Violation>,
    /// Every password that there was.
    pub passwords: BTreeSet<String>,
    /// What the programs logged.
    pub log: String,
    /// Milliseconds that the script took.
    pub took: u64,
}

/// A watch, and what it has not told yet.
#[derive(Debug, Default)]
struct Watch {
    pending: VecDeque<Change>,
    /// Until when it tells nothing.
    silent_until: u64,
    /// Whether it has to list anew.
    is_broken: bool,
}

struct World {
    sim: Sim,
    plain: reqwest::Client,
    operator: Operator,
    brokers: Vec<BrokerProcess>,
    watches: Vec<Watch>,
    order: Option<SmallRng>,
    pause: u64,
    planted: Option<&'static Planted>,
}

/// Runs a scenario with a plan. With a `seed` the order of what is due at the same time is drawn.
pub async fn run(
    scenario: &Scenario,
    plan: &[Planned],
    seed: Option<u64>,
    planted: Option<&'static Planted>,
    client: &reqwest::Client,
) -> Outcome {
    let sim = Sim::new(plan, planted);
    furnish(&sim);
    let mut world = World {
        operator: Operator::start(&sim, client),
        brokers: BROKERS
            .iter()
            .map(|name| BrokerProcess::start(&sim, name, client))
            .collect(),
        watches: (0..=BROKERS.len()).map(|_| Watch::default()).collect(),
        order: seed.map(SmallRng::seed_from_u64),
        plain: client.clone(),
        pause: PAUSE,
        planted,
        sim,
    };
    let took = world.play(scenario).await;
    let mut state = world.sim.state();
    Outcome {
        fired: std::mem::take(&mut state.gate.fired),
        sites: std::mem::take(&mut state.gate.sites),
        violations: state.judge.violations.iter().cloned().collect(),
        passwords: std::mem::take(&mut state.judge.passwords),
        log: String::new(),
        took,
    }
}

impl World {
    async fn play(&mut self, scenario: &Scenario) -> u64 {
        for step in &scenario.steps {
            self.act(step);
            let begun = self.sim.state().now();
            while !self.is_done(step, begun) {
                self.turn().await;
                let now = self.sim.state().now();
                if now > begun + PATIENCE {
                    let seen = format!("{step:?} within {} min: {}", PATIENCE / 60_000, self.describe());
                    self.sim.state().judge.break_rule(Rule::Converges, seen);
                    return now;
                }
            }
        }
        let took = self.sim.state().now();
        self.finish(scenario).await;
        took
    }

    /// Ends the faults, lets all settle, and sees that it stays so.
    async fn finish(&mut self, scenario: &Scenario) {
        self.sim.calm();
        self.pause = LONG_PAUSE;
        self.settle().await;
        crate::planted::probe(&self.sim).await;
        self.pass(5 * PAUSE).await;
        let before = self.sim.state().writes;
        self.pass(WATCHED).await;
        let wrote = self.sim.state().writes - before;
        if wrote > 0 {
            let seen = format!("{wrote} writes in {} min", WATCHED / 60_000);
            self.sim.state().judge.break_rule(Rule::QuietWhenSettled, seen);
        }
        self.check_end(scenario);
    }

    /// Lets time pass until nothing has been written for a while, and for a bounded time.
    async fn settle(&mut self) {
        let (end, mut quiet) = (self.sim.state().now() + SETTLE, 0);
        while quiet < QUIET && self.sim.state().now() < end {
            let before = self.sim.state().writes;
            self.pass(LONG_PAUSE).await;
            quiet = if self.sim.state().writes == before {
                quiet + LONG_PAUSE
            } else {
                0
            };
        }
    }

    async fn pass(&mut self, time: u64) {
        let until = self.sim.state().now() + time;
        while self.sim.state().now() < until {
            self.turn().await;
        }
    }

    /// At the end each object is served as it asks, and what is gone has left what its policy keeps, and only that.
    fn check_end(&self, scenario: &Scenario) {
        let mut state = self.sim.state();
        let mut faults = Vec::new();
        let mut names: Vec<_> = scenario.steps.iter().filter_map(name_of).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            if let Some(object) = state.management.find("databases", name) {
                let target = state.targets.get(text(object, "/status/brokerRef/name"));
                if !is_served(object) {
                    faults.push((Rule::Converges, format!("{name} is not Ready at the end")));
                } else if let Some(why) = target.and_then(|target| unready(target, &object["spec"], name)) {
                    faults.push((Rule::ReadyIsReady, format!("{name} at the end: {why}")));
                }
                continue;
            }
            let kept = kept_by(scenario, name);
            for (broker, target) in &state.targets {
                for path in target.objects.keys() {
                    let own =
                        path.contains(&format!("{name}-postgresql")) || path.contains("/serviceinstances/");
                    let data = path.contains("/secrets/") || path.contains("/persistentvolumeclaims/");
                    if own && !(kept && data) && scenario.steps.len() < 10 {
                        faults.push((Rule::NoOrphan, format!("{path} is left at {broker}")));
                    }
                }
            }
        }
        for (rule, seen) in faults {
            state.judge.break_rule(rule, seen);
        }
    }

    fn act(&mut self, step: &Step) {
        let mut state = self.sim.state();
        let (now, wall) = (state.now(), state.wall("server"));
        match step {
            Step::Create { name, policy, size } => {
                state
                    .management
                    .put("databases", database(name, policy, size), now, wall);
            }
            Step::Edit { name, spec } => state.management.edit("databases", name, spec, now),
            Step::Delete { name } => {
                if let Some(object) = state.management.find("databases", name) {
                    let uid = text(object, "/metadata/uid").to_owned();
                    let goes = text(object, "/spec/deletionPolicy") == "Delete";
                    state.judge.deleted.insert(uid.clone());
                    if goes {
                        state.judge.condemned.insert(uid);
                    }
                }
                state.management.discard("databases", name, now, wall);
            }
            Step::Tempt => {
                state
                    .management
                    .edit("brokers", "us", &json!({"priority": 500}), now);
                if let Some(broker) = state.management.find("brokers", "us").and_then(typed::<Broker>) {
                    self.operator
                        .writers
                        .brokers
                        .apply_watcher_event(&Event::Apply(broker));
                }
            }
            Step::UntilReady { .. } | Step::UntilBegun { .. } | Step::UntilGone { .. } | Step::Wait(_) => {}
        }
    }

    fn is_done(&self, step: &Step, begun: u64) -> bool {
        let state = self.sim.state();
        let object = |name: &str| state.management.find("databases", name);
        match step {
            Step::UntilReady { name } => object(name).is_some_and(is_served),
            Step::UntilBegun { name } => {
                let part = format!("/{name}-");
                let mut targets = state.targets.values();
                targets.any(|t| t.of("statefulsets").any(|(path, _)| path.contains(&part)))
            }
            Step::UntilGone { name } => object(name).is_none(),
            Step::Wait(time) => state.now() >= begun + time,
            Step::Create { .. } | Step::Edit { .. } | Step::Delete { .. } | Step::Tempt => true,
        }
    }

    fn describe(&self) -> String {
        let state = self.sim.state();
        let statuses = state.management.of("databases").map(|(_, s)| {
            json!({"status": s.value["status"], "meta": {"finalizers": s.value["metadata"]["finalizers"]}}).to_string()
        });
        let records = state.targets.values().flat_map(|t| t.of("serviceinstances"));
        let records = records.map(|(_, s)| s.value["status"].to_string());
        statuses.chain(records).collect::<Vec<_>>().join(" | ")
    }

    /// One thing after the other.
    async fn turn(&mut self) {
        // Whatever runs beside the reconciles goes as far as it can.
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.restart();
        self.sim.state().tick();
        self.deliver();
        while let Ok(hint) = self.operator.receivers.databases.try_recv() {
            self.look_soon(&hint.name);
        }
        let now = self.sim.state().now();
        match self.next_due(now) {
            Ok(Due::Resource(name)) => self.reconcile_resource(name).await,
            Ok(Due::Record(broker, name)) => Box::pin(self.reconcile_record(broker, name)).await,
            Err(wait) => tokio::time::sleep(Duration::from_millis(wait)).await,
        }
    }

    fn look_soon(&mut self, name: &str) {
        let now = self.sim.state().now();
        let due = self.operator.due.entry(name.to_owned()).or_insert(now);
        *due = (*due).min(now);
    }

    /// What is due, or how long nothing is.
    fn next_due(&mut self, now: u64) -> Result<Due, u64> {
        let mut all: Vec<_> = self
            .operator
            .due
            .iter()
            .map(|(name, at)| (*at, Due::Resource(name.clone())))
            .collect();
        for (index, broker) in self.brokers.iter().enumerate() {
            all.extend(
                broker
                    .due
                    .iter()
                    .map(|(name, at)| (*at, Due::Record(index, name.clone()))),
            );
        }
        all.sort();
        let due = all.iter().filter(|(at, _)| *at <= now).count();
        if due == 0 {
            let next = all.first().map_or(self.pause, |(at, _)| at - now);
            let busy = self.sim.state().targets.values().any(crate::api::Api::is_busy);
            return Err(next.clamp(1, if busy { TICK } else { self.pause }));
        }
        let pick = self.order.as_mut().map_or(0, |order| order.random_range(0..due));
        Ok(all.swap_remove(pick).1)
    }

    fn restart(&mut self) {
        if self.operator.life.is_over() {
            self.operator = Operator::start(&self.sim, &self.plain);
            self.watches[0] = Watch::default();
            self.sim.state().management.log.clear();
        }
        for (index, name) in BROKERS.iter().enumerate() {
            if self.brokers[index].life.is_over() {
                self.brokers[index] = BrokerProcess::start(&self.sim, name, &self.plain);
                self.watches[index + 1] = Watch::default();
                self.sim.state().cluster(name).log.clear();
            }
        }
    }

    /// Tells the processes what their watches see.
    fn deliver(&mut self) {
        for index in 0..self.watches.len() {
            let name = if index == 0 {
                "management"
            } else {
                BROKERS[index - 1]
            };
            let now = {
                let mut state = self.sim.state();
                let changes = std::mem::take(&mut state.cluster(name).log);
                self.watches[index]
                    .pending
                    .extend(changes.into_iter().filter(|change| is_watched(index, change)));
                state.now()
            };
            if self.watches[index].silent_until > now {
                continue;
            }
            if std::mem::take(&mut self.watches[index].is_broken) {
                self.watches[index].pending.clear();
                self.relist(index);
            }
            while let Some(change) = self.watches[index].pending.pop_front() {
                let fault = self.sim.state().gate.pass(event(index, &change));
                let watch = &mut self.watches[index];
                match fault {
                    Some(Fault::WatchLost) => {
                        watch.is_broken = true;
                        watch.silent_until = now + RELIST;
                        break;
                    }
                    Some(Fault::EventLate) => {
                        watch.silent_until = now + LAG;
                        watch.pending.push_front(change);
                        break;
                    }
                    Some(Fault::EventDoubled) => {
                        self.tell(index, &change);
                        self.tell(index, &change);
                    }
                    _ => self.tell(index, &change),
                }
            }
        }
    }

    fn relist(&mut self, index: usize) {
        let now = self.sim.state().now();
        if index == 0 {
            let databases: Vec<Database> = all(&self.sim.state().management, "databases");
            for database in &databases {
                let name = database.metadata.name.clone().unwrap_or_default();
                self.operator.due.insert(name, now);
            }
            list(&mut self.operator.writers.databases, databases);
            return;
        }
        let records: Vec<ServiceInstance> =
            all(self.sim.state().cluster(BROKERS[index - 1]), "serviceinstances");
        let broker = &mut self.brokers[index - 1];
        broker.records.clear();
        for record in records {
            let name = record.metadata.name.clone().unwrap_or_default();
            broker.due.insert(name.clone(), now);
            broker.records.insert(name, Arc::new(record));
        }
    }

    fn tell(&mut self, index: usize, change: &Change) {
        if index == 0 {
            self.tell_operator(change);
        } else {
            self.tell_broker(index - 1, change);
        }
    }

    /// Keeps the operator's store and asks its own routes who is to look.
    fn tell_operator(&mut self, change: &Change) {
        let reader = self.operator.writers.databases.as_reader();
        let name = text(
            change
                .new
                .as_ref()
                .or(change.old.as_ref())
                .unwrap_or(&Value::Null),
            "/metadata/name",
        );
        let key = ObjectRef::new(name).within("shop");
        let old = reader.get(&key);
        let told = self.planted.map_or_else(
            || change.new.clone(),
            |p| (p.at_event)(&mut self.sim.state(), change),
        );
        match told.as_ref().and_then(typed::<Database>) {
            Some(new) => self
                .operator
                .writers
                .databases
                .apply_watcher_event(&Event::Apply(new)),
            None => {
                if let Some(gone) = change.old.as_ref().and_then(typed::<Database>) {
                    self.operator
                        .writers
                        .databases
                        .apply_watcher_event(&Event::Delete(gone));
                }
            }
        }
        let new = reader.get(&key);
        for trigger in Database::route((old.as_deref(), new.as_deref()), &self.operator.context.caches) {
            if let Trigger::Resource(key) = trigger {
                self.look_soon(&key.name);
            }
        }
    }

    fn tell_broker(&mut self, index: usize, change: &Change) {
        let now = self.sim.state().now();
        let broker = &mut self.brokers[index];
        let object = change
            .new
            .as_ref()
            .or(change.old.as_ref())
            .unwrap_or(&Value::Null);
        if change.path.contains("/statefulsets/") {
            let owners = object
                .pointer("/metadata/ownerReferences")
                .and_then(Value::as_array);
            for owner in owners.into_iter().flatten() {
                let record = text(owner, "/name").to_owned();
                if broker.records.contains_key(&record) {
                    broker.due.insert(record, now);
                }
            }
            return;
        }
        let name = text(object, "/metadata/name").to_owned();
        if let Some(record) = change.new.as_ref().and_then(typed::<ServiceInstance>) {
            broker.records.insert(name.clone(), Arc::new(record));
            broker.due.insert(name, now);
        } else {
            broker.records.remove(&name);
            broker.due.remove(&name);
        }
    }

    /// When the object of a reconcile is looked at again; none if its process ended meanwhile, or it does not end.
    async fn attend<E: std::error::Error>(
        &self,
        host: &'static str,
        life: &Life,
        work: impl Future<Output = Result<Action, E>>,
        policy: impl FnOnce(&E) -> Action,
    ) -> Option<Action> {
        let done = tokio::select! {
            biased;
            () = life.over() => return None,
            done = tokio::time::timeout(RECONCILE, work) => done,
        };
        match done {
            Ok(Ok(action)) => Some(action),
            Ok(Err(error)) => {
                tracing::debug!(%error, ?error, "a reconcile failed");
                let swallow = self.planted.is_some_and(|p| p.swallows_errors);
                Some(if swallow {
                    Action::await_change()
                } else {
                    policy(&error)
                })
            }
            Err(_) => {
                self.endless(host);
                None
            }
        }
    }

    async fn reconcile_resource(&mut self, name: String) {
        self.operator.due.remove(&name);
        let key = ObjectRef::new(&name).within("shop");
        let Some(object) = self.operator.context.caches.databases.get(&key) else {
            return;
        };
        let (context, life) = (self.operator.context.clone(), self.operator.life.clone());
        let work = resource::reconcile::<Database>(object.clone(), context.clone());
        let policy = |error: &_| resource::error_policy(object.as_ref(), error, &context);
        let Some(action) = Box::pin(self.attend(OPERATOR, &life, work, policy)).await else {
            return;
        };
        if let Some(at) = self.when(&action) {
            let due = self.operator.due.entry(name).or_insert(at);
            *due = (*due).min(at);
        }
    }

    async fn reconcile_record(&mut self, index: usize, name: String) {
        let broker = &mut self.brokers[index];
        broker.due.remove(&name);
        let Some(record) = broker.records.get(&name).cloned() else {
            return;
        };
        let (context, life) = (broker.context.clone(), broker.life.clone());
        let work = controller::reconcile(record.clone(), context.clone());
        let policy = |error: &_| controller::error_policy(record, error, context);
        let Some(action) = Box::pin(self.attend(BROKERS[index], &life, work, policy)).await else {
            return;
        };
        if let Some(at) = self.when(&action) {
            let due = self.brokers[index].due.entry(name).or_insert(at);
            *due = (*due).min(at);
        }
    }

    fn endless(&self, of: &str) {
        let seen = format!("a reconcile of {of} does not end");
        self.sim.state().judge.break_rule(Rule::Converges, seen);
    }

    /// When an action asks to look again. Its jitter is taken out by rounding to a power of two.
    fn when(&self, action: &Action) -> Option<u64> {
        let wait = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256];
        let at = |seconds: u64| Action::requeue(Duration::from_secs(seconds)) == *action;
        let exact = wait.into_iter().find(|seconds| at(*seconds));
        let millis = match exact {
            Some(seconds) => seconds * 1000,
            None => rounded(requeue_of(action)?),
        };
        Some(self.sim.state().now() + millis)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Resource(String),
    Record(usize, String),
}

/// How long an action waits; `kube` shows it in its debug form only.
fn requeue_of(action: &Action) -> Option<Duration> {
    let text = format!("{action:?}");
    let inner = text.split("Some(").nth(1)?.split(')').next()?.to_owned();
    let (number, unit) = inner.split_at(inner.find(|c: char| c.is_alphabetic() || c == 'µ')?);
    let number: f64 = number.parse().ok()?;
    let seconds = match unit {
        "s" => number,
        "ms" => number / 1e3,
        "µs" => number / 1e6,
        _ => number / 1e9,
    };
    Some(Duration::from_secs_f64(seconds))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and at most some minutes"
)]
fn rounded(wait: Duration) -> u64 {
    let power = wait.as_secs_f64().max(0.001).log2().round();
    (power.exp2() * 1000.0).round().max(1.0) as u64
}

fn event(index: usize, change: &Change) -> Site {
    let verb = match (&change.old, &change.new) {
        (None, _) => "ADDED",
        (_, None) => "DELETED",
        _ => "MODIFIED",
    };
    Site {
        from: if index == 0 {
            OPERATOR.to_owned()
        } else {
            BROKERS[index - 1].to_owned()
        },
        what: format!("{verb} {}", change.path),
        kind: SiteKind::Event,
    }
}

fn is_watched(index: usize, change: &Change) -> bool {
    let kinds: &[&str] = if index == 0 {
        &["/databases/"]
    } else {
        &["/serviceinstances/", "/statefulsets/"]
    };
    kinds.iter().any(|kind| change.path.contains(kind))
}

fn is_served(object: &Value) -> bool {
    let status = &object["status"];
    status["phase"] == "Ready"
        && status["observedGeneration"] == object["metadata"]["generation"]
        && !is_deleting(object)
}

fn name_of(step: &Step) -> Option<&'static str> {
    match step {
        Step::Create { name, .. } => Some(name),
        _ => None,
    }
}

/// Whether the last database of that name was one that keeps its data.
fn kept_by(scenario: &Scenario, wanted: &str) -> bool {
    let mut policies = scenario.steps.iter().filter_map(|step| match step {
        Step::Create { name, policy, .. } if *name == wanted => Some(*policy),
        _ => None,
    });
    policies.next_back() == Some("Retain")
}
