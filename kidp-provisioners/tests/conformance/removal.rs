//! Faults that removal would stumble on.

use kidp_provisioners::conformance::Check;
use serde_json::json;

use crate::breaks;
use crate::broken::{Fault, labels, of, set};

#[test]
fn deletion_notices() {
    let cases: [(&str, Fault); 9] = [
        (
            "lacks the instance's owner reference",
            Fault::Objects(|o, _, _| {
                of(o, "Service")["metadata"]
                    .as_object_mut()
                    .unwrap()
                    .remove("ownerReferences");
            }),
        ),
        (
            "has an owner, with which",
            Fault::Objects(|o, i, _| {
                of(o, "Secret")["metadata"]["ownerReferences"] =
                    json!([i.owner_reference.clone().unwrap_or_default()]);
            }),
        ),
        (
            "deployment-id is missing",
            Fault::Objects(|o, _, _| {
                labels(of(o, "ConfigMap")).remove("platform.company.com/deployment-id");
            }),
        ),
        (
            "managed-by is missing",
            Fault::Objects(|o, _, _| {
                labels(of(o, "ServiceAccount"))
                    .insert("app.kubernetes.io/managed-by".to_owned(), json!("me"));
            }),
        ),
        (
            "deployment-id is missing",
            Fault::Objects(|o, _, _| {
                labels(&mut set(o)["spec"]["volumeClaimTemplates"][0])
                    .remove("platform.company.com/deployment-id");
            }),
        ),
        (
            "deployment-id is missing",
            Fault::Objects(|o, _, _| {
                labels(&mut set(o)["spec"]["template"]).remove("platform.company.com/deployment-id");
            }),
        ),
        (
            "whenDeleted is not Retain",
            Fault::Objects(|o, _, _| {
                set(o)["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] = json!("Delete");
            }),
        ),
        (
            "has a finalizer",
            Fault::Objects(|o, _, _| {
                of(o, "ConfigMap")["metadata"]["finalizers"] = json!(["example.com/hold"]);
            }),
        ),
        (
            "in no namespace",
            Fault::Objects(|o, _, _| {
                let mut role = of(o, "ConfigMap").clone();
                role["kind"] = json!("ClusterRole");
                role["apiVersion"] = json!("rbac.authorization.k8s.io/v1");
                role.as_object_mut().unwrap().remove("data");
                o.push(role);
            }),
        ),
    ];
    for (words, fault) in cases {
        breaks(Check::Deletion, words, fault);
    }
}
