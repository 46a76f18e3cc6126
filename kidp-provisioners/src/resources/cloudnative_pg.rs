//! The `Cluster` of CloudNativePG, as far as KIDP writes and reads it, and what its operator makes of one.
//!
//! The types have the fields that are used here and no others: what an installed version has beside them keeps its
//! default. Names and meanings are those of `postgresql.cnpg.io/v1`
//! (<https://cloudnative-pg.io/documentation/current/cloudnative-pg.v1/>).

mod spec;
mod status;

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kidp_core::instance::Engine;
use kube::Resource;
use serde::{Deserialize, Serialize};

use super::meta::Scope;
use crate::instance::Instance;

pub use spec::{
    Affinity, Bootstrap, ClusterSpec, InheritedMetadata, InitDb, Monitoring, PostgresConfiguration,
    SecretName, Storage, Synchronous,
};
pub use status::{ClusterStatus, HEALTHY, STUCK};

/// API group.
pub const GROUP: &str = "postgresql.cnpg.io";
/// API group and version.
pub const API_VERSION: &str = "postgresql.cnpg.io/v1";

/// Label of everything that belongs to a `Cluster`, with its name.
pub const CLUSTER_LABEL: &str = "cnpg.io/cluster";
/// Label of pods that tells members from jobs.
pub const POD_ROLE_LABEL: &str = "cnpg.io/podRole";
/// Its value on members.
pub const MEMBER: &str = "instance";

/// Label of members that says which of them takes writes.
pub const ROLE_LABEL: &str = "cnpg.io/instanceRole";
/// Its value on the one that does.
pub const PRIMARY: &str = "primary";

/// Label of a Secret whose changes are followed: here the password, which the login is given anew when a lost Secret has
/// been made again.
pub const WATCHED: (&str, &str) = ("cnpg.io/reload", "true");

/// Annotation of members with the spec that their pod was made with, as JSON.
pub const POD_SPEC: &str = "cnpg.io/podSpec";

/// Annotation of claims that says how far their data is.
pub const CLAIM_STATUS: &str = "cnpg.io/pvcStatus";
/// Its value on those whose data is whole.
pub const CLAIM_READY: &str = "ready";

/// Longest name of a `Cluster`, see `validateName` in its admission webhook.
pub const MAX_NAME: usize = 50;

/// Annotation of a `Cluster`'s pods with a hash of the spec that the operator has last seen. It is in what pods
/// inherit, since a `Cluster` has no `observedGeneration`.
pub const SPEC_CHECKSUM: &str = "platform.company.com/spec-checksum";

/// A `Cluster`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    api_version: String,
    kind: String,
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// What is to be there.
    pub spec: ClusterSpec,
    /// What is there; never written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ClusterStatus>,
}

impl Cluster {
    /// A `Cluster` to be.
    pub fn new(metadata: ObjectMeta, spec: ClusterSpec) -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: Self::kind(&()).into_owned(),
            metadata,
            spec,
            status: None,
        }
    }
}

impl Resource for Cluster {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Cluster".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "clusters".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Name of the Service that leads to the member that takes writes.
pub fn primary_service(scope: &Scope<'_>) -> String {
    scope.name("rw")
}

/// Name of the Service that leads to the other members.
pub fn standby_service(scope: &Scope<'_>) -> String {
    scope.name("ro")
}

/// Whether an instance may have a `Cluster`, whatever its spec says now. Where neither holds, the API group is not
/// asked for: it need not be served, nor need there be a right to it.
pub fn is_possible(instance: &Instance) -> bool {
    let asked_for = instance.features.cloudnative_pg || instance.spec.high_availability;
    instance.spec.engine == Engine::Postgresql && asked_for
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_version_is_group_and_version() {
        assert_eq!(Cluster::api_version(&()), API_VERSION);
    }
}
