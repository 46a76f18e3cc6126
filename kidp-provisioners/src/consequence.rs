//! What putting a change right does to an instance, as far as Kubernetes decides it; engines add what they do otherwise.
//!
//! | change | consequence |
//! |---|---|
//! | pod template of a StatefulSet, with the hash of the configuration | rolling restart |
//! | its image, of a version whose data the wanted one does not open | data loss |
//! | more members; labels, annotations, update strategy | none |
//! | fewer members that share data | rolling restart: the one that leads may be among them |
//! | what a StatefulSet, a Service or a Secret does not let change | recreate |
//! | a volume claim: grown / shrunk, of another class, lost | none / data loss |
//! | StatefulSet missing | recreate: its pods went with it, its claims did not |
//! | connection Secret missing | data loss: nothing else has the password |
//! | ConfigMap, Service, policies and other objects, changed or missing | none |
//!
//! A ConfigMap by itself restarts nothing: servers read their files at their start. Where a *request* changes the
//! configuration, so does its hash on the pod template, which is a change of its own and restarts the pods. That is how
//! every parameter is applied at present, whether or not the engine could reload it; PostgreSQL with failover is the
//! exception, since CloudNativePG reloads.

use kidp_core::quantity::parse_bytes;
use kidp_drift::{Change, Consequence};
use serde_json::Value;

use crate::instance::Instance;
use crate::provisioner::Provisioner;
use crate::resources::meta::Scope;

const TEMPLATE: &str = "spec.template";
const CLAIM_TEMPLATES: &str = "spec.volumeClaimTemplates";
/// Fields of a StatefulSet's spec that can be changed in place; all others are fixed at its creation.
/// <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/stateful-set-v1/>
const CHANGEABLE: [&str; 6] = [
    "spec.replicas",
    "spec.updateStrategy",
    "spec.revisionHistoryLimit",
    "spec.persistentVolumeClaimRetentionPolicy",
    "spec.minReadySeconds",
    "spec.ordinals",
];

/// The consequence of a change of an instance's object, see the module's table. `change.before` is what is asked for,
/// `change.after` what there is.
pub fn of<P: Provisioner + ?Sized>(provisioner: &P, instance: &Instance, change: &Change) -> Consequence {
    let (kind, name) = change.object.split_once('/').unwrap_or_default();
    if change.path.is_empty() {
        return missing(instance, kind, name);
    }
    match kind {
        "StatefulSet" => stateful_set(provisioner, instance, change),
        "PersistentVolumeClaim" => claim(change),
        "Secret" if is_at(&change.path, "type") => Consequence::Recreate,
        "Service" if is_at(&change.path, "spec.clusterIP") => Consequence::Recreate,
        // cert-manager makes a new certificate, and its hash is on the pod template.
        "Certificate" if is_below(&change.path, "spec") => Consequence::RollingRestart,
        _ => Consequence::None,
    }
}

fn missing(instance: &Instance, kind: &str, name: &str) -> Consequence {
    match kind {
        "StatefulSet" => Consequence::Recreate,
        "PersistentVolumeClaim" => Consequence::DataLoss,
        // That of what was taken over is made again from the Secret that it came from.
        "Secret" if instance.adopted.is_none() && name == Scope::new(instance).secret() => {
            Consequence::DataLoss
        }
        _ => Consequence::None,
    }
}

fn stateful_set<P: Provisioner + ?Sized>(
    provisioner: &P,
    instance: &Instance,
    change: &Change,
) -> Consequence {
    let path = change.path.as_str();
    if is_below(path, TEMPLATE) {
        return if is_image_that_loses_data(provisioner, change) {
            Consequence::DataLoss
        } else {
            Consequence::RollingRestart
        };
    }
    if is_below(path, CLAIM_TEMPLATES) {
        return claim_template(change);
    }
    if is_at(path, "spec.replicas") {
        let members = |value: &Value| value.as_i64().unwrap_or(1);
        let loses_members = members(&change.before) < members(&change.after);
        return if loses_members && instance.spec.high_availability {
            Consequence::RollingRestart
        } else {
            Consequence::None
        };
    }
    let is_changeable = CHANGEABLE.iter().any(|field| is_below(path, field));
    if is_below(path, "spec") && !is_changeable {
        Consequence::Recreate
    } else {
        Consequence::None
    }
}

/// Whether the wanted version of the engine does not open what the present one has written. The server's container is
/// the one that has the engine's name; images of others say nothing about the data.
fn is_image_that_loses_data<P: Provisioner + ?Sized>(provisioner: &P, change: &Change) -> bool {
    let container = format!(
        "spec.template.spec.containers[name={}].image",
        provisioner.engine()
    );
    if change.path != container {
        return false;
    }
    let (Some(wanted), Some(present)) = (image(&change.before), image(&change.after)) else {
        return false;
    };
    // Another program's image says nothing about the data.
    wanted.0 == present.0 && !provisioner.opens_data(present.1, wanted.1)
}

/// The name of an image without its registry, and the version in its tag, `17` of `docker.io/library/postgres:17-alpine`.
fn image(value: &Value) -> Option<(&str, &str)> {
    parts(value.as_str()?)
}

fn parts(reference: &str) -> Option<(&str, &str)> {
    let reference = reference.split('@').next()?;
    let last = reference.rsplit('/').next()?;
    let (name, tag) = last.split_once(':').unwrap_or((last, "latest"));
    Some((name, tag.split('-').next()?))
}

/// The name of an image, without its registry and folder.
pub(crate) fn image_name(reference: &str) -> Option<&str> {
    parts(reference).map(|(name, _)| name)
}

/// The version in an image's tag, where the tag begins with one.
pub(crate) fn image_version(reference: &str) -> Option<&str> {
    let (_, version) = parts(reference)?;
    let is_version = version
        .split('.')
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    is_version.then_some(version)
}

/// The version in an image's tag.
pub(crate) fn version_of(value: &Value) -> Option<&str> {
    image(value).map(|(_, version)| version)
}

/// Claim templates are made again around the running pods where only their size grows. A change is of one field, or of
/// a template or the list of them as a whole.
fn claim_template(change: &Change) -> Consequence {
    let part = |value: &Value, field: &str, pointer: &str| -> Option<String> {
        let is_whole = !change.path[CLAIM_TEMPLATES.len()..].contains('.');
        let found = if is_whole {
            value.get(0).unwrap_or(value).pointer(pointer)
        } else {
            change.path.ends_with(field).then_some(value)
        };
        found?.as_str().map(ToOwned::to_owned)
    };
    let pair = |field, pointer| {
        let (wanted, present) = (
            part(&change.before, field, pointer),
            part(&change.after, field, pointer),
        );
        (wanted != present).then_some((wanted, present))
    };
    let sizes = pair("requests.storage", "/spec/resources/requests/storage");
    let classes = pair("storageClassName", "/spec/storageClassName");
    match (sizes, classes) {
        (_, Some(_)) => Consequence::DataLoss,
        (Some((wanted, present)), None) => size(wanted.as_deref(), present.as_deref()),
        (None, None) => Consequence::Recreate,
    }
}

/// A volume grows while it is used, and does not shrink. A size that cannot be read may be the larger one.
pub(crate) fn size(wanted: Option<&str>, present: Option<&str>) -> Consequence {
    let (Some(wanted), Some(present)) = (wanted, present) else {
        return Consequence::None;
    };
    match (parse_bytes(wanted), parse_bytes(present)) {
        (Ok(wanted), Ok(present)) if wanted >= present => Consequence::None,
        _ => Consequence::DataLoss,
    }
}

fn claim(change: &Change) -> Consequence {
    let path = change.path.as_str();
    if path.ends_with("requests.storage") {
        return size(change.before.as_str(), change.after.as_str());
    }
    if is_at(path, "metadata.deletionTimestamp") || is_below(path, "spec") {
        Consequence::DataLoss
    } else {
        Consequence::None
    }
}

/// Whether an entry of the ConfigMap is a file that a probe or a hook runs, so that it takes effect while pods run.
pub(crate) fn is_live_file(change: &Change, files: &[&str]) -> bool {
    change.object.starts_with("ConfigMap/")
        && files
            .iter()
            .any(|file| change.path == format!("data[{file}]") || change.path == format!("data.{file}"))
}

fn is_at(path: &str, field: &str) -> bool {
    path == field
}

/// Whether a path is a field or leads below it.
pub(crate) fn is_below(path: &str, field: &str) -> bool {
    path.strip_prefix(field)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
