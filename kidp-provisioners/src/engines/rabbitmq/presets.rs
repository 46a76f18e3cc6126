//! Settings by size, storage and number of nodes.
//!
//! Sources: the guides on memory (<https://www.rabbitmq.com/docs/memory>), disk alarms
//! (<https://www.rabbitmq.com/docs/disk-alarms>), production (<https://www.rabbitmq.com/docs/production-checklist>)
//! and quorum queues (<https://www.rabbitmq.com/docs/quorum-queues#performance-tuning>).

use kidp_core::quantity::parse_bytes;

use super::nodes;
use crate::instance::Instance;

const MIB: u64 = 1024 * 1024;

/// Name and value of every preset.
pub(super) fn presets(instance: &Instance) -> Vec<(&'static str, String)> {
    let memory = instance.spec.size.memory_bytes();
    let storage = parse_bytes(&instance.spec.storage.size).unwrap_or_default();
    // A node takes three to four times its log in memory, and segments and snapshots besides it on disk.
    let log = (memory / 16).min(storage / 16).clamp(32 * MIB, 512 * MIB);
    let mut presets = vec![
        // RabbitMQ 4's own default: above it publishers wait.
        ("vm_memory_high_watermark.relative", "0.6".to_owned()),
        // As much as the node can have in memory, where the volume is large enough to keep that free.
        (
            "disk_free_limit.absolute",
            memory.min(storage / 5).max(50 * MIB).to_string(),
        ),
        ("raft.wal_max_size_bytes", log.to_string()),
        // Replicated where there are several nodes, and written through to disk where there is one. Recorded in a
        // virtual host when it is made, so it has to be there before one node becomes three.
        ("default_queue_type", "quorum".to_owned()),
        // At `info` every probe would write three lines.
        ("log.connection.level", "warning".to_owned()),
    ];
    if nodes(instance) > 1 {
        presets.extend([
            // Leaders on the node with the fewest, instead of all on the one that most clients are at.
            ("queue_leader_locator", "balanced".to_owned()),
            // Queues from the time of a single node get members on the others, too.
            (
                "quorum_queue.continuous_membership_reconciliation.enabled",
                "true".to_owned(),
            ),
            (
                "quorum_queue.continuous_membership_reconciliation.target_group_size",
                nodes(instance).to_string(),
            ),
        ]);
    }
    presets
}
