//! Parameters that are KIDP's own, or would open the door.

use crate::engines::parameters::Refusal;

pub(super) const REFUSED: &[Refusal] = &[
    (
        &[
            "dir",
            "dbfilename",
            "appendfilename",
            "appenddirname",
            "include",
            "pidfile",
            "logfile",
            "daemonize",
            "supervised",
            "syslog-*",
            "unixsocket*",
        ],
        "is set by KIDP: the pod's mounts depend on it",
    ),
    (
        &["port", "bind*", "socket-mark-id"],
        "is set by KIDP: the Service and the probes depend on it",
    ),
    (
        &[
            "requirepass",
            "masterauth",
            "masteruser",
            "user",
            "acl*",
            "protected-mode",
            "rename-command",
            "enable-*",
            "loadmodule",
        ],
        "is set by KIDP: who may do what is not a parameter's matter",
    ),
    (
        &["tls-*"],
        "is set by KIDP: how clients connect is spec.encryption's matter",
    ),
    (
        &[
            "replica*",
            "slave*",
            "repl-*",
            "min-replicas-*",
            "min-slaves-*",
            "cluster-*",
            "sentinel",
        ],
        "is set by KIDP: replication is spec.highAvailability's matter",
    ),
    (
        &["activedefrag", "active-defrag-*", "jemalloc-bg-thread"],
        "is not accepted: a server that was built with another allocator does not start with it",
    ),
    // With it, a server reads its log at its start and nothing else; without it, its snapshot and nothing else.
    // <https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/>
    (
        &["appendonly"],
        "is set by KIDP: changed at a restart it would drop the data, which is in the other file; \
         `appendfsync` says how much a write costs",
    ),
    (
        &["shutdown-*"],
        "is set by KIDP: a pod that stops has to save its data",
    ),
];
