//! Requests to look at an object again: one bounded queue for each controller.
//!
//! A watch waits when a queue is full, and a controller always drains its own (its scheduler keeps one entry
//! an object), so nothing is lost and nothing grows. A callback does not wait: it is only a hint.

use kidp_core::crd::{Application, Broker, Database, Team, Tenant};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;

/// Entries that a queue holds.
const DEPTH: usize = 1024;

/// An object to look at again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// A database.
    Database(ObjectRef<Database>),
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
pub struct Queues {
    databases: mpsc::Sender<ObjectRef<Database>>,
    teams: mpsc::Sender<ObjectRef<Team>>,
    applications: mpsc::Sender<ObjectRef<Application>>,
    tenants: mpsc::Sender<ObjectRef<Tenant>>,
    brokers: mpsc::Sender<ObjectRef<Broker>>,
}

/// The receiving ends, one for each controller.
pub struct Receivers {
    /// For the database controller.
    pub databases: mpsc::Receiver<ObjectRef<Database>>,
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
    let (teams, tr) = mpsc::channel(DEPTH);
    let (applications, ar) = mpsc::channel(DEPTH);
    let (tenants, nr) = mpsc::channel(DEPTH);
    let (brokers, br) = mpsc::channel(DEPTH);
    let senders = Queues {
        databases,
        teams,
        applications,
        tenants,
        brokers,
    };
    let receivers = Receivers {
        databases: dr,
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
            Trigger::Database(key) => self.databases.send(key).await.is_ok(),
            Trigger::Team(key) => self.teams.send(key).await.is_ok(),
            Trigger::Application(key) => self.applications.send(key).await.is_ok(),
            Trigger::Tenant(key) => self.tenants.send(key).await.is_ok(),
            Trigger::Broker(key) => self.brokers.send(key).await.is_ok(),
        }
    }

    /// Queues a hint about a database if there is room.
    pub fn hint(&self, database: ObjectRef<Database>) -> bool {
        self.databases.try_send(database).is_ok()
    }
}
