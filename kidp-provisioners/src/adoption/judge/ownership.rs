//! Whose an object is that is to be taken over.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kidp_core::labels;
use kube::Resource;

use super::super::Obstacle;
use super::Case;
use crate::resources::meta::RETAINED;

fn label<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(key).map(String::as_str)
}

impl Case<'_> {
    /// Whether an object was taken over by this instance before.
    pub(super) fn is_ours(&self, meta: &ObjectMeta) -> bool {
        label(meta, labels::MANAGED_BY_KEY) == Some(labels::MANAGED_BY)
            && label(meta, labels::DEPLOYMENT_ID) == Some(self.instance.deployment_id.as_str())
    }

    /// The object, where there is one; whatever is in the way of having it is noted.
    pub(super) fn owned<'a, K: Resource>(&mut self, key: &str, object: Option<&'a K>) -> Option<&'a K> {
        let Some(object) = object else {
            self.block(key, Obstacle::Missing);
            return None;
        };
        let meta = object.meta();
        if meta.deletion_timestamp.is_some() {
            self.block(key, Obstacle::Deleting);
        }
        if !self.is_ours(meta) {
            self.foreign(key, meta);
        }
        Some(object)
    }

    fn foreign(&mut self, key: &str, meta: &ObjectMeta) {
        let mut owners = meta.owner_references.iter().flatten();
        if let Some(owner) = owners.find(|owner| owner.controller == Some(true)) {
            let by = format!("{}/{}", owner.kind, owner.name);
            self.block(key, Obstacle::Controlled { by });
        }
        // What an earlier instance left behind is nobody's.
        let is_left = label(meta, RETAINED) == Some("true");
        if label(meta, labels::MANAGED_BY_KEY) == Some(labels::MANAGED_BY) && !is_left {
            let deployment = label(meta, labels::DEPLOYMENT_ID).unwrap_or_default().to_owned();
            self.block(key, Obstacle::OtherInstance { deployment });
        }
        let team = label(meta, labels::TEAM).filter(|team| *team != labels::value(&self.instance.team));
        if let Some(team) = team.map(ToOwned::to_owned) {
            self.block(key, Obstacle::OtherTeam { team });
        }
    }
}
