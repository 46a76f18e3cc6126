//! `Cache`: one cache, asked for by an application team.
//!
//! It has no `backup`: what a cache holds can be made again from where it came.

use super::service_kind::service_kind;
use crate::group::CACHE_FINALIZER;
use crate::instance::BackupSpec;

service_kind! {
    /// Desired state of a cache.
    Cache { kind = "Cache", plural = "caches" }
    spec: CacheSpec,
    finalizer: CACHE_FINALIZER,
    engine: "self == 'redis'" => "self + (self == 'rabbitmq' ? ' is a message queue' : ' is a database') + ', not a cache'",
    backup: |_| BackupSpec::default(),
    only: {}
}
