//! Requests to look at an object again: one bounded queue for each controller.
//!
//! A watch waits when a queue is full, and a controller always drains its own (its scheduler keeps one entry
//! an object), so nothing is lost and nothing grows. A callback does not wait: it is only a hint.

use kidp_core::crd::{Application, Broker, Cache, Database, MessageQueue, Team, Tenant};
use kidp_core::instance::ResourceType;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;

use crate::kind::ResourceKey;

/// Entries that a queue holds.
const DEPTH: usize = 1024;

/// An object to look at again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// A resource of any kind of service.
    Resource(ResourceKey),
    /// A team.
    Team(ObjectRef<Team>),
    /// An application.
    Application(ObjectRef<Application>),
    /// A tenant.
    Tenant(ObjectRef<Tenant>),
    /// A broker.
    Broker(ObjectRef<Broker>),
}

/// The sending ends.
#[derive(Clone)]
#[expect(clippy::struct_field_names, reason = "the kind is called that")]
pub struct Queues {
    databases: mpsc::Sender<ObjectRef<Database>>,
    caches: mpsc::Sender<ObjectRef<Cache>>,
    message_queues: mpsc::Sender<ObjectRef<MessageQueue>>,
    teams: mpsc::Sender<ObjectRef<Team>>,
    applications: mpsc::Sender<ObjectRef<Application>>,
    tenants: mpsc::Sender<ObjectRef<Tenant>>,
    brokers: mpsc::Sender<ObjectRef<Broker>>,
}

/// The receiving ends, one for each controller.
pub struct Receivers {
    /// For the database controller.
    pub databases: mpsc::Receiver<ObjectRef<Database>>,
    /// For the cache controller.
    pub caches: mpsc::Receiver<ObjectRef<Cache>>,
    /// For the message queue controller.
    pub message_queues: mpsc::Receiver<ObjectRef<MessageQueue>>,
    /// For the team controller.
    pub teams: mpsc::Receiver<ObjectRef<Team>>,
    /// For the application controller.
    pub applications: mpsc::Receiver<ObjectRef<Application>>,
    /// For the tenant controller.
    pub tenants: mpsc::Receiver<ObjectRef<Tenant>>,
    /// For the broker controller.
    pub brokers: mpsc::Receiver<ObjectRef<Broker>>,
}

/// Empty queues.
pub fn queues() -> (Queues, Receivers) {
    let (databases, dr) = mpsc::channel(DEPTH);
    let (caches, cr) = mpsc::channel(DEPTH);
    let (message_queues, mr) = mpsc::channel(DEPTH);
    let (teams, tr) = mpsc::channel(DEPTH);
    let (applications, ar) = mpsc::channel(DEPTH);
    let (tenants, nr) = mpsc::channel(DEPTH);
    let (brokers, br) = mpsc::channel(DEPTH);
    let senders = Queues {
        databases,
        caches,
        message_queues,
        teams,
        applications,
        tenants,
        brokers,
    };
    let receivers = Receivers {
        databases: dr,
        caches: cr,
        message_queues: mr,
        teams: tr,
        applications: ar,
        tenants: nr,
        brokers: br,
    };
    (senders, receivers)
}

impl Queues {
    /// Queues a request, waiting for room. `false` when the controller is gone, which is at shutdown.
    pub async fn send(&self, trigger: Trigger) -> bool {
        match trigger {
            Trigger::Resource(key) => match key.kind {
                ResourceType::Database => self.databases.send(key.to_ref()).await.is_ok(),
                ResourceType::Cache => self.caches.send(key.to_ref()).await.is_ok(),
                ResourceType::MessageQueue => self.message_queues.send(key.to_ref()).await.is_ok(),
            },
            Trigger::Team(key) => self.teams.send(key).await.is_ok(),
            Trigger::Application(key) => self.applications.send(key).await.is_ok(),
            Trigger::Tenant(key) => self.tenants.send(key).await.is_ok(),
            Trigger::Broker(key) => self.brokers.send(key).await.is_ok(),
        }
    }

    /// Queues a hint about a resource if there is room.
    pub fn hint(&self, key: &ResourceKey) -> bool {
        match key.kind {
            ResourceType::Database => self.databases.try_send(key.to_ref()).is_ok(),
            ResourceType::Cache => self.caches.try_send(key.to_ref()).is_ok(),
            ResourceType::MessageQueue => self.message_queues.try_send(key.to_ref()).is_ok(),
        }
    }
}
