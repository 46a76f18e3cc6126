//! Costs: what each resource is expected to cost, and what has been used.
//!
//! All of it is off without `--price-book`: then nothing of this is watched, written or served.
//!
//! | module | holds |
//! |---|---|
//! | [`status`] | the estimate in a resource's status |
//! | [`usage`] | usage records, written when a resource becomes ready, changes and goes |
//! | [`sweep`] | records of resources that went without a word, and records that are too old |
//! | [`budget`] | the sum of a team, against its budget |
//! | [`report`], [`export`], [`server`] | `GET /v1/costs`: sums, their CSV, and who may ask |
//!
//! # Guarantees
//! - Costs are derived from usage records and the price book each time they are asked for. No figure is kept in memory.
//! - A finalizer leaves after the end of the usage was written, never before.

pub mod access;
pub mod budget;
pub mod export;
pub mod report;
pub mod server;
pub mod status;
pub mod sweep;
pub mod usage;

use std::sync::Arc;

use jiff::SignedDuration;
use kidp_core::cost::Location;
use kidp_core::crd::{Broker, ChargeTo, PriceBook, UsageRecord};
use kidp_core::instance::OwnerKind;
use kube::ResourceExt;
use kube::runtime::reflector::store::{Writer, WriterDropped};
use kube::runtime::reflector::{ObjectRef, Store, store};

use crate::cache::{Caches, namespace_of, resolve};
use crate::kind::AnyResource;

/// What the operator knows of prices and usage.
#[derive(Clone)]
pub struct Costs {
    /// Name of the price book.
    pub book_name: String,
    /// Price books.
    pub books: Store<PriceBook>,
    /// Usage records.
    pub records: Store<UsageRecord>,
    /// Only resources of this namespace; all of them when absent.
    pub namespace: Option<String>,
    /// How long the record of a resource that is gone is kept.
    pub retention: SignedDuration,
}

/// Writers of the stores.
pub struct CostWriters {
    /// Price books.
    pub books: Writer<PriceBook>,
    /// Usage records.
    pub records: Writer<UsageRecord>,
}

impl Costs {
    /// Empty stores, for prices of the book of this name.
    pub fn new(book_name: &str, namespace: Option<String>, retention: SignedDuration) -> (Self, CostWriters) {
        let ((books, bw), (records, rw)) = (store(), store());
        let costs = Self {
            book_name: book_name.to_owned(),
            books,
            records,
            namespace,
            retention,
        };
        let writers = CostWriters {
            books: bw,
            records: rw,
        };
        (costs, writers)
    }

    /// Waits until both stores were listed once.
    pub async fn wait_until_ready(&self) -> Result<(), WriterDropped> {
        self.books.wait_until_ready().await?;
        self.records.wait_until_ready().await
    }

    /// The price book, if it is there.
    pub fn book(&self) -> Option<Arc<PriceBook>> {
        self.books.get(&ObjectRef::new(&self.book_name))
    }

    /// The last record of a resource.
    pub fn last_record(&self, uid: &str) -> Option<Arc<UsageRecord>> {
        self.records
            .state_filter(|record| record.spec.resource.uid == uid)
            .into_iter()
            .max_by_key(|record| record.spec.part)
    }

    /// Whether resources of a namespace are this operator's.
    pub fn covers(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|only| only == namespace)
    }
}

/// Where a broker's instances are.
pub fn location_of(broker: &Broker) -> Location {
    Location {
        cloud_provider: broker.spec.cloud_provider.clone(),
        region: broker.spec.region.clone(),
    }
}

/// Who pays for a resource; `None` while its owner is not there.
pub fn charge_to(resource: &dyn AnyResource, caches: &Caches) -> Option<ChargeTo> {
    let (kind, namespace, name) = resource.owned_by();
    let application = (kind == OwnerKind::Application).then(|| format!("{namespace}/{name}"));
    let found = caches.team_of(resource)?;
    let tenant = found.spec.tenant_ref.as_ref().map(|reference| {
        let (namespace, name) = resolve(reference, &namespace_of(found.as_ref()));
        format!("{namespace}/{name}")
    });
    Some(ChargeTo {
        team_namespace: namespace_of(found.as_ref()),
        team: found.name_any(),
        application,
        tenant,
        cost_center: found.spec.cost_center.clone(),
    })
}
