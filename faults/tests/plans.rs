//! The bounded campaign: no plan breaks a rule, and every planted fault is found.

use kidp_core::mutation::plant;
use kidp_faults::campaign::{self, Bench, Job};
use kidp_faults::{report, scenario};

/// Plans that a run must really have carried out, each another.
const LEAST: usize = 2_135;
/// Plans that are asked for: some meet nothing, since an earlier fault changes what follows.
const PLANS: usize = 2_250;

#[test]
fn no_plan_breaks_a_rule() {
    let baselines = campaign::baselines(plant).unwrap();
    for (scenario, outcome) in &baselines {
        assert_eq!(outcome.violations, [], "{} without faults", scenario.name);
    }
    let tally = campaign::run_all(&campaign::bounded(&baselines, PLANS, 1), plant).unwrap();
    println!("{}", report::plans(&tally));
    assert!(tally.broken.is_empty(), "{}", report::broken(&tally, 10));
    assert!(
        tally.distinct.len() >= LEAST,
        "only {} plans",
        tally.distinct.len()
    );
}

#[test]
fn every_planted_fault_is_found() {
    let baselines = campaign::baselines(plant).unwrap();
    let finds = campaign::find_planted(&baselines, plant).unwrap();
    assert!(finds.len() >= 15);
    assert!(
        finds.iter().all(|find| !find.rules.is_empty()),
        "{}",
        report::planted(&finds)
    );
}

#[test]
fn the_same_plan_is_the_same_run() {
    let baselines = campaign::baselines(plant).unwrap();
    let known: Vec<_> = baselines.into_iter().map(|(s, o)| (s, o.sites)).collect();
    let bench = Bench::new(&campaign::plain().unwrap(), plant);
    for seed in 0..6 {
        let job = campaign::random(seed, &known);
        let (a, b) = (bench.run(&job, None).unwrap(), bench.run(&job, None).unwrap());
        assert_eq!(
            (a.sites, a.fired, a.took),
            (b.sites, b.fired, b.took),
            "{}",
            job.describe()
        );
    }
}

#[test]
fn what_the_programs_log_is_read() {
    let bench = Bench::new(&campaign::plain().unwrap(), plant);
    let job = Job::calm(scenario::all().remove(0));
    let outcome = bench.run(&job, None).unwrap();
    assert!(outcome.log.contains("kidp_broker") && outcome.log.contains("kidp_operator"));
    assert!(outcome.log.contains("orders-postgresql"), "what is done is told");
    assert_eq!(outcome.passwords.len(), 1);
}
