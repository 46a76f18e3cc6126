//! A provisioner that breaks one promise: PostgreSQL with one thing changed.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kidp_core::instance::{Engine, ResourceType};
use kidp_core::problem::FieldError;
use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::manifests::{BuildError, Wave};
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
            "ClusterRole" => add::<ClusterRole>(manifests, Wave::Foundation, json),
            "StatefulSet" => add::<StatefulSet>(manifests, Wave::Workload, json),
            other => panic!("{other}"),
        }
    })
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
