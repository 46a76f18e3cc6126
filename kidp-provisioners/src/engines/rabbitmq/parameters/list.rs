//! The list. Sorted by name; every one is read at the start of a node only.

use crate::engines::parameters::{Kind, Parameter, Units};

/// Bytes, or units of 1024 (`KiB`) or 1000 (`kB`). <https://www.rabbitmq.com/docs/disk-alarms#configure>
const UNITS: Units = Units {
    names: &[
        ("", 1),
        ("kB", 1000),
        ("KiB", 1 << 10),
        ("MB", 1_000_000),
        ("MiB", 1 << 20),
        ("GB", 1_000_000_000),
        ("GiB", 1 << 30),
    ],
    ignore_case: true,
};

const LEVELS: Kind = Kind::Choice(&["debug", "info", "notice", "warning", "error", "critical", "none"]);
const BOOL: Kind = Kind::Choice(&["true", "false"]);

/// What can be enabled without another port, or with management's.
const PLUGINS: Kind = Kind::List(&[
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_event_exchange",
    "rabbitmq_federation",
    "rabbitmq_federation_management",
    "rabbitmq_jms_topic_exchange",
    "rabbitmq_management",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_sharding",
    "rabbitmq_shovel",
    "rabbitmq_shovel_management",
    "rabbitmq_top",
]);

const fn integer(min: i64, max: i64) -> Kind {
    Kind::Integer { min, max }
}

const fn parameter(name: &'static str, kind: Kind) -> Parameter {
    Parameter {
        name,
        kind,
        restart: true,
    }
}

/// Every accepted parameter, by name.
#[rustfmt::skip]
pub const PARAMETERS: &[Parameter] = &[
    parameter("channel_max", integer(1, 65_535)),
    parameter("channel_max_per_node", integer(1, 1_000_000)),
    parameter("collect_statistics_interval", integer(1000, 3_600_000)),
    parameter("connection_max", integer(10, 1_000_000)),
    parameter("consumer_max_per_channel", integer(1, 1_000_000)),
    parameter("consumer_timeout", integer(60_000, 2_592_000_000)),
    parameter("default_queue_type", Kind::Choice(&["classic", "quorum", "stream"])),
    parameter("disk_free_limit.absolute", Kind::Memory { min: 50_000_000, max: 1 << 42, units: UNITS, special: None }),
    parameter("enabled_plugins", PLUGINS),
    parameter("frame_max", integer(8192, 16_777_216)),
    parameter("handshake_timeout", integer(1000, 600_000)),
    parameter("heartbeat", integer(0, 3600)),
    parameter("log.channel.level", LEVELS),
    parameter("log.connection.level", LEVELS),
    parameter("log.console.formatter", Kind::Choice(&["plaintext", "json"])),
    parameter("log.console.level", LEVELS),
    parameter("log.queue.level", LEVELS),
    parameter("max_message_size", integer(1024, 536_870_912)),
    parameter("net_ticktime", integer(15, 600)),
    parameter("num_acceptors.tcp", integer(1, 1000)),
    parameter("queue_index_embed_msgs_below", integer(0, 1_048_576)),
    parameter("queue_leader_locator", Kind::Choice(&["client-local", "balanced"])),
    parameter("raft.wal_max_size_bytes", integer(16_777_216, 4_294_967_296)),
    parameter("tcp_listen_options.backlog", integer(16, 65_535)),
    parameter("tcp_listen_options.keepalive", BOOL),
    parameter("tcp_listen_options.nodelay", BOOL),
    parameter("tcp_listen_options.recbuf", integer(4096, 16_777_216)),
    parameter("tcp_listen_options.sndbuf", integer(4096, 16_777_216)),
    parameter("vm_memory_high_watermark.relative", Kind::Real { min: 0.1, max: 0.8 }),
];
