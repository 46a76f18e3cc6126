//! The list. Sorted by name; the third column says whether MySQL reads it at its start only.

use crate::engines::parameters::{Kind, Parameter, units};

const KB: u64 = 1 << 10;
const MB: u64 = 1 << 20;
const GB: u64 = 1 << 30;

const ON_OFF: Kind = Kind::Bool;
const COLLATIONS: &[&str] = &[
    "utf8mb4_0900_ai_ci",
    "utf8mb4_0900_as_ci",
    "utf8mb4_0900_as_cs",
    "utf8mb4_0900_bin",
    "utf8mb4_bin",
    "utf8mb4_general_ci",
    "utf8mb4_unicode_520_ci",
    "utf8mb4_unicode_ci",
];
const SQL_MODES: &[&str] = &[
    "ALLOW_INVALID_DATES",
    "ANSI_QUOTES",
    "ERROR_FOR_DIVISION_BY_ZERO",
    "HIGH_NOT_PRECEDENCE",
    "IGNORE_SPACE",
    "NO_AUTO_VALUE_ON_ZERO",
    "NO_BACKSLASH_ESCAPES",
    "NO_ENGINE_SUBSTITUTION",
    "NO_UNSIGNED_SUBTRACTION",
    "NO_ZERO_DATE",
    "NO_ZERO_IN_DATE",
    "ONLY_FULL_GROUP_BY",
    "PIPES_AS_CONCAT",
    "REAL_AS_FLOAT",
    "STRICT_ALL_TABLES",
    "STRICT_TRANS_TABLES",
    "TIME_TRUNCATE_FRACTIONAL",
];

const fn integer(min: i64, max: i64) -> Kind {
    Kind::Integer { min, max }
}

const fn real(min: f64, max: f64) -> Kind {
    Kind::Real { min, max }
}

const fn memory(min: u64, max: u64) -> Kind {
    Kind::Memory {
        min,
        max,
        units: units::MYSQL,
        special: None,
    }
}

const fn parameter(name: &'static str, kind: Kind, restart: bool) -> Parameter {
    Parameter { name, kind, restart }
}

/// Every accepted parameter, by name.
#[rustfmt::skip]
pub const PARAMETERS: &[Parameter] = &[
    parameter("auto_increment_increment", integer(1, 65_535), false),
    parameter("auto_increment_offset", integer(1, 65_535), false),
    parameter("back_log", integer(1, 65_535), true),
    parameter("collation_server", Kind::Choice(COLLATIONS), false),
    parameter("connect_timeout", integer(2, 3600), false),
    parameter("cte_max_recursion_depth", integer(0, 4_294_967_295), false),
    parameter("default_time_zone", Kind::TimeZone, true),
    parameter("default_week_format", integer(0, 7), false),
    parameter("div_precision_increment", integer(0, 30), false),
    parameter("event_scheduler", ON_OFF, false),
    parameter("explicit_defaults_for_timestamp", ON_OFF, false),
    parameter("ft_min_word_len", integer(1, 84), true),
    parameter("group_concat_max_len", integer(4, 1_073_741_824), false),
    parameter("innodb_adaptive_hash_index", ON_OFF, false),
    parameter("innodb_autoinc_lock_mode", integer(0, 2), true),
    parameter("innodb_buffer_pool_dump_pct", integer(1, 100), false),
    parameter("innodb_buffer_pool_size", memory(64 * MB, 64 * GB), false),
    parameter("innodb_deadlock_detect", ON_OFF, false),
    parameter("innodb_flush_log_at_trx_commit", integer(0, 2), false),
    parameter("innodb_ft_max_token_size", integer(10, 84), true),
    parameter("innodb_ft_min_token_size", integer(0, 16), true),
    parameter("innodb_io_capacity", integer(100, 1_000_000), false),
    parameter("innodb_io_capacity_max", integer(100, 2_000_000), false),
    parameter("innodb_lock_wait_timeout", integer(1, 1_073_741_824), false),
    parameter("innodb_log_buffer_size", memory(MB, GB), false),
    parameter("innodb_lru_scan_depth", integer(100, 100_000), false),
    parameter("innodb_max_dirty_pages_pct", real(0.0, 99.999), false),
    parameter("innodb_online_alter_log_max_size", memory(64 * KB, 64 * GB), false),
    parameter("innodb_print_all_deadlocks", ON_OFF, false),
    parameter("innodb_read_io_threads", integer(1, 64), true),
    parameter("innodb_rollback_on_timeout", ON_OFF, true),
    parameter("innodb_sort_buffer_size", memory(64 * KB, 64 * MB), true),
    parameter("innodb_stats_persistent_sample_pages", integer(1, 100_000), false),
    parameter("innodb_strict_mode", ON_OFF, false),
    parameter("innodb_thread_concurrency", integer(0, 1000), false),
    parameter("innodb_write_io_threads", integer(1, 64), true),
    parameter("interactive_timeout", integer(1, 31_536_000), false),
    parameter("join_buffer_size", memory(128, 256 * MB), false),
    parameter("key_buffer_size", memory(8, 4 * GB), false),
    parameter("lock_wait_timeout", integer(1, 31_536_000), false),
    parameter("log_queries_not_using_indexes", ON_OFF, false),
    parameter("log_slow_admin_statements", ON_OFF, false),
    parameter("log_throttle_queries_not_using_indexes", integer(0, 1_000_000), false),
    parameter("long_query_time", real(0.0, 31_536_000.0), false),
    parameter("max_allowed_packet", memory(64 * KB, GB), false),
    parameter("max_connect_errors", integer(1, 1_000_000_000), false),
    parameter("max_connections", integer(10, 10_000), false),
    parameter("max_execution_time", integer(0, 4_294_967_295), false),
    parameter("max_heap_table_size", memory(16 * KB, 4 * GB), false),
    parameter("max_prepared_stmt_count", integer(1000, 4_194_304), false),
    parameter("max_sort_length", integer(4, 8_388_608), false),
    parameter("max_user_connections", integer(0, 10_000), false),
    parameter("min_examined_row_limit", integer(0, 4_294_967_295), false),
    parameter("net_read_timeout", integer(1, 31_536_000), false),
    parameter("net_write_timeout", integer(1, 31_536_000), false),
    parameter("open_files_limit", integer(1024, 1_048_576), true),
    parameter("optimizer_prune_level", integer(0, 1), false),
    parameter("optimizer_search_depth", integer(0, 62), false),
    parameter("performance_schema", ON_OFF, true),
    parameter("read_buffer_size", memory(8 * KB, 256 * MB), false),
    parameter("read_rnd_buffer_size", memory(KB, 256 * MB), false),
    parameter("slow_query_log", ON_OFF, false),
    parameter("sort_buffer_size", memory(32 * KB, 256 * MB), false),
    parameter("sql_mode", Kind::List(SQL_MODES), false),
    parameter("table_definition_cache", integer(400, 524_288), false),
    parameter("table_open_cache", integer(400, 524_288), false),
    parameter("table_open_cache_instances", integer(1, 64), true),
    parameter("temptable_max_ram", memory(2 * MB, 4 * GB), false),
    parameter("thread_cache_size", integer(0, 16_384), false),
    parameter("tmp_table_size", memory(KB, 4 * GB), false),
    parameter("transaction_isolation", Kind::Choice(&["READ-UNCOMMITTED", "READ-COMMITTED", "REPEATABLE-READ", "SERIALIZABLE"]), false),
    parameter("wait_timeout", integer(1, 31_536_000), false),
];
