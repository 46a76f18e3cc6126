//! Faults of verdicts: on requests and on observations.

use kidp_core::problem::FieldError;
use kidp_provisioners::Readiness;
use kidp_provisioners::conformance::{self, Check, Samples};

use crate::broken::{Broken, Fault};
use crate::{breaks, report};

#[test]
fn validation_notices() {
    let cases: [(&str, Fault); 12] = [
        (
            "a bad spec.version is accepted",
            Fault::Validate(|i, v| if i.spec.version == "999999" { Ok(()) } else { v }),
        ),
        (
            "a bad spec.parameters.kidp_conformance_no_such_parameter is accepted",
            Fault::Validate(|i, v| {
                let unknown = i.spec.parameters.keys().any(|name| name.starts_with("kidp"));
                if unknown && i.spec.version == "15" {
                    Ok(())
                } else {
                    v
                }
            }),
        ),
        (
            "a bad metadata.name is accepted",
            Fault::Validate(|i, v| if i.name.len() == 254 { Ok(()) } else { v }),
        ),
        (
            "a bad metadata.namespace is accepted",
            Fault::Validate(|i, v| if i.namespace == "Shop" { Ok(()) } else { v }),
        ),
        (
            "a bad spec.storage.size is accepted",
            Fault::Validate(|i, v| if i.spec.storage.size == "0" { Ok(()) } else { v }),
        ),
        (
            "is refused without naming that field",
            Fault::Validate(|_, v| {
                v.map_err(|_| {
                    vec![
                        FieldError::new("spec.engine", "no"),
                        FieldError::new("spec.size", "no"),
                    ]
                })
            }),
        ),
        (
            "which is no path of a field",
            Fault::Validate(|_, v| {
                v.map_err(|mut faults| {
                    faults.push(FieldError::new("version", "wrong"));
                    faults
                })
            }),
        ),
        (
            "has no message",
            Fault::Validate(|_, v| {
                v.map_err(|faults| {
                    faults
                        .into_iter()
                        .map(|f| FieldError::new(f.field, " "))
                        .collect()
                })
            }),
        ),
        (
            "only one is reported",
            Fault::Validate(|_, v| {
                v.map_err(|mut faults| {
                    faults.truncate(1);
                    faults
                })
            }),
        ),
        (
            "version 14 is in capabilities() and refused",
            Fault::Capabilities(|c| c.versions.push("14".to_owned())),
        ),
        (
            "highAvailability is in capabilities() and refused",
            Fault::Capabilities(|c| c.high_availability = true),
        ),
        ("is accepted and cannot be built", Fault::Build),
    ];
    for (words, fault) in cases {
        breaks(Check::Validation, words, fault);
    }
    let nothing = Broken::new(Fault::Validate(|_, _| {
        Err(vec![FieldError::new("spec.version", "none will do")])
    }));
    let report = report(&nothing);
    assert!(
        report
            .of(Check::Validation)
            .any(|f| f.message.contains("there is no sample")),
        "{report}"
    );
    let samples = Samples::standard(&Broken::new(Fault::Build)).instances().to_vec();
    let refused = conformance::check(&nothing, &Samples::default().with(samples[0].clone()));
    assert!(
        refused
            .of(Check::Validation)
            .any(|f| f.message.contains("a sample is refused")),
        "{refused}"
    );
}

#[test]
fn readiness_notices() {
    // One by one, what has to be looked at.
    let cases: [(&str, Fault); 8] = [
        (
            "is ready when there is nothing",
            Fault::Readiness(|o, v| if o.workload.is_none() { Readiness::Ready } else { v }),
        ),
        (
            "is ready when there is no Service",
            Fault::Readiness(|o, v| if o.service { v } else { Readiness::Ready }),
        ),
        (
            "speaks of an older generation",
            Fault::Readiness(|o, v| {
                let old = o
                    .workload
                    .as_ref()
                    .is_some_and(|w| w.observed_generation < w.generation);
                if old { Readiness::Ready } else { v }
            }),
        ),
        (
            "is ready when a pod is not ready",
            Fault::Readiness(|o, v| {
                let unready = o.pods.iter().any(|p| !p.ready && p.waiting.is_none());
                if unready { Readiness::Ready } else { v }
            }),
        ),
        (
            "is ready when a pod is of an older revision",
            Fault::Readiness(|o, v| {
                if o.pods.iter().any(|p| p.revision == "old") {
                    Readiness::Ready
                } else {
                    v
                }
            }),
        ),
        (
            "is ready when a pod crashes",
            Fault::Readiness(|o, v| {
                if o.pods.iter().any(|p| p.restarts > 0) {
                    Readiness::Ready
                } else {
                    v
                }
            }),
        ),
        (
            "is ready when a volume is lost",
            Fault::Readiness(|o, v| {
                if o.claims.iter().any(|c| c.phase == "Lost") {
                    Readiness::Ready
                } else {
                    v
                }
            }),
        ),
        (
            "does not say why",
            Fault::Readiness(|_, v| match v {
                Readiness::Progressing(_) => Readiness::Progressing(String::new()),
                v => v,
            }),
        ),
    ];
    for (words, fault) in cases {
        breaks(Check::Readiness, words, fault);
    }
    let never = Fault::Readiness(|_, _| Readiness::Progressing("later".to_owned()));
    breaks(Check::Readiness, "when everything is there and ready", never);
}
