//! Parameters that are KIDP's own, or would cost data.

use crate::engines::parameters::Refusal;

/// Parameters that are not taken, and why.
pub(super) const REFUSED: &[Refusal] = &[
    (
        &[
            "data_directory",
            "config_file",
            "hba_file",
            "ident_file",
            "external_pid_file",
            "include",
        ],
        "is set by KIDP: the pod's mounts depend on it",
    ),
    (
        &["listen_addresses", "port", "unix_socket_*", "bonjour"],
        "is set by KIDP: the Service and the probes depend on it",
    ),
    (
        &[
            "ssl*",
            "password_encryption",
            "krb_*",
            "gss_*",
            "authentication_timeout",
        ],
        "is set by KIDP: how clients authenticate is spec.encryption's matter",
    ),
    (
        &[
            "archive_*",
            "restore_command",
            "recovery_*",
            "primary_*",
            "synchronous_standby_names",
            "hot_standby",
        ],
        "is set by KIDP: backup and replication are spec.backup's and spec.highAvailability's matter",
    ),
    (
        &[
            "fsync",
            "full_page_writes",
            "zero_damaged_pages",
            "ignore_checksum_failure",
            "ignore_invalid_pages",
        ],
        "is not to be changed: a crash would lose data",
    ),
    (
        &[
            "logging_collector",
            "log_destination",
            "log_directory",
            "log_filename",
            "huge_pages",
            "dynamic_shared_memory_type",
            "shared_memory_type",
        ],
        "is set by KIDP: it has to fit the container",
    ),
];
