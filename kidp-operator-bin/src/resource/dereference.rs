//! The first step: the objects that a resource refers to, from the cache.

use kidp_core::crd::ServiceResource;
use kidp_core::instance::OwnerKind;

use crate::cache::{Caches, resolve};
use crate::kind::AnyResource;

/// The owner of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It is there.
    Found {
        /// The team that it is, or belongs to.
        team: String,
    },
    /// It is not there, or the team behind it is not. Creating it mends that.
    Missing(String),
}

/// Looks the owner up, and the team behind an application.
pub fn owner<K: ServiceResource>(resource: &K, caches: &Caches) -> Owner {
    let (kind, namespace, name) = resource.owned_by();
    match kind {
        OwnerKind::Team => match caches.team(&namespace, &name) {
            Some(_) => Owner::Found { team: name },
            None => Owner::Missing(format!(
                "spec.owner: there is no Team `{name}` in namespace `{namespace}`"
            )),
        },
        OwnerKind::Application => match caches.application(&namespace, &name) {
            Some(application) => {
                let (team_namespace, team) = resolve(&application.spec.team_ref, &namespace);
                if caches.team(&team_namespace, &team).is_some() {
                    return Owner::Found { team };
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
