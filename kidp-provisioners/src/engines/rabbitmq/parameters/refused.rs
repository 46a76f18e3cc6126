//! Parameters that are KIDP's own, or would cost data.

use crate::engines::parameters::Refusal;

/// Parameters that are not taken, and why.
pub(super) const REFUSED: &[Refusal] = &[
    (
        &[
            "listeners.*",
            "management.tcp.*",
            "distribution.*",
            "prometheus.*",
        ],
        "is set by KIDP: the Services, the NetworkPolicy and the probes depend on it",
    ),
    (
        &[
            "cluster_formation.*",
            "cluster_partition_handling*",
            "cluster_nodes*",
        ],
        "is set by KIDP: how nodes find each other is spec.highAvailability's matter",
    ),
    (
        &[
            "default_user*",
            "default_pass",
            "default_vhost",
            "default_permissions.*",
            "loopback_users*",
            "anonymous_login_*",
        ],
        "is set by KIDP: the connection Secret depends on it",
    ),
    (
        &[
            "auth_*",
            "ssl_*",
            "credential_validator.*",
            "password_hashing_module",
        ],
        "is set by KIDP: how clients authenticate is spec.encryption's matter",
    ),
    (
        &["load_definitions", "definitions.*"],
        "is not taken: definitions are the application's own, and are declared through its connection",
    ),
    (
        &[
            "total_memory_available_override_value",
            "vm_memory_high_watermark.absolute",
            "vm_memory_calculation_strategy",
        ],
        "is set by KIDP: memory is spec.size's matter; vm_memory_high_watermark.relative is accepted",
    ),
    (
        &["disk_free_limit.relative", "raft.data_dir", "stream.data_dir"],
        "is set by KIDP: it has to fit the volume; disk_free_limit.absolute is accepted",
    ),
    (
        &[
            "log.file*",
            "log.console",
            "log.console.stdio",
            "log.dir",
            "log.syslog*",
            "log.exchange*",
            "log.journald*",
        ],
        "is set by KIDP: the log is the container's",
    ),
];
