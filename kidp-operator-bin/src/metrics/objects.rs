//! What objects there are and what they say, counted in the caches at each scrape.

use std::fmt;
use std::sync::atomic::AtomicU64;

use kidp_telemetry::metrics::{About, Labels, tell};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::currency;
use crate::cache::Caches;

const RESOURCES: About = ("resources", "Databases, caches and message queues, by phase");
const QUEUED: About = (
    "queued_resources",
    "Resources that no broker was chosen for yet, for whatever reason",
);
const OLDEST: About = (
    "queue_oldest_timestamp_seconds",
    "When the resource was created that has waited longest for a broker; absent while none waits",
);
const COST: About = (
    "monthly_cost_estimate",
    "What resources are expected to cost a month, in units of the currency",
);
const UNPRICED: About = (
    "unpriced_resources",
    "Resources whose cost is not known, since the price book has no price for them",
);
const BROKERS: About = ("brokers", "Brokers, by phase");
const ORPHANS: About = (
    "orphaned_instances",
    "Instances at brokers whose resources are gone",
);

/// The caches.
pub(super) struct Objects(pub(super) Caches);

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").finish_non_exhaustive()
    }
}

/// What is counted of resources.
#[derive(Default)]
struct Counts {
    resources: Family<Labels<2>, Gauge>,
    queued: Family<Labels<1>, Gauge>,
    oldest: Family<Labels<1>, Gauge>,
    cost: Family<Labels<2>, Gauge<f64, AtomicU64>>,
    unpriced: Family<Labels<1>, Gauge>,
}

impl Objects {
    /// The names of all gauges.
    pub(super) const NAMES: [&str; 7] = [
        RESOURCES.0,
        QUEUED.0,
        OLDEST.0,
        COST.0,
        UNPRICED.0,
        BROKERS.0,
        ORPHANS.0,
    ];

    fn counts(&self) -> Counts {
        let counts = Counts::default();
        for resource in self.0.resources(|_| true) {
            let kind = ("kind", resource.kind().as_str());
            let phase = ("phase", resource.phase().as_str());
            counts.resources.get_or_create(&[kind, phase]).inc();
            if let Some(cost) = resource.cost() {
                let currency = ("currency", currency::word(&cost.currency));
                let sum = counts.cost.get_or_create(&[kind, currency]);
                sum.inc_by(cost.estimated_monthly);
            }
            if resource.is_unpriced() {
                counts.unpriced.get_or_create(&[kind]).inc();
            }
        }
        // The oldest first: what is set once is of the oldest.
        for resource in self.0.waiting_resources() {
            let kind = [("kind", resource.kind().as_str())];
            let first = counts.queued.get_or_create(&kind).inc() == 0;
            if let Some(created) = resource.created().filter(|_| first) {
                counts.oldest.get_or_create(&kind).set(created.0.as_second());
            }
        }
        counts
    }

    fn brokers(&self) -> (Family<Labels<1>, Gauge>, Gauge) {
        let (phases, orphans) = (Family::<Labels<1>, Gauge>::default(), Gauge::default());
        for broker in self.0.brokers.state() {
            let status = broker.status.as_ref();
            let phase = status.map(|status| status.phase).unwrap_or_default();
            phases.get_or_create(&[("phase", phase.as_str())]).inc();
            let found = status.and_then(|status| status.orphaned_instances);
            orphans.inc_by(found.unwrap_or_default().into());
        }
        (phases, orphans)
    }
}

impl Collector for Objects {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = self.counts();
        tell(&mut encoder, RESOURCES, &counts.resources)?;
        tell(&mut encoder, QUEUED, &counts.queued)?;
        tell(&mut encoder, OLDEST, &counts.oldest)?;
        tell(&mut encoder, COST, &counts.cost)?;
        tell(&mut encoder, UNPRICED, &counts.unpriced)?;
        let (brokers, orphans) = self.brokers();
        tell(&mut encoder, BROKERS, &brokers)?;
        tell(&mut encoder, ORPHANS, &orphans)
    }
}
