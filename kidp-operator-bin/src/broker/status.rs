//! The status that a broker's health means: a pure function.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kidp_core::conditions::{self, Statement};
use kidp_core::crd::{Broker, BrokerPhase, BrokerStatus};

use super::health::{Health, Observation};
use crate::backoff::exponential;

/// First wait before a broker that is not ready is asked again.
const SOON: Duration = Duration::from_secs(1);

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
        next.callback_public_key = Some(key.clone());
        if next != old {
            next.last_heartbeat = Some(Time(now));
        }
    }
    next
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
        None => failing(broker, old, 0, BrokerPhase::Unhealthy, now),
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
                Observation::Misconfigured("UnsupportedAuthentication", "x".into()),
                "UnsupportedAuthentication",
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
