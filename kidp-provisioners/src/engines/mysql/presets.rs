//! Settings by size and storage.
//!
//! Sources: the manual's chapters on `InnoDB`'s buffer pool and redo log
//! (<https://dev.mysql.com/doc/refman/8.4/en/innodb-buffer-pool-resize.html>,
//! <https://dev.mysql.com/doc/refman/8.4/en/innodb-redo-log.html>), and `innodb_dedicated_server`, which takes half of a
//! machine of up to 4 GiB for the buffer pool (<https://dev.mysql.com/doc/refman/8.4/en/innodb-dedicated-server.html>).

use kidp_core::size::Size;

const MIB: u64 = 1 << 20;
/// Default of `innodb_buffer_pool_chunk_size`. The pool is rounded up to whole chunks of every instance of it.
const CHUNK: u64 = 128 * MIB;

/// Name and value of every preset, for a size and the bytes of its volume.
pub(super) fn presets(size: Size, storage_bytes: u64) -> Vec<(&'static str, String)> {
    let memory = size.memory_bytes();
    let cores = u64::from(size.cpu_cores());
    let connections = 100 * cores;
    // A smaller pod gives a larger part of its memory to what every server needs: dictionary, performance schema.
    let share = if size == Size::Small { 50 } else { 60 };
    let step = CHUNK * cores;
    let pool = (memory * share / 100 / step).max(1) * step;
    // The log is kept within a sixteenth of a small volume.
    let redo = (storage_bytes / 16).clamp(64 * MIB, 2048 * MIB);
    vec![
        ("innodb_buffer_pool_size", mebibytes(pool)),
        ("innodb_log_buffer_size", mebibytes(16 * MIB)),
        // Volumes are network or solid-state disks.
        ("innodb_io_capacity", "1000".to_owned()),
        ("innodb_io_capacity_max", "4000".to_owned()),
        ("innodb_read_io_threads", cores.max(4).to_string()),
        ("innodb_write_io_threads", cores.max(4).to_string()),
        ("max_connections", connections.to_string()),
        // 1 GiB unless set, whatever the machine has.
        ("temptable_max_ram", mebibytes(memory / 16)),
        ("tmp_table_size", mebibytes(memory / 64)),
        ("max_heap_table_size", mebibytes(memory / 64)),
        ("max_allowed_packet", mebibytes(64 * MIB)),
        // Not parameters, but of the size all the same. `loose_`: 8.0 has it from 8.0.30 on.
        ("innodb_buffer_pool_instances", cores.to_string()),
        ("loose_innodb_redo_log_capacity", mebibytes(redo)),
    ]
}

fn mebibytes(bytes: u64) -> String {
    format!("{}M", bytes / MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_whole_and_leave_room() {
        for size in Size::ALL {
            let presets = presets(size, 10 << 30);
            let value = |name: &str| {
                presets
                    .iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, v)| v.clone())
                    .unwrap()
            };
            let pool: u64 = value("innodb_buffer_pool_size")
                .trim_end_matches('M')
                .parse()
                .unwrap();
            let instances: u64 = value("innodb_buffer_pool_instances").parse().unwrap();
            assert_eq!(pool % (128 * instances), 0, "{size}");
            let share = pool * MIB * 100 / size.memory_bytes();
            assert!((50..=60).contains(&share), "{size}: {share} %");
        }
    }
}
