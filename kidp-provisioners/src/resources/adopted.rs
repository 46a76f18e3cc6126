//! The StatefulSet of an instance that was taken over: its own name, selector, governing Service and claim template, and
//! either its own pod template or the one of a new instance.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, VolumeResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kidp_core::instance::Adopted;

use super::meta::{Scope, object_meta};
use super::stateful_set::keeps_claims;
use crate::manifests::BuildError;

/// The StatefulSet as it was found, with KIDP's labels on it. Only what becomes of its claims is KIDP's.
pub fn kept(scope: &Scope<'_>, adopted: &Adopted) -> Result<StatefulSet, BuildError> {
    let spec = spec(scope, adopted)?;
    Ok(StatefulSet {
        metadata: object_meta(scope, scope.set().to_owned()),
        spec: Some(StatefulSetSpec {
            persistent_volume_claim_retention_policy: Some(keeps_claims()),
            ..spec
        }),
        ..StatefulSet::default()
    })
}

/// A new instance's StatefulSet around the claims that there are.
pub fn replaced(scope: &Scope<'_>, adopted: &Adopted, new: StatefulSet) -> Result<StatefulSet, BuildError> {
    let found = spec(scope, adopted)?;
    Ok(StatefulSet {
        spec: new.spec.map(|new| StatefulSetSpec {
            volume_claim_templates: found.volume_claim_templates,
            ..new
        }),
        ..new
    })
}

/// What was found, with the claim template's size as it is asked for.
fn spec(scope: &Scope<'_>, adopted: &Adopted) -> Result<StatefulSetSpec, BuildError> {
    let spec = serde_json::from_value::<StatefulSetSpec>(adopted.spec.clone());
    let spec = spec.map_err(|source| BuildError::Serialise {
        object: format!("StatefulSet/{}", adopted.stateful_set),
        source,
    })?;
    let sized = |claim| sized(claim, &scope.instance.spec.storage.size);
    Ok(StatefulSetSpec {
        volume_claim_templates: spec
            .volume_claim_templates
            .map(|templates| templates.into_iter().map(sized).collect()),
        ..spec
    })
}

fn sized(claim: PersistentVolumeClaim, size: &str) -> PersistentVolumeClaim {
    let mut spec = claim.spec.unwrap_or_default();
    let mut resources = spec.resources.unwrap_or_default();
    let mut requests = resources.requests.unwrap_or_default();
    requests.insert("storage".to_owned(), Quantity(size.to_owned()));
    resources = VolumeResourceRequirements {
        requests: Some(requests),
        ..resources
    };
    spec.resources = Some(resources);
    PersistentVolumeClaim {
        spec: Some(spec),
        // The API server fills it in and nobody reads it.
        status: None,
        ..claim
    }
}
