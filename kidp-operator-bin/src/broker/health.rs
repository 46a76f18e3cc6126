//! Health checks: one exchange with a broker, and the memory of how the last ones went.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kidp_callback::PublicKey;
use kidp_core::crd::Broker;
use kidp_core::problem::Reason;
use kidp_core::wire::BrokerRoot;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::connect::{ConnectError, Connections};
use crate::broker_client::BrokerError;
use crate::events::truncated;

/// Longest version or name of a broker that is recorded, in bytes.
const MAX_WORD: usize = 100;

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// It answers, as the broker it should be.
    Healthy {
        /// Its version.
        version: String,
        /// Its callback key.
        key: String,
    },
    /// It answers under another name.
    WrongName(String),
    /// Its callback key is none.
    BadKey,
    /// It cannot be asked before somebody corrects its object.
    Misconfigured(&'static str, String),
    /// No answer, or not a healthy one.
    Failing,
    /// Something answers that is not a broker.
    NotABroker,
    /// It is there, and wants to be left alone for now.
    Busy,
}

impl Observation {
    /// For a metric's label.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Healthy { .. } => "healthy",
            Self::WrongName(_) => "wrong_name",
            Self::BadKey => "bad_key",
            Self::Misconfigured(..) => "misconfigured",
            Self::Failing => "failing",
            Self::NotABroker => "not_a_broker",
            Self::Busy => "busy",
        }
    }
}

/// Asks one broker.
pub async fn check(broker: &Broker, connections: &Connections) -> Observation {
    let client = match connections.client(broker).await {
        Ok(client) => client,
        Err(error) => return misconfigured(&error),
    };
    let settings = &broker.spec.health_check;
    let timeout = Duration::from_secs(u64::from(settings.timeout_seconds.max(1)));
    let answers = async {
        client.health(&settings.endpoint, timeout).await?;
        client.root(timeout).await
    };
    match answers.await {
        Ok(root) => judge(&broker.name_any(), &root),
        Err(error) => {
            tracing::debug!(broker = %broker.name_any(), %error, "health check failed");
            match error {
                BrokerError::Busy(_) => Observation::Busy,
                BrokerError::Refused(problem) if problem.error == Reason::Unauthorized => {
                    let say = "the broker does not take the operator's credentials: see spec.authentication, and the \
                        broker's log";
                    Observation::Misconfigured("Unauthorized", say.to_owned())
                }
                BrokerError::NotABroker(_) | BrokerError::TooLarge => Observation::NotABroker,
                _ => Observation::Failing,
            }
        }
    }
}

fn misconfigured(error: &ConnectError) -> Observation {
    let reason = match error {
        ConnectError::NoToken | ConnectError::TokenFile => "NoToken",
        ConnectError::Secret { .. } | ConnectError::Certificates(_) => "InvalidSecret",
        ConnectError::Endpoint(_)
        | ConnectError::NoBroker
        | ConnectError::Plain
        | ConnectError::MtlsWithoutTls => "InvalidEndpoint",
    };
    Observation::Misconfigured(reason, error.to_string())
}

fn judge(name: &str, root: &BrokerRoot) -> Observation {
    if root.name != name {
        return Observation::WrongName(truncated(&root.name, MAX_WORD));
    }
    match PublicKey::parse(&root.callback_public_key) {
        Ok(key) => Observation::Healthy {
            version: truncated(&root.version, MAX_WORD),
            key: key.to_string(),
        },
        Err(_) => Observation::BadKey,
    }
}

/// How the checks of a broker went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Failures in a row.
    pub failures: u32,
    /// What the last check found.
    pub last: Option<Observation>,
}

impl Health {
    /// No check yet.
    pub const NONE: Self = Self {
        failures: 0,
        last: None,
    };

    /// After one more check.
    #[must_use]
    pub fn after(self, observation: Observation) -> Self {
        // Whoever says so is there; how it does is not known.
        if observation == Observation::Busy {
            return self;
        }
        let failed = matches!(observation, Observation::Failing | Observation::NotABroker);
        Self {
            failures: if failed {
                self.failures.saturating_add(1)
            } else {
                0
            },
            last: Some(observation),
        }
    }
}

#[derive(Debug)]
struct Entry {
    generation: Option<i64>,
    uid: Option<String>,
    health: Health,
    due: Instant,
}

/// Memory of every broker's checks.
#[derive(Debug, Default)]
pub struct HealthBoard {
    entries: Mutex<HashMap<ObjectRef<Broker>, Entry>>,
}

impl HealthBoard {
    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectRef<Broker>, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time until the next check, or, when it is time, the health so far. A changed spec is checked at once
    /// and starts anew.
    pub fn not_yet_due(&self, key: &ObjectRef<Broker>, broker: &Broker) -> Result<Duration, Health> {
        let entries = self.lock();
        let same = |e: &&Entry| e.generation == broker.metadata.generation && e.uid == broker.uid();
        let Some(entry) = entries.get(key).filter(same) else {
            return Err(Health::NONE);
        };
        let wait = entry.due.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            Err(entry.health.clone())
        } else {
            Ok(wait)
        }
    }

    /// Remembers a check; the next one is due after `wait`.
    pub fn record(&self, key: ObjectRef<Broker>, broker: &Broker, health: Health, wait: Duration) {
        let entry = Entry {
            generation: broker.metadata.generation,
            uid: broker.uid(),
            health,
            due: Instant::now() + wait,
        };
        self.lock().insert(key, entry);
    }

    /// Forgets every broker that is gone.
    pub fn retain(&self, exists: impl Fn(&ObjectRef<Broker>) -> bool) {
        self.lock().retain(|key, _| exists(key));
    }
}
