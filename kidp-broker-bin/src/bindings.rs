//! The records of bindings in the cluster: reading, writing and deleting them, as [`crate::records`] does for instances.
//!
//! A binding is in its instance's namespace, and its name is a hash of broker, deployment and binding id, so that a
//! repeat meets the same record.

use kidp_core::crd::{ServiceBinding, ServiceBindingSpec, ServiceInstance};
use kidp_core::deployment::DeploymentId;
use kidp_core::group::SERVICE_BINDING_FINALIZER;
use kidp_core::labels;
use kidp_core::names::short_hash;
use kidp_core::problem::Problem;
use kidp_provisioners::binding::username;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Preconditions};
use kube::{Api, Client, Resource as _, ResourceExt as _};

use crate::error::from_kube;
use crate::records::post_params;

/// One broker's bindings in its cluster.
#[derive(Clone)]
pub struct Bindings {
    client: Client,
    broker: String,
}

/// Name of the record of a binding, and of its Secret.
pub fn name(broker: &str, deployment: &DeploymentId, binding_id: &str) -> String {
    format!(
        "bind-{}",
        short_hash(&[broker, deployment.as_str(), binding_id], 32)
    )
}

/// Whether the record was made by the broker of this name.
pub fn belongs_to(broker: &str, binding: &ServiceBinding) -> bool {
    binding.name_any() == name(broker, &binding.spec.deployment_id, &binding.spec.binding_id)
}

/// The record of a binding of `instance`, with its finalizer. It is owned by the instance's record, so that it goes when
/// that has gone.
pub fn new(
    broker: &str,
    instance: &ServiceInstance,
    binding_id: &str,
    app_guid: Option<String>,
) -> ServiceBinding {
    let deployment = &instance.spec.deployment_id;
    ServiceBinding {
        metadata: ObjectMeta {
            name: Some(name(broker, deployment, binding_id)),
            namespace: instance.metadata.namespace.clone(),
            labels: Some(labels::labels([
                (labels::MANAGED_BY_KEY, labels::MANAGED_BY),
                (labels::DEPLOYMENT_ID, deployment.as_str()),
                (labels::BINDING_ID, &labels::value(binding_id)),
            ])),
            finalizers: Some(vec![SERVICE_BINDING_FINALIZER.to_owned()]),
            owner_references: instance.owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: ServiceBindingSpec {
            deployment_id: deployment.clone(),
            binding_id: binding_id.to_owned(),
            app_guid,
            username: username(binding_id),
        },
        status: None,
    }
}

/// Whether the binding is being removed.
pub fn is_deleting(binding: &ServiceBinding) -> bool {
    binding.metadata.deletion_timestamp.is_some()
}

impl Bindings {
    /// The bindings of the broker of this name, through `client`.
    pub fn new(client: Client, broker: impl Into<String>) -> Self {
        Self {
            client,
            broker: broker.into(),
        }
    }

    fn api(&self, instance: &ServiceInstance) -> Api<ServiceBinding> {
        Api::namespaced(self.client.clone(), &instance.namespace().unwrap_or_default())
    }

    /// A binding of an instance.
    pub async fn find(
        &self,
        instance: &ServiceInstance,
        binding_id: &str,
    ) -> Result<Option<ServiceBinding>, Problem> {
        let name = name(&self.broker, &instance.spec.deployment_id, binding_id);
        let found = self.api(instance).get_opt(&name).await;
        found.map_err(|e| from_kube("looking up a binding", &e))
    }

    /// The bindings of an instance. A cluster without their kind has none.
    pub async fn list(&self, instance: &ServiceInstance) -> Result<Vec<ServiceBinding>, kube::Error> {
        let selector = format!("{}={}", labels::DEPLOYMENT_ID, instance.spec.deployment_id);
        match self
            .api(instance)
            .list(&ListParams::default().labels(&selector))
            .await
        {
            Ok(list) => Ok(list.items),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Records a binding durably; `false` when there is one already.
    pub async fn create(
        &self,
        instance: &ServiceInstance,
        binding: &ServiceBinding,
    ) -> Result<bool, Problem> {
        match self.api(instance).create(&post_params(), binding).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(false),
            Err(error) => Err(from_kube("recording a binding", &error)),
        }
    }

    /// Starts the removal of a binding, of the one that was seen and no other. One that is gone is fine.
    pub async fn delete(
        &self,
        instance: &ServiceInstance,
        binding: &ServiceBinding,
    ) -> Result<(), kube::Error> {
        let params = DeleteParams::background().preconditions(Preconditions {
            uid: binding.uid(),
            resource_version: None,
        });
        match self.api(instance).delete(&binding.name_any(), &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::record;

    #[test]
    fn a_binding_is_its_brokers_and_its_instances() {
        let instance = record();
        let binding = new("eu", &instance, "b-1", Some("app".to_owned()));
        assert!(belongs_to("eu", &binding) && !belongs_to("us", &binding));
        assert_eq!(binding.namespace().as_deref(), Some("shop"));
        assert_eq!(binding.owner_references()[0].uid, "record-uid");
        assert_eq!(binding.owner_references()[0].controller, None);
        assert_ne!(binding.name_any(), new("eu", &instance, "b-2", None).name_any());
        assert_ne!(
            binding.spec.username,
            new("eu", &instance, "b-2", None).spec.username
        );
    }
}
