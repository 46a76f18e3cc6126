//! Instructions of the hot pure functions, counted by callgrind: the same on every run and machine of a kind, however busy
//! it is. `cargo xtask instructions` runs it and writes the table.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::sync::Arc;

use gungraun::{library_benchmark, library_benchmark_group, main};
use kidp_benches::choice::Choice;
use kidp_benches::live::{self, Pair};
use kidp_core::crd::Broker;
use kidp_provisioners::{Credentials, Instance, Provisioner, Registry};
use serde_json::Value;

type Rendering = (Arc<dyn Provisioner>, Instance, Credentials);

fn rendering() -> Rendering {
    let instance = kidp_benches::instance().unwrap();
    let registry = Registry::standard();
    let provisioner = registry
        .get(instance.resource_type, instance.spec.engine)
        .unwrap();
    let credentials = provisioner.credentials(&instance, kidp_benches::PASSWORD.to_owned());
    (Arc::clone(provisioner), instance, credentials)
}

fn pair() -> Pair {
    live::pair(&kidp_benches::instance().unwrap()).unwrap()
}

fn objects() -> Vec<Value> {
    pair().desired
}

fn choice() -> Choice {
    Choice::standard().unwrap()
}

fn brokers() -> Vec<Broker> {
    choice().brokers().into_iter().cloned().collect()
}

// The yardstick of an instance.
#[library_benchmark]
#[bench::yardstick(setup = objects)]
fn objects_to_json(objects: Vec<Value>) -> Vec<u8> {
    serde_json::to_vec(black_box(&objects)).unwrap()
}

#[library_benchmark]
#[bench::instance(setup = rendering)]
fn validate((provisioner, instance, _): Rendering) -> bool {
    provisioner.validate(black_box(&instance)).is_ok()
}

#[library_benchmark]
#[bench::instance(setup = rendering)]
fn build((provisioner, instance, credentials): Rendering) -> usize {
    let manifests = provisioner.build(black_box(&instance), &credentials);
    manifests.unwrap().objects().len()
}

#[library_benchmark]
#[bench::instance(setup = pair)]
fn diff_unchanged(pair: Pair) -> usize {
    live::changes(black_box(&pair.desired), &pair.live)
}

#[library_benchmark]
#[bench::instance(setup = pair)]
fn diff_changed(pair: Pair) -> usize {
    live::changes(black_box(&pair.desired), &pair.changed)
}

#[library_benchmark]
#[bench::instance(setup = pair)]
fn additions(pair: Pair) -> usize {
    let both = pair.desired.iter().zip(&pair.live);
    both.map(|(desired, live)| kidp_drift::additions(black_box(desired), live).len())
        .sum()
}

// The yardstick of a choice.
#[library_benchmark]
#[bench::yardstick(setup = brokers)]
fn brokers_to_json(brokers: Vec<Broker>) -> Vec<u8> {
    serde_json::to_vec(black_box(&brokers)).unwrap()
}

#[library_benchmark]
#[bench::brokers(setup = choice)]
fn select(choice: Choice) -> bool {
    black_box(&choice).make()
}

library_benchmark_group!(
    name = instructions;
    benchmarks = objects_to_json, validate, build, diff_unchanged, diff_changed, additions, brokers_to_json, select
);
main!(library_benchmark_groups = instructions);
