//! What every reconciler shares.

use kube::runtime::events::Recorder;

use crate::backoff::Attempts;
use crate::broker::{Connections, HealthBoard};
use crate::cache::Caches;
use crate::config::Waits;
use crate::kind::ResourceKey;
use crate::placements::Placements;

/// What every reconciler shares.
pub struct Context {
    /// The management cluster.
    pub client: kube::Client,
    /// What is known of it.
    pub caches: Caches,
    /// Bounds of every wait.
    pub waits: Waits,
    /// Where brokers are told to call back.
    pub callback_url: Option<String>,
    /// Clients of brokers.
    pub connections: Connections,
    /// Health of brokers.
    pub health: HealthBoard,
    /// Placements under way.
    pub placements: Placements,
    /// Questions asked in a row while a broker provisions or removes.
    pub polls: Attempts<ResourceKey>,
    /// Failures in a row of a resource.
    pub failures: Attempts<ResourceKey>,
    /// Publisher of Events.
    pub recorder: Recorder,
}
