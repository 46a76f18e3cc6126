//! Every cause from objects as an API server serves them; the messages are those of Kubernetes 1.36.

use kidp_core::crd::ServiceInstance;
use kidp_provisioners::observe::{Claim, Observed, Workload};
use kidp_provisioners::{Readiness, observe};
use serde_json::json;

use super::*;
use crate::status::testing::{NOW, condition, event, from, made, subject, unready, waiting};

fn found(seen: &Seen) -> Finding {
    find(seen, NOW.parse().unwrap()).unwrap()
}

fn cause(seen: &Seen) -> Cause {
    found(seen).cause
}

#[test]
fn what_is_ready_has_no_cause_and_an_older_ready_has() {
    let ready = json!([condition(
        "Ready",
        "True",
        "Provisioned",
        "the database accepts connections"
    )]);
    let mut seen = Seen::of(subject("Ready", &ready));
    assert_eq!(find(&seen, NOW.parse().unwrap()), None);
    seen.subject.metadata.generation = Some(3);
    assert_eq!(cause(&seen), Cause::UnderWay);
}

#[test]
fn a_bad_image_names_the_image() {
    let message = "Back-off pulling image \"docker.io/library/postgres:15.99\": ErrImagePull: not found";
    for reason in [
        "ImagePullBackOff",
        "ErrImagePull",
        "ErrImageNeverPull",
        "InvalidImageName",
    ] {
        let finding = found(&made(Some(waiting(reason, message)), "Bound"));
        let image = "docker.io/library/postgres:15.99";
        assert_eq!(finding.cause, Cause::BadImage(image.to_owned()), "{reason}");
        assert_eq!(finding.object, "Pod/orders-postgresql-0");
        assert!(finding.cause.advice().contains(image));
    }
}

#[test]
fn no_room_is_not_no_volume() {
    let pod = |message: &str| {
        json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]})
    };
    let no_room = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are \
                   available: 1 No preemption victims found for incoming pod.";
    assert_eq!(cause(&made(Some(pod(no_room)), "Bound")), Cause::Unschedulable);
    // A claim that waits for its first consumer is pending because the pod has no node, and not the other way round.
    assert_eq!(cause(&made(Some(pod(no_room)), "Pending")), Cause::Unschedulable);
    let no_volume = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.";
    let mut seen = made(Some(pod(no_volume)), "Pending");
    let said = "storageclass.storage.k8s.io \"fast\" not found";
    let claim = "data-orders-postgresql-0";
    seen.events = vec![event(
        "PersistentVolumeClaim",
        claim,
        "ProvisioningFailed",
        3,
        said,
    )];
    let finding = found(&seen);
    assert_eq!(finding.cause, Cause::VolumePending("fast".to_owned()));
    assert_eq!(finding.object, format!("PersistentVolumeClaim/{claim}"));
    assert_eq!(finding.message, said);
}

#[test]
fn a_quota_counts_while_a_pod_is_missing() {
    let said = "create Pod orders-postgresql-0 in StatefulSet orders-postgresql failed error: pods \"orders-postgresql-0\" is \
                forbidden: exceeded quota: small, requested: limits.cpu=1, used: limits.cpu=0, limited: limits.cpu=500m";
    let refused = event("StatefulSet", "orders-postgresql", "FailedCreate", 12, said);
    let mut seen = made(None, "Bound");
    seen.events = vec![refused.clone()];
    assert_eq!(cause(&seen), Cause::NamespaceQuota);
    seen.events[0].message =
        Some("... violates PodSecurity \"restricted:latest\": runAsNonRoot != true".to_owned());
    assert_eq!(cause(&seen), Cause::PodRefused);
    let starting = json!({"phase": "Pending", "conditions": []});
    let mut over = made(Some(starting), "Bound");
    over.events = vec![refused];
    assert_eq!(cause(&over), Cause::UnderWay);
}

#[test]
fn a_pod_that_does_not_answer_is_unready_after_a_while() {
    let running = |since: &str| {
        unready(
            &json!([{"name": "postgresql", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"running": {"startedAt": since}}}]),
        )
    };
    let young = made(Some(running("2026-11-26T20:09:50Z")), "Bound");
    assert_eq!(cause(&young), Cause::UnderWay);
    let old = made(Some(running("2026-11-26T20:00:00Z")), "Bound");
    assert!(found(&old).message.contains("runs for 600 s"));
    assert_eq!(cause(&old), Cause::Unready);
    let mut failing = young;
    let said = "Readiness probe failed: 127.0.0.1:5432 - no response";
    failing.events = vec![event("Pod", "orders-postgresql-0", "Unhealthy", 2, said)];
    assert_eq!(
        cause(&failing),
        Cause::UnderWay,
        "a database takes a moment to start"
    );
    failing.events[0].count = Some(3);
    assert_eq!(cause(&failing), Cause::Unready);
    assert!(found(&failing).message.ends_with(said));
}

#[test]
fn a_crash_for_want_of_memory_is_told_apart() {
    let mut status = waiting("CrashLoopBackOff", "back-off 40s restarting failed container");
    let ended = |reason: &str| json!({"terminated": {"exitCode": 137, "reason": reason}});
    status["containerStatuses"][0]["lastState"] = ended("OOMKilled");
    assert_eq!(cause(&made(Some(status.clone()), "Bound")), Cause::OutOfMemory);
    status["containerStatuses"][0]["lastState"] = ended("Error");
    let finding = found(&made(Some(status), "Bound"));
    assert_eq!(finding.cause, Cause::Crash);
    assert!(
        finding.message.contains("exit code 137 Error, 4 restarts"),
        "{finding:?}"
    );
}

#[test]
fn other_troubles_of_pods_and_volumes() {
    let config = waiting(
        "CreateContainerConfigError",
        "secret \"orders-postgresql-connection\" not found",
    );
    assert_eq!(cause(&made(Some(config), "Bound")), Cause::ContainerConfig);
    assert_eq!(cause(&made(None, "Lost")), Cause::VolumeLost);
    let mut creating = waiting("ContainerCreating", "");
    creating["phase"] = "Pending".into();
    let mut seen = made(Some(creating), "Bound");
    assert_eq!(cause(&seen), Cause::UnderWay);
    let said = "MountVolume.SetUp failed for volume \"config\": configmap \"x\" not found";
    seen.events = vec![event("Pod", "orders-postgresql-0", "FailedMount", 1, said)];
    assert_eq!(cause(&seen), Cause::VolumeMount);
}

#[test]
fn what_the_operator_says_before_anything_is_made() {
    for (reason, expected) in [
        ("NoBroker", Cause::NotPlaced),
        ("TargetNotFound", Cause::NotPlaced),
        ("Queued", Cause::Queued),
        ("OwnerNotFound", Cause::Owner),
        ("TenantNotFound", Cause::Owner),
        ("InvalidField", Cause::Refused("InvalidField".to_owned())),
        ("BrokerUnavailable", Cause::BrokerUnreachable),
    ] {
        let conditions = json!([condition("Ready", "False", reason, "because")]);
        let finding = found(&Seen::of(subject("Pending", &conditions)));
        assert_eq!(finding.cause, expected, "{reason}");
        assert_eq!(finding.message, "because");
    }
}

#[test]
fn a_broker_that_is_away_is_named_unless_the_pods_say_more() {
    let broker = || {
        from(json!({"metadata": {"name": "local", "namespace": "kidp-system"},
            "spec": {"endpoint": "http://broker:8082", "region": "r", "cloudProvider": "c", "capabilities": []},
            "status": {"phase": "Offline", "conditions": [condition("Ready", "False", "Offline", "6 checks failed: connection refused")]}}))
    };
    let mut seen = made(Some(json!({"phase": "Pending"})), "Bound");
    seen.broker = Some(broker());
    let finding = found(&seen);
    assert_eq!(finding.cause, Cause::BrokerUnreachable);
    assert_eq!(finding.object, "Broker/local");
    assert_eq!(finding.message, "Offline: 6 checks failed: connection refused");
    let mut seen = made(Some(waiting("ImagePullBackOff", "")), "Bound");
    seen.broker = Some(broker());
    assert!(matches!(cause(&seen), Cause::BadImage(_)));
}

/// The broker's record is in another cluster: what it called back is all there is.
#[test]
fn words_that_came_back_are_understood() {
    for (said, expected) in [
        (
            "broker `far` gave up: orders-postgresql-0: ImagePullBackOff: Back-off pulling image \"postgres:99\"",
            Cause::BadImage("postgres:99".to_owned()),
        ),
        (
            "broker `far` gave up: volume of data-0 is lost",
            Cause::VolumeLost,
        ),
        (
            "broker `far` gave up: something else",
            Cause::Refused("ProvisioningFailed".to_owned()),
        ),
    ] {
        let conditions = json!([
            condition("Ready", "False", "ProvisioningFailed", said),
            condition("Stalled", "True", "ProvisioningFailed", said),
        ]);
        assert_eq!(cause(&Seen::of(subject("Failed", &conditions))), expected);
    }
}

#[test]
fn a_record_says_why_it_is_refused() {
    let mut seen = made(None, "Bound");
    let record: ServiceInstance = from(
        json!({"metadata": {"name": "deploy-00000000000000000000000000000000", "namespace": "shop"},
        "spec": {"deploymentId": "deploy-00000000000000000000000000000000", "resourceType": "Database", "resourceName": "orders",
            "team": "payments", "instance": {"engine": "postgresql", "version": "15", "storage": {"size": "1Gi"}}},
        "status": {"phase": "Failed", "error": "NameCollision", "message": "Service/orders-postgresql belongs to others"}}),
    );
    seen.record = Some(record);
    assert_eq!(cause(&seen), Cause::Refused("NameCollision".to_owned()));
}

/// The sentences of the SDK, made by the SDK.
#[test]
fn every_sentence_of_the_sdk_on_a_failure_is_understood() {
    let observed = |change: &dyn Fn(&mut Observed)| {
        let mut observed = Observed {
            workload: Some(Workload {
                replicas: 1,
                ..Workload::default()
            }),
            pods: vec![observe::Pod {
                name: "orders-0".to_owned(),
                ..observe::Pod::default()
            }],
            claims: vec![Claim {
                name: "data-orders-0".to_owned(),
                phase: "Bound".to_owned(),
                ..Claim::default()
            }],
            service: true,
            certificate: None,
        };
        change(&mut observed);
        match observed.rollout() {
            Readiness::Failed(said) | Readiness::Progressing(said) => words::read(&said),
            Readiness::Ready => None,
        }
    };
    let pod = |reason: &'static str| {
        move |o: &mut Observed| {
            o.pods[0].waiting = Some((reason.to_owned(), "m \"i:1\"".to_owned()));
            o.pods[0].restarts = 3;
        }
    };
    assert_eq!(
        observed(&pod("ImagePullBackOff")),
        Some(Cause::BadImage("i:1".to_owned()))
    );
    assert_eq!(
        observed(&pod("CreateContainerConfigError")),
        Some(Cause::ContainerConfig)
    );
    assert_eq!(observed(&pod("CrashLoopBackOff")), Some(Cause::Crash));
    let oom = |o: &mut Observed| {
        pod("CrashLoopBackOff")(o);
        o.pods[0].last_exit = Some((137, "OOMKilled".to_owned()));
    };
    assert_eq!(observed(&oom), Some(Cause::OutOfMemory));
    let no_node = |o: &mut Observed| o.pods[0].unschedulable = Some("1 Insufficient cpu".to_owned());
    assert_eq!(observed(&no_node), Some(Cause::Unschedulable));
    let no_volume = |o: &mut Observed| {
        o.pods[0].unschedulable = Some("pod has unbound immediate PersistentVolumeClaims".to_owned());
    };
    assert_eq!(observed(&no_volume), Some(Cause::VolumePending(String::new())));
    assert_eq!(
        observed(&|o| o.claims[0].phase = "Pending".to_owned()),
        Some(Cause::VolumePending(String::new()))
    );
    assert_eq!(
        observed(&|o| o.claims[0].phase = "Lost".to_owned()),
        Some(Cause::VolumeLost)
    );
    assert_eq!(observed(&|_| ()), None);
}
