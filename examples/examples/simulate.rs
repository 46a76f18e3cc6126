//! Places ten thousand requests over a hundred brokers, and shows how evenly they are spread and how long a choice takes.
//!
//! ```text
//! cargo run --release -p kidp-examples --example simulate -- [requests] [brokers] [seed]
//! ```
//! Requests come one a second. Each keeps a place at its broker for a while, as an instance does that is being made. One
//! in four asks for a region, one in ten for a jurisdiction. The same requests are placed by lot among the brokers that fit,
//! for comparison, and a choice is timed beside writing the same brokers as JSON once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kidp_core::crd::{Broker, Target};
use kidp_core::instance::{Engine, ResourceType};
use kidp_operator::select::{Candidate, PlacementRequest, Selection, Verdict, select_broker};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

type Failure = Box<dyn std::error::Error>;

const REGIONS: usize = 10;
/// Seconds for which an instance keeps its place.
const MAKING: std::ops::Range<usize> = 60..600;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| match arguments.next() {
        Some(text) => text.parse::<usize>(),
        None => Ok(default),
    };
    let (requests, brokers, seed) = (number(10_000)?, number(100)?, number(1)?);
    let seed = u64::try_from(seed)?;
    let brokers: Vec<_> = (0..brokers).map(broker).collect::<Result<_, _>>()?;
    let began = Instant::now();
    let text = serde_json::to_string(&brokers.iter().map(AsRef::as_ref).collect::<Vec<&Broker>>())?;
    let yardstick = began.elapsed();
    let by_score = simulate(&brokers, requests, seed, |selection, _| {
        selection.chosen.as_ref().map(|(_, name)| name.clone())
    })?;
    let by_lot = simulate(&brokers, requests, seed, |selection, random| {
        let fits = |(c, v): &(Candidate, Verdict)| matches!(v, Verdict::Fits(_)).then(|| c.key().1);
        let fitting: Vec<_> = selection.verdicts.iter().filter_map(fits).collect();
        fitting.choose(random).cloned()
    })?;
    println!(
        "{requests} requests, {} brokers in {REGIONS} regions",
        brokers.len()
    );
    println!("             placed  refused  fewest  most  spread");
    by_score.print("by score");
    by_lot.print("by lot");
    let mut times = by_score.times;
    times.sort_unstable();
    let at = |percent: usize| {
        times
            .get(times.len() * percent / 100)
            .copied()
            .unwrap_or_default()
    };
    println!(
        "a choice takes {:.1} us (median), {:.1} us (99 of 100); writing the brokers as {} KiB of JSON once takes {:.1} us",
        micros(at(50)),
        micros(at(99)),
        text.len() / 1024,
        micros(yardstick),
    );
    Ok(())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Every third broker keeps data in its region.
fn broker(index: usize) -> Result<Arc<Broker>, serde_json::Error> {
    let region = format!("region-{}", index % REGIONS);
    let residency = if index.is_multiple_of(3) {
        vec![region.clone()]
    } else {
        Vec::new()
    };
    serde_json::from_value(json!({
        "apiVersion": "platform.company.com/v1", "kind": "Broker",
        "metadata": {"name": format!("broker-{index:03}"), "namespace": "kidp-system"},
        "spec": {
            "endpoint": format!("https://broker-{index}.example:8082"), "region": region, "cloudProvider": "metal",
            "dataResidency": residency, "maxConcurrentDeployments": 20,
            "capabilities": [{"resourceType": "Database"}, {"resourceType": "Cache"}, {"resourceType": "MessageQueue"}],
        },
        "status": {"phase": "Ready"},
    }))
    .map(Arc::new)
}

fn request(random: &mut StdRng) -> PlacementRequest {
    let region = format!("region-{}", random.random_range(0..REGIONS));
    let mut target = Target::default();
    match random.random_range(0..20) {
        0..5 => target.region = Some(region),
        5..7 => target.data_residency = Some(region),
        _ => {}
    }
    PlacementRequest {
        resource_type: ResourceType::Database,
        engine: Engine::Postgresql,
        target: Some(target),
        tenant_residency: None,
        apart: Vec::new(),
        monthly: HashMap::new(),
    }
}

/// What became of the requests.
#[derive(Default)]
struct Outcome {
    placed: BTreeMap<String, u32>,
    refused: u32,
    times: Vec<Duration>,
}

impl Outcome {
    fn print(&self, how: &str) {
        let counts: Vec<f64> = self.placed.values().map(|n| f64::from(*n)).collect();
        let size = f64::from(u32::try_from(counts.len()).unwrap_or(u32::MAX));
        let sum: f64 = counts.iter().sum();
        let mean = sum / size;
        let variance = counts.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / size;
        let (fewest, most) = (self.placed.values().min(), self.placed.values().max());
        println!(
            "{how:<12} {sum:>6.0}  {:>7}  {:>6}  {:>4}  {:.3} (standard deviation over mean)",
            self.refused,
            fewest.copied().unwrap_or(0),
            most.copied().unwrap_or(0),
            variance.sqrt() / mean,
        );
    }
}

fn simulate(
    brokers: &[Arc<Broker>],
    requests: usize,
    seed: u64,
    pick: impl Fn(&Selection, &mut StdRng) -> Option<String>,
) -> Result<Outcome, Failure> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut lot = StdRng::seed_from_u64(seed + 1);
    let mut candidates: Vec<_> = brokers
        .iter()
        .map(|broker| Candidate {
            broker: Arc::clone(broker),
            active: 0,
        })
        .collect();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut outcome = Outcome::default();
    for (index, candidate) in candidates.iter().enumerate() {
        places.insert(candidate.key().1, index);
        outcome.placed.insert(candidate.key().1, 0);
    }
    // Who leaves when: a queue a second.
    let mut leaving: VecDeque<Vec<usize>> = vec![Vec::new(); MAKING.end + 1].into();
    for second in 0..requests {
        for index in leaving.pop_front().unwrap_or_default() {
            candidates[index].active -= 1;
        }
        leaving.push_back(Vec::new());
        let (request, stays) = (request(&mut random), random.random_range(MAKING));
        let now = Timestamp::from_second(i64::try_from(second)?)?;
        let began = Instant::now();
        let selection = select_broker(&request, candidates.clone(), now);
        outcome.times.push(began.elapsed());
        let chosen = pick(&selection, &mut lot).and_then(|name| Some((*places.get(&name)?, name)));
        let Some((index, name)) = chosen else {
            outcome.refused += 1;
            continue;
        };
        candidates[index].active += 1;
        leaving[stays].push(index);
        *outcome.placed.entry(name).or_default() += 1;
    }
    Ok(outcome)
}
