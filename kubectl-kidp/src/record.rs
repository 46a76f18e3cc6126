//! The broker's record of a resource, in the target cluster.

use kidp_core::crd::ServiceInstance;
use kube::Api;

use crate::error::{Error, Result};
use crate::kinds::Subject;
use crate::session::Session;

/// The record; `None` where the resource has none that can be seen.
pub async fn find(session: &Session, subject: &Subject) -> Result<Option<ServiceInstance>> {
    let Some(id) = subject.status.deployment_id.as_deref() else {
        return Ok(None);
    };
    let api: Api<ServiceInstance> = Api::namespaced(session.target.clone(), subject.namespace());
    session
        .ask(&format!("reading ServiceInstance {id}"), api.get_opt(id))
        .await
}

/// The record, which has to be there.
pub async fn get(session: &Session, subject: &Subject) -> Result<ServiceInstance> {
    find(session, subject).await?.ok_or_else(|| {
        Error::Missing(format!(
            "{}/{} has no record in this cluster: it is not accepted yet, or its broker is in another cluster \
             (--target-context)",
            subject.kind,
            subject.name()
        ))
    })
}
