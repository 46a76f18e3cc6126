//! A provisioner that breaks one promise: PostgreSQL with one thing changed.

use std::borrow::Cow;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kidp_core::instance::{Engine, InstanceSpec, ResourceType};
use kidp_core::problem::FieldError;
use kidp_provisioners::ClusterFeatures;
use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::manifests::{BuildError, Wave};
use kidp_provisioners::resources::certificate::{Certificate, Issuer};
use kidp_provisioners::resources::cloudnative_pg::Cluster;
use kidp_provisioners::resources::monitor::{PodMonitor, ServiceMonitor};
use kidp_provisioners::{
    Capabilities, Connection, Credentials, Instance, Manifests, Observed, Prepared, Provisioner, Readiness,
};
use serde_json::Value;

type Refusals = Result<(), Vec<FieldError>>;

/// What is changed of PostgreSQL.
pub enum Fault {
    /// The objects, given what they were rendered from.
    Objects(fn(&mut Vec<Value>, &Instance, &Credentials)),
    /// The verdict on a request.
    Validate(fn(&Instance, Refusals) -> Refusals),
    /// The verdict on an observation.
    Readiness(fn(&Observed, Readiness) -> Readiness),
    /// What is supported.
    Capabilities(fn(&mut Capabilities)),
    /// The login.
    Credentials(fn(&mut Credentials)),
    /// Where clients connect.
    Connection(fn(&mut Connection, &Instance)),
    /// Rendering fails.
    Build,
}

/// PostgreSQL with a fault.
pub struct Broken {
    pub fault: Fault,
    pub postgresql: Postgresql,
}

impl Broken {
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            postgresql: Postgresql::default(),
        }
    }
}

impl Provisioner for Broken {
    fn engine(&self) -> Engine {
        self.postgresql.engine()
    }

    fn resource_type(&self) -> ResourceType {
        self.postgresql.resource_type()
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.postgresql.capabilities();
        if let Fault::Capabilities(change) = self.fault {
            change(&mut capabilities);
        }
        capabilities
    }

    fn capabilities_with(&self, features: ClusterFeatures) -> Capabilities {
        let high_availability = self.postgresql.capabilities_with(features).high_availability;
        let capabilities = self.capabilities();
        Capabilities {
            high_availability: capabilities.high_availability || high_availability,
            ..capabilities
        }
    }

    fn change_faults(&self, from: &InstanceSpec, to: &InstanceSpec) -> Vec<FieldError> {
        self.postgresql.change_faults(from, to)
    }

    fn validate(&self, instance: &Instance) -> Refusals {
        let verdict = self.postgresql.validate(instance);
        match self.fault {
            Fault::Validate(change) => change(instance, verdict),
            _ => verdict,
        }
    }

    fn credentials(&self, instance: &Instance, password: String) -> Credentials {
        let mut credentials = self.postgresql.credentials(instance, password);
        if let Fault::Credentials(change) = self.fault {
            change(&mut credentials);
        }
        credentials
    }

    fn build(
        &self,
        instance: &Instance,
        credentials: &Credentials,
    ) -> Result<Manifests<Prepared>, BuildError> {
        let manifests = self.postgresql.build(instance, credentials)?;
        match self.fault {
            Fault::Objects(change) => {
                let mut objects: Vec<_> = manifests.objects().iter().map(|o| o.json().clone()).collect();
                change(&mut objects, instance, credentials);
                Ok(typed(objects))
            }
            Fault::Build => Err(BuildError::Serialise {
                object: "ConfigMap/orders".to_owned(),
                source: serde_json::from_str::<Value>("").unwrap_err(),
            }),
            _ => Ok(manifests),
        }
    }

    fn readiness(&self, instance: &Instance, observed: &Observed) -> Readiness {
        let verdict = self.postgresql.readiness(instance, observed);
        match self.fault {
            Fault::Readiness(change) => change(observed, verdict),
            _ => verdict,
        }
    }

    fn connection(&self, instance: &Instance) -> Connection {
        let mut connection = self.postgresql.connection(instance);
        if let Fault::Connection(change) = self.fault {
            change(&mut connection, instance);
        }
        connection
    }
}

/// Objects from JSON.
fn typed(objects: Vec<Value>) -> Manifests<Prepared> {
    objects.into_iter().fold(Manifests::new(), |manifests, json| {
        match json["kind"].as_str().unwrap() {
            "Secret" => add::<Secret>(manifests, Wave::Foundation, json),
            "ConfigMap" => add::<ConfigMap>(manifests, Wave::Foundation, json),
            "Service" => add::<Service>(manifests, Wave::Foundation, json),
            "ServiceAccount" => add::<ServiceAccount>(manifests, Wave::Foundation, json),
            "NetworkPolicy" => add::<NetworkPolicy>(manifests, Wave::Foundation, json),
            "Issuer" => add::<Issuer>(manifests, Wave::Certificate, json),
            "Certificate" => add::<Certificate>(manifests, Wave::Certificate, json),
            "ServiceMonitor" => add::<ServiceMonitor>(manifests, Wave::Foundation, json),
            "PodMonitor" => add::<PodMonitor>(manifests, Wave::Foundation, json),
            "ClusterRole" => add::<ClusterRole>(manifests, Wave::Foundation, json),
            "StatefulSet" => add::<StatefulSet>(manifests, Wave::Workload, json),
            "Cluster" => add::<AnyCluster>(manifests, Wave::Workload, json),
            other => panic!("{other}"),
        }
    })
}

/// A `Cluster` with any field, as an engine of somebody else's may render it.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyCluster {
    api_version: String,
    kind: String,
    metadata: ObjectMeta,
    spec: Value,
}

impl kube::Resource for AnyCluster {
    type DynamicType = ();
    type Scope = k8s_openapi::NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Cluster::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Cluster::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Cluster::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Cluster::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

fn add<K>(manifests: Manifests<Prepared>, wave: Wave, json: Value) -> Manifests<Prepared>
where
    K: kube::Resource<DynamicType = ()> + serde::Serialize + serde::de::DeserializeOwned,
{
    let object: K = serde_json::from_value(json).unwrap();
    manifests.with(wave, &object).unwrap()
}

/// The object of a kind.
pub fn of<'a>(objects: &'a mut [Value], kind: &str) -> &'a mut Value {
    objects.iter_mut().find(|object| object["kind"] == kind).unwrap()
}

/// The spec of the `Cluster`; none in an instance of one member.
pub fn cluster(objects: &mut [Value]) -> Option<&mut Value> {
    let found = objects.iter_mut().find(|object| object["kind"] == "Cluster");
    found.map(|cluster| &mut cluster["spec"])
}

/// The StatefulSet.
pub fn set(objects: &mut [Value]) -> &mut Value {
    of(objects, "StatefulSet")
}

/// The pods' spec.
pub fn pod(objects: &mut [Value]) -> &mut Value {
    &mut set(objects)["spec"]["template"]["spec"]
}

/// The engine's container.
pub fn container(objects: &mut [Value]) -> &mut Value {
    &mut pod(objects)["containers"][0]
}

/// The labels of an object.
pub fn labels(object: &mut Value) -> &mut serde_json::Map<String, Value> {
    object["metadata"]["labels"].as_object_mut().unwrap()
}
