//! Nothing is called ready that is not.

use serde_json::Value;

use super::objects::{Notes, PASSWORD, render, text};
use super::report::{Check, Finding};
use super::samples::Samples;
use crate::instance::Instance;
use crate::manifests::{Manifests, Prepared};
use crate::observe::{Claim, Observed, Pod, Workload};
use crate::provisioner::{Provisioner, Readiness};
use crate::resources::meta::Scope;

/// How an observation is spoilt, and what is wrong with it then.
type Fault = (&'static str, fn(&mut Observed));

/// Each of them is reason enough not to be ready.
const FAULTS: [Fault; 14] = [
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
    let sets = manifests.objects().iter().filter(|o| o.kind() == "StatefulSet");
    let set = sets.map(|set| &set.json()["spec"]).next().unwrap_or(&Value::Null);
    let replicas = set["replicas"]
        .as_i64()
        .and_then(|replicas| i32::try_from(replicas).ok());
    let replicas = replicas.unwrap_or(1);
    let limits = "/template/spec/containers/0/resources/limits";
    let workload = Workload {
        generation: 2,
        observed_generation: 2,
        replicas,
        ready: replicas,
        updated: replicas,
        current_revision: "new".to_owned(),
        update_revision: "new".to_owned(),
        image: text(set, "/template/spec/containers/0/image").to_owned(),
        cpu: text(set, &format!("{limits}/cpu")).to_owned(),
        memory: text(set, &format!("{limits}/memory")).to_owned(),
        deleting: false,
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
    let has_claims = set["volumeClaimTemplates"].is_array();
    Observed {
        workload: Some(workload),
        pods: (0..replicas).map(pod).collect(),
        claims: (0..replicas).filter(|_| has_claims).map(claim).collect(),
        service: true,
    }
}

fn workload(observed: &mut Observed, change: impl FnOnce(&mut Workload)) {
    if let Some(workload) = &mut observed.workload {
        change(workload);
    }
}

/// Changes the last pod: a look at the first alone does not see it.
fn pods(observed: &mut Observed, change: impl FnOnce(&mut Pod)) {
    if let Some(pod) = observed.pods.last_mut() {
        change(pod);
    }
}
