//! Every engine keeps its promises, and the kit notices one that does not: a table of faults a check.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod broken;
mod delegated;
mod objects;
mod pods;
mod removal;
mod secrets;
mod verdicts;

use broken::{Broken, Fault, pod};
use kidp_core::instance::{DeletionPolicy, DriftSpec};
use kidp_core::size::Size;
use kidp_provisioners::conformance::{self, Check, Report, Samples};
use kidp_provisioners::{Provisioner, Registry};
use serde_json::json;

fn report(provisioner: &dyn Provisioner) -> Report {
    conformance::check(provisioner, &Samples::standard(provisioner))
}

#[test]
fn every_engine_is_conformant() {
    for provisioner in Registry::standard().iter() {
        let report = report(provisioner.as_ref());
        println!("{report}");
        assert!(report.is_conformant(), "{report}");
        assert!(report.samples > 30, "{report}");
        assert_eq!(report.checks.len(), 9);
    }
}

/// The samples that the faults below need; all of them for every fault would take a minute.
fn few(provisioner: &dyn Provisioner) -> Samples {
    let names = ["orders", "1st", "classed"];
    let standard = Samples::standard(provisioner);
    let wanted = standard.instances().iter().filter(|instance| {
        let spec = &instance.spec;
        (names.contains(&instance.name.as_str()) || instance.name.len() == 253)
            && ["15", "16"].contains(&spec.version.as_str())
            && spec.size <= Size::Medium
            && spec.storage.size == "1Gi"
            && spec.parameters.is_empty()
            && spec.deletion_policy == DeletionPolicy::Delete
            && spec.drift == DriftSpec::default()
            && instance.namespace == "shop"
    });
    wanted.cloned().fold(Samples::default(), Samples::with)
}

/// A fault is found by its check, with these words, and by no other.
fn breaks(check: Check, words: &str, fault: Fault) {
    let broken = Broken::new(fault);
    let report = conformance::check(&broken, &few(&broken));
    assert!(
        report.of(check).any(|finding| finding.message.contains(words)),
        "`{words}`: {report}"
    );
    let others: Vec<_> = report.findings.iter().filter(|f| f.check != check).collect();
    assert!(others.is_empty(), "`{words}`: {report}");
}

#[test]
fn a_report_can_be_read_by_people_and_programs() {
    let broken = Broken::new(Fault::Objects(|o, _, _| pod(o)["hostNetwork"] = json!(true)));
    let report = report(&broken);
    let text = report.to_string();
    assert!(
        text.starts_with("postgresql as Database: not conformant over "),
        "{text}"
    );
    assert!(text.contains("\n  pods          FAILED\n    StatefulSet/orders-postgresql: hostNetwork is forbidden [shop/orders (15, small) and "), "{text}");
    assert!(text.contains("\n  secrets       ok"), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["findings"][0]["check"], "pods");
    assert_eq!(json["findings"].as_array().unwrap().len(), 1);
    assert_eq!(json["findings"][0]["times"], report.samples);
}
