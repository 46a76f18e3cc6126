//! The programs' own decisions, asked once for every case that the model can come to.

use std::collections::HashMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kidp_broker::record::{self, Decision};
use kidp_broker::view;
use kidp_core::crd::{Phase, ServiceInstance, ServiceInstanceSpec, ServiceInstanceStatus};
use kidp_core::deployment::DeploymentId;
use kidp_operator::resource::plan::{Removal, Step, Wanted, plan_removal, plan_step};
use kidp_provisioners::Registry;
use serde_json::json;

use super::model::Record;

/// What the operator does about an answer to its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plan {
    /// Submit the spec.
    Submit,
    /// Ask again later.
    Wait,
    /// Take the result over.
    Finish,
    /// Anything else; the model never comes to it.
    Other,
}

/// What the broker does with a request that meets a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Nothing.
    Same,
    /// The record takes the spec.
    Update,
    /// Nothing: it is older.
    Stale,
    /// Refused.
    Refuse,
}

/// The answers, by case.
pub struct Judge {
    plans: HashMap<(u8, Option<Record>), Plan>,
    removals: HashMap<Option<Record>, Removal>,
    verdicts: HashMap<(Record, u8), Verdict>,
}

fn id() -> DeploymentId {
    DeploymentId::derive("eu", "shop", "Database", "orders", "uid-1")
}

/// The spec of a generation; each differs from the one before.
fn spec(generation: u8) -> ServiceInstanceSpec {
    let size = if generation == 1 { "small" } else { "medium" };
    serde_json::from_value(json!({
        "deploymentId": id(), "resourceType": "Database", "resourceName": "orders", "resourceUid": "uid-1",
        "resourceGeneration": generation, "team": "payments",
        "instance": {"engine": "postgresql", "version": "15", "size": size, "storage": {"size": "1Gi"}},
    }))
    .unwrap()
}

fn record(of: Record) -> ServiceInstance {
    let mut record = record::new("shop", spec(of.generation));
    record.metadata.generation = Some(i64::from(of.generation));
    if of.deleting {
        record.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
    }
    record.status = (of.ready > 0).then(|| ServiceInstanceStatus {
        phase: Phase::Ready,
        observed_generation: Some(i64::from(of.ready)),
        resource_generation: Some(i64::from(of.ready)),
        ..ServiceInstanceStatus::default()
    });
    record
}

impl Judge {
    /// Asks for every case.
    pub fn new() -> Self {
        let registry = Registry::standard();
        let every = Record::every();
        let mut judge = Self {
            plans: HashMap::new(),
            removals: HashMap::new(),
            verdicts: HashMap::new(),
        };
        for found in every.iter().copied().map(Some).chain([None]) {
            let answer = found.map(|found| view::status(&record(found)));
            judge.removals.insert(found, plan_removal(answer.as_ref()));
            for generation in [1, 2] {
                let wanted = Wanted {
                    id: id(),
                    generation: i64::from(generation),
                    spec: spec(generation).instance,
                };
                let plan = match plan_step(&wanted, answer.clone()) {
                    Step::Submit => Plan::Submit,
                    Step::Wait => Plan::Wait,
                    Step::Finish(_) => Plan::Finish,
                    _ => Plan::Other,
                };
                judge.plans.insert((generation, found), plan);
            }
        }
        for held in every {
            for generation in [1, 2] {
                let verdict = match record::decide(&registry, &record(held), &spec(generation)) {
                    Decision::Same => Verdict::Same,
                    Decision::Update => Verdict::Update,
                    Decision::Stale => Verdict::Stale,
                    Decision::Refuse(_) => Verdict::Refuse,
                };
                judge.verdicts.insert((held, generation), verdict);
            }
        }
        judge
    }

    /// `plan_step`.
    pub fn plan(&self, generation: u8, answer: Option<Record>) -> Plan {
        self.plans[&(generation, answer)]
    }

    /// `plan_removal`.
    pub fn removal(&self, answer: Option<Record>) -> Removal {
        self.removals[&answer]
    }

    /// `record::decide`.
    pub fn verdict(&self, held: Record, wanted: u8) -> Verdict {
        self.verdicts[&(held, wanted)]
    }
}
