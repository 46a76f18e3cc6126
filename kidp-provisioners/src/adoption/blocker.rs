//! What keeps a StatefulSet from being taken over, and what to do about it. Never a secret value.

use std::fmt;

use serde::Serialize;
use thiserror::Error;

/// Something that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Blocker {
    /// The object, as `Kind/name`.
    pub object: String,
    /// What is the matter with it.
    #[serde(flatten)]
    pub obstacle: Obstacle,
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.object, self.obstacle)
    }
}

/// What is the matter with an object.
#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize)]
#[serde(tag = "reason")]
pub enum Obstacle {
    /// Nothing of this engine is taken over.
    #[error("cannot be taken over: not provisioned for {engine}")]
    Engine {
        /// The engine.
        engine: String,
    },
    /// It is not there.
    #[error("is not there")]
    Missing,
    /// It is on its way out.
    #[error("is being deleted")]
    Deleting,
    /// A controller makes it what it is, and would undo what is changed.
    #[error("is controlled by {by}: take it from its controller first")]
    Controlled {
        /// `Kind/name`.
        by: String,
    },
    /// It is another instance's.
    #[error("belongs to the instance {deployment}")]
    OtherInstance {
        /// Its deployment id.
        deployment: String,
    },
    /// It is another team's.
    #[error("belongs to the team {team}")]
    OtherTeam {
        /// The team.
        team: String,
    },
    /// Its pods are not all there, ready and of its latest template.
    #[error("has not settled: all of its pods must be ready and of its latest template")]
    Unsettled,
    /// It has more or fewer members than the instance would have.
    #[error("has {found} members; the instance has {asked}")]
    Members {
        /// What there is.
        found: i32,
        /// What is asked for.
        asked: i32,
    },
    /// Its selector is not one of labels alone.
    #[error("selects its pods by more than labels, which a Service cannot do")]
    Selector,
    /// Its data is not on the one claim of its one claim template.
    #[error("has {found} claim templates; one is needed, for the data")]
    ClaimTemplates {
        /// What there is.
        found: usize,
    },
    /// The volume is of another size.
    #[error("is of {found}; set spec.storage.size to that, and let it grow later")]
    ClaimSize {
        /// What there is.
        found: String,
    },
    /// The volume is of another class.
    #[error("is of storage class `{found}`; set spec.storage.class to that, or leave it out")]
    ClaimClass {
        /// What there is.
        found: String,
    },
    /// No container, or more than one, runs the engine.
    #[error("has {found} containers of {engine}; one is needed, told by its image")]
    Server {
        /// What there is.
        found: usize,
        /// The engine.
        engine: String,
    },
    /// The image does not say which version it is.
    #[error("runs {image}, whose tag does not say which version it is")]
    UnknownVersion {
        /// The image.
        image: String,
    },
    /// The version that is asked for does not open the data, or is not the one that stays.
    #[error("runs version {found}; set spec.version to that")]
    Version {
        /// What there is.
        found: String,
    },
    /// The data is not on the claim.
    #[error("has its data in {folder}, which is not on its claim")]
    DataFolder {
        /// Where it is.
        folder: String,
    },
    /// The pod template cannot become ours: another distribution of the engine keeps other things elsewhere.
    #[error("runs {found}, whose data {ours} need not open; set spec.adopt.podTemplate to Keep")]
    ForeignImage {
        /// What there is.
        found: String,
        /// What a new instance runs.
        ours: String,
    },
    /// The pod template cannot become ours: the files are another user's.
    #[error("runs as user {found}, an instance as {ours}; set spec.adopt.podTemplate to Keep")]
    User {
        /// What there is.
        found: i64,
        /// What a new instance runs as.
        ours: i64,
    },
    /// The pod template cannot become ours: Services of others lead to another port.
    #[error("listens on port {found}, an instance on {ours}; set spec.adopt.podTemplate to Keep")]
    Port {
        /// What there is.
        found: u16,
        /// What a new instance listens on.
        ours: u16,
    },
    /// The pod template cannot be kept on record with a secret in it.
    #[error("has a secret in {place} of its pod template: move it to a Secret first")]
    SecretInTemplate {
        /// The container and its field.
        place: String,
    },
    /// The StatefulSet is larger than what is put on record.
    #[error("has a spec of {found} bytes; at most {most} are taken over")]
    TooLarge {
        /// What there is.
        found: usize,
        /// The limit.
        most: usize,
    },
    /// The Secret lacks an entry.
    #[error("has no usable entry `{key}`")]
    SecretKey {
        /// The entry.
        key: String,
    },
    /// The entry cannot be written into an address as it is.
    #[error("has characters in `{key}` that do not go into an address: {rule}")]
    Characters {
        /// The entry.
        key: String,
        /// What it must be.
        rule: &'static str,
    },
}
