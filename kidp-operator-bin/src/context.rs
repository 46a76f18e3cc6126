//! What every reconciler shares.

use kidp_core::clock::Clock;
use kube::runtime::events::Recorder;

use crate::backoff::Attempts;
use crate::broker::{Connections, HealthBoard, OrphanBoard};
use crate::cache::Caches;
use crate::config::Waits;
use crate::costs::Costs;
use crate::kind::ResourceKey;
use crate::metrics::Metrics;
use crate::placements::Placements;

/// What every reconciler shares.
pub struct Context {
    /// The management cluster.
    pub client: kube::Client,
    /// What is known of it.
    pub caches: Caches,
    /// What time it is.
    pub clock: Clock,
    /// Bounds of every wait.
    pub waits: Waits,
    /// Whether the namespaces of teams are made and guarded.
    pub team_namespaces: bool,
    /// Where brokers are told to call back.
    pub callback_url: Option<String>,
    /// Clients of brokers.
    pub connections: Connections,
    /// Health of brokers.
    pub health: HealthBoard,
    /// Instances whose resources are gone.
    pub orphans: OrphanBoard,
    /// Placements under way.
    pub placements: Placements,
    /// Questions asked in a row while a broker provisions or removes.
    pub polls: Attempts<ResourceKey>,
    /// Failures in a row of a resource.
    pub failures: Attempts<ResourceKey>,
    /// What is counted.
    pub metrics: Metrics,
    /// Prices and usage, where costs are on.
    pub costs: Option<Costs>,
    /// Publisher of Events.
    pub recorder: Recorder,
}
