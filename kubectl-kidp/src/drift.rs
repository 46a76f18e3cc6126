//! `drift`: what differs between what was applied and what the cluster holds. Nothing is written.

use kidp_broker::record::instance_of;
use kidp_core::crd::DriftStatus;
use kidp_provisioners::{ClusterFeatures, Drift, Registry};
use serde::Serialize;

use crate::cli::Global;
use crate::error::{Error, Result, Verdict};
use crate::kinds::{self, Reference};
use crate::output::{self, Format, Health, Paint};
use crate::record;
use crate::session::Session;

/// What differs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    object: String,
    /// What is seen now; values of Secrets are hidden.
    found: Drift,
    /// What the broker said last: what it leaves, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    told_by_broker: Option<DriftStatus>,
}

/// Compares an instance with its cluster.
pub async fn run(global: &Global, wanted: &Reference) -> Result<Verdict> {
    let session = Session::open(global).await?;
    let subject = kinds::get(&session, wanted).await?;
    let record = record::get(&session, &subject).await?;
    let doing = "asking for the cluster's features";
    let features = session
        .within(doing, ClusterFeatures::discover(&session.target))
        .await?;
    let instance = instance_of(&record, features);
    let registry = Registry::standard();
    let provisioner = registry.get(instance.resource_type, instance.spec.engine);
    let provisioner =
        provisioner.ok_or_else(|| Error::Sdk(format!("{} has no provisioner", instance.spec.engine)))?;
    let found = session
        .within("comparing", provisioner.drift(&session.target, &instance))
        .await?;
    let answer = Answer {
        object: wanted.to_string(),
        found,
        told_by_broker: record.status.and_then(|status| status.drift),
    };
    let paint = Paint::stdout(global.color);
    output::answer(global.output.unwrap_or(Format::Table), &answer, |answer| {
        text(answer, paint)
    })?;
    Ok(if answer.found.is_in_sync() {
        Verdict::Good
    } else {
        Verdict::Bad
    })
}

fn text(answer: &Answer, paint: Paint) -> String {
    let found = &answer.found;
    let mut lines = vec![kidp_drift::listing(&found.changes).to_string()];
    lines.extend(found.unknown.iter().map(|unknown| format!("? {unknown}\n")));
    let told = answer.told_by_broker.iter().flat_map(|told| &told.details);
    lines.extend(told.map(|line| format!("the broker leaves: {}\n", output::line(line))));
    lines.push(if found.is_in_sync() {
        format!("{}: {}\n", answer.object, paint.health(Health::Good, "in sync"))
    } else {
        let (count, gravest) = (found.changes.len(), found.consequence());
        let state = format!("{count} differences, {} not seen", found.unknown.len());
        format!(
            "{}: {}; putting them back means: {gravest}\n",
            answer.object,
            paint.health(Health::Bad, &state)
        )
    });
    lines.concat()
}
