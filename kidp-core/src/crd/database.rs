//! `Database`: one database, asked for by an application team.

use super::service_kind::service_kind;
use crate::group::DATABASE_FINALIZER;
use crate::instance::BackupSpec;

service_kind! {
    /// Desired state of a database.
    Database { kind = "Database", plural = "databases", shortname = "db" }
    spec: DatabaseSpec,
    finalizer: DATABASE_FINALIZER,
    engine: "self != 'rabbitmq'" => "self + ' is a message queue, not a database'",
    backup: |spec| spec.backup.clone(),
    only: {
        /// Scheduled backups.
        #[serde(default)]
        #[x_kube(
            validation = Rule::new("!has(self.schedule) || self.schedule.matches('^([0-9*/,-]+) ([0-9*/,-]+) ([0-9*/,-]+) ([0-9*/,A-Z-]+) ([0-9*/,A-Z-]+)$')")
                .message("backup.schedule must be five cron fields, such as 0 3 * * *").field_path(".schedule"),
            validation = Rule::new("!has(self.retention) || self.retention.matches('^[1-9][0-9]{0,3}[dwmy]$')")
                .message("backup.retention must be a number and d, w, m or y, such as 30d").field_path(".retention"),
            validation = Rule::new("!self.pointInTimeRestore || self.enabled")
                .message("backup.pointInTimeRestore needs backup.enabled").field_path(".pointInTimeRestore"),
            validation = Rule::new("!self.enabled || has(self.schedule)")
                .message("backup.enabled needs backup.schedule").field_path(".schedule")
        )]
        pub backup: BackupSpec,
    }
}
