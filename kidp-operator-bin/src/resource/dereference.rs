//! The first step: the objects that a resource refers to, from the cache.

use kidp_core::crd::Team;
use kidp_core::instance::{DriftSpec, OwnerKind};
use kube::ResourceExt;

use crate::cache::{Caches, resolve};
use crate::kind::AnyResource;
use crate::tenancy::rights;

/// The owner of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It is there.
    Found {
        /// The team that it is, or belongs to.
        team: String,
        /// What is done about drift of the team's resources, if it says so.
        drift: Option<DriftSpec>,
    },
    /// It is not there, or the team behind it is not. Creating it mends that.
    Missing(String),
    /// It is there, and objects of the resource's namespace may not name it.
    NotAllowed(String),
}

/// The owner that leads to a team which is there.
fn found<R: AnyResource + ?Sized>(team: &Team, resource: &R, caches: &Caches) -> Owner {
    match rights::refusal(team, &resource.key().namespace, caches) {
        Some(refusal) => Owner::NotAllowed(format!("spec.owner: {refusal}")),
        None => Owner::Found {
            team: team.name_any(),
            drift: team.spec.drift.clone(),
        },
    }
}

/// Looks the owner up, and the team behind an application.
pub fn owner<R: AnyResource + ?Sized>(resource: &R, caches: &Caches) -> Owner {
    let (kind, namespace, name) = resource.owned_by();
    match kind {
        OwnerKind::Team => match caches.team(&namespace, &name) {
            Some(team) => found(&team, resource, caches),
            None => Owner::Missing(format!(
                "spec.owner: there is no Team `{name}` in namespace `{namespace}`"
            )),
        },
        OwnerKind::Application => match caches.application(&namespace, &name) {
            Some(application) => {
                let (team_namespace, team) = resolve(&application.spec.team_ref, &namespace);
                if let Some(refusal) = rights::refusal_of_application(&application, caches) {
                    return Owner::NotAllowed(format!("spec.owner: Application `{name}`: {refusal}"));
                }
                if let Some(team) = caches.team(&team_namespace, &team) {
                    return found(&team, resource, caches);
                }
                Owner::Missing(format!(
                    "spec.owner: Application `{name}` belongs to Team `{team}`, which is not in namespace \
                     `{team_namespace}`"
                ))
            }
            None => Owner::Missing(format!(
                "spec.owner: there is no Application `{name}` in namespace `{namespace}`"
            )),
        },
    }
}
