//! Rendering an instance and comparing it with its live form, beside serialising the same objects.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
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
    group.bench_function("diff of equal objects", |b| {
        b.iter(|| {
            objects
                .iter()
                .map(|o| kidp_drift::diff(black_box(o), black_box(o)).len())
                .sum::<usize>()
        });
    });
    group.finish();
}

criterion_group!(benches, pure);
criterion_main!(benches);
