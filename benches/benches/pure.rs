//! Rendering an instance and comparing it with its live form, beside serialising the same objects.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use kidp_benches::choice::Choice;
use kidp_provisioners::Registry;

fn pure(c: &mut Criterion) {
    let instance = kidp_benches::instance().unwrap();
    let registry = Registry::standard();
    let provisioner = registry
        .get(instance.resource_type, instance.spec.engine)
        .unwrap();
    let credentials = provisioner.credentials(&instance, "0".repeat(32));
    let manifests = provisioner.build(&instance, &credentials).unwrap();
    let objects: Vec<_> = manifests.objects().iter().map(|o| o.json().clone()).collect();

    let mut group = c.benchmark_group("instance");
    group.bench_function("yardstick: objects to JSON text", |b| {
        b.iter(|| serde_json::to_string(black_box(&objects)));
    });
    group.bench_function("validate", |b| {
        b.iter(|| provisioner.validate(black_box(&instance)));
    });
    group.bench_function("build", |b| {
        b.iter(|| provisioner.build(black_box(&instance), &credentials));
    });
    let pair = kidp_benches::live::pair(&instance).unwrap();
    for (name, live) in [
        ("diff of unchanged objects", &pair.live),
        ("diff of changed objects", &pair.changed),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| kidp_benches::live::changes(black_box(&pair.desired), black_box(live)));
        });
    }
    group.bench_function("additions to unchanged objects", |b| {
        b.iter(|| {
            let both = pair.desired.iter().zip(&pair.live);
            both.map(|(desired, live)| kidp_drift::additions(black_box(desired), black_box(live)).len())
                .sum::<usize>()
        });
    });
    group.finish();
}

/// A choice among a hundred brokers, beside writing them as JSON.
fn selection(c: &mut Criterion) {
    let choice = Choice::standard().unwrap();
    let brokers = choice.brokers();
    let mut group = c.benchmark_group("selection");
    group.bench_function("yardstick: 100 brokers to JSON text", |b| {
        b.iter(|| serde_json::to_string(black_box(&brokers)));
    });
    group.bench_function("a choice among 100 brokers", |b| {
        b.iter(|| black_box(&choice).make());
    });
    group.finish();
}

criterion_group!(benches, pure, selection);
criterion_main!(benches);
