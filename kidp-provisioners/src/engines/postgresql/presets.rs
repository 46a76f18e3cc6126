//! Settings by size and storage.
//!
//! Sources: the manual's chapters on resource consumption and WAL configuration
//! (<https://www.postgresql.org/docs/current/runtime-config-resource.html>,
//! <https://www.postgresql.org/docs/current/wal-configuration.html>) and its wiki's page on tuning
//! (<https://wiki.postgresql.org/wiki/Tuning_Your_PostgreSQL_Server>). `work_mem` follows `PGTune`'s formula for
//! mixed use.

use kidp_core::size::Size;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Name and value of every preset, for a size and the bytes of its volume.
pub(super) fn presets(size: Size, storage_bytes: u64) -> Vec<(&'static str, String)> {
    let memory = size.memory_bytes();
    let cores = size.cpu_cores();
    let connections = 100 * cores;
    let shared_buffers = memory / 4;
    // A sort or hash may take this several times a query; three a connection on average.
    let work_mem = ((memory - shared_buffers) / (u64::from(connections) * 3)).max(4 * MIB);
    // The log is kept within an eighth of a small volume; 32 MiB, two segments, is PostgreSQL's minimum.
    let max_wal = (storage_bytes / 8).clamp(64 * MIB, 4096 * MIB);
    let min_wal = (max_wal / 4).max(32 * MIB);
    vec![
        ("max_connections", connections.to_string()),
        ("shared_buffers", mebibytes(shared_buffers)),
        ("effective_cache_size", mebibytes(memory / 4 * 3)),
        ("maintenance_work_mem", mebibytes((memory / 16).min(2048 * MIB))),
        ("work_mem", format!("{}kB", work_mem / KIB)),
        ("wal_buffers", mebibytes(16 * MIB)),
        ("min_wal_size", mebibytes(min_wal)),
        ("max_wal_size", mebibytes(max_wal)),
        ("checkpoint_completion_target", "0.9".to_owned()),
        // Volumes are network or solid-state disks: a random read costs little more than the next one.
        ("random_page_cost", "1.1".to_owned()),
        ("effective_io_concurrency", "200".to_owned()),
        ("max_worker_processes", cores.max(8).to_string()),
        ("max_parallel_workers", cores.to_string()),
        ("max_parallel_workers_per_gather", (cores / 2).min(4).to_string()),
        ("max_parallel_maintenance_workers", (cores / 2).min(4).to_string()),
    ]
}

fn mebibytes(bytes: u64) -> String {
    format!("{}MB", bytes / MIB)
}
