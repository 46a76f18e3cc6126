//! The status that a broker's health means: a pure function.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kidp_core::conditions::{self, Statement};
use kidp_core::crd::{Broker, BrokerPhase, BrokerStatus, PreviousKey};

use super::health::{Health, Observation};
use crate::backoff::exponential;

/// First wait before a broker that is not ready is asked again.
const SOON: Duration = Duration::from_secs(1);

/// How long a key that a broker has replaced is believed: longer than a callback is in its window, and than two replicas
/// of a broker take to agree.
const BELIEVED: SignedDuration = SignedDuration::from_mins(15);
/// Most replaced keys that are believed.
const MOST_PREVIOUS: usize = 2;

/// How long until the next check: the interval while it is ready, and sooner at first while it is not, so that a
/// broker that comes up is used soon.
pub fn interval(broker: &Broker, phase: BrokerPhase, failures: u32) -> Duration {
    let interval = Duration::from_secs(u64::from(broker.spec.health_check.interval_seconds.max(1)));
    if phase == BrokerPhase::Ready || failures == 0 {
        interval
    } else {
        exponential(failures - 1, SOON.min(interval), interval)
    }
}

/// The status that `health` means. Equal to the present one when nothing is new.
pub fn next(broker: &Broker, health: &Health, active: u32, now: Timestamp) -> BrokerStatus {
    let old = broker.status.clone().unwrap_or_default();
    let generation = broker.metadata.generation.unwrap_or_default();
    let mut next = BrokerStatus {
        active_deployments: active,
        observed_generation: Some(generation),
        ..old.clone()
    };
    let (phase, conditions) = judge(broker, &old, health, now);
    next.phase = phase;
    next.conditions = conditions::carry_over(&old.conditions, conditions);
    if let Some(Observation::Healthy { version, key }) = &health.last {
        next.version = Some(version.clone());
        next.previous_callback_keys = previous_keys(&old, key, now);
        next.callback_public_key = Some(key.clone());
        if next != old {
            next.last_heartbeat = Some(Time(now));
        }
    }
    next
}

/// The keys that are believed beside `current`: what was current before, and what has not expired.
fn previous_keys(old: &BrokerStatus, current: &str, now: Timestamp) -> Vec<PreviousKey> {
    let replaced = old.callback_public_key.as_ref().filter(|key| *key != current);
    let replaced = replaced.map(|key| PreviousKey {
        key: key.clone(),
        expires_at: Time(now + BELIEVED),
    });
    let known = old.previous_callback_keys.iter().cloned();
    let mut keys: Vec<PreviousKey> = replaced.into_iter().chain(known).collect();
    keys.retain(|previous| previous.key != current && previous.expires_at.0 > now);
    keys.truncate(MOST_PREVIOUS);
    keys
}

fn judge(
    broker: &Broker,
    old: &BrokerStatus,
    health: &Health,
    now: Timestamp,
) -> (BrokerPhase, Vec<Condition>) {
    let generation = broker.metadata.generation.unwrap_or_default();
    let unknown = |reason, message: String| {
        let say = Statement::new(reason, message);
        (BrokerPhase::Unknown, conditions::stalled(&say, generation, now))
    };
    match &health.last {
        Some(Observation::Healthy { .. }) => {
            let say = Statement::new("Healthy", "the broker answers");
            (BrokerPhase::Ready, conditions::ready(&say, generation, now))
        }
        Some(Observation::WrongName(name)) => unknown(
            "NameMismatch",
            format!("the broker at spec.endpoint calls itself `{name}`; name the Broker object like that"),
        ),
        Some(Observation::BadKey) => unknown(
            "InvalidCallbackKey",
            "the broker's callbackPublicKey is not an Ed25519 key".to_owned(),
        ),
        Some(Observation::Misconfigured(reason, message)) => unknown(reason, message.clone()),
        Some(Observation::Failing) => failing(broker, old, health.failures, BrokerPhase::Unhealthy, now),
        Some(Observation::NotABroker) => failing(broker, old, health.failures, BrokerPhase::Unknown, now),
        Some(Observation::Busy) | None => failing(broker, old, 0, BrokerPhase::Unhealthy, now),
    }
}

/// The recorded phase holds until the threshold; a broker that was offline stays so until it answers.
fn failing(
    broker: &Broker,
    old: &BrokerStatus,
    failures: u32,
    missed: BrokerPhase,
    now: Timestamp,
) -> (BrokerPhase, Vec<Condition>) {
    let generation = broker.metadata.generation.unwrap_or_default();
    let threshold = broker.spec.health_check.failure_threshold.max(1);
    let current = old.observed_generation == Some(generation);
    let phase = match old.phase {
        BrokerPhase::Offline if current => BrokerPhase::Offline,
        _ if failures >= threshold.saturating_mul(2) && missed == BrokerPhase::Unhealthy => {
            BrokerPhase::Offline
        }
        _ if failures >= threshold => missed,
        phase if current => return (phase, old.conditions.clone()),
        _ => BrokerPhase::Pending,
    };
    let say = match phase {
        BrokerPhase::Pending => Statement::new("Checking", "the broker has not answered yet"),
        BrokerPhase::Offline => Statement::new("Offline", "the broker has not answered for long"),
        BrokerPhase::Unknown => Statement::new("NotABroker", "what answers at spec.endpoint is not a broker"),
        _ => Statement::new("Unhealthy", "the broker does not answer its health checks"),
    };
    (phase, conditions::reconciling(&say, generation, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use BrokerPhase::{Offline, Ready, Unhealthy};
    use kidp_core::conditions::{READY, is_true};

    fn broker(status: Option<BrokerStatus>) -> Broker {
        let mut broker: Broker = serde_json::from_value(serde_json::json!({
            "apiVersion": "platform.company.com/v1", "kind": "Broker",
            "metadata": {"name": "eu", "namespace": "kidp-system", "generation": 1},
            "spec": {"endpoint": "http://b:8082", "region": "eu", "cloudProvider": "metal",
                     "capabilities": [{"resourceType": "Database"}]},
        }))
        .unwrap();
        broker.status = status;
        broker
    }

    fn healthy() -> Observation {
        Observation::Healthy {
            version: "1".into(),
            key: "whpk_x".into(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_healthy_broker_is_written_once() {
        let health = Health::NONE.after(healthy());
        let first = next(&broker(None), &health, 0, at(1));
        assert_eq!(first.phase, BrokerPhase::Ready);
        assert_eq!(first.last_heartbeat, Some(Time(at(1))));
        let again = next(&broker(Some(first.clone())), &health, 0, at(100));
        assert_eq!(again, first);
        let more = next(&broker(Some(first)), &health, 3, at(100));
        assert_eq!(
            (more.active_deployments, more.last_heartbeat),
            (3, Some(Time(at(100))))
        );
    }

    #[test]
    fn a_rotated_key_is_believed_for_a_while_beside_the_new_one() {
        let with = |key: &str| {
            Health::NONE.after(Observation::Healthy {
                version: "1".into(),
                key: key.into(),
            })
        };
        let keys = |status: &BrokerStatus| -> Vec<String> {
            let previous = status.previous_callback_keys.iter().map(|p| p.key.clone());
            status
                .callback_public_key
                .iter()
                .cloned()
                .chain(previous)
                .collect()
        };
        let mut status = next(&broker(None), &with("a"), 0, at(0));
        assert_eq!(keys(&status), ["a"]);
        for (key, second) in [("b", 10), ("c", 20), ("d", 30)] {
            status = next(&broker(Some(status)), &with(key), 0, at(second));
        }
        assert_eq!(keys(&status), ["d", "c", "b"]);
        assert_eq!(status.previous_callback_keys[0].expires_at, Time(at(30 + 900)));
        status = next(&broker(Some(status)), &with("c"), 0, at(40));
        assert_eq!(keys(&status), ["c", "d", "b"], "a broker that was put back");
        let failing = with("c").after(Observation::Failing);
        assert_eq!(
            keys(&next(&broker(Some(status.clone())), &failing, 0, at(50))),
            ["c", "d", "b"]
        );
        status = next(&broker(Some(status)), &with("c"), 0, at(1000));
        assert_eq!(keys(&status), ["c"]);
    }

    #[test]
    fn thresholds_turn_ready_to_unhealthy_to_offline_and_back() {
        let mut current = broker(Some(next(
            &broker(None),
            &Health::NONE.after(healthy()),
            0,
            at(1),
        )));
        let mut health = Health::NONE.after(healthy());
        let mut phases = Vec::new();
        for second in 2..9 {
            health = health.after(Observation::Failing);
            let status = next(&current, &health, 0, at(second));
            phases.push(status.phase);
            current = broker(Some(status));
        }
        assert_eq!(
            phases,
            [Ready, Ready, Unhealthy, Unhealthy, Unhealthy, Offline, Offline]
        );
        let back = next(&current, &health.after(healthy()), 0, at(20));
        assert!(back.phase == Ready && is_true(&back.conditions, READY));
    }

    #[test]
    fn a_changed_spec_forgets_the_old_phase() {
        let ready = next(&broker(None), &Health::NONE.after(healthy()), 0, at(1));
        let mut changed = broker(Some(ready));
        changed.metadata.generation = Some(2);
        let status = next(&changed, &Health::NONE.after(Observation::Failing), 0, at(2));
        assert_eq!(
            (status.phase, status.observed_generation),
            (BrokerPhase::Pending, Some(2))
        );
    }

    #[test]
    fn a_wrong_name_and_a_bad_setting_are_unknown_with_their_reason() {
        let table = [
            (Observation::WrongName("us".into()), "NameMismatch"),
            (Observation::BadKey, "InvalidCallbackKey"),
            (
                Observation::Misconfigured("Unauthorized", "x".into()),
                "Unauthorized",
            ),
        ];
        for (observation, reason) in table {
            let status = next(&broker(None), &Health::NONE.after(observation), 0, at(1));
            assert_eq!(
                (status.phase, status.conditions[0].reason.as_str()),
                (BrokerPhase::Unknown, reason)
            );
        }
    }

    #[test]
    fn a_broker_that_is_busy_is_as_it_was() {
        let ready = next(&broker(None), &Health::NONE.after(healthy()), 0, at(1));
        for health in [Health::NONE, Health::NONE.after(healthy())] {
            let status = next(
                &broker(Some(ready.clone())),
                &health.after(Observation::Busy),
                0,
                at(2),
            );
            assert_eq!(status, ready);
        }
        let failing = Health::NONE.after(Observation::Failing).after(Observation::Busy);
        assert_eq!(failing.failures, 1);
    }

    #[test]
    fn an_offline_broker_stays_offline_over_a_restart_of_the_operator() {
        let offline = BrokerStatus {
            phase: BrokerPhase::Offline,
            observed_generation: Some(1),
            ..BrokerStatus::default()
        };
        let health = Health::NONE.after(Observation::Failing);
        assert_eq!(
            next(&broker(Some(offline)), &health, 0, at(1)).phase,
            BrokerPhase::Offline
        );
    }
}
