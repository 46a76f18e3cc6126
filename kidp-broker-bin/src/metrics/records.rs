//! Instances by engine and phase, what is left of their drift, and callbacks that wait: counted in the records at each
//! scrape.

use std::fmt;
use std::sync::{Arc, OnceLock};

use kidp_core::crd::ServiceInstance;
use kidp_telemetry::metrics::{About, Labels, tell};
use kube::runtime::reflector::Store;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::{record, view};

const INSTANCES: About = ("instances", "Instances, by engine and phase");
const LEFT: About = ("drift_left", "Changes that are left and told at present");
const UNKNOWN: About = (
    "drift_unknown_objects",
    "Objects that cannot be compared at present",
);
const OUTBOX: About = ("outbox_entries", "Callbacks that wait for their acknowledgement");

/// The records of one broker.
pub(super) struct Instances {
    broker: String,
    records: Arc<OnceLock<Store<ServiceInstance>>>,
}

impl fmt::Debug for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instances")
            .field("broker", &self.broker)
            .finish_non_exhaustive()
    }
}

/// What is counted in them.
#[derive(Debug, Default)]
struct Counts {
    instances: Family<Labels<2>, Gauge>,
    left: Family<Labels<1>, Gauge>,
    unknown: Family<Labels<1>, Gauge>,
    outbox: Gauge,
}

impl Instances {
    /// The names of all gauges.
    pub(super) const NAMES: [&str; 4] = [INSTANCES.0, LEFT.0, UNKNOWN.0, OUTBOX.0];

    pub(super) fn new(broker: &str, records: Arc<OnceLock<Store<ServiceInstance>>>) -> Self {
        Self {
            broker: broker.to_owned(),
            records,
        }
    }

    fn count(&self) -> Counts {
        let counts = Counts::default();
        let records = self.records.get().map(Store::state).unwrap_or_default();
        for record in records.iter().filter(|r| record::belongs_to(&self.broker, r)) {
            counts.add(record);
        }
        counts
    }
}

impl Counts {
    fn add(&self, record: &ServiceInstance) {
        let engine = ("engine", record.spec.instance.engine.as_str());
        let phase = ("phase", view::phase(record).as_str());
        self.instances.get_or_create(&[engine, phase]).inc();
        let Some(status) = &record.status else { return };
        let (left, unknown) = status.drift.as_ref().map_or((0, 0), |d| (d.left, d.unknown));
        self.left.get_or_create(&[engine]).inc_by(left.into());
        self.unknown.get_or_create(&[engine]).inc_by(unknown.into());
        self.outbox
            .inc_by(i64::try_from(status.outbox.len()).unwrap_or(i64::MAX));
    }
}

impl Collector for Instances {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = self.count();
        tell(&mut encoder, INSTANCES, &counts.instances)?;
        tell(&mut encoder, LEFT, &counts.left)?;
        tell(&mut encoder, UNKNOWN, &counts.unknown)?;
        tell(&mut encoder, OUTBOX, &counts.outbox)
    }
}
