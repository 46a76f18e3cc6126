//! Readiness of a StatefulSet's pods, the same for every engine whose readiness probe speaks its protocol.

use super::{Certificate, CertificateState, Observed, Pod, Workload};
use crate::provisioner::Readiness;

/// Restarts after which a crashing pod is said to need help.
const RESTARTS: i32 = 3;

/// Reasons for which a container does not start before something outside is mended.
const STUCK: [&str; 6] = [
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

impl Observed {
    /// Whether every member is ready in the shape that was last applied.
    ///
    /// A failure is not final: the instance is judged anew at each observation, and a corrected spec replaces
    /// pods that failed.
    pub fn rollout(&self) -> Readiness {
        if let Some(not_yet) = self.certificate.as_ref().and_then(certificate) {
            return not_yet;
        }
        let Some(workload) = &self.workload else {
            return Readiness::Progressing("StatefulSet is not there yet".to_owned());
        };
        if let Some(claim) = self.claims.iter().find(|claim| claim.phase == "Lost") {
            return Readiness::Failed(format!("volume of {} is lost", claim.name));
        }
        if workload.deleting || workload.observed_generation < workload.generation {
            let whom = workload
                .operator
                .as_ref()
                .map_or("the StatefulSet controller", |_| "its operator");
            return Readiness::Progressing(format!("waiting for {whom}"));
        }
        // Pods of an older revision are about to be replaced: their failures are no longer of interest.
        let current = |pod: &&Pod| pod.revision == workload.update_revision && !pod.deleting;
        if let Some(failure) = self.pods.iter().filter(current).find_map(failure) {
            return Readiness::Failed(failure);
        }
        if let Some(operator) = workload.operator.as_ref().filter(|operator| operator.stuck) {
            return Readiness::Failed(operator.message.clone());
        }
        let ready = self.pods.iter().filter(current).filter(|pod| pod.ready).count();
        if !self.service {
            return Readiness::Progressing("Service is not there yet".to_owned());
        }
        if is_complete(workload) && i32::try_from(ready).is_ok_and(|ready| ready >= workload.replicas) {
            return Readiness::Ready;
        }
        Readiness::Progressing(self.progress(workload, ready))
    }

    fn progress(&self, workload: &Workload, ready: usize) -> String {
        let count = format!("{ready} of {} members ready", workload.replicas);
        let pod_detail = |pod: &Pod| match (&pod.unschedulable, &pod.waiting) {
            (Some(why), _) => Some(format!("{} has no node: {why}", pod.name)),
            (None, Some((reason, _))) => Some(format!("{}: {reason}", pod.name)),
            (None, None) => None,
        };
        let claim = self.claims.iter().find(|claim| claim.phase == "Pending");
        let detail = self
            .pods
            .iter()
            .find_map(pod_detail)
            .or_else(|| claim.map(|claim| format!("{} waits for a volume", claim.name)))
            .or_else(|| {
                workload
                    .operator
                    .as_ref()
                    .map(|operator| operator.message.clone())
            });
        match detail {
            Some(detail) => format!("{count}; {detail}"),
            None => count,
        }
    }
}

/// Why the certificate keeps an instance from being ready. It is judged first: nothing else is applied before it.
fn certificate(certificate: &Certificate) -> Option<Readiness> {
    let secret = &certificate.secret;
    match &certificate.state {
        CertificateState::Missing => Some(Readiness::Progressing(format!(
            "waits for the certificate Secret {secret}"
        ))),
        CertificateState::Changed => Some(Readiness::Progressing(format!(
            "the certificate Secret {secret} has changed and is about to be handed out"
        ))),
        CertificateState::Broken(fault) => Some(Readiness::Failed(format!("Secret/{secret}: {fault}"))),
        CertificateState::Current => None,
    }
}

fn is_complete(workload: &Workload) -> bool {
    workload.ready >= workload.replicas
        && workload.updated >= workload.replicas
        && workload.current_revision == workload.update_revision
        && workload.operator.as_ref().is_none_or(|operator| operator.settled)
}

fn failure(pod: &Pod) -> Option<String> {
    let (reason, message) = pod.waiting.as_ref()?;
    if STUCK.contains(&reason.as_str()) {
        return Some(format!("{}: {reason}: {message}", pod.name));
    }
    if reason == "CrashLoopBackOff" && pod.restarts >= RESTARTS {
        let (code, why) = pod
            .last_exit
            .as_ref()
            .map_or((0, ""), |(code, why)| (*code, why.as_str()));
        return Some(format!(
            "{} crashes: {} restarts, last exit code {code} {why}; see its log",
            pod.name, pod.restarts
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Claim;

    fn ready() -> Observed {
        Observed {
            workload: Some(Workload {
                generation: 2,
                observed_generation: 2,
                replicas: 1,
                ready: 1,
                updated: 1,
                current_revision: "b".to_owned(),
                update_revision: "b".to_owned(),
                ..Workload::default()
            }),
            pods: vec![pod("b")],
            claims: vec![Claim {
                phase: "Bound".to_owned(),
                ..Claim::default()
            }],
            service: true,
            certificate: None,
        }
    }

    fn pod(revision: &str) -> Pod {
        Pod {
            name: "orders-0".to_owned(),
            revision: revision.to_owned(),
            ready: true,
            ..Pod::default()
        }
    }

    /// `ready()` after a change.
    fn with(change: impl FnOnce(&mut Observed, &mut Workload)) -> Readiness {
        let mut observed = ready();
        let mut workload = observed.workload.take().unwrap();
        change(&mut observed, &mut workload);
        observed.workload = Some(workload);
        observed.rollout()
    }

    fn progressing(readiness: &Readiness) -> &str {
        match readiness {
            Readiness::Progressing(why) => why,
            other => panic!("{other:?}"),
        }
    }

    fn failed(readiness: &Readiness) -> &str {
        match readiness {
            Readiness::Failed(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ready_is_ready_in_the_shape_last_asked_for() {
        assert_eq!(ready().rollout(), Readiness::Ready);
        progressing(&Observed::default().rollout());
        // A change was applied that the controller has not seen, or not yet rolled out.
        progressing(&with(|_, workload| workload.generation = 3));
        progressing(&with(|_, workload| workload.updated = 0));
        progressing(&with(|_, workload| workload.current_revision = "a".to_owned()));
        // The status says ready, the pod does not (any more).
        progressing(&with(|observed, _| observed.pods[0].ready = false));
        progressing(&with(|observed, _| observed.pods[0].deleting = true));
        progressing(&with(|observed, _| observed.pods[0] = pod("a")));
        progressing(&with(|observed, _| observed.service = false));
        progressing(&with(|_, workload| workload.deleting = true));
    }

    #[test]
    fn what_needs_help_says_what_is_wrong() {
        let waiting = |reason: &str, restarts: i32| {
            with(|observed, _| {
                let pod = &mut observed.pods[0];
                pod.ready = false;
                pod.waiting = Some((reason.to_owned(), "detail".to_owned()));
                pod.last_exit = Some((1, "OOMKilled".to_owned()));
                pod.restarts = restarts;
            })
        };
        assert_eq!(
            failed(&waiting("ImagePullBackOff", 0)),
            "orders-0: ImagePullBackOff: detail"
        );
        assert!(failed(&waiting("CrashLoopBackOff", 3)).contains("exit code 1 OOMKilled"));
        // A first crash may be the last one.
        assert!(progressing(&waiting("CrashLoopBackOff", 1)).contains("CrashLoopBackOff"));
        assert!(progressing(&waiting("ContainerCreating", 0)).contains("ContainerCreating"));
        failed(&with(|observed, _| observed.claims[0].phase = "Lost".to_owned()));
        let unschedulable = with(|observed, _| {
            observed.pods[0].ready = false;
            observed.pods[0].unschedulable = Some("no memory".to_owned());
        });
        assert_eq!(
            progressing(&unschedulable),
            "0 of 1 members ready; orders-0 has no node: no memory"
        );
    }

    #[test]
    fn a_certificate_comes_before_everything_else() {
        let with = |state| {
            let observed = Observed {
                certificate: Some(Certificate {
                    secret: "orders-tls".to_owned(),
                    state,
                }),
                ..ready()
            };
            observed.rollout()
        };
        assert_eq!(with(CertificateState::Current), Readiness::Ready);
        assert_eq!(
            progressing(&with(CertificateState::Missing)),
            "waits for the certificate Secret orders-tls"
        );
        assert!(progressing(&with(CertificateState::Changed)).contains("orders-tls"));
        let broken = with(CertificateState::Broken("has no entry `ca.crt`".to_owned()));
        assert_eq!(failed(&broken), "Secret/orders-tls: has no entry `ca.crt`");
    }

    #[test]
    fn failures_of_a_replaced_pod_do_not_count() {
        let readiness = with(|observed, _| {
            observed.pods[0] = Pod {
                ready: false,
                waiting: Some(("ImagePullBackOff".to_owned(), String::new())),
                ..pod("a")
            };
        });
        progressing(&readiness);
    }
}
