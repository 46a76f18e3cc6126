//! The list. Sorted by name; the third column says whether Redis reads it at its start only.

use crate::engines::parameters::{Kind, Parameter, units};

const MB: u64 = 1 << 20;
const YES_NO: Kind = Kind::Choice(&["yes", "no"]);

const fn integer(min: i64, max: i64) -> Kind {
    Kind::Integer { min, max }
}

const fn memory(min: u64, max: u64) -> Kind {
    Kind::Memory {
        min,
        max,
        units: units::REDIS,
        special: None,
    }
}

const fn parameter(name: &'static str, kind: Kind, restart: bool) -> Parameter {
    Parameter { name, kind, restart }
}

/// Every accepted parameter, by name.
#[rustfmt::skip]
pub const PARAMETERS: &[Parameter] = &[
    parameter("active-expire-effort", integer(1, 10), false),
    parameter("aof-load-truncated", YES_NO, false),
    parameter("appendfsync", Kind::Choice(&["everysec", "always", "no"]), false),
    parameter("auto-aof-rewrite-min-size", memory(MB, 1 << 40), false),
    parameter("auto-aof-rewrite-percentage", integer(0, 10_000), false),
    parameter("busy-reply-threshold", integer(0, 3_600_000), false),
    parameter("client-query-buffer-limit", memory(MB, 1 << 34), false),
    parameter("databases", integer(1, 1024), true),
    parameter("dynamic-hz", YES_NO, false),
    parameter("hash-max-listpack-entries", integer(0, 1_000_000), false),
    parameter("hash-max-listpack-value", integer(0, 1_000_000), false),
    parameter("hll-sparse-max-bytes", memory(0, 16_000), false),
    parameter("hz", integer(1, 500), false),
    parameter("io-threads", integer(1, 16), true),
    parameter("latency-monitor-threshold", integer(0, 3_600_000), false),
    parameter("lazyfree-lazy-eviction", YES_NO, false),
    parameter("lazyfree-lazy-expire", YES_NO, false),
    parameter("lazyfree-lazy-server-del", YES_NO, false),
    parameter("lazyfree-lazy-user-del", YES_NO, false),
    parameter("lazyfree-lazy-user-flush", YES_NO, false),
    parameter("lfu-decay-time", integer(0, 10_000), false),
    parameter("lfu-log-factor", integer(0, 10_000), false),
    parameter("list-compress-depth", integer(0, 10_000), false),
    parameter("list-max-listpack-size", integer(-5, 10_000), false),
    parameter("loglevel", Kind::Choice(&["debug", "verbose", "notice", "warning"]), false),
    parameter("maxclients", integer(10, 60_000), false),
    parameter("maxmemory", memory(16 * MB, 1 << 34), false),
    parameter("maxmemory-clients", memory(0, 1 << 34), false),
    parameter("maxmemory-eviction-tenacity", integer(0, 100), false),
    parameter("maxmemory-policy", Kind::Choice(&[
        "noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random",
        "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
    ]), false),
    parameter("maxmemory-samples", integer(1, 64), false),
    parameter("no-appendfsync-on-rewrite", YES_NO, false),
    parameter("notify-keyspace-events", Kind::Letters("KEg$lshzxetdmnA"), false),
    parameter("proto-max-bulk-len", memory(MB, 1 << 29), false),
    parameter("rdbchecksum", YES_NO, true),
    parameter("rdbcompression", YES_NO, false),
    parameter("save", Kind::Numbers(2), false),
    parameter("set-max-intset-entries", integer(0, 1_000_000), false),
    parameter("slowlog-log-slower-than", integer(-1, 3_600_000_000), false),
    parameter("slowlog-max-len", integer(0, 100_000), false),
    parameter("stop-writes-on-bgsave-error", YES_NO, false),
    parameter("stream-node-max-bytes", memory(0, 64 * MB), false),
    parameter("stream-node-max-entries", integer(0, 1_000_000), false),
    parameter("tcp-keepalive", integer(0, 86_400), false),
    parameter("timeout", integer(0, 31_536_000), false),
    parameter("tracking-table-max-keys", integer(0, 100_000_000), false),
    parameter("zset-max-listpack-entries", integer(0, 1_000_000), false),
    parameter("zset-max-listpack-value", integer(0, 1_000_000), false),
];
