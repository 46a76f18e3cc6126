//! Resources by kind and phase and brokers by phase, counted in the caches at each scrape.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::Labels;
use crate::cache::Caches;

/// The caches.
pub(super) struct Objects(pub(super) Caches);

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").finish_non_exhaustive()
    }
}

impl Objects {
    fn resources(&self) -> Family<Labels<2>, Gauge> {
        let counts = Family::<Labels<2>, Gauge>::default();
        for resource in self.0.resources(|_| true) {
            let (kind, phase) = (resource.kind(), resource.phase());
            let labels = [("kind", kind.as_str()), ("phase", phase.as_str())];
            counts.get_or_create(&labels).inc();
        }
        counts
    }

    fn brokers(&self) -> Family<Labels<1>, Gauge> {
        let counts = Family::<Labels<1>, Gauge>::default();
        for broker in self.0.brokers.state() {
            let phase = broker
                .status
                .as_ref()
                .map(|status| status.phase)
                .unwrap_or_default();
            counts.get_or_create(&[("phase", phase.as_str())]).inc();
        }
        counts
    }
}

impl Collector for Objects {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let gauge = MetricType::Gauge;
        let say = "Databases, caches and message queues, by phase";
        self.resources()
            .encode(encoder.encode_descriptor("resources", say, None, gauge)?)?;
        let say = "Brokers, by phase";
        self.brokers()
            .encode(encoder.encode_descriptor("brokers", say, None, gauge)?)
    }
}
