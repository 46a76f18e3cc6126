//! The records in the cluster: reading, accepting and deleting them.
//!
//! # Guarantees
//! [`Records::accept`] returns only after the API server holds the record. It is idempotent: the record's name
//! is the deployment id, so a repeat, even from another process, meets the same record. Updates and deletions
//! carry the resource version (and UID) they were decided on, and are decided anew when it has moved on.

use kidp_core::crd::{ServiceInstance, ServiceInstanceSpec};
use kidp_core::deployment::DeploymentId;
use kidp_core::group::BROKER_FIELD_MANAGER;
use kidp_core::instance::DeletionPolicy;
use kidp_core::problem::{FieldError, Problem, Reason};
use kidp_core::trace::TraceParent;
use kidp_core::wire::PlanAction;
use kidp_provisioners::Registry;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::{Api, Client, ResourceExt as _};

use crate::error::from_kube;
use crate::record::{self, Decision};
use crate::tombstones::Tombstones;

const ATTEMPTS: usize = 4;

/// How a request was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A new record.
    Created,
    /// Nothing changed.
    Unchanged,
    /// The record has the new spec.
    Updated,
    /// A newer generation is known.
    Stale,
}

impl Taken {
    /// For a metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Unchanged => "unchanged",
            Self::Updated => "updated",
            Self::Stale => "stale",
        }
    }
}

/// What a request would be taken as.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// What it would do to the record.
    pub action: PlanAction,
    /// The record as it would be, where there is one already.
    pub record: Option<ServiceInstance>,
}

/// One broker's records in its cluster.
#[derive(Clone)]
pub struct Records {
    client: Client,
    broker: String,
    tombstones: Option<Tombstones>,
}

/// Parameters of every write.
pub fn post_params() -> PostParams {
    PostParams {
        field_manager: Some(BROKER_FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

impl Records {
    /// The records of the broker of this name, through `client`.
    pub fn new(client: Client, broker: impl Into<String>) -> Self {
        Self {
            client,
            broker: broker.into(),
            tombstones: None,
        }
    }

    /// The same, with a memory of what was removed.
    #[must_use]
    pub fn with_tombstones(mut self, tombstones: Tombstones) -> Self {
        self.tombstones = Some(tombstones);
        self
    }

    fn api(&self, namespace: Option<&str>) -> Api<ServiceInstance> {
        match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// The record of a deployment.
    pub async fn find(
        &self,
        id: &DeploymentId,
        namespace: Option<&str>,
    ) -> Result<Option<ServiceInstance>, Problem> {
        let only = ListParams::default().fields(&format!("metadata.name={id}"));
        let list = self.api(namespace).list(&only).await;
        let list = list.map_err(|e| from_kube("looking up a deployment", &e))?;
        Ok(list
            .items
            .into_iter()
            .find(|record| record::belongs_to(&self.broker, record)))
    }

    /// The records of a namespace, or all; those of one resource name, or all.
    pub async fn list(
        &self,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Result<Vec<ServiceInstance>, Problem> {
        let mut records = self.list_of_all_brokers(namespace, name).await?;
        records.retain(|record| record::belongs_to(&self.broker, record));
        Ok(records)
    }

    async fn list_of_all_brokers(
        &self,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Result<Vec<ServiceInstance>, Problem> {
        let mut params = ListParams::default();
        if let Some(name) = name {
            params = params.labels(&record::name_selector(name));
        }
        let list = self.api(namespace).list(&params).await;
        Ok(list.map_err(|e| from_kube("listing deployments", &e))?.items)
    }

    /// Records a request durably, with its place in a trace, or says why not. For that place alone nothing is written.
    pub async fn accept(
        &self,
        registry: &Registry,
        namespace: &str,
        wanted: &ServiceInstanceSpec,
        trace: Option<TraceParent>,
    ) -> Result<Taken, Problem> {
        let doing = "recording a request";
        let api = self.api(Some(namespace));
        self.refuse_taken_name(namespace, wanted).await?;
        self.refuse_entombed(doing, wanted).await?;
        let fresh = record::traced(record::new(namespace, wanted.clone()), trace);
        for _ in 0..ATTEMPTS {
            match api.create(&post_params(), &fresh).await {
                Ok(_) => return Ok(Taken::Created),
                Err(kube::Error::Api(status)) if status.is_already_exists() => {}
                Err(error) => return Err(from_kube(doing, &error)),
            }
            let existing = api.get_opt(wanted.deployment_id.as_str()).await;
            // Gone between the two: the next turn creates it.
            let Some(existing) = existing.map_err(|e| from_kube(doing, &e))? else {
                continue;
            };
            let wanted = &record::pinned(&existing, wanted);
            match record::decide(registry, &existing, wanted) {
                Decision::Same => return Ok(Taken::Unchanged),
                Decision::Stale => return Ok(Taken::Stale),
                Decision::Refuse(problem) => return Err(problem),
                Decision::Update => {}
            }
            let next = record::traced(updated(existing, wanted), trace);
            match api
                .replace(wanted.deployment_id.as_str(), &post_params(), &next)
                .await
            {
                Ok(_) => return Ok(Taken::Updated),
                Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {}
                Err(error) => return Err(from_kube(doing, &error)),
            }
        }
        Err(contended())
    }

    /// What [`Records::accept`] would make of a request, with the refusals that it would meet; nothing is written.
    pub async fn preview(
        &self,
        registry: &Registry,
        namespace: &str,
        wanted: &ServiceInstanceSpec,
    ) -> Result<Preview, Problem> {
        let doing = "planning a request";
        self.refuse_taken_name(namespace, wanted).await?;
        self.refuse_entombed(doing, wanted).await?;
        let api = self.api(Some(namespace));
        let existing = api.get_opt(wanted.deployment_id.as_str()).await;
        let Some(existing) = existing.map_err(|e| from_kube(doing, &e))? else {
            return Ok(Preview {
                action: PlanAction::Create,
                record: None,
            });
        };
        let wanted = &record::pinned(&existing, wanted);
        let action = match record::decide(registry, &existing, wanted) {
            Decision::Same => PlanAction::Unchanged,
            Decision::Stale => PlanAction::Stale,
            Decision::Update => PlanAction::Update,
            Decision::Refuse(problem) => return Err(problem),
        };
        Ok(Preview {
            action,
            record: Some(updated(existing, wanted)),
        })
    }

    /// Refuses a resource whose instance was removed for good.
    async fn refuse_entombed(&self, doing: &str, wanted: &ServiceInstanceSpec) -> Result<(), Problem> {
        let Some(tombstones) = &self.tombstones else {
            return Ok(());
        };
        let covers = tombstones.covers(wanted).await;
        if covers.map_err(|e| from_kube(doing, &e))? {
            let say = "this resource's instance was removed for good";
            let fault = FieldError::new("resourceUid", say);
            return Err(Problem::fields(Reason::Gone, vec![fault]));
        }
        Ok(())
    }

    /// Records a new deployment durably; `false` when there is a record of it already, which stays as it is.
    pub async fn create(
        &self,
        namespace: &str,
        wanted: &ServiceInstanceSpec,
        trace: Option<TraceParent>,
    ) -> Result<bool, Problem> {
        self.refuse_taken_name(namespace, wanted).await?;
        let fresh = record::traced(record::new(namespace, wanted.clone()), trace);
        match self.api(Some(namespace)).create(&post_params(), &fresh).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(false),
            Err(error) => Err(from_kube("recording a request", &error)),
        }
    }

    /// Gives a record a new spec, if it has not changed since it was read; `false` when it has.
    pub async fn replace(
        &self,
        existing: ServiceInstance,
        wanted: &ServiceInstanceSpec,
        trace: Option<TraceParent>,
    ) -> Result<bool, Problem> {
        let api = self.api(existing.metadata.namespace.as_deref());
        let name = existing.name_any();
        let next = record::traced(updated(existing, wanted), trace);
        match api.replace(&name, &post_params(), &next).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => Ok(false),
            Err(error) => Err(from_kube("recording a change", &error)),
        }
    }

    /// Refuses a name that another resource of the kind holds in the namespace.
    async fn refuse_taken_name(&self, namespace: &str, wanted: &ServiceInstanceSpec) -> Result<(), Problem> {
        let holder = self
            .list_of_all_brokers(Some(namespace), Some(&wanted.resource_name))
            .await?
            .into_iter()
            .find(|other| {
                other.spec.deployment_id != wanted.deployment_id
                    && other.spec.resource_type == wanted.resource_type
                    && other.spec.resource_name == wanted.resource_name
            });
        match holder {
            None => Ok(()),
            Some(holder) if record::is_deleting(&holder) => Err(Problem {
                details: vec![FieldError::new(
                    "resourceName",
                    "the previous resource of this name is being removed",
                )],
                ..Problem::new(
                    Reason::Unavailable,
                    "the previous resource of this name is still being removed; try again",
                )
            }),
            Some(holder) => Err(Problem::fields(
                Reason::Conflict,
                vec![FieldError::new(
                    "resourceName",
                    format!(
                        "is taken by another {} in this namespace, {}",
                        wanted.resource_type,
                        holder.name_any()
                    ),
                )],
            )),
        }
    }

    /// Remembers, before a removal, that the deployment is never to be made again: a request for it that was delayed on
    /// its way is refused from here on.
    pub async fn entomb(&self, id: &DeploymentId) -> Result<(), Problem> {
        match &self.tombstones {
            Some(tombstones) => {
                let set = tombstones.set(id).await;
                set.map_err(|e| from_kube("remembering a removal", &e))
            }
            None => Ok(()),
        }
    }

    /// Starts the removal of a deployment. `false` when there is none.
    pub async fn delete(
        &self,
        id: &DeploymentId,
        namespace: Option<&str>,
        policy: Option<DeletionPolicy>,
    ) -> Result<bool, Problem> {
        let doing = "removing a deployment";
        for _ in 0..ATTEMPTS {
            let Some(found) = self.find(id, namespace).await? else {
                return Ok(false);
            };
            if record::is_deleting(&found) {
                return Ok(true);
            }
            let api = self.api(found.metadata.namespace.as_deref());
            match delete_as_seen(&api, found, policy).await {
                Ok(()) => return Ok(true),
                Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {}
                Err(error) => return Err(from_kube(doing, &error)),
            }
        }
        Err(contended())
    }

    /// Whether records can be read: the API server answers, the CRD is there and the broker may list.
    pub async fn reachable(&self) -> Result<(), kube::Error> {
        let one = ListParams::default().limit(1);
        self.api(None).list_metadata(&one).await.map(|_| ())
    }
}

/// Deletes a record, if it has not changed since it was read, by this policy or its own.
pub(crate) async fn delete_as_seen(
    api: &Api<ServiceInstance>,
    mut seen: ServiceInstance,
    policy: Option<DeletionPolicy>,
) -> kube::Result<()> {
    let name = seen.name_any();
    if let Some(policy) = policy.filter(|p| *p != seen.spec.instance.deletion_policy) {
        seen.spec.instance.deletion_policy = policy;
        seen = api.replace(&name, &post_params(), &seen).await?;
    }
    let params = DeleteParams::background().preconditions(Preconditions {
        uid: seen.metadata.uid,
        resource_version: seen.metadata.resource_version,
    });
    api.delete(&name, &params).await.map(|_| ())
}

fn updated(mut existing: ServiceInstance, wanted: &ServiceInstanceSpec) -> ServiceInstance {
    existing.labels_mut().extend(record::record_labels(wanted));
    existing.spec = wanted.clone();
    existing
}

/// The record changes whenever it is looked at.
pub(crate) fn contended() -> Problem {
    Problem::new(Reason::ConcurrencyError, "the record keeps changing; try again")
}
