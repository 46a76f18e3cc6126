//! What differs between the rendered objects and the cluster, for a report: writes nothing.
//!
//! What may not be read is unknown, never in sync. Where that is the Secret, the rest is compared all the same, since no
//! other object holds the password; where it is the certificate, whatever is rendered from it is unknown too.

use std::borrow::Cow;

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Secret;
use kidp_core::group::APPLIED_HASH_ANNOTATION;
use kidp_drift::{Change, Drift, Unknown, UnknownReason};
use kube::Client;
use kube::api::{ApiResource, DynamicObject, PostParams};

use super::request::{Cluster, is_404};
use super::write::{self, as_json};
use super::{ApplyError, REQUEST_TIMEOUT, Wave, waves};
use super::{certificate, credentials, volumes};
use crate::instance::Instance;
use crate::manifests::Object;
use crate::provisioner::Provisioner;
use crate::resources::meta::Scope;
use crate::{resources, revision};

/// What could be read, or why not.
type Seen<T> = Result<T, UnknownReason>;

pub(crate) async fn drift<P: Provisioner + ?Sized>(
    provisioner: &P,
    client: &Client,
    instance: &Instance,
) -> Result<Drift, ApplyError> {
    let cluster = Cluster::new(client, instance, REQUEST_TIMEOUT);
    let mut drift = Drift::default();
    let certified = seen(certificate::dereference(&cluster, instance).await)?;
    let is_certificate_seen = certified.is_ok();
    let instance = match certified {
        Ok(instance) => instance,
        Err(reason) => {
            let name = resources::certificate::secret_name(&Scope::new(instance));
            drift.unknown.push(unknown(format!("Secret/{name}"), reason));
            Cow::Borrowed(instance)
        }
    };
    let instance = &*instance;
    let scope = Scope::new(instance);
    let credentials = match seen(credentials::find(&cluster, &scope).await)? {
        Ok(Some(found)) => found.credentials,
        // No other object holds the password, so what is missing is reported and the rest compared as it is.
        Ok(None) | Err(_) => provisioner.credentials(instance, String::new()),
    };
    let manifests = revision::build(provisioner, instance, &credentials)?;
    let due = waves(instance);
    let (objects, later): (Vec<_>, Vec<_>) = manifests
        .objects()
        .iter()
        .partition(|object| due.contains(&object.wave()));
    if !is_certificate_seen {
        let on = format!("Secret/{}", resources::certificate::secret_name(&scope));
        let depends = |object: &&Object| unknown(object.key(), UnknownReason::DependsOn(on.clone()));
        drift.unknown.extend(later.iter().map(depends));
    }
    let live = try_join_all(objects.iter().map(|object| look(&cluster, object))).await?;
    let missing = objects
        .iter()
        .zip(&live)
        .filter(|(_, live)| matches!(live, Ok(None)));
    check_namespace(&cluster, missing.map(|(object, _)| *object)).await?;
    for (object, live) in objects.iter().zip(&live) {
        match live {
            Ok(live) => {
                let own = live.as_ref().map(write::appliers).unwrap_or_default();
                let found = compare_all(provisioner, instance, object, live.as_ref(), &own);
                drift.changes.extend(found);
            }
            Err(reason) => drift.unknown.push(unknown(object.key(), reason.clone())),
        }
        if object.wave() == Wave::Workload
            && let Ok(Some(set)) = live
        {
            match seen(volumes::drift(&cluster, &scope, object, set).await)? {
                Ok(changes) => drift
                    .changes
                    .extend(changes.into_iter().map(|c| judged(provisioner, instance, c))),
                Err(reason) => {
                    let claims = format!("PersistentVolumeClaim/{}", scope.claim(0));
                    drift.unknown.push(unknown(claims, reason));
                }
            }
        }
    }
    Ok(drift)
}

/// The fields in which an object differs from what there is of it, with what putting each right does.
pub(super) fn compare<P: Provisioner + ?Sized>(
    provisioner: &P,
    instance: &Instance,
    object: &Object,
    live: Option<&DynamicObject>,
) -> Vec<Change> {
    let found = match live {
        Some(live) => kidp_drift::diff(object.json(), &as_json(live)),
        None => vec![Change::missing(object.key())],
    };
    told(provisioner, instance, object, found)
}

/// [`compare`], and what others added. The managers in `own` are the host's.
pub(super) fn compare_all<P: Provisioner + ?Sized>(
    provisioner: &P,
    instance: &Instance,
    object: &Object,
    live: Option<&DynamicObject>,
    own: &[&str],
) -> Vec<Change> {
    let Some(live) = live else {
        return compare(provisioner, instance, object, None);
    };
    let live = as_json(live);
    let mut found = kidp_drift::diff(object.json(), &live);
    found.extend(kidp_drift::additions_as(own, object.json(), &live));
    told(provisioner, instance, object, found)
}

fn told<P: Provisioner + ?Sized>(
    provisioner: &P,
    instance: &Instance,
    object: &Object,
    found: Vec<Change>,
) -> Vec<Change> {
    let hide = object.is_secret();
    found
        .into_iter()
        .filter_map(without_own_note)
        .map(|change| judged(provisioner, instance, change))
        .map(|change| if hide { change.redacted() } else { change })
        .collect()
}

/// A change with what putting it right does.
pub(super) fn judged<P: Provisioner + ?Sized>(
    provisioner: &P,
    instance: &Instance,
    change: Change,
) -> Change {
    Change {
        consequence: provisioner.consequence(instance, &change),
        ..change
    }
}

/// The hash of a rendering, by which `apply` sees what is due, follows from the rest. With the last annotation, all of them
/// are gone.
fn without_own_note(mut change: Change) -> Option<Change> {
    if change.path == "metadata.annotations"
        && let Some(notes) = change.before.as_object_mut()
    {
        notes.remove(APPLIED_HASH_ANNOTATION);
        return (!notes.is_empty()).then_some(change);
    }
    (!change.path.contains(APPLIED_HASH_ANNOTATION)).then_some(change)
}

async fn look(cluster: &Cluster<'_>, object: &Object) -> Result<Seen<Option<DynamicObject>>, ApplyError> {
    seen(cluster.get(object.resource(), object.name()).await)
}

/// Tells what may not be read, or is of a kind that is not there, from what failed.
pub(super) fn seen<T>(read: Result<T, ApplyError>) -> Result<Seen<T>, ApplyError> {
    match read {
        Ok(value) => Ok(Ok(value)),
        Err(ApplyError::Kube { object, source }) => match *source {
            kube::Error::Api(status) if status.is_forbidden() => {
                Ok(Err(UnknownReason::Forbidden(status.message)))
            }
            ref source if is_404(source) => Ok(Err(UnknownReason::NotServed)),
            source => Err(ApplyError::Kube {
                object,
                source: Box::new(source),
            }),
        },
        Err(other) => Err(other),
    }
}

fn unknown(object: String, reason: UnknownReason) -> Unknown {
    Unknown { object, reason }
}

/// Whether the namespace is there, where objects are missing: whoever may not read namespaces learns it from the dry run
/// of a creation. What else is said against that is not the question here.
async fn check_namespace(
    cluster: &Cluster<'_>,
    missing: impl Iterator<Item = &Object>,
) -> Result<(), ApplyError> {
    let secret = ApiResource::erase::<Secret>(&());
    // A Secret is not sent, dry run or not.
    let Some(object) = missing.into_iter().find(|object| *object.resource() != secret) else {
        return Ok(());
    };
    let Ok(body) = serde_json::from_value::<DynamicObject>(object.json().clone()) else {
        return Ok(());
    };
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let key = object.key();
    let api = cluster.api(object.resource());
    match cluster.request(&key, api.create(&params, &body)).await {
        Err(error @ (ApplyError::NamespaceMissing { .. } | ApplyError::NamespaceTerminating { .. })) => {
            Err(error)
        }
        _ => Ok(()),
    }
}
