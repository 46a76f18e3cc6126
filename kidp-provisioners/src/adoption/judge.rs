//! Whether a StatefulSet can be taken over. Pure: what was read goes in, and what is in the way or goes on record comes out.

mod access;
mod ownership;
mod server;

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PodTemplateSpec, Secret};
use kidp_core::instance::{AdoptSpec, Adopted, PodTemplatePolicy};
use kidp_core::quantity::parse_bytes;
use serde_json::Value;

use super::{Adopter, Blocker, Obstacle};
use crate::instance::Instance;
use crate::provisioner::Provisioner;

/// Largest `spec` that goes on record, as JSON: far below what an object may have, and above what people write.
const MAX_SPEC: usize = 64 * 1024;

/// What was read. `Debug` shows none of it, since the Secret is in it.
#[derive(Clone, Default)]
pub struct Found {
    /// The StatefulSet.
    pub set: Option<StatefulSet>,
    /// The Secret with its password.
    pub secret: Option<Secret>,
    /// The claim of its only member.
    pub claim: Option<PersistentVolumeClaim>,
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Found").finish_non_exhaustive()
    }
}

/// What is said of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// What goes on record; none where something is in the way.
    pub adopted: Option<Adopted>,
    /// What is in the way.
    pub blockers: Vec<Blocker>,
}

/// Name of the claim of a StatefulSet's first member, by its first claim template.
pub(super) fn claim_name(set: &StatefulSet) -> Option<String> {
    let template = set.spec.as_ref()?.volume_claim_templates.as_ref()?.first()?;
    let (template, set) = (template.metadata.name.as_ref()?, set.metadata.name.as_ref()?);
    Some(format!("{template}-{set}-0"))
}

/// Judges what was found for `spec.adopt`; nothing is said where that is not there.
pub fn judge(provisioner: &dyn Provisioner, instance: &Instance, found: &Found) -> Judged {
    let Some(adopt) = &instance.spec.adopt else {
        return Judged::default();
    };
    let Some(adopter) = provisioner.adopter() else {
        let engine = provisioner.engine().to_string();
        let blocker = Blocker {
            object: format!("StatefulSet/{}", adopt.stateful_set),
            obstacle: Obstacle::Engine { engine },
        };
        return Judged {
            adopted: None,
            blockers: vec![blocker],
        };
    };
    let mut case = Case {
        provisioner,
        adopter,
        instance,
        adopt,
        blockers: Vec::new(),
    };
    let record = case.adopted(found);
    let blockers = case.blockers;
    Judged {
        adopted: record.filter(|_| blockers.is_empty()),
        blockers,
    }
}

/// A judgement in the making.
struct Case<'a> {
    provisioner: &'a dyn Provisioner,
    adopter: &'a dyn Adopter,
    instance: &'a Instance,
    adopt: &'a AdoptSpec,
    blockers: Vec<Blocker>,
}

impl Case<'_> {
    fn block(&mut self, object: &str, obstacle: Obstacle) {
        self.blockers.push(Blocker {
            object: object.to_owned(),
            obstacle,
        });
    }

    fn replaces(&self) -> bool {
        self.adopt.pod_template == PodTemplatePolicy::Replace
    }

    fn adopted(&mut self, found: &Found) -> Option<Adopted> {
        let set_key = format!("StatefulSet/{}", self.adopt.stateful_set);
        let access = self.access(found.secret.as_ref());
        let set = self.owned(&set_key, found.set.as_ref())?;
        let spec = set.spec.as_ref()?;
        self.shape(&set_key, set, spec);
        let claim_key = format!("PersistentVolumeClaim/{}", claim_name(set)?);
        let claim = self.owned(&claim_key, found.claim.as_ref());
        if let Some(claim) = claim {
            self.volume(&claim_key, claim);
        }
        let server = self.server(&set_key, spec);
        let spec = self.recorded(&set_key, spec)?;
        let (access, server) = (access?, server?);
        Some(Adopted {
            stateful_set: self.adopt.stateful_set.clone(),
            uid: set.metadata.uid.clone()?,
            generation: set.metadata.generation.unwrap_or_default(),
            claim_uid: claim?.metadata.uid.clone()?,
            secret_ref: self.adopt.secret_ref.clone(),
            username: access.username,
            database: access.database,
            container: server.container,
            port: server.port.0,
            port_name: server.port.1,
            data_folder: server.data_folder.filter(|_| self.replaces()),
            spec,
        })
    }

    /// What of a StatefulSet cannot be changed any more, and whether it is at rest.
    fn shape(&mut self, key: &str, set: &StatefulSet, spec: &StatefulSetSpec) {
        let found = spec.replicas.unwrap_or(1);
        if found != 1 {
            self.block(key, Obstacle::Members { found, asked: 1 });
        }
        let selector = &spec.selector;
        let only_labels = selector
            .match_labels
            .as_ref()
            .is_some_and(|labels| !labels.is_empty());
        if !only_labels || selector.match_expressions.as_ref().is_some_and(|e| !e.is_empty()) {
            self.block(key, Obstacle::Selector);
        }
        let found = spec.volume_claim_templates.as_ref().map_or(0, Vec::len);
        if found != 1 {
            self.block(key, Obstacle::ClaimTemplates { found });
        }
        // One that is taken over already is mended by what is asked for now.
        if found == 1 && !self.is_ours(&set.metadata) && !is_settled(set) {
            self.block(key, Obstacle::Unsettled);
        }
    }

    /// A claim keeps its size and its class: what is asked for is what there is.
    fn volume(&mut self, key: &str, claim: &PersistentVolumeClaim) {
        let spec = claim.spec.clone().unwrap_or_default();
        let requests = spec.resources.and_then(|resources| resources.requests);
        let size = requests.and_then(|requests| requests.get("storage").cloned());
        let size = size.map(|size| size.0).unwrap_or_default();
        let asked = &self.instance.spec.storage;
        if parse_bytes(&size).ok() != parse_bytes(&asked.size).ok() && !self.is_ours(&claim.metadata) {
            self.block(key, Obstacle::ClaimSize { found: size });
        }
        let class = spec.storage_class_name.unwrap_or_default();
        if asked.class.as_ref().is_some_and(|asked| *asked != class) {
            self.block(key, Obstacle::ClaimClass { found: class });
        }
    }

    /// The StatefulSet's `spec` as it goes on record; where the pod template is replaced, without it.
    fn recorded(&mut self, key: &str, spec: &StatefulSetSpec) -> Option<Value> {
        let mut kept = spec.clone();
        if self.replaces() {
            kept.template = PodTemplateSpec::default();
        } else {
            for place in access::secrets_in(&kept.template) {
                self.block(key, Obstacle::SecretInTemplate { place });
            }
        }
        let json = serde_json::to_value(&kept).ok()?;
        let found = json.to_string().len();
        if found > MAX_SPEC {
            let most = MAX_SPEC;
            self.block(key, Obstacle::TooLarge { found, most });
        }
        Some(json)
    }
}

/// Whether every pod is ready and made from the latest template.
fn is_settled(set: &StatefulSet) -> bool {
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    set.status.as_ref().is_some_and(|status| {
        status.observed_generation == set.metadata.generation
            && status.ready_replicas == Some(wanted)
            && status.replicas == wanted
            && status.current_revision == status.update_revision
    })
}
