//! CPU and memory of a pod: limits by the size, requests by a share of them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kidp_core::size::Size;

/// The share of its limits that a pod reserves, in percent.
///
/// The limit is what a size promises at best; the request is what it is sure of, and what a node is filled by.
/// 100 for both gives the Guaranteed class and no overcommitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestShare {
    /// Of the CPU limit.
    pub cpu_percent: u32,
    /// Of the memory limit. A database that uses more than it requested is among the first to be evicted when
    /// its node runs out of memory.
    pub memory_percent: u32,
}

impl Default for RequestShare {
    /// A quarter of the CPU, half of the memory.
    fn default() -> Self {
        Self {
            cpu_percent: 25,
            memory_percent: 50,
        }
    }
}

/// CPU and memory of a container beside the engine: request and limit of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// In thousandths of a core.
    pub cpu_millis: (u64, u64),
    /// In mebibytes.
    pub mebibytes: (u64, u64),
}

const MIB: u64 = 1024 * 1024;

/// Limits and requests of a size.
pub fn requirements(size: Size, share: RequestShare) -> ResourceRequirements {
    requirements_for(size, share, 0)
}

/// Limits and requests of a size, with a request for `least` bytes of memory where the share of it is less.
pub fn requirements_for(size: Size, share: RequestShare, least: u64) -> ResourceRequirements {
    let millis = u64::from(size.cpu_cores()) * 1000;
    let mebibytes = size.memory_bytes() / MIB;
    let part = |whole: u64, percent: u32| (whole * u64::from(percent.clamp(1, 100)) / 100).max(1);
    let memory = part(mebibytes, share.memory_percent).max(least.div_ceil(MIB));
    fixed(Share {
        cpu_millis: (part(millis, share.cpu_percent), millis),
        mebibytes: (memory.min(mebibytes), mebibytes),
    })
}

/// Requests and limits as they are given.
pub fn fixed(share: Share) -> ResourceRequirements {
    let set = |millis: u64, mebibytes: u64| {
        BTreeMap::from([
            ("cpu".to_owned(), Quantity(cpu(millis))),
            ("memory".to_owned(), Quantity(memory(mebibytes))),
        ])
    };
    ResourceRequirements {
        limits: Some(set(share.cpu_millis.1, share.mebibytes.1)),
        requests: Some(set(share.cpu_millis.0, share.mebibytes.0)),
        ..ResourceRequirements::default()
    }
}

/// As Kubernetes itself would write it.
fn cpu(millis: u64) -> String {
    if millis.is_multiple_of(1000) {
        (millis / 1000).to_string()
    } else {
        format!("{millis}m")
    }
}

fn memory(mebibytes: u64) -> String {
    if mebibytes.is_multiple_of(1024) {
        format!("{}Gi", mebibytes / 1024)
    } else {
        format!("{mebibytes}Mi")
    }
}
