//! Faults with secrets.

use kidp_provisioners::conformance::Check;
use serde_json::json;

use crate::breaks;
use crate::broken::{Fault, container, of, set};

#[test]
fn secrets_notice() {
    let cases: [(&str, Fault); 13] = [
        (
            "shows the password",
            Fault::Objects(|o, _, c| container(o)["args"][1] = json!(format!("--pw={}", c.password))),
        ),
        (
            "shows the password",
            Fault::Objects(|o, _, c| {
                let env = container(o)["env"].as_array_mut().unwrap();
                env.push(json!({"name": "PASSWORD", "value": c.password}));
            }),
        ),
        (
            "shows the password",
            Fault::Objects(|o, _, c| of(o, "ConfigMap")["data"]["pw"] = json!(c.password)),
        ),
        (
            "shows the password",
            Fault::Objects(|o, _, c| {
                of(o, "Secret")["metadata"]["annotations"]["pw"] = json!(c.password);
            }),
        ),
        (
            "shows the password",
            Fault::Objects(|o, _, c| of(o, "Secret")["stringData"] = json!({"pw": c.password})),
        ),
        (
            "changes with the password",
            Fault::Objects(|o, _, c| {
                let hash = kidp_core::names::short_hash(&[&c.password], 16);
                set(o)["spec"]["template"]["metadata"]["annotations"]["checksum/secret"] = json!(hash);
            }),
        ),
        (
            "has variables from a Secret",
            Fault::Objects(|o, _, _| {
                let env = container(o)["env"].as_array_mut().unwrap();
                let key = json!({"secretKeyRef": {"name": "x", "key": "password"}});
                env.push(json!({"name": "PASSWORD", "valueFrom": key}));
            }),
        ),
        (
            "its type is not",
            Fault::Objects(|o, _, _| of(o, "Secret")["type"] = json!("Opaque")),
        ),
        (
            "its entry `uri` is missing",
            Fault::Objects(|o, _, _| {
                of(o, "Secret")["data"].as_object_mut().unwrap().remove("uri");
            }),
        ),
        (
            "its entry `provider` is missing",
            Fault::Objects(|o, _, _| {
                of(o, "Secret")["data"]
                    .as_object_mut()
                    .unwrap()
                    .remove("provider");
            }),
        ),
        (
            "not exactly one Secret",
            Fault::Objects(|o, _, _| o.retain(|object| object["kind"] != "Secret")),
        ),
        (
            "letters, digits",
            Fault::Credentials(|c| "app user'; --".clone_into(&mut c.username)),
        ),
        (
            "no Service has the host and port",
            Fault::Connection(|c, _| c.port = 1),
        ),
    ];
    for (words, fault) in cases {
        breaks(Check::Secrets, words, fault);
    }
    breaks(
        Check::Secrets,
        "is not the Secret of",
        Fault::Connection(|c, _| "other".clone_into(&mut c.secret)),
    );
    breaks(
        Check::Secrets,
        "changes the password",
        Fault::Credentials(|c| "secret".clone_into(&mut c.password)),
    );
}
