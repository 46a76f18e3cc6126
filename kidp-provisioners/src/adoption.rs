//! Taking over a StatefulSet that somebody made by hand or by a chart: its name, its claim and its password stay.
//!
//! ```text
//! examine: read ─> judge (pure) ─> blockers
//!                        └────────> Adopted ─> plan (dry runs) ─> digest
//! decide:  blocked │ too grave │ restarts and is not accepted │ Adopted ─> on record ─> provision
//! ```
//! [`examine`] and [`Adoption::decide`] write nothing. What is decided is an [`Adopted`]: whoever hosts the SDK keeps it,
//! and puts it into [`Instance::adopted`] of every later call. `provision` then puts KIDP's labels on the claim, makes the
//! connection Secret and labels the StatefulSet; each of them only as it was looked at, so that a call that died in between
//! is completed by the next one.
//!
//! # The pod template
//! - `Keep`: it stays, byte for byte, and so does every pod. What is on record is what drift is compared with.
//! - `Replace`: a new instance's pod template around the same volume. Other managers' fields would survive an apply, so
//!   the StatefulSet is removed without its pods and made again around them, as when its volume grows.
//!
//! # Caveats
//! Names and version come from what the pod template says, not from the server: it is not asked.

mod blocker;
mod judge;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Container, PersistentVolumeClaim, Secret};
use kidp_core::instance::{Adopted, DIGEST_CHARS, PodTemplatePolicy};
use kidp_core::names::short_hash;
use kidp_drift::{Change, Consequence};
use kube::{Api, Client};
use thiserror::Error;

use crate::apply::{ApplyError, REQUEST_TIMEOUT, get};
use crate::consequence::is_below;
use crate::instance::Instance;
use crate::plan::Plan;
use crate::provisioner::Provisioner;

pub use blocker::{Blocker, Obstacle};
pub use judge::{Found, Judged, judge};

/// What an engine says of a StatefulSet of its own that somebody else made. Every method is pure.
pub trait Adopter: Send + Sync {
    /// What its images are called, without registry and folder.
    fn images(&self) -> &'static [&'static str];

    /// The port that its server listens on, where nothing else is said.
    fn port(&self) -> u16;

    /// The image that a new instance would run.
    fn image(&self, version: &str) -> String;

    /// The user that a new instance would run as.
    fn uid(&self) -> i64;

    /// The user that this image runs as by itself.
    fn uid_of(&self, image: &str) -> i64;

    /// The folder that the server in this container keeps its data in.
    fn data_folder(&self, container: &Container) -> String;
}

/// What taking over a StatefulSet would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Adoption {
    /// What would be on record; none where something stands in the way.
    pub adopted: Option<Adopted>,
    /// What would change.
    pub plan: Plan,
    /// What stands in the way.
    pub blockers: Vec<Blocker>,
    /// The plan in short, where pods are replaced: by this it is accepted.
    pub digest: Option<String>,
}

/// Why a StatefulSet is not taken over now.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AdoptionRefusal {
    /// Something stands in the way, and is mended first.
    #[error("{}", list(.0))]
    Blocked(Vec<String>),
    /// It would do more than replace pods; nobody can accept that.
    #[error("taking it over would mean {consequence}: {}", list(.changes))]
    TooGrave {
        /// The gravest of what it would do.
        consequence: Consequence,
        /// What does it, a line each.
        changes: Vec<String>,
    },
    /// Pods would be replaced, and this plan was not accepted.
    #[error(
        "taking over {stateful_set} replaces its pods ({changes} fields of their template change); to accept the plan, \
         set spec.adopt.acceptPlan to {digest}"
    )]
    NotAccepted {
        /// `Kind/name`.
        stateful_set: String,
        /// How many fields change.
        changes: usize,
        /// The plan in short.
        digest: String,
    },
}

/// Most lines of a message.
const MAX_LINES: usize = 5;

fn list(lines: &[String]) -> String {
    let shown: Vec<_> = lines.iter().take(MAX_LINES).map(String::as_str).collect();
    let more = lines.len().saturating_sub(MAX_LINES);
    let rest = if more > 0 {
        format!("; and {more} more")
    } else {
        String::new()
    };
    format!("{}{rest}", shown.join("; "))
}

/// What taking over the StatefulSet of `spec.adopt` would do; nothing is written. Of an instance that asks for none there
/// is nothing to say.
pub async fn examine(
    provisioner: &dyn Provisioner,
    client: &Client,
    instance: &Instance,
) -> Result<Adoption, ApplyError> {
    let found = read(client, instance).await?;
    let Judged { adopted, blockers } = judge(provisioner, instance, &found);
    let plan = match &adopted {
        Some(adopted) => {
            let subject = Instance {
                adopted: Some(adopted.clone()),
                ..instance.clone()
            };
            provisioner.plan(client, &subject).await?
        }
        None => Plan::default(),
    };
    let digest = adopted.as_ref().and_then(|adopted| digest(adopted, &plan));
    Ok(Adoption {
        adopted,
        plan,
        blockers,
        digest,
    })
}

/// Whether there is something to decide: a StatefulSet is to be taken over and nothing is on record of it, or its pod
/// template was kept and is to be replaced.
pub fn is_due(instance: &Instance) -> bool {
    instance
        .spec
        .adopt
        .as_ref()
        .is_some_and(|adopt| match &instance.adopted {
            None => true,
            Some(adopted) => adopt.pod_template == PodTemplatePolicy::Replace && !adopted.is_replaced(),
        })
}

async fn read(client: &Client, instance: &Instance) -> Result<Found, ApplyError> {
    let Some(adopt) = &instance.spec.adopt else {
        return Ok(Found::default());
    };
    let namespace = instance.namespace.as_str();
    let (set, secret) = (adopt.stateful_set.as_str(), adopt.secret_ref.name.as_str());
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), namespace);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let (set_key, secret_key) = (format!("StatefulSet/{set}"), format!("Secret/{secret}"));
    let (set, secret) = tokio::try_join!(
        get(&set_key, namespace, REQUEST_TIMEOUT, sets.get_opt(set)),
        get(&secret_key, namespace, REQUEST_TIMEOUT, secrets.get_opt(secret)),
    )?;
    let claim = match set.as_ref().and_then(judge::claim_name) {
        Some(name) => {
            let object = format!("PersistentVolumeClaim/{name}");
            get(&object, namespace, REQUEST_TIMEOUT, claims.get_opt(&name)).await?
        }
        None => None,
    };
    Ok(Found { set, secret, claim })
}

impl Adoption {
    /// What is put on record, or why the StatefulSet is not taken over. `accepted` is the digest of the plan whose restart
    /// is accepted.
    pub fn decide(&self, accepted: Option<&str>) -> Result<Adopted, AdoptionRefusal> {
        let Some(adopted) = self.adopted.as_ref().filter(|_| self.blockers.is_empty()) else {
            let lines = self.blockers.iter().map(ToString::to_string).collect();
            return Err(AdoptionRefusal::Blocked(lines));
        };
        let refused = self.plan.refusals.iter().map(ToString::to_string);
        let unseen = self.plan.unknown.iter().map(ToString::to_string);
        let lines: Vec<_> = refused.chain(unseen).collect();
        if !lines.is_empty() {
            return Err(AdoptionRefusal::Blocked(lines));
        }
        let consequence = self.plan.consequence;
        if consequence > Consequence::RollingRestart {
            let grave = |change: &&Change| change.consequence == consequence;
            let changes = self.plan.changes.iter().filter(grave).map(ToString::to_string);
            return Err(AdoptionRefusal::TooGrave {
                consequence,
                changes: changes.collect(),
            });
        }
        match &self.digest {
            Some(digest) if accepted != Some(digest.as_str()) => Err(AdoptionRefusal::NotAccepted {
                stateful_set: format!("StatefulSet/{}", adopted.stateful_set),
                changes: restarting(&self.plan).count(),
                digest: digest.clone(),
            }),
            _ => Ok(adopted.clone()),
        }
    }
}

/// What restarts pods.
fn restarting(plan: &Plan) -> impl Iterator<Item = &Change> {
    let grave = |change: &&Change| change.consequence >= Consequence::RollingRestart;
    plan.changes.iter().filter(grave)
}

/// What restarts, and of which StatefulSet, in short; none where nothing restarts. Labels are left out: before there is a
/// resource its UID, which is one of them, is not known.
fn digest(adopted: &Adopted, plan: &Plan) -> Option<String> {
    let changes: Vec<_> = restarting(plan)
        .filter(|change| !is_below(&change.path, "spec.template.metadata.labels"))
        .map(|change| {
            format!(
                "{} {} {} {}",
                change.object, change.path, change.before, change.after
            )
        })
        .collect();
    if plan.consequence < Consequence::RollingRestart {
        return None;
    }
    let generation = adopted.generation.to_string();
    let mut parts = vec![adopted.uid.as_str(), generation.as_str()];
    parts.extend(changes.iter().chain(&plan.created).map(String::as_str));
    Some(short_hash(&parts, DIGEST_CHARS))
}
