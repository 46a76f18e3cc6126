//! `plan`: what a changed file would do, and what that costs in restarts. Nothing is written.
//!
//! By default the renderings of what is there and of what is asked for are compared, so that the right to read the resource is
//! enough, and with `--against` not even that. `--live` asks the target cluster by dry runs, as the broker's `/v1/plan` does:
//! then what others did to the objects is in it, too.

use std::fmt::Write as _;
use std::path::PathBuf;

use kidp_broker::record::instance_of;
use kidp_core::problem::FieldError;
use kidp_core::revision::Revision;
use kidp_provisioners::plan::between;
use kidp_provisioners::{ClusterFeatures, Consequence, Instance, Plan, Provisioner};
use serde::Serialize;
use serde_json::Value;

use crate::cli::Global;
use crate::documents::{self, Document};
use crate::error::{Error, Result, Verdict};
use crate::kinds::{self, Reference, Subject};
use crate::output::{self, Format, Health, Paint};
use crate::record;
use crate::session::Session;
use crate::validate::{Checked, Checker, features};

/// What would become of one service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Planned {
    object: String,
    /// `create`, `update`, `unchanged` or `refused`.
    action: &'static str,
    /// What clients would notice.
    interruption: &'static str,
    /// What an API server or a broker would refuse.
    errors: Vec<FieldError>,
    #[serde(flatten)]
    plan: Plan,
}

/// Where what is there is read.
enum There<'a> {
    Cluster(Box<Session>),
    Files(&'a [PathBuf]),
}

/// Plans every service of `files`.
pub async fn run(global: &Global, files: &[PathBuf], against: &[PathBuf], live: bool) -> Result<Verdict> {
    let wanted = documents::services(files)?;
    let there = if against.is_empty() {
        There::Cluster(Box::new(Session::open(global).await?))
    } else {
        There::Files(against)
    };
    let namespace = match &there {
        There::Cluster(session) => session.namespace.clone(),
        There::Files(_) => global.namespace.clone().unwrap_or_else(|| "default".to_owned()),
    };
    let checker = Checker::new(features(&[]), &namespace);
    let mut planned = Vec::new();
    for (document, subject) in &wanted {
        planned.push(Box::pin(plan(&checker, &there, document, subject, live)).await?);
    }
    let paint = Paint::stdout(global.color);
    output::answer(global.output.unwrap_or(Format::Table), &planned, |planned| {
        planned
            .iter()
            .map(|planned| text(planned, paint))
            .collect::<Vec<_>>()
            .join("\n")
    })?;
    let is_good = |planned: &Planned| {
        let plan = &planned.plan;
        planned.errors.is_empty() && plan.refusals.is_empty() && plan.consequence < Consequence::DataLoss
    };
    Ok(if planned.iter().all(is_good) {
        Verdict::Good
    } else {
        Verdict::Bad
    })
}

/// What is there of a service: its object, as it was read.
struct Old {
    subject: Subject,
    value: Value,
}

async fn old(there: &There<'_>, wanted: &Subject) -> Result<Option<Old>> {
    let reference = Reference {
        kind: wanted.kind,
        name: wanted.name().to_owned(),
    };
    match there {
        There::Files(paths) => {
            let found = documents::any_services(paths)?
                .into_iter()
                .find(|(_, subject)| is_same(subject, wanted));
            Ok(found.map(|(document, subject)| Old {
                subject,
                value: document.value,
            }))
        }
        There::Cluster(session) => {
            let mut session = session.as_ref().clone();
            if !wanted.namespace().is_empty() {
                wanted.namespace().clone_into(&mut session.namespace);
            }
            let found = kinds::find_with_value(&session, &reference).await?;
            Ok(found.map(|(subject, value)| Old { subject, value }))
        }
    }
}

fn is_same(a: &Subject, b: &Subject) -> bool {
    let namespaces = [a.namespace(), b.namespace()];
    let is_near = namespaces[0] == namespaces[1] || namespaces.contains(&"");
    a.kind == b.kind && a.name() == b.name() && is_near
}

async fn plan(
    checker: &Checker,
    there: &There<'_>,
    document: &Document,
    wanted: &Subject,
    live: bool,
) -> Result<Planned> {
    let old = old(there, wanted).await?;
    let errors = match checker.check(document, old.as_ref().map(|old| &old.value))? {
        Checked::Faults(faults) => faults,
        Checked::NotOurs => Vec::new(),
    };
    let mut planned = Planned {
        object: document.key(),
        action: "refused",
        interruption: interruption(Consequence::None, 1),
        errors,
        plan: Plan::default(),
    };
    let instance = checker.instance(wanted);
    let Some(provisioner) = checker
        .registry()
        .get(instance.resource_type, instance.spec.engine)
    else {
        return Ok(planned);
    };
    if !planned.errors.is_empty() {
        return Ok(planned);
    }
    let members = instance.spec.members();
    let before = old.as_ref().map(|old| checker.instance(&old.subject));
    let provisioner = provisioner.as_ref();
    planned.plan = match there {
        There::Cluster(session) => {
            Box::pin(of_cluster(session, provisioner, old.as_ref(), instance, live)).await?
        }
        There::Files(_) if live => {
            return Err(Error::Usage("--live and --against exclude each other".to_owned()));
        }
        There::Files(_) => rendered(provisioner, before, instance, provisioner.latest_revision())?,
    };
    planned.action = match old {
        None => "create",
        Some(_) if planned.plan.is_empty() => "unchanged",
        Some(_) => "update",
    };
    planned.interruption = interruption(planned.plan.consequence, members);
    Ok(planned)
}

/// Both as the broker would render them: with the revision of its record, where that can be read.
async fn of_cluster(
    session: &Session,
    provisioner: &dyn Provisioner,
    old: Option<&Old>,
    instance: Instance,
    live: bool,
) -> Result<Plan> {
    let record = match old {
        Some(old) => record::find(session, &old.subject).await,
        None => Ok(None),
    };
    if !live {
        // Who may not read it is shown the newest rendering.
        let made = record
            .ok()
            .flatten()
            .map(|record| instance_of(&record, instance.features));
        let revision = made
            .as_ref()
            .map_or(provisioner.latest_revision(), |made| made.revision);
        let after = Instance {
            spec: instance.spec.clone(),
            ..made.unwrap_or(instance)
        };
        let before = old.map(|old| Instance {
            spec: old.subject.instance.clone(),
            ..after.clone()
        });
        return rendered(provisioner, before, after, revision);
    }
    let record = record?;
    let features = session
        .within(
            "asking for the cluster's features",
            ClusterFeatures::discover(&session.target),
        )
        .await?;
    let instance = match &record {
        Some(record) => Instance {
            spec: instance.spec,
            ..instance_of(record, features)
        },
        None => Instance {
            features,
            revision: provisioner.latest_revision(),
            ..instance
        },
    };
    session
        .within("planning", provisioner.plan(&session.target, &instance))
        .await
}

fn rendered(
    provisioner: &dyn Provisioner,
    before: Option<Instance>,
    after: Instance,
    revision: Revision,
) -> Result<Plan> {
    let before = before.map(|before| Instance { revision, ..before });
    let after = Instance { revision, ..after };
    between(provisioner, before.as_ref(), &after).map_err(|error| Error::Sdk(error.to_string()))
}

/// What clients notice of a change.
const fn interruption(consequence: Consequence, members: u32) -> &'static str {
    match (consequence, members) {
        (Consequence::None, _) => "none",
        (Consequence::Reload, _) => "none; the engine takes it on while it runs",
        (Consequence::RollingRestart, 1) => "down while its only pod restarts",
        (Consequence::RollingRestart, _) => "pods restart one after another; clients reconnect",
        (Consequence::Recreate, _) => "down while an object is made again; the data stays",
        (Consequence::DataLoss, _) => "the data would be lost or not be opened; it is not done",
    }
}

fn text(planned: &Planned, paint: Paint) -> String {
    let mut text = format!("{}: {}\n", paint.strong(&planned.object), planned.action);
    for error in &planned.errors {
        let _ = writeln!(text, "! {}: {}", error.field, output::line(&error.message));
    }
    if planned.action == "refused" {
        return text;
    }
    text.push_str(&planned.plan.to_string());
    let health = match planned.plan.consequence {
        Consequence::None | Consequence::Reload => Health::Good,
        Consequence::RollingRestart | Consequence::Recreate => Health::Open,
        Consequence::DataLoss => Health::Bad,
    };
    let _ = writeln!(
        text,
        "\ninterruption: {}",
        paint.health(health, planned.interruption)
    );
    text
}
