//! The judgement of one request: does what it names exist, may it name that, and is there room.
//!
//! | object | looked at | refused with |
//! |---|---|---|
//! | `Database`, `Cache`, `MessageQueue`: created, or its owner changed | owner, team, tenant | `spec.owner` |
//! | the same: made dearer | the team's budget | the field that was changed |
//! | `Application`: created | team, tenant | `spec.teamRef` |
//! | `Team`: created with a tenant, or given one | tenant | `spec.tenantRef` |
//!
//! Anything else passes. What cannot be judged is no yes: the API server hears an error, and refuses.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kidp_core::cost::Amount;
use kidp_core::crd::{Application, Cache, Database, LocalRef, MessageQueue, ServiceResource, Team};
use kidp_core::instance::{InstanceSpec, OwnerKind};
use kidp_core::problem::{FieldError, Problem, Reason};
use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation};
use kube::core::response::{StatusCause, StatusDetails};
use thiserror::Error;

use super::ledger::{Ledger, LedgerError, Scope};
use super::quota::{self, Bound, Item, Limit, Limits, What};
use super::view::{View, what_of};
use crate::cache::{namespace_of, resolve, resolve_owner};
use crate::kube_io::WriteError;
use crate::metrics::Metrics;
use crate::tenancy::rights;

/// Why a request could not be judged.
#[derive(Debug, Error)]
pub enum JudgeError {
    /// The cluster was not listed yet, or cannot be asked.
    #[error("the cluster is not known yet; try again")]
    NotReady,
    /// The API server did not answer a question.
    #[error(transparent)]
    Ask(#[from] WriteError),
    /// No account could be kept.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The object is not what its kind says.
    #[error("the object cannot be read: {0}")]
    Object(String),
}

/// Who judges.
pub struct Judge {
    /// What is known.
    pub view: View,
    /// What is promised.
    pub ledger: Ledger,
    /// What is counted.
    pub metrics: Metrics,
}

/// Answers an `AdmissionReview`.
pub async fn admit(
    State(judge): State<Arc<Judge>>,
    Json(review): Json<AdmissionReview<DynamicObject>>,
) -> Response {
    let request: AdmissionRequest<DynamicObject> = match review.try_into() {
        Ok(request) => request,
        Err(_) => return (StatusCode::BAD_REQUEST, "no request").into_response(),
    };
    let response = AdmissionResponse::from(&request);
    let began = Instant::now();
    let judgement = judge.judge(&request).await;
    let verdict = match &judgement {
        Ok(None) => "allowed",
        Ok(Some(_)) => "refused",
        Err(_) => "error",
    };
    judge
        .metrics
        .judged(kind_word(&request.kind.kind), verdict, began.elapsed());
    match judgement {
        Ok(None) => Json(response.into_review()).into_response(),
        Ok(Some(problem)) => {
            tracing::info!(kind = %request.kind.kind, namespace = ?request.namespace, name = %request.name,
                refusal = %problem.message, "refused at admission");
            Json(refused(response, problem).into_review()).into_response()
        }
        Err(error) => {
            tracing::warn!(kind = %request.kind.kind, %error, "cannot judge a request");
            (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response()
        }
    }
}

/// The kind of a request as a label, for which a request's own words are not taken.
fn kind_word(kind: &str) -> &'static str {
    let known = ["Database", "Cache", "MessageQueue", "Application", "Team"];
    known.into_iter().find(|known| *known == kind).unwrap_or("other")
}

/// The refusal as the API server passes it on: the message, and the fields as causes.
fn refused(response: AdmissionResponse, problem: Problem) -> AdmissionResponse {
    let mut response = response.deny(&problem.message);
    response.result.code = problem.code;
    let reason = match problem.error {
        Reason::Forbidden => "Forbidden",
        _ => "Invalid",
    };
    reason.clone_into(&mut response.result.reason);
    let causes = problem.details.into_iter().map(|fault| StatusCause {
        reason: "FieldValueInvalid".to_owned(),
        message: fault.message,
        field: fault.field,
    });
    response.result.details = Some(StatusDetails {
        causes: causes.collect(),
        name: String::new(),
        group: String::new(),
        kind: String::new(),
        uid: String::new(),
        retry_after_seconds: 0,
    });
    response
}

fn fault(field: &str, message: String) -> Problem {
    Problem::fields(Reason::InvalidField, vec![FieldError::new(field, message)])
}

fn parsed<K: kube::Resource + serde::de::DeserializeOwned>(object: &DynamicObject) -> Result<K, JudgeError> {
    object
        .clone()
        .try_parse()
        .map_err(|error| JudgeError::Object(error.to_string()))
}

/// The field that makes a change dearer, as far as one does.
fn grown(before: &InstanceSpec, after: &InstanceSpec) -> &'static str {
    if before.size != after.size {
        "spec.size"
    } else if before.storage != after.storage {
        "spec.storage"
    } else if before.high_availability != after.high_availability {
        "spec.highAvailability"
    } else {
        "spec"
    }
}

/// What room is asked for.
struct Place<'a> {
    /// The field that asks.
    field: &'a str,
    /// The object.
    item: &'a Item,
    /// Whether it is there already, and only its cost counts.
    money_only: bool,
}

impl Judge {
    async fn judge(&self, request: &AdmissionRequest<DynamicObject>) -> Result<Option<Problem>, JudgeError> {
        let Some(object) = &request.object else {
            return Ok(None);
        };
        if !matches!(request.operation, Operation::Create | Operation::Update) {
            return Ok(None);
        }
        if !self.view.is_ready().await {
            return Err(JudgeError::NotReady);
        }
        let mut object = object.clone();
        // The request's namespace is the truth; the object may leave it out.
        object.metadata.namespace = request.namespace.clone().or(object.metadata.namespace);
        let name = object.metadata.name.get_or_insert_default();
        if name.is_empty() {
            // Named by the API server later on: the request itself is what the place is for.
            name.clone_from(&request.uid);
        }
        let old = request.old_object.as_ref();
        match request.kind.kind.as_str() {
            "Database" => self.service::<Database>(&object, old, request.dry_run).await,
            "Cache" => self.service::<Cache>(&object, old, request.dry_run).await,
            "MessageQueue" => self.service::<MessageQueue>(&object, old, request.dry_run).await,
            "Application" => self.application(&object, old, request.dry_run).await,
            "Team" => self.team(&object, old, request.dry_run).await,
            _ => Ok(None),
        }
    }

    async fn service<K: ServiceResource>(
        &self,
        object: &DynamicObject,
        old: Option<&DynamicObject>,
        dry_run: bool,
    ) -> Result<Option<Problem>, JudgeError> {
        const FIELD: &str = "spec.owner";
        let resource: K = parsed(object)?;
        let before = old.map(parsed::<K>).transpose()?;
        if let Some(before) = before.filter(|before| before.owner() == resource.owner()) {
            return self.growth(&before, &resource, dry_run).await;
        }
        let reference = match self.team_behind(&resource).await? {
            Ok(reference) => reference,
            Err(message) => return Ok(Some(fault(FIELD, message))),
        };
        let item = (
            what_of(K::TYPE),
            &*namespace_of(&resource),
            &*resource.name_any(),
            self.view.monthly(&resource),
        );
        self.of_team(FIELD, item, &reference, dry_run).await
    }

    /// The team that answers for a resource, or why there is none.
    async fn team_behind<K: ServiceResource>(
        &self,
        resource: &K,
    ) -> Result<Result<LocalRef, String>, JudgeError> {
        let (kind, namespace, name) = resolve_owner(resource.owner(), &namespace_of(resource));
        if kind == OwnerKind::Team {
            let namespace = Some(namespace);
            return Ok(Ok(LocalRef { name, namespace }));
        }
        let Some(application) = self.view.application(&namespace, &name).await? else {
            let message = format!("there is no Application `{name}` in namespace `{namespace}`");
            return Ok(Err(message));
        };
        if let Some(refusal) = rights::refusal_of_application(&application, &self.view.caches) {
            return Ok(Err(refusal));
        }
        let (namespace, name) = resolve(&application.spec.team_ref, &namespace);
        let namespace = Some(namespace);
        Ok(Ok(LocalRef { name, namespace }))
    }

    /// Whether the team's budget has room for a resource that becomes dearer. What does not become dearer passes, however
    /// much there is; so does what names an owner that is not there any more, since it named it before.
    async fn growth<K: ServiceResource>(
        &self,
        before: &K,
        resource: &K,
        dry_run: bool,
    ) -> Result<Option<Problem>, JudgeError> {
        let monthly = self.view.monthly(resource);
        if monthly <= self.view.monthly(before) {
            return Ok(None);
        }
        let Ok(reference) = self.team_behind(resource).await? else {
            return Ok(None);
        };
        let namespace = namespace_of(resource);
        let key = resolve(&reference, &namespace);
        let Some(team) = self.view.team(&key.0, &key.1).await? else {
            return Ok(None);
        };
        let item = Item {
            what: what_of(K::TYPE),
            namespace,
            name: resource.name_any(),
            team: key,
            monthly,
        };
        let field = grown(&before.instance(), &resource.instance());
        let place = Place {
            field,
            item: &item,
            money_only: true,
        };
        self.room(place, &team, dry_run).await
    }

    async fn application(
        &self,
        object: &DynamicObject,
        old: Option<&DynamicObject>,
        dry_run: bool,
    ) -> Result<Option<Problem>, JudgeError> {
        let application: Application = parsed(object)?;
        if let Some(old) = old
            && parsed::<Application>(old)?.spec.team_ref == application.spec.team_ref
        {
            return Ok(None);
        }
        let namespace = namespace_of(&application);
        let item = (
            What::Application,
            namespace.as_str(),
            &*application.name_any(),
            None,
        );
        self.of_team("spec.teamRef", item, &application.spec.team_ref, dry_run)
            .await
    }

    /// What is asked of everything that a team owns.
    async fn of_team(
        &self,
        field: &str,
        (what, namespace, name, monthly): (What, &str, &str, Option<u64>),
        reference: &LocalRef,
        dry_run: bool,
    ) -> Result<Option<Problem>, JudgeError> {
        let key = resolve(reference, namespace);
        let Some(team) = self.view.team(&key.0, &key.1).await? else {
            let message = format!("there is no Team `{}` in namespace `{}`", key.1, key.0);
            return Ok(Some(fault(field, message)));
        };
        if let Some(refusal) = rights::refusal(&team, namespace, &self.view.caches) {
            return Ok(Some(fault(field, refusal)));
        }
        let item = Item {
            what,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            team: key,
            monthly,
        };
        let place = Place {
            field,
            item: &item,
            money_only: false,
        };
        self.room(place, &team, dry_run).await
    }

    async fn team(
        &self,
        object: &DynamicObject,
        old: Option<&DynamicObject>,
        dry_run: bool,
    ) -> Result<Option<Problem>, JudgeError> {
        let team: Team = parsed(object)?;
        let had = old.map(parsed::<Team>).transpose()?;
        if team.spec.tenant_ref.is_none()
            || had.is_some_and(|old| old.spec.tenant_ref == team.spec.tenant_ref)
        {
            return Ok(None);
        }
        let key = (namespace_of(&team), team.name_any());
        let item = Item {
            what: What::Team,
            namespace: key.0.clone(),
            name: key.1.clone(),
            team: key,
            monthly: None,
        };
        let place = Place {
            field: "spec.tenantRef",
            item: &item,
            money_only: false,
        };
        self.room(place, &team, dry_run).await
    }

    /// The team's budget, where it is in the currency of the prices.
    fn budget(&self, team: &Team) -> Option<Limit> {
        let budget = team.spec.budget.as_ref()?;
        let currency = self.view.currency()?;
        if budget.currency.as_ref().is_some_and(|wanted| *wanted != currency) {
            return None;
        }
        let limit = Amount::of_number(budget.monthly_limit)?;
        Some(Limit {
            monthly: limit.hundredths(),
            currency,
        })
    }

    /// Whether there is room, and a promise of it.
    async fn room(
        &self,
        Place {
            field,
            item,
            money_only,
        }: Place<'_>,
        team: &Team,
        dry_run: bool,
    ) -> Result<Option<Problem>, JudgeError> {
        let mut limits = Limits {
            team: team.spec.quotas.clone().unwrap_or_default(),
            budget: self.budget(team),
            tenant: None,
        };
        let mut scope = Scope {
            kind: "Team",
            namespace: item.team.0.clone(),
            name: item.team.1.clone(),
        };
        if let Some(reference) = &team.spec.tenant_ref {
            let (namespace, name) = resolve(reference, &namespace_of(team));
            let Some(tenant) = self.view.tenant(&namespace, &name).await? else {
                let message = format!("there is no Tenant `{name}` in namespace `{namespace}`");
                return Ok(Some(fault(field, message)));
            };
            let quotas = tenant.spec.quotas.clone().unwrap_or_default();
            limits.tenant = Some(((namespace.clone(), name.clone()), quotas));
            scope = Scope {
                kind: "Tenant",
                namespace,
                name,
            };
        }
        let of_tenant = limits.tenant.is_some();
        if money_only {
            limits = limits.of_money();
        }
        if !quota::is_limited(item, &limits) {
            return Ok(None);
        }
        let seen = || -> BTreeSet<Item> {
            if of_tenant {
                self.view.items_of_tenant(&scope.namespace, &scope.name)
            } else {
                self.view.items_of(team).into_iter().collect()
            }
        };
        let judge = |there: &BTreeSet<Item>| quota::exceeded(item, &limits, there);
        let exceeded = self.ledger.promise(&scope, item, dry_run, seen, judge).await?;
        let faults: Vec<_> = exceeded.iter().map(|bound: &Bound| bound.at(field)).collect();
        Ok((!faults.is_empty()).then(|| Problem::fields(Reason::Forbidden, faults)))
    }
}
