//! Parameters that are KIDP's own, or would cost data.

use crate::engines::parameters::Refusal;

/// Parameters that are not taken, and why. Names are in lower case.
pub(super) const REFUSED: &[Refusal] = &[
    (
        &[
            "storage.dbpath",
            "storage.engine",
            "storage.directoryperdb",
            "storage.wiredtiger.engineconfig.directoryforindexes",
        ],
        "is set by KIDP: the volume holds the data in one form, from the first start on",
    ),
    (
        &["net.port", "net.bindip*", "net.ipv6", "net.unixdomainsocket.*"],
        "is set by KIDP: the Service and the probes depend on it",
    ),
    (
        &[
            "net.tls.*",
            "net.ssl.*",
            "setparameter.authenticationmechanisms",
            "setparameter.enablelocalhostauthbypass",
        ],
        "is set by KIDP: how clients authenticate is spec.encryption's matter",
    ),
    (
        &[
            "security.authorization",
            "security.keyfile",
            "security.clusterauthmode",
            "security.transitiontoauth",
        ],
        "is set by KIDP: without a login anyone could read the data",
    ),
    (
        &["replication.*", "sharding.*", "storage.oplogminretentionhours"],
        "is set by KIDP: members are spec.highAvailability's matter",
    ),
    (
        &["storage.journal.*"],
        "is not to be changed: a crash would lose data",
    ),
    (
        &[
            "systemlog.destination",
            "systemlog.path",
            "systemlog.logappend",
            "systemlog.logrotate",
            "processmanagement.*",
        ],
        "is set by KIDP: it has to fit the container",
    ),
];
