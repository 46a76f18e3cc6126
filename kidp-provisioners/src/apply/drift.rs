//! What differs between the rendered objects and the cluster, for a report: reads, never writes.

use futures::future::try_join_all;
use kidp_drift::Change;
use kube::Client;

use super::credentials;
use super::request::Cluster;
use super::write::as_json;
use super::{ApplyError, REQUEST_TIMEOUT};
use crate::instance::Instance;
use crate::provisioner::Provisioner;
use crate::resources::meta::Scope;

pub(crate) async fn drift<P: Provisioner + ?Sized>(
    provisioner: &P,
    client: &Client,
    instance: &Instance,
) -> Result<Vec<Change>, ApplyError> {
    let cluster = Cluster::new(client, instance, REQUEST_TIMEOUT);
    let scope = Scope::new(instance);
    let credentials = match credentials::find(&cluster, &scope).await? {
        Some(found) => found.credentials,
        // No other object holds the password, so what is missing is reported and the rest compared as it is.
        None => provisioner.credentials(instance, String::new()),
    };
    let manifests = provisioner.build(instance, &credentials)?;
    let objects = manifests.objects();
    let live = try_join_all(objects.iter().map(|o| cluster.get(o.resource(), o.name()))).await?;
    let mut changes = Vec::new();
    for (object, live) in objects.iter().zip(&live) {
        let found = match live {
            Some(live) => kidp_drift::diff(object.json(), &as_json(live)),
            None => vec![Change::missing(object.key())],
        };
        let hide = object.is_secret();
        changes.extend(
            found
                .into_iter()
                .map(|change| if hide { change.redacted() } else { change }),
        );
    }
    Ok(changes)
}
