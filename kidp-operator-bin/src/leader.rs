//! Leader election by a `Lease`: one replica works, the others stand by.
//!
//! # Flow
//! A candidate reads the lease every few seconds. It takes it when nobody holds it, when it is its own, or when it
//! has not *seen* it renewed for its whole duration. The holder renews it, gives up when it could not for
//! [`RENEW_DEADLINE`], and releases it at an orderly end, so that the next one need not wait.
//!
//! # Guarantees
//! Every write carries the resource version that was read, so of two candidates one is refused. The deadline is
//! shorter than the duration: a holder that cannot renew stops before anybody else starts.
//!
//! # Assumptions
//! Clocks of different machines are never compared, only the time that passes on one's own. A process that is
//! frozen for longer than the lease may act once more when it wakes; resource versions stop it from writing over
//! its successor.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use crate::backoff::jitter;
use crate::kube_io::{WriteError, timed};

/// Name of the lease.
pub const LEASE: &str = "kidp-operator";
/// How long a lease holds without being renewed.
const DURATION: Duration = Duration::from_secs(15);
/// How long its holder tries to renew it before it gives up.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often it is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How often it is read while somebody else holds it, and how soon a failure is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(2);

/// What a candidate knows of the lease: the last version of its spec, and when it first saw that.
#[derive(Clone, Debug)]
struct Sighting {
    spec: LeaseSpec,
    at: Instant,
}

/// What to do about the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// Take it or renew it.
    Take,
    /// Somebody else holds it.
    Wait,
}

/// What to do, from what was seen of the lease and since when.
fn decide(sighting: &Sighting, me: &str, now: Instant) -> Move {
    let holder = sighting.spec.holder_identity.as_deref().unwrap_or_default();
    let seconds = sighting.spec.lease_duration_seconds.unwrap_or_default();
    let duration = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let expired = now.saturating_duration_since(sighting.at) >= duration;
    if holder.is_empty() || holder == me || expired {
        Move::Take
    } else {
        Move::Wait
    }
}

/// The spec to write when taking or renewing.
fn taken(old: Option<&LeaseSpec>, me: &str, now: jiff::Timestamp) -> LeaseSpec {
    let mine = old.filter(|spec| spec.holder_identity.as_deref() == Some(me));
    let transitions = old.and_then(|spec| spec.lease_transitions).unwrap_or_default();
    LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
        acquire_time: mine.and_then(|s| s.acquire_time.clone()).or(Some(MicroTime(now))),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(if mine.is_some() || old.is_none() {
            transitions
        } else {
            transitions + 1
        }),
        ..LeaseSpec::default()
    }
}

/// One candidate.
pub struct Candidate {
    api: Api<Lease>,
    me: String,
    sighting: Option<Sighting>,
}

impl Candidate {
    /// A candidate called `me` for the lease in `namespace`.
    pub fn new(client: Client, namespace: &str, me: String) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            me,
            sighting: None,
        }
    }

    /// Waits until the lease is held. `false` when `stop` came first.
    pub async fn campaign(&mut self, stop: &CancellationToken) -> bool {
        loop {
            match self.attempt().await {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "leader election: trying again"),
            }
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(jitter(RETRY_EVERY)) => {}
            }
        }
    }

    /// Renews the lease for as long as that works; ends when it is lost.
    pub async fn hold(&mut self) {
        let mut renewed = Instant::now();
        let mut pause = RENEW_EVERY;
        loop {
            tokio::time::sleep(pause).await;
            let left = RENEW_DEADLINE.saturating_sub(renewed.elapsed());
            let asked = Instant::now();
            match tokio::time::timeout(left, self.attempt()).await {
                Ok(Ok(true)) => {
                    renewed = asked;
                    pause = RENEW_EVERY;
                    continue;
                }
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(%error, "cannot renew the lease, trying again"),
                Err(_) => {}
            }
            if renewed.elapsed() >= RENEW_DEADLINE {
                return;
            }
            pause = RETRY_EVERY.min(RENEW_DEADLINE.saturating_sub(renewed.elapsed()));
        }
    }

    /// Lets go of the lease, if it is still held.
    pub async fn release(&mut self) {
        let result = async {
            let Some(mut lease) = timed(self.api.get_opt(LEASE)).await? else {
                return Ok(());
            };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() != Some(&self.me) {
                return Ok(());
            }
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            timed(self.api.replace(LEASE, &PostParams::default(), &lease))
                .await
                .map(drop)
        };
        let result: Result<(), WriteError> = result.await;
        if let Err(error) = result {
            tracing::warn!(%error, "cannot release the lease; it runs out by itself");
        }
    }

    /// One try at taking or renewing the lease: whether it is held now.
    async fn attempt(&mut self) -> Result<bool, WriteError> {
        let now = Instant::now();
        let written = match timed(self.api.get_opt(LEASE)).await? {
            None => timed(self.api.create(&PostParams::default(), &self.lease(None))).await,
            Some(lease) => {
                let spec = lease.spec.clone().unwrap_or_default();
                let sighting = self.sighting.take().filter(|s| s.spec == spec);
                let sighting = sighting.unwrap_or(Sighting { spec, at: now });
                let what = decide(&sighting, &self.me, now);
                self.sighting = Some(sighting);
                if what == Move::Wait {
                    return Ok(false);
                }
                timed(
                    self.api
                        .replace(LEASE, &PostParams::default(), &self.lease(Some(lease))),
                )
                .await
            }
        };
        match written {
            Ok(_) => Ok(true),
            // Somebody else was quicker.
            Err(WriteError::Conflict) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn lease(&self, old: Option<Lease>) -> Lease {
        let spec = taken(
            old.as_ref().and_then(|l| l.spec.as_ref()),
            &self.me,
            jiff::Timestamp::now(),
        );
        let metadata = old.map_or_else(
            || ObjectMeta {
                name: Some(LEASE.to_owned()),
                ..ObjectMeta::default()
            },
            |lease| lease.metadata,
        );
        Lease {
            metadata,
            spec: Some(spec),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str) -> LeaseSpec {
        taken(None, holder, jiff::Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_lease_is_taken_when_free_own_or_not_renewed_within_sight() {
        let start = Instant::now();
        let seen = |holder: &str| Sighting {
            spec: held_by(holder),
            at: start,
        };
        let later = |seconds| start + Duration::from_secs(seconds);
        let table = [
            (seen("other"), 0, Move::Wait),
            (seen("other"), 14, Move::Wait),
            (seen("other"), 15, Move::Take),
            (seen("me"), 0, Move::Take),
            (seen(""), 0, Move::Take),
        ];
        for (sighting, seconds, expected) in table {
            assert_eq!(
                decide(&sighting, "me", later(seconds)),
                expected,
                "{sighting:?} {seconds}"
            );
        }
    }

    #[test]
    fn renewing_keeps_the_term_and_taking_over_starts_one() {
        let epoch = jiff::Timestamp::UNIX_EPOCH;
        let later = jiff::Timestamp::from_second(60).unwrap();
        let first = taken(None, "a", epoch);
        let renewed = taken(Some(&first), "a", later);
        assert_eq!(
            (renewed.acquire_time, renewed.lease_transitions),
            (Some(MicroTime(epoch)), Some(0))
        );
        let over = taken(Some(&first), "b", later);
        assert_eq!(
            (over.acquire_time, over.lease_transitions),
            (Some(MicroTime(later)), Some(1))
        );
    }

    #[test]
    fn a_holder_gives_up_before_anybody_else_may_start() {
        assert!(RENEW_DEADLINE + RETRY_EVERY < DURATION && RENEW_EVERY < RENEW_DEADLINE);
    }
}
