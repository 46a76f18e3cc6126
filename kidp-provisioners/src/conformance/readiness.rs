//! Nothing is called ready that is not.

use serde_json::Value;

use super::objects::{Notes, PASSWORD, clusters, render, text};
use super::report::{Check, Finding};
use super::samples::Samples;
use crate::instance::Instance;
use crate::manifests::{Manifests, Prepared};
use crate::observe::{Certificate, CertificateState, Claim, Observed, OperatorState, Pod, Workload};
use crate::provisioner::{Provisioner, Readiness};
use crate::resources::certificate;
use crate::resources::meta::Scope;

/// How an observation is spoilt, and what is wrong with it then.
type Fault = (&'static str, fn(&mut Observed));

/// Each of them is reason enough not to be ready.
const FAULTS: [Fault; 19] = [
    ("there is nothing", |o| *o = Observed::default()),
    ("there is no StatefulSet", |o| o.workload = None),
    ("there is no Service", |o| o.service = false),
    ("there are no pods", |o| o.pods.clear()),
    ("a pod is missing", |o| {
        o.pods.pop();
    }),
    ("the status speaks of an older generation", |o| {
        workload(o, |w| w.observed_generation -= 1);
    }),
    ("the new revision is not rolled out", |o| {
        workload(o, |w| w.updated = 0);
    }),
    ("some members are of an older revision", |o| {
        workload(o, |w| "old".clone_into(&mut w.current_revision));
    }),
    ("the StatefulSet is being deleted", |o| {
        workload(o, |w| w.deleting = true);
    }),
    ("its operator is not done", |o| operator(o, |s| s.settled = false)),
    ("its operator does not go on", |o| operator(o, |s| s.stuck = true)),
    ("a pod is not ready", |o| pods(o, |p| p.ready = false)),
    ("a pod is being deleted", |o| pods(o, |p| p.deleting = true)),
    ("a pod is of an older revision", |o| {
        pods(o, |p| "old".clone_into(&mut p.revision));
    }),
    ("a pod crashes", |o| {
        pods(o, |p| {
            p.ready = false;
            p.waiting = Some(("CrashLoopBackOff".to_owned(), "back-off".to_owned()));
            p.last_exit = Some((1, "Error".to_owned()));
            p.restarts = 5;
        });
    }),
    ("the certificate is not there", |o| {
        certified(o, CertificateState::Missing);
    }),
    ("the certificate cannot be served", |o| {
        certified(o, CertificateState::Broken("is for another host".to_owned()));
    }),
    ("clients have the CA of an earlier certificate", |o| {
        certified(o, CertificateState::Changed);
    }),
    ("a volume is lost", |o| {
        for claim in o.claims.iter_mut().take(1) {
            "Lost".clone_into(&mut claim.phase);
        }
    }),
];

/// Checks verdicts on observations that are made up around each sample.
pub fn readiness(provisioner: &dyn Provisioner, samples: &Samples) -> Vec<Finding> {
    let mut notes = Notes::new(Check::Readiness);
    for instance in samples.instances() {
        let Ok(manifests) = render(provisioner, instance, PASSWORD) else {
            continue;
        };
        let good = good(instance, &manifests);
        let verdict = provisioner.readiness(instance, &good);
        notes.require(verdict == Readiness::Ready, instance, "", || {
            format!("is {verdict:?} when everything is there and ready")
        });
        for (fault, spoil) in FAULTS {
            let mut observed = good.clone();
            spoil(&mut observed);
            if observed == good {
                continue;
            }
            match provisioner.readiness(instance, &observed) {
                Readiness::Ready => notes.add(instance, "", format!("is ready when {fault}")),
                Readiness::Progressing(why) | Readiness::Failed(why) => {
                    notes.require(!why.is_empty(), instance, "", || {
                        format!("does not say why it is not ready when {fault}")
                    });
                }
            }
        }
    }
    notes.findings()
}

/// What is observed of an instance that is ready.
fn good(instance: &Instance, manifests: &Manifests<Prepared>) -> Observed {
    let scope = Scope::new(instance);
    let delegated = clusters(manifests).next();
    let sets = manifests.objects().iter().filter(|o| o.kind() == "StatefulSet");
    let set = delegated.or_else(|| sets.into_iter().next());
    let set = set.map_or(&Value::Null, |set| &set.json()["spec"]);
    let (replicas, image, limits) = match delegated {
        Some(_) => ("instances", "/imageName", "/resources/limits"),
        None => (
            "replicas",
            "/template/spec/containers/0/image",
            "/template/spec/containers/0/resources/limits",
        ),
    };
    let replicas = set[replicas]
        .as_i64()
        .and_then(|replicas| i32::try_from(replicas).ok());
    let replicas = replicas.unwrap_or(1);
    let workload = Workload {
        generation: 2,
        observed_generation: 2,
        replicas,
        ready: replicas,
        updated: replicas,
        current_revision: "new".to_owned(),
        update_revision: "new".to_owned(),
        image: text(set, image).to_owned(),
        cpu: text(set, &format!("{limits}/cpu")).to_owned(),
        memory: text(set, &format!("{limits}/memory")).to_owned(),
        deleting: false,
        operator: delegated.map(|_| OperatorState {
            settled: true,
            stuck: false,
            message: "well".to_owned(),
        }),
    };
    let pod = |ordinal| Pod {
        name: format!("{}-{ordinal}", scope.base),
        revision: "new".to_owned(),
        ready: true,
        ..Pod::default()
    };
    let claim = |ordinal| Claim {
        name: scope.claim(ordinal),
        phase: "Bound".to_owned(),
        capacity: instance.spec.storage.size.clone(),
        requested: instance.spec.storage.size.clone(),
    };
    let has_claims = delegated.is_some() || set["volumeClaimTemplates"].is_array();
    Observed {
        workload: Some(workload),
        pods: (0..replicas).map(pod).collect(),
        claims: (0..replicas).filter(|_| has_claims).map(claim).collect(),
        service: true,
        certificate: instance.spec.encryption.in_transit.then(|| Certificate {
            secret: certificate::secret_name(&scope),
            state: CertificateState::Current,
        }),
    }
}

fn workload(observed: &mut Observed, change: impl FnOnce(&mut Workload)) {
    if let Some(workload) = &mut observed.workload {
        change(workload);
    }
}

fn operator(observed: &mut Observed, change: impl FnOnce(&mut OperatorState)) {
    if let Some(operator) = observed.workload.as_mut().and_then(|w| w.operator.as_mut()) {
        change(operator);
    }
}

/// Has no effect without TLS.
fn certified(observed: &mut Observed, state: CertificateState) {
    if let Some(certificate) = &mut observed.certificate {
        certificate.state = state;
    }
}

/// Changes the last pod: a look at the first alone does not see it.
fn pods(observed: &mut Observed, change: impl FnOnce(&mut Pod)) {
    if let Some(pod) = observed.pods.last_mut() {
        change(pod);
    }
}
