//! The conformance kit: whether a [`Provisioner`], yours or one of KIDP's, keeps the promises that its users and the
//! rest of the SDK rely on.
//!
//! ```
//! use kidp_provisioners::conformance::{self, Samples};
//! use kidp_provisioners::engines::postgresql::Postgresql;
//!
//! let postgresql = Postgresql::default();
//! let report = conformance::check(&postgresql, &Samples::standard(&postgresql));
//! assert!(report.is_conformant(), "{report}");
//! ```
//!
//! Every check is a function from a provisioner and samples to findings. It renders, compares and judges; it needs no
//! cluster. [`live`] has what only a cluster can say.
//!
//! # What it cannot see
//! Samples are samples: a fault that only a rare parameter brings out is found by your own samples or not at all
//! ([`Samples::around`], [`Samples::with`]). Whether a readiness probe asks a real question of the engine is for a
//! test with that engine.

mod deletion;
mod determinism;
mod immutability;
pub mod live;
mod naming;
mod objects;
mod pods;
mod readiness;
mod report;
mod samples;
mod secrets;
mod sizing;
mod validation;
mod variations;

use crate::provisioner::Provisioner;

pub use deletion::deletion;
pub use determinism::determinism;
pub use immutability::immutability;
pub use naming::naming;
pub use pods::{cluster_violations, pod_violations, pods, promise_violations};
pub use readiness::readiness;
pub use report::{Check, Finding, Report};
pub use samples::Samples;
pub use secrets::secrets;
pub use sizing::sizing;
pub use validation::validation;

/// A check that needs no cluster.
type PureCheck = fn(&dyn Provisioner, &Samples) -> Vec<Finding>;

/// Every check that needs no cluster, in the order in which they are reported.
const PURE: [(Check, PureCheck); 9] = [
    (Check::Validation, validation),
    (Check::Determinism, determinism),
    (Check::Immutability, immutability),
    (Check::Naming, naming),
    (Check::Pods, pods),
    (Check::Sizing, sizing),
    (Check::Secrets, secrets),
    (Check::Readiness, readiness),
    (Check::Deletion, deletion),
];

/// Runs every check that needs no cluster.
pub fn check(provisioner: &dyn Provisioner, samples: &Samples) -> Report {
    let mut report = Report::new(provisioner, samples.instances().len());
    for (check, run) in PURE {
        report.add(check, run(provisioner, samples));
    }
    report
}
