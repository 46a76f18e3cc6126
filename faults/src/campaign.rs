//! Many plans: every single fault at every site of every scenario, and several at once by chance.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash as _, Hasher as _};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use thiserror::Error;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::driver::{Outcome, run};
use crate::fault::{Fault, Planned, Site, SiteKind};
use crate::judge::{Rule, Violation};
use crate::planted::{self, Planted};
use crate::scenario::{self, Scenario, Step};

/// Sets the switch of a planted fault in this thread: `kidp_core::mutation::plant`, where that is compiled in.
pub type Plant = fn(Option<&str>);

/// Why nothing was run.
#[derive(Debug, Error)]
pub enum CampaignError {
    /// The HTTP client that requests are made with could not be made.
    #[error(transparent)]
    Client(#[from] kidp_callback::http::ClientError),
    /// The runtime could not be made.
    #[error("no runtime: {0}")]
    Runtime(#[from] std::io::Error),
}

/// One run to be made.
#[derive(Clone, Debug)]
pub struct Job {
    /// The scenario.
    pub scenario: Scenario,
    /// The plan.
    pub plan: Vec<Planned>,
    /// What the order is drawn with, if it is drawn.
    pub seed: Option<u64>,
}

impl Job {
    /// A scenario without faults.
    pub fn calm(scenario: Scenario) -> Self {
        Self {
            scenario,
            plan: Vec::new(),
            seed: None,
        }
    }

    /// How it is told in words, so that it can be run again.
    pub fn describe(&self) -> String {
        let faults: Vec<_> = self
            .plan
            .iter()
            .map(|(at, fault)| format!("{fault:?} at {at}"))
            .collect();
        let seed = self
            .seed
            .map(|seed| format!(", order {seed}"))
            .unwrap_or_default();
        format!("`{}`: {}{seed}", self.scenario.name, faults.join(", "))
    }
}

/// What is logged in a thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs jobs in one thread.
pub struct Bench {
    plain: reqwest::Client,
    plant: Plant,
    log: Log,
    _logging: tracing::subscriber::DefaultGuard,
}

impl Bench {
    /// A bench of this thread; what the programs log in it is read for passwords.
    pub fn new(plain: &reqwest::Client, plant: Plant) -> Self {
        let log = Log::default();
        let writer = log.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(move || writer.clone());
        let kidp = Targets::new().with_target("kidp", tracing::Level::TRACE);
        let subscriber = tracing_subscriber::registry().with(kidp).with(layer);
        Self {
            plain: plain.clone(),
            plant,
            log,
            _logging: tracing::subscriber::set_default(subscriber),
        }
    }

    /// Runs one job, in a runtime of its own and in simulated time.
    pub fn run(&self, job: &Job, planted: Option<&'static Planted>) -> Result<Outcome, CampaignError> {
        self.log.take();
        (self.plant)(planted.and_then(|p| p.switch));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        let mut outcome = runtime.block_on(run(&job.scenario, &job.plan, job.seed, planted, &self.plain));
        drop(runtime);
        (self.plant)(None);
        outcome.log = self.log.take();
        if outcome
            .passwords
            .iter()
            .any(|password| outcome.log.contains(password.as_str()))
        {
            outcome.violations.push(Violation {
                rule: Rule::NoLeak,
                seen: "a password in the log".to_owned(),
            });
        }
        Ok(outcome)
    }
}

/// What became of many runs.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Plans by scenario and column.
    pub cells: BTreeMap<(&'static str, &'static str), usize>,
    /// Hashes of what was done: the scenario, and what struck where.
    pub distinct: BTreeSet<u64>,
    /// Runs that broke a rule.
    pub broken: Vec<(Job, Vec<Violation>)>,
    /// Runs.
    pub runs: usize,
    /// Requests, messages and changes that passed the gate.
    pub sites: usize,
}

/// The column of runs with several faults.
pub const SEVERAL: &str = "several";

impl Tally {
    fn note(&mut self, job: &Job, outcome: Outcome) {
        self.runs += 1;
        self.sites += outcome.sites.len();
        let mut hasher = DefaultHasher::new();
        (job.scenario.name, job.seed, &outcome.fired).hash(&mut hasher);
        if !outcome.fired.is_empty() && self.distinct.insert(hasher.finish()) {
            let column = match outcome.fired.as_slice() {
                [(_, _, fault)] if job.seed.is_none() => fault.column(),
                _ => SEVERAL,
            };
            *self.cells.entry((job.scenario.name, column)).or_default() += 1;
        }
        if !outcome.violations.is_empty() {
            self.broken.push((job.clone(), outcome.violations));
        }
    }
}

/// Makes the HTTP client that all benches share; nothing is sent with it.
pub fn plain() -> Result<reqwest::Client, CampaignError> {
    Ok(kidp_callback::http::client(Duration::from_secs(5))?)
}

/// Every single fault at every site of a scenario, as a run without faults passes them.
pub fn singles(scenario: &Scenario, sites: &[Site]) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (at, site) in sites.iter().enumerate() {
        for fault in site.kind.faults() {
            if is_fair(scenario, site, fault) {
                jobs.push(Job {
                    plan: vec![(at, fault)],
                    ..Job::calm(scenario.clone())
                });
            }
        }
    }
    jobs
}

/// A request that reaches the broker after a deletion was confirmed makes a new instance: the operator's documentation
/// says so, and nothing here claims otherwise.
fn is_fair(scenario: &Scenario, site: &Site, fault: Fault) -> bool {
    let deletes = scenario
        .steps
        .iter()
        .any(|step| matches!(step, Step::Delete { .. }));
    !(fault == Fault::Late && site.kind == SiteKind::Request && deletes)
}

/// A plan of several faults, by chance; the same for the same seed.
pub fn random(seed: u64, baselines: &[(Scenario, Vec<Site>)]) -> Job {
    let mut rng = SmallRng::seed_from_u64(seed);
    // Every fourth with several databases.
    let pick = if rng.random_bool(0.25) {
        baselines.len() - 1
    } else {
        rng.random_range(0..baselines.len())
    };
    let (scenario, sites) = &baselines[pick];
    let mut plan = Vec::new();
    for _ in 0..rng.random_range(2..=5) {
        let at = rng.random_range(0..sites.len());
        let fair: Vec<_> = sites[at]
            .kind
            .faults()
            .into_iter()
            .filter(|f| is_fair(scenario, &sites[at], *f))
            .collect();
        plan.push((at, fair[rng.random_range(0..fair.len())]));
    }
    plan.sort_unstable();
    Job {
        scenario: scenario.clone(),
        plan,
        seed: Some(seed),
    }
}

/// The jobs of a bounded campaign: every single fault of the first scenario, of the others as many as are asked for, taken
/// evenly, and one in eight by chance. With as many as there are, every single fault of every scenario.
pub fn bounded(baselines: &[(Scenario, Outcome)], plans: usize, seed: u64) -> Vec<Job> {
    let known: Vec<_> = baselines
        .iter()
        .map(|(s, o)| (s.clone(), o.sites.clone()))
        .collect();
    let by_chance = plans / 8;
    let mut jobs: Vec<Job> = known
        .first()
        .map(|(s, sites)| singles(s, sites))
        .unwrap_or_default();
    // The crowd, which is last, is for plans by chance.
    let others: Vec<Job> = known
        .iter()
        .take(known.len() - 1)
        .skip(1)
        .flat_map(|(s, sites)| singles(s, sites))
        .collect();
    let wanted = plans
        .saturating_sub(jobs.len() + by_chance)
        .clamp(1, others.len());
    jobs.extend((0..wanted).map(|n| others[n * others.len() / wanted].clone()));
    let first = seed.wrapping_mul(1_000_003);
    jobs.extend((0..by_chance as u64).map(|n| random(first.wrapping_add(n), &known)));
    jobs
}

/// Does `work` for each index below `count`, on every core.
fn on_every_core(
    count: usize,
    plant: Plant,
    work: impl Fn(&Bench, usize) -> Result<(), CampaignError> + Sync,
) -> Result<(), CampaignError> {
    let (plain, next) = (plain()?, AtomicUsize::new(0));
    let serve = || -> Result<(), CampaignError> {
        let bench = Bench::new(&plain, plant);
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return Ok(());
            }
            work(&bench, index)?;
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(serve)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// Runs jobs on every core.
pub fn run_all(jobs: &[Job], plant: Plant) -> Result<Tally, CampaignError> {
    let tally = Mutex::new(Tally::default());
    on_every_core(jobs.len(), plant, |bench, index| {
        let outcome = bench.run(&jobs[index], None)?;
        tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(&jobs[index], outcome);
        Ok(())
    })?;
    Ok(tally.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Every scenario, the crowd last, with the sites that it passes without faults; what is wrong without any is told.
pub fn baselines(plant: Plant) -> Result<Vec<(Scenario, Outcome)>, CampaignError> {
    let bench = Bench::new(&plain()?, plant);
    let mut all = scenario::all();
    all.push(scenario::crowd());
    all.into_iter()
        .map(|scenario| {
            let outcome = bench.run(&Job::calm(scenario.clone()), None)?;
            Ok((scenario, outcome))
        })
        .collect()
}

/// How a planted fault was found.
#[derive(Clone, Debug)]
pub struct Find {
    /// The planted fault.
    pub name: &'static str,
    /// The rules that it broke; none where it was not found.
    pub rules: BTreeSet<Rule>,
    /// The run in which it was found.
    pub job: Option<Job>,
    /// Runs until then.
    pub runs: usize,
}

/// Plants each fault and looks for it.
pub fn find_planted(baselines: &[(Scenario, Outcome)], plant: Plant) -> Result<Vec<Find>, CampaignError> {
    let finds = Mutex::new(BTreeMap::new());
    on_every_core(planted::ALL.len(), plant, |bench, index| {
        let found = find(bench, &planted::ALL[index], baselines)?;
        finds
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(index, found);
        Ok(())
    })?;
    Ok(finds
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .into_values()
        .collect())
}

fn find(
    bench: &Bench,
    planted: &'static Planted,
    baselines: &[(Scenario, Outcome)],
) -> Result<Find, CampaignError> {
    let mut found = Find {
        name: planted.name,
        rules: BTreeSet::new(),
        job: None,
        runs: 0,
    };
    let Some((scenario, outcome)) = baselines.iter().find(|(s, _)| s.name == planted.scenario) else {
        return Ok(found);
    };
    let mut jobs = vec![Job::calm(scenario.clone())];
    if !planted.by.is_empty() {
        jobs.extend(singles(scenario, &outcome.sites));
        let strikes = |(at, fault): &Planned| {
            planted.by.contains(fault) && outcome.sites[*at].what.contains(planted.at)
        };
        jobs.retain(|job| job.plan.iter().all(strikes));
    }
    for job in jobs {
        found.runs += 1;
        let outcome = bench.run(&job, Some(planted))?;
        if !outcome.violations.is_empty() {
            found.rules = outcome.violations.iter().map(|v| v.rule).collect();
            found.job = Some(job);
            break;
        }
    }
    Ok(found)
}
