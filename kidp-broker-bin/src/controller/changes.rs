//! Before a changed spec is applied: what it changes in the cluster is counted and written to the status, so that who asked
//! can see what is coming for as long as it is on its way.
//!
//! It is counted from reads alone: fields in which the rendered objects differ from those that are there. Fields that are
//! merely left out of the new rendering are not among them; `POST /v1/plan` knows those too, by dry runs. A count that
//! cannot be had keeps no spec from being applied.

use std::time::Duration;

use kidp_core::crd::{PendingChanges, ServiceInstance};
use kidp_drift::{Change, Consequence};
use kube::ResourceExt as _;

use super::dereference::dereference;
use super::{Context, ReconcileError, sync, validate, write};

/// Longest that counting takes.
const LIMIT: Duration = Duration::from_secs(5);

/// Counts and writes what the record's spec changes, if it is a changed one of which that was not said yet. Answers the
/// record as it is then.
pub async fn announce(
    record: &ServiceInstance,
    context: &Context,
) -> Result<Option<ServiceInstance>, ReconcileError> {
    if !is_due(record) {
        return Ok(None);
    }
    let Ok(subject) = dereference(record, &context.registry, context.features.current()) else {
        return Ok(None);
    };
    if validate::validate(&subject).is_err() {
        return Ok(None);
    }
    let drift = subject.provisioner.drift(&context.client, &subject.instance);
    let drift = match tokio::time::timeout(LIMIT, drift).await {
        Ok(Ok(drift)) => drift,
        Ok(Err(error)) => {
            tracing::debug!(id = record.name_any(), %error, "what changes cannot be told");
            return Ok(None);
        }
        Err(_) => {
            tracing::debug!(id = record.name_any(), "what changes could not be told in time");
            return Ok(None);
        }
    };
    let mut changed = record.clone();
    let status = changed.status.get_or_insert_default();
    status.changes = Some(count(record.spec.resource_generation, &drift.changes));
    write::status(&context.client, &changed).await.map(Some)
}

/// Whether another spec was in effect before, and nothing was said of this one.
fn is_due(record: &ServiceInstance) -> bool {
    let Some(status) = &record.status else {
        return false;
    };
    let said = status.changes.map(|changes| changes.generation);
    status.applied.is_some() && !sync::is_applied(record) && said != Some(record.spec.resource_generation)
}

/// The changes by what each does. What others added stays.
fn count(generation: i64, changes: &[Change]) -> PendingChanges {
    let of = |consequence: Consequence| {
        let same = changes
            .iter()
            .filter(|c| !c.added && c.consequence == consequence);
        u32::try_from(same.count()).unwrap_or(u32::MAX)
    };
    PendingChanges {
        generation,
        none: of(Consequence::None),
        reload: of(Consequence::Reload),
        rolling_restart: of(Consequence::RollingRestart),
        recreate: of(Consequence::Recreate),
        data_loss: of(Consequence::DataLoss),
    }
}

#[cfg(test)]
mod tests {
    use kidp_core::crd::ServiceInstanceStatus;

    use super::*;
    use crate::testing::record;

    #[test]
    fn a_changed_spec_is_counted_once() {
        let mut record = record();
        assert!(!is_due(&record), "new");
        record.status = Some(ServiceInstanceStatus {
            applied: Some(sync::fingerprint(&record)),
            ..ServiceInstanceStatus::default()
        });
        assert!(!is_due(&record), "as it was applied");
        record.spec.instance.version = "16".to_owned();
        assert!(is_due(&record));
        let status = record.status.as_mut().unwrap();
        status.changes = Some(count(record.spec.resource_generation, &[]));
        assert!(!is_due(&record), "said already");
        record.spec.resource_generation += 1;
        assert!(is_due(&record), "of an older spec");
    }

    #[test]
    fn each_change_counts_under_what_it_does() {
        let change = |consequence, added| Change {
            consequence,
            added,
            ..Change::missing("S/n")
        };
        let changes = [
            change(Consequence::RollingRestart, false),
            change(Consequence::RollingRestart, false),
            change(Consequence::Reload, false),
            change(Consequence::Recreate, true),
        ];
        let expected = PendingChanges {
            generation: 7,
            reload: 1,
            rolling_restart: 2,
            ..PendingChanges::default()
        };
        assert_eq!(count(7, &changes), expected);
        assert!(!expected.is_empty() && count(7, &changes[3..]).is_empty());
    }
}
