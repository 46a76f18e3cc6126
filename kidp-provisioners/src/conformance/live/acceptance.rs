//! An API server accepts every object as it stands.

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::conformance::objects::{Notes, PASSWORD, Template, items, render, templates};
use crate::conformance::report::{Check, Finding};
use crate::conformance::samples::Samples;
use crate::features::ClusterFeatures;
use crate::instance::Instance;

/// Field manager of dry runs; nothing is written under it.
const MANAGER: &str = "kidp-conformance";

/// Sends every object of every sample as a dry run with strict validation: unknown fields, values that the schema or
/// admission refuse. Pods are sent by themselves too, since the Pod Security Standard of a namespace refuses pods, and
/// not what makes them.
///
/// The samples' namespaces have to exist, see [`Samples::in_namespace`]. A sample that builds on what this cluster does
/// not have, such as cert-manager or the Prometheus Operator, is left out.
pub async fn acceptance(
    client: &Client,
    provisioner: &dyn crate::Provisioner,
    samples: &Samples,
) -> Vec<Finding> {
    let mut notes = Notes::new(Check::Acceptance);
    let features = match ClusterFeatures::discover(client).await {
        Ok(features) => features,
        Err(error) => {
            for instance in samples.instances().iter().take(1) {
                notes.add(instance, "", error.to_string());
            }
            return notes.findings();
        }
    };
    let has = |instance: &&Instance| {
        let wants = instance.features;
        (features.cert_manager || !wants.cert_manager)
            && (features.prometheus_operator || !wants.prometheus_operator)
    };
    for instance in samples.instances().iter().filter(has) {
        let Ok(manifests) = render(provisioner, instance, PASSWORD) else {
            continue;
        };
        for object in manifests.objects() {
            let api: Api<DynamicObject> =
                Api::namespaced_with(client.clone(), &instance.namespace, object.resource());
            let params = PatchParams::apply(MANAGER).force().dry_run().validation_strict();
            let answer = api
                .patch(object.name(), &params, &Patch::Apply(object.json()))
                .await;
            refusal(instance, &object.key(), answer.err(), &mut notes);
        }
        for template in templates(&manifests) {
            let key = format!("{}'s pod", template.object.key());
            let refused = try_pod(client, instance, &template).await;
            refusal(instance, &key, refused, &mut notes);
        }
    }
    notes.findings()
}

fn refusal(instance: &Instance, object: &str, error: Option<kube::Error>, notes: &mut Notes) {
    match error {
        None => {}
        Some(kube::Error::Api(status)) => notes.add(instance, object, status.message.clone()),
        Some(other) => notes.add(instance, object, other.to_string()),
    }
}

/// A pod as its controller would make it, with what a dry run lacks put in: volumes for the claims, and an account
/// that exists.
async fn try_pod(client: &Client, instance: &Instance, template: &Template<'_>) -> Option<kube::Error> {
    let mut spec = template.spec.clone();
    spec["serviceAccountName"] = json!("default");
    let claims = items(&template.object.json()["spec"]["volumeClaimTemplates"]);
    let claims = claims.map(|claim| json!({"name": claim["metadata"]["name"], "emptyDir": {}}));
    let volumes: Vec<Value> = items(&spec["volumes"]).cloned().chain(claims).collect();
    spec["volumes"] = Value::from(volumes);
    let mut metadata = template.metadata.clone();
    metadata["name"] = json!(format!("{}-conformance", template.object.name()));
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
    let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &instance.namespace, &resource);
    let params = PostParams {
        dry_run: true,
        field_manager: Some(MANAGER.to_owned()),
    };
    match serde_json::from_value(pod) {
        Ok(pod) => api.create(&params, &pod).await.err(),
        Err(error) => Some(kube::Error::SerdeError(error)),
    }
}
