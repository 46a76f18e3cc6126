//! The first step: the objects that a database refers to, from the cache.

use kidp_core::crd::Database;
use kidp_core::instance::OwnerKind;

use crate::cache::{Caches, namespace_of, resolve, resolve_owner};

/// The owner of a database.
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
pub fn owner(database: &Database, caches: &Caches) -> Owner {
    let (kind, namespace, name) = resolve_owner(&database.spec.owner, &namespace_of(database));
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
