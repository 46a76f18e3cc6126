//! The list. Sorted by name; the third column says whether PostgreSQL reads it at its start only.

use crate::engines::parameters::{Kind, Parameter, units};

const fn integer(min: i64, max: i64) -> Kind {
    Kind::Integer { min, max }
}

const fn real(min: f64, max: f64) -> Kind {
    Kind::Real { min, max }
}

const fn memory(min: u64, max: u64, special: Option<&'static str>) -> Kind {
    Kind::Memory {
        min,
        max,
        units: units::POSTGRESQL,
        special,
    }
}

const fn time(min: u64, max: u64, special: Option<&'static str>) -> Kind {
    Kind::Duration { min, max, special }
}

const fn parameter(name: &'static str, kind: Kind, restart: bool) -> Parameter {
    Parameter { name, kind, restart }
}

/// Every accepted parameter, by name.
#[rustfmt::skip]
pub const PARAMETERS: &[Parameter] = &[
    parameter("autovacuum", Kind::Bool, false),
    parameter("autovacuum_analyze_scale_factor", real(0.0, 100.0), false),
    parameter("autovacuum_analyze_threshold", integer(0, 2_147_483_647), false),
    parameter("autovacuum_freeze_max_age", integer(100_000, 2_000_000_000), true),
    parameter("autovacuum_max_workers", integer(1, 64), true),
    parameter("autovacuum_naptime", time(1000, 2_147_483_000, None), false),
    parameter("autovacuum_vacuum_cost_delay", time(1, 100, Some("-1")), false),
    parameter("autovacuum_vacuum_cost_limit", integer(-1, 10_000), false),
    parameter("autovacuum_vacuum_insert_scale_factor", real(0.0, 100.0), false),
    parameter("autovacuum_vacuum_scale_factor", real(0.0, 100.0), false),
    parameter("autovacuum_vacuum_threshold", integer(0, 2_147_483_647), false),
    parameter("autovacuum_work_mem", memory(1_048_576, 2_199_023_254_528, Some("-1")), false),
    parameter("bgwriter_delay", time(10, 10_000, None), false),
    parameter("bgwriter_lru_maxpages", integer(0, 1_073_741_823), false),
    parameter("checkpoint_completion_target", real(0.0, 1.0), false),
    parameter("checkpoint_timeout", time(30_000, 86_400_000, None), false),
    parameter("cpu_tuple_cost", real(0.0, 1_000_000.0), false),
    parameter("deadlock_timeout", time(1, 2_147_483_647, None), false),
    parameter("default_statistics_target", integer(1, 10_000), false),
    parameter("default_transaction_isolation", Kind::Choice(&["read committed", "repeatable read", "serializable"]), false),
    parameter("effective_cache_size", memory(8192, 17_592_186_036_224, None), false),
    parameter("effective_io_concurrency", integer(0, 1000), false),
    parameter("hash_mem_multiplier", real(1.0, 1000.0), false),
    parameter("idle_in_transaction_session_timeout", time(1, 2_147_483_647, Some("0")), false),
    parameter("idle_session_timeout", time(1, 2_147_483_647, Some("0")), false),
    parameter("jit", Kind::Bool, false),
    parameter("lock_timeout", time(1, 2_147_483_647, Some("0")), false),
    parameter("log_autovacuum_min_duration", time(1, 2_147_483_647, Some("-1")), false),
    parameter("log_connections", Kind::Bool, false),
    parameter("log_disconnections", Kind::Bool, false),
    parameter("log_lock_waits", Kind::Bool, false),
    parameter("log_min_duration_statement", time(1, 2_147_483_647, Some("-1")), false),
    parameter("log_statement", Kind::Choice(&["none", "ddl", "mod", "all"]), false),
    parameter("log_temp_files", memory(1024, 2_199_023_254_528, Some("-1")), false),
    parameter("maintenance_io_concurrency", integer(0, 1000), false),
    parameter("maintenance_work_mem", memory(1_048_576, 2_199_023_254_528, None), false),
    parameter("max_connections", integer(20, 10_000), true),
    parameter("max_locks_per_transaction", integer(10, 10_000), true),
    parameter("max_parallel_maintenance_workers", integer(0, 1024), false),
    parameter("max_parallel_workers", integer(0, 1024), false),
    parameter("max_parallel_workers_per_gather", integer(0, 1024), false),
    parameter("max_prepared_transactions", integer(0, 10_000), true),
    parameter("max_replication_slots", integer(0, 1000), true),
    parameter("max_slot_wal_keep_size", memory(1_048_576, 2_251_799_812_636_672, Some("-1")), false),
    parameter("max_wal_senders", integer(0, 1000), true),
    parameter("max_wal_size", memory(33_554_432, 2_251_799_812_636_672, None), false),
    parameter("max_worker_processes", integer(0, 1024), true),
    parameter("min_wal_size", memory(33_554_432, 2_251_799_812_636_672, None), false),
    parameter("random_page_cost", real(0.0, 1_000_000.0), false),
    parameter("seq_page_cost", real(0.0, 1_000_000.0), false),
    parameter("shared_buffers", memory(131_072, 8_796_093_014_016, None), true),
    parameter("shared_preload_libraries", Kind::List(&["pg_stat_statements", "auto_explain"]), true),
    parameter("statement_timeout", time(1, 2_147_483_647, Some("0")), false),
    parameter("synchronous_commit", Kind::Choice(&["on", "off", "local"]), false),
    parameter("tcp_keepalives_count", integer(0, 2_147_483_647), false),
    parameter("tcp_keepalives_idle", time(1000, 2_147_483_000, Some("0")), false),
    parameter("tcp_keepalives_interval", time(1000, 2_147_483_000, Some("0")), false),
    parameter("temp_buffers", memory(819_200, 8_796_093_014_016, None), false),
    parameter("temp_file_limit", memory(1024, 2_199_023_254_528, Some("-1")), false),
    parameter("timezone", Kind::TimeZone, false),
    parameter("track_activity_query_size", memory(100, 1_048_576, None), true),
    parameter("track_functions", Kind::Choice(&["none", "pl", "all"]), false),
    parameter("track_io_timing", Kind::Bool, false),
    parameter("vacuum_cost_limit", integer(1, 10_000), false),
    parameter("wal_buffers", memory(32_768, 2_147_475_456, Some("-1")), true),
    parameter("wal_compression", Kind::Choice(&["on", "off", "pglz", "lz4", "zstd"]), false),
    parameter("wal_keep_size", memory(1_048_576, 2_251_799_812_636_672, Some("0")), false),
    parameter("wal_level", Kind::Choice(&["replica", "logical"]), true),
    parameter("work_mem", memory(65_536, 2_199_023_254_528, None), false),
];
