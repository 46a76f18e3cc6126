//! What was seen of a resource: the objects of its chain as they are, and what could not be seen. Plain data.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use kidp_core::crd::{Broker, ServiceInstance};
use kube::api::DynamicObject;

use crate::kinds::Subject;

/// The chain of a resource.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The resource.
    pub subject: Subject,
    /// Its broker, where one was chosen and may be read.
    pub broker: Option<Broker>,
    /// The broker's record.
    pub record: Option<ServiceInstance>,
    /// The StatefulSet.
    pub set: Option<StatefulSet>,
    /// CloudNativePG's `Cluster`, which takes its place.
    pub cluster: Option<DynamicObject>,
    /// The pods, by name.
    pub pods: Vec<Pod>,
    /// The volume claims, by name.
    pub claims: Vec<PersistentVolumeClaim>,
    /// Names of the Services.
    pub services: Vec<String>,
    /// Name of the connection Secret, and whether it is there. What is in it is never read.
    pub secret: Option<(String, bool)>,
    /// Events of all of them.
    pub events: Vec<Event>,
    /// What could not be seen, and why.
    pub gaps: Vec<String>,
}

impl Seen {
    /// A resource of which nothing else was seen yet.
    pub const fn of(subject: Subject) -> Self {
        Self {
            subject,
            broker: None,
            record: None,
            set: None,
            cluster: None,
            pods: Vec::new(),
            claims: Vec::new(),
            services: Vec::new(),
            secret: None,
            events: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// The resource, as `Kind/name`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.subject.kind, self.subject.name())
    }
}
