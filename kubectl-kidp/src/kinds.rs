//! The three kinds of service as one: what a command is given (`db/orders`), and what it reads.

use std::str::FromStr;

use kidp_core::crd::{Cache, Database, MessageQueue, ResourceStatus, ServiceResource, Target};
use kidp_core::instance::{InstanceSpec, OwnerRef, ResourceType};
use kube::Api;
use kube::api::ObjectMeta;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::session::Session;

/// A kind and a name, as `database/orders`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The kind.
    pub kind: ResourceType,
    /// The name.
    pub name: String,
}

/// A kind by any of its names: singular, plural or short, in any case.
pub fn kind(text: &str) -> std::result::Result<ResourceType, String> {
    match text.to_ascii_lowercase().as_str() {
        "database" | "databases" | "db" => Ok(ResourceType::Database),
        "cache" | "caches" => Ok(ResourceType::Cache),
        "messagequeue" | "messagequeues" | "mq" => Ok(ResourceType::MessageQueue),
        _ => Err(format!(
            "`{text}` is no kind of service; one of database (db), cache, messagequeue (mq)"
        )),
    }
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (kind_text, name) = text
            .split_once('/')
            .ok_or_else(|| format!("`{text}` is not KIND/NAME, such as database/orders"))?;
        kidp_core::names::validate_subdomain(name).map_err(|error| format!("the name {error}"))?;
        Ok(Self {
            kind: kind(kind_text)?,
            name: name.to_owned(),
        })
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// A resource of any kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// Its kind.
    pub kind: ResourceType,
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Who it belongs to.
    pub owner: OwnerRef,
    /// What narrows the choice of a broker.
    pub target: Option<Target>,
    /// What a provisioner is asked for.
    pub instance: InstanceSpec,
    /// What the operator says of it.
    pub status: ResourceStatus,
}

impl<K: ServiceResource> From<K> for Subject {
    fn from(resource: K) -> Self {
        Self {
            kind: K::TYPE,
            metadata: resource.meta().clone(),
            owner: resource.owner().clone(),
            target: resource.target().cloned(),
            instance: resource.instance(),
            status: resource.status().cloned().unwrap_or_default(),
        }
    }
}

impl Subject {
    /// Its name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Whether its status speaks of its spec as it is now.
    pub fn is_observed(&self) -> bool {
        self.status.observed_generation == self.metadata.generation
    }
}

/// Reads a resource; `None` where there is none.
pub async fn find(session: &Session, wanted: &Reference) -> Result<Option<Subject>> {
    Ok(find_with_value(session, wanted)
        .await?
        .map(|(subject, _)| subject))
}

/// Reads a resource, and the object as it is.
pub async fn find_with_value(session: &Session, wanted: &Reference) -> Result<Option<(Subject, Value)>> {
    match wanted.kind {
        ResourceType::Database => find_as::<Database>(session, wanted).await,
        ResourceType::Cache => find_as::<Cache>(session, wanted).await,
        ResourceType::MessageQueue => find_as::<MessageQueue>(session, wanted).await,
    }
}

async fn find_as<K: ServiceResource>(
    session: &Session,
    wanted: &Reference,
) -> Result<Option<(Subject, Value)>> {
    let api: Api<K> = Api::namespaced(session.client.clone(), &session.namespace);
    let found = session
        .ask(&format!("reading {wanted}"), api.get_opt(&wanted.name))
        .await?;
    let Some(found) = found else {
        return Ok(None);
    };
    let value = serde_json::to_value(&found).map_err(|error| Error::Output(error.to_string()))?;
    Ok(Some((Subject::from(found), value)))
}

/// Reads a resource that has to be there.
pub async fn get(session: &Session, wanted: &Reference) -> Result<Subject> {
    let found = find(session, wanted).await?;
    found.ok_or_else(|| Error::NotFound {
        kind: wanted.kind,
        namespace: session.namespace.clone(),
        name: wanted.name.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_kind_by_any_name_and_a_name() {
        for text in ["db/orders", "Database/orders", "databases/orders"] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), "Database/orders");
        }
        assert_eq!(
            "mq/jobs".parse::<Reference>().unwrap().kind,
            ResourceType::MessageQueue
        );
        for (text, says) in [
            ("orders", "KIND/NAME"),
            ("pod/orders", "no kind of service"),
            ("db/Orders", "lower-case"),
            ("db/", "empty"),
        ] {
            let error = text.parse::<Reference>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
