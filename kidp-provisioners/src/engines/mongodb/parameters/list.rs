//! The list. Sorted by name; the third column says whether MongoDB reads it at its start only.

use crate::engines::parameters::{Kind, Parameter};

const BOOL: Kind = Kind::Choice(&["true", "false"]);
const COMPRESSOR: Kind = Kind::Choice(&["none", "snappy", "zlib", "zstd"]);

const fn integer(min: i64, max: i64) -> Kind {
    Kind::Integer { min, max }
}

const fn real(min: f64, max: f64) -> Kind {
    Kind::Real { min, max }
}

const fn parameter(name: &'static str, kind: Kind, restart: bool) -> Parameter {
    Parameter { name, kind, restart }
}

/// Every accepted parameter, by name.
#[rustfmt::skip]
pub const PARAMETERS: &[Parameter] = &[
    parameter("net.compression.compressors", Kind::List(&["snappy", "zstd", "zlib"]), true),
    parameter("net.maxIncomingConnections", integer(10, 65_536), true),
    parameter("operationProfiling.mode", Kind::Choice(&["off", "slowOp", "all"]), true),
    parameter("operationProfiling.slowOpSampleRate", real(0.0, 1.0), true),
    parameter("operationProfiling.slowOpThresholdMs", integer(0, 2_147_483_647), true),
    parameter("security.javascriptEnabled", BOOL, true),
    parameter("setParameter.cursorTimeoutMillis", integer(1000, 2_147_483_647), false),
    parameter("setParameter.diagnosticDataCollectionEnabled", BOOL, false),
    parameter("setParameter.internalQueryMaxBlockingSortMemoryUsageBytes", integer(1_048_576, 1_073_741_824), false),
    parameter("setParameter.localLogicalSessionTimeoutMinutes", integer(1, 10_080), true),
    parameter("setParameter.maxIndexBuildMemoryUsageMegabytes", integer(50, 4096), false),
    parameter("setParameter.notablescan", BOOL, false),
    parameter("setParameter.ttlMonitorEnabled", BOOL, false),
    parameter("setParameter.ttlMonitorSleepSecs", integer(1, 86_400), false),
    parameter("storage.syncPeriodSecs", integer(1, 3600), true),
    parameter("storage.wiredTiger.collectionConfig.blockCompressor", COMPRESSOR, true),
    parameter("storage.wiredTiger.engineConfig.cacheSizeGB", real(0.25, 10_000.0), true),
    parameter("storage.wiredTiger.engineConfig.journalCompressor", COMPRESSOR, true),
    parameter("storage.wiredTiger.indexConfig.prefixCompression", BOOL, true),
    parameter("systemLog.quiet", BOOL, true),
    parameter("systemLog.verbosity", integer(0, 5), false),
];
