//! What `provision` would do, by dry runs: the API server says what it would make of each object, and nothing is
//! written.
//!
//! An object that differs is applied as `provision` would do it, but as a dry run, and what comes back is compared with
//! what there is: with defaults, with what admission changes, and with fields that are left out now and would go. Where
//! the dry run is refused, the rendered object is compared instead and the refusal is told.
//!
//! Claim templates cannot be changed in place; `provision` makes the StatefulSet again around its pods. So the dry run
//! is asked for everything but them.

use std::borrow::Cow;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kidp_core::group::BROKER_FIELD_MANAGER;
use kidp_drift::{Change, Consequence, Unknown};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde_json::{Value, json};

use super::credentials::{self, Found};
use super::drift::{compare, judged, seen};
use super::request::Cluster;
use super::shape::{self, Shape};
use super::write::{as_json, is_due};
use super::{ApplyError, REQUEST_TIMEOUT, adopt, certificate, check_version, ownership, volumes};
use crate::instance::Instance;
use crate::manifests::{BuildError, Manifests, Object, Prepared};
use crate::plan::{Plan, Refusal, Requested, changes, turned};
use crate::provisioner::Provisioner;
use crate::resources::certificate::secret_name;
use crate::resources::meta::Scope;
use crate::revision;

const TEMPLATES: &str = "volumeClaimTemplates";
const POLICY: &str = "podManagementPolicy";

pub(crate) async fn plan<P: Provisioner + ?Sized>(
    provisioner: &P,
    client: &Client,
    instance: &Instance,
) -> Result<Plan, ApplyError> {
    let cluster = Cluster::new(client, instance, REQUEST_TIMEOUT);
    match plan_once(provisioner, &cluster, instance).await {
        // Nothing could be rendered or told apart; that is the plan.
        Err(error) if is_refusal(&error) => Ok(Plan {
            refusals: vec![refusal(error)],
            ..Plan::default()
        }),
        result => result,
    }
}

async fn plan_once<P: Provisioner + ?Sized>(
    provisioner: &P,
    cluster: &Cluster<'_>,
    instance: &Instance,
) -> Result<Plan, ApplyError> {
    let mut unknown = Vec::new();
    let instance: Cow<'_, Instance> = match seen(certificate::dereference(cluster, instance).await)? {
        Ok(instance) => instance,
        // What is rendered from it is rendered without it.
        Err(reason) => {
            let object = format!("Secret/{}", secret_name(&Scope::new(instance)));
            unknown.push(Unknown { object, reason });
            Cow::Borrowed(instance)
        }
    };
    let scope = &Scope::new(&instance);
    let found = seen(credentials::find(cluster, scope).await)?;
    // One that may not be read may well be there.
    let has_secret = !matches!(found, Ok(None)) || scope.adopted().is_some();
    let found = found.unwrap_or_default();
    let credentials = match &found {
        Some(found) => found.credentials.clone(),
        None => credentials::first(provisioner, cluster, scope).await?,
    };
    let manifests = revision::build(provisioner, scope.instance, &credentials)?;
    let mut draft = Draft {
        provisioner,
        cluster,
        scope,
        plan: Plan {
            unknown,
            ..Plan::default()
        },
    };
    let is_new = draft.check(&manifests, found.as_ref(), has_secret).await?;
    let reads = manifests.objects().iter();
    let reads = join_all(reads.map(|object| cluster.get(object.resource(), object.name()))).await;
    for (object, live) in manifests.objects().iter().zip(reads) {
        match seen(live)? {
            Ok(Some(live)) => draft.changed(object, &live).await?,
            Ok(None) => draft.created(object, is_new).await?,
            Err(reason) => draft.plan.unknown.push(Unknown {
                object: object.key(),
                reason,
            }),
        }
    }
    let mut plan = draft.plan;
    let of_changes = plan.changes.iter().map(|change| change.consequence).max();
    plan.consequence = plan.consequence.max(of_changes.unwrap_or_default());
    Ok(plan)
}

/// A plan in the making.
struct Draft<'a, P: ?Sized> {
    provisioner: &'a P,
    cluster: &'a Cluster<'a>,
    scope: &'a Scope<'a>,
    plan: Plan,
}

impl<P: Provisioner + ?Sized> Draft<'_, P> {
    /// What `provision` asks before it writes; answers whether the instance has neither data nor credentials yet.
    async fn check(
        &mut self,
        manifests: &Manifests<Prepared>,
        found: Option<&Found>,
        has_secret: bool,
    ) -> Result<bool, ApplyError> {
        let (cluster, scope) = (self.cluster, self.scope);
        let shape = shape::of(manifests);
        let members = found.map_or(1, Found::members);
        let claims = match seen(volumes::read(cluster, scope, manifests, shape).await)? {
            Ok(claims) => claims,
            Err(reason) => {
                let object = format!("PersistentVolumeClaim/{}", scope.claim(0));
                self.plan.unknown.push(Unknown { object, reason });
                Vec::new()
            }
        };
        let has_data = !claims.is_empty() || (shape == Shape::Cluster && found.is_some());
        let version = found.and_then(Found::data_version).map(ToOwned::to_owned);
        for outcome in [
            volumes::check(scope, &claims, has_secret),
            volumes::check_members(cluster, scope, manifests, members).await,
            shape::check(cluster, scope, shape, members).await,
            check_version(self.provisioner, scope, version.filter(|_| has_data)),
        ] {
            self.note(outcome)?;
        }
        Ok(claims.is_empty() && !has_secret)
    }

    /// Keeps a refusal; what is not one is an error of the plan.
    fn note(&mut self, outcome: Result<(), ApplyError>) -> Result<(), ApplyError> {
        match seen(outcome) {
            // Of what may not be read, nothing stands in the way that could be seen.
            Ok(_) => Ok(()),
            Err(error) if is_refusal(&error) => {
                self.plan.refusals.push(refusal(error));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn created(&mut self, object: &Object, is_new: bool) -> Result<(), ApplyError> {
        self.plan.created.push(object.key());
        if !is_new {
            let missing = Change::missing(object.key());
            let consequence = self.provisioner.consequence(self.scope.instance, &missing);
            self.plan.consequence = self.plan.consequence.max(consequence);
        }
        let made = self.dry_run(object, object.json().clone()).await?;
        let made = made.unwrap_or_else(|| object.json().clone());
        self.count(&Value::Null, &made);
        Ok(())
    }

    async fn changed(&mut self, object: &Object, live: &DynamicObject) -> Result<(), ApplyError> {
        let whose = ownership::of(&live.metadata, self.scope);
        let key = || object.key();
        let usable = if object.is_secret() {
            whose.require_usable(key)
        } else {
            whose.require_ours(key)
        };
        if usable.is_err() {
            return self.note(usable);
        }
        let now = as_json(live);
        let is_set = object.kind() == StatefulSet::kind(&());
        if is_set {
            self.claims(object, live).await?;
        }
        let is_replaced = adopt::is_replaced(self.scope, object, live);
        if !is_replaced && !is_due(object, Some(live)) {
            self.count(&now, &now);
            return Ok(());
        }
        let mut body = object.json().clone();
        body["metadata"]["uid"] = now["metadata"]["uid"].clone();
        if is_set {
            body["spec"][TEMPLATES] = now["spec"][TEMPLATES].clone();
        }
        if is_replaced {
            return self.replaced(object, &now, body).await;
        }
        let rendered = compare(self.provisioner, self.scope.instance, object, Some(live));
        if let Some(mut then) = self.dry_run(object, body).await? {
            self.plan.changes.extend(self.between(object, &now, &then));
            if is_set {
                self.templates(object, rendered);
                then["spec"][TEMPLATES] = object.json()["spec"][TEMPLATES].clone();
            }
            self.count(&now, &then);
        } else {
            self.plan.changes.extend(rendered.into_iter().map(turned));
            self.count(&now, object.json());
        }
        Ok(())
    }

    /// A StatefulSet that is made again around its pods: what there is then is what is rendered, and nothing of others.
    async fn replaced(&mut self, object: &Object, now: &Value, mut body: Value) -> Result<(), ApplyError> {
        let policy = std::mem::replace(&mut body["spec"][POLICY], now["spec"][POLICY].clone());
        body["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"].clone();
        let body = serde_json::from_value::<DynamicObject>(body);
        let body = body.map_err(|source| BuildError::Serialise {
            object: object.key(),
            source,
        })?;
        let params = PostParams {
            dry_run: true,
            field_manager: Some(BROKER_FIELD_MANAGER.to_owned()),
        };
        let api = self.cluster.api(object.resource());
        let answer = self
            .cluster
            .request(&object.key(), api.replace(object.name(), &params, &body))
            .await;
        match answer {
            Ok(then) => {
                let mut then = as_json(&then);
                then["spec"][POLICY] = policy;
                let of_pods = |change: Change| Change {
                    // Fixed in a StatefulSet, but not in one that is made anew.
                    consequence: match change.path.as_str() {
                        "spec.podManagementPolicy" => Consequence::None,
                        _ => change.consequence,
                    },
                    ..change
                };
                let changes = self.between(object, now, &then);
                self.plan.changes.extend(changes.into_iter().map(of_pods));
                self.count(now, &then);
                Ok(())
            }
            Err(error) => self.note(Err(error)),
        }
    }

    /// Claim templates that grow are made again; nothing else of them can be changed.
    fn templates(&mut self, object: &Object, rendered: Vec<Change>) {
        let of_templates = |change: &Change| change.path.contains(TEMPLATES);
        for change in rendered.into_iter().filter(of_templates) {
            if change.consequence > Consequence::None {
                self.plan.refusals.push(Refusal {
                    object: object.key(),
                    message: format!("{} cannot change in this way", change.path),
                });
            }
            self.plan.changes.push(turned(change));
        }
    }

    /// What the API server would make of an object; nothing where it would refuse it, which is kept.
    async fn dry_run(&mut self, object: &Object, body: Value) -> Result<Option<Value>, ApplyError> {
        let params = PatchParams::apply(BROKER_FIELD_MANAGER).force().dry_run();
        let api = self.cluster.api(object.resource());
        let patch = Patch::Apply(&body);
        let answer = self
            .cluster
            .request(&object.key(), api.patch(object.name(), &params, &patch))
            .await;
        match answer {
            Ok(then) => Ok(Some(as_json(&then))),
            Err(error) if is_refusal(&error) => {
                self.plan.refusals.push(refusal(error));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The fields in which the object after a dry run differs from the one that is there, and those that are gone.
    fn between(&self, object: &Object, now: &Value, then: &Value) -> Vec<Change> {
        changes(self.provisioner, self.scope.instance, object, now, then)
    }

    /// What becomes of the claims of a StatefulSet, and whether they can grow.
    async fn claims(&mut self, object: &Object, live: &DynamicObject) -> Result<(), ApplyError> {
        let Ok(found) = seen(volumes::drift(self.cluster, self.scope, object, live).await)? else {
            return Ok(());
        };
        for change in found {
            let change = judged(self.provisioner, self.scope.instance, change);
            if change.consequence == Consequence::None
                && let Some(to) = change.before.as_str()
            {
                self.grown(&change.object, to).await?;
            }
            self.plan.changes.push(turned(change));
        }
        Ok(())
    }

    async fn grown(&mut self, claim: &str, to: &str) -> Result<(), ApplyError> {
        let resource = ApiResource::erase::<PersistentVolumeClaim>(&());
        let name = claim.split_once('/').unwrap_or_default().1;
        let patch = json!({"spec": {"resources": {"requests": {"storage": to}}}});
        let params = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        let api = self.cluster.api(&resource);
        let patch = Patch::Merge(&patch);
        let answer = self
            .cluster
            .request(claim, api.patch(name, &params, &patch))
            .await;
        match answer {
            Err(error) if is_refusal(&error) => self.plan.refusals.push(refusal(error)),
            answer => answer.map(|_| ())?,
        }
        Ok(())
    }

    fn count(&mut self, now: &Value, then: &Value) {
        let resources = &mut self.plan.resources;
        resources.before = resources.before.plus(Requested::of(now));
        resources.after = resources.after.plus(Requested::of(then));
    }
}

/// Whether an error says that something is not to be had, rather than that it cannot be told now.
fn is_refusal(error: &ApplyError) -> bool {
    match error {
        ApplyError::StillDeleting { .. } => true,
        ApplyError::Kube { source, .. } => {
            matches!(source.as_ref(), kube::Error::Api(status) if !matches!(status.code, 401 | 429 | 500..))
        }
        ApplyError::Build(_) => false,
        other => !other.is_retryable(),
    }
}

fn refusal(error: ApplyError) -> Refusal {
    match error {
        ApplyError::Kube { object, source } => Refusal {
            object,
            message: match *source {
                kube::Error::Api(status) => status.message,
                other => other.to_string(),
            },
        },
        other => Refusal {
            object: String::new(),
            message: other.to_string(),
        },
    }
}
