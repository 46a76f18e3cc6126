//! Render revisions: an upgrade of the library restarts no database.
//!
//! Every change of what an engine renders for the same request is a new revision of that engine. An [`Instance`]
//! names the revision that it was made with, and is rendered in it, byte for byte, for as long as it lives; moving it
//! on is a decision of its own, for which [`compare`] says what it costs.
//!
//! ```text
//! made at revision 1 ─ upgrade of the library ─> rendered at revision 1, nothing written
//!                    └ instance.revision = 2 ──> rendered at revision 2, pods restart if `Move::restarts`
//! ```

use serde_json::Value;

pub use kidp_core::revision::Revision;

use crate::instance::{Credentials, Instance};
use crate::manifests::{BuildError, Manifests, Object, Prepared};
use crate::plan::twin;
use crate::provisioner::Provisioner;
use crate::resources::cloudnative_pg;

/// What moving an instance to another revision does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Move {
    /// `Kind/name` of the objects that differ, or are in one of the two only.
    pub changed: Vec<String>,
    /// Whether pods are replaced: a template of them differs, or what can only be made anew does.
    pub restarts: bool,
}

/// Renders an instance, if its revision is one that the engine has.
pub fn build<P: Provisioner + ?Sized>(
    provisioner: &P,
    instance: &Instance,
    credentials: &Credentials,
) -> Result<Manifests<Prepared>, BuildError> {
    let (asked, latest) = (instance.revision, provisioner.latest_revision());
    if asked < Revision::FIRST || asked > latest {
        return Err(BuildError::UnknownRevision { asked, latest });
    }
    provisioner.build(instance, credentials)
}

/// What moving an instance to revision `to` would do. Pure: it compares two renderings, whatever the cluster has.
pub fn compare<P: Provisioner + ?Sized>(
    provisioner: &P,
    instance: &Instance,
    credentials: &Credentials,
    to: Revision,
) -> Result<Move, BuildError> {
    let moved = Instance {
        revision: to,
        ..instance.clone()
    };
    let before = build(provisioner, instance, credentials)?;
    let after = build(provisioner, &moved, credentials)?;
    let mut change = Move::default();
    for object in after.objects() {
        match twin(&before, object) {
            Some(old) if old == object => {}
            Some(old) => change.note(object, restarts(old.json(), object.json())),
            None => change.note(object, runs_pods(object.json())),
        }
    }
    for object in before.objects().iter().filter(|old| twin(&after, old).is_none()) {
        change.note(object, runs_pods(object.json()));
    }
    Ok(change)
}

impl Move {
    fn note(&mut self, object: &Object, restarts: bool) {
        self.changed.push(object.key());
        self.restarts |= restarts;
    }
}

/// Where an object says what its pods are like; an object of another operator's, such as a `Cluster` of
/// CloudNativePG, has no template, and any change of its spec may restart pods.
const POD_FIELDS: [&str; 4] = [
    "/spec/template",
    "/spec/selector",
    "/spec/serviceName",
    "/spec/volumeClaimTemplates",
];

fn restarts(before: &Value, after: &Value) -> bool {
    if is_foreign(after) {
        return before.pointer("/spec") != after.pointer("/spec");
    }
    runs_pods(after)
        && POD_FIELDS
            .iter()
            .any(|field| before.pointer(field) != after.pointer(field))
}

fn runs_pods(object: &Value) -> bool {
    is_foreign(object) || object.pointer("/spec/template/spec/containers").is_some()
}

/// Whether the object belongs to an operator that runs pods for it.
fn is_foreign(object: &Value) -> bool {
    object["apiVersion"]
        .as_str()
        .and_then(|version| version.split_once('/'))
        .is_some_and(|(group, _)| group == cloudnative_pg::GROUP)
}
