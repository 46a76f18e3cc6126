//! TLS as it is asked for and rendered, the same for every engine.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use std::sync::Arc;

use kidp_core::size::Size;
use kidp_provisioners::manifests::Wave;
use kidp_provisioners::{Instance, Manifests, Prepared, Provisioner, Registry, TlsMaterial};
use serde_json::{Value, json};
use support::{build, connection_secret, instance_of, of_kind};

fn engines() -> Vec<Arc<dyn Provisioner>> {
    Registry::standard().iter().cloned().collect()
}

fn orders(engine: &dyn Provisioner, encryption: &Value) -> Instance {
    let version = engine.capabilities().versions.remove(0);
    instance_of(
        engine,
        "orders",
        &version,
        Size::Small,
        &json!({"encryption": encryption}),
    )
}

fn served(instance: Instance, ca: &str, checksum: &str) -> Instance {
    let tls = Some(TlsMaterial {
        ca: ca.to_owned(),
        checksum: checksum.to_owned(),
    });
    Instance { tls, ..instance }
}

fn named(engine: &dyn Provisioner) -> Instance {
    orders(
        engine,
        &json!({"inTransit": true, "certificate": {"secretName": "company"}}),
    )
}

/// Field and message of every fault, without and with cert-manager.
fn faults(encryption: &Value) -> [Vec<(String, String)>; 2] {
    [false, true].map(|cert_manager| {
        let all: Vec<Vec<_>> = engines()
            .iter()
            .map(|engine| {
                let mut instance = orders(engine.as_ref(), encryption);
                instance.features.cert_manager = cert_manager;
                let faults = engine.validate(&instance).err().unwrap_or_default();
                faults.into_iter().map(|f| (f.field, f.message)).collect()
            })
            .collect();
        assert!(
            all.iter().all(|of| *of == all[0]),
            "engines differ on {encryption}: {all:?}"
        );
        all[0].clone()
    })
}

#[test]
fn what_cannot_be_honoured_is_refused_by_field() {
    let certificate = "spec.encryption.certificate";
    let (secret, issuer) = (json!({"secretName": "company"}), json!({"name": "company"}));
    // What is asked for, and the field that is refused without and with cert-manager.
    let cases = [
        (
            json!({"inTransit": true}),
            Some("spec.encryption.inTransit"),
            None,
        ),
        (
            json!({"inTransit": true, "certificate": {}}),
            Some("spec.encryption.inTransit"),
            None,
        ),
        (json!({"inTransit": true, "certificate": secret}), None, None),
        (
            json!({"inTransit": true, "certificate": {"issuerRef": issuer}}),
            Some("spec.encryption.certificate.issuerRef"),
            None,
        ),
        (
            json!({"inTransit": true, "certificate": {"secretName": "company", "issuerRef": issuer}}),
            Some(certificate),
            Some(certificate),
        ),
        (
            json!({"minTLSVersion": "1.2"}),
            Some("spec.encryption.minTLSVersion"),
            Some("spec.encryption.minTLSVersion"),
        ),
        (
            json!({"certificate": secret}),
            Some(certificate),
            Some(certificate),
        ),
        (
            json!({"inTransit": true, "certificate": {"secretName": "Not A Name"}}),
            Some("spec.encryption.certificate.secretName"),
            Some("spec.encryption.certificate.secretName"),
        ),
    ];
    for (encryption, without, with) in cases {
        let [found_without, found_with] = faults(&encryption);
        for (found, expected) in [(found_without, without), (found_with, with)] {
            let fields: Vec<_> = found.iter().map(|(field, _)| field.as_str()).collect();
            assert_eq!(fields, Vec::from_iter(expected), "{encryption}");
        }
    }
    let [without, _] = faults(&json!({"inTransit": true}));
    let says = &without[0].1;
    assert!(
        says.contains("spec.encryption.certificate.secretName") && says.contains("cert-manager"),
        "{says}"
    );
}

#[test]
fn clients_are_told_to_verify_and_given_the_ca() {
    let expected = [
        ("postgresql", "postgresql://", "?sslmode=verify-full", 5432),
        ("mysql", "mysql://", "?ssl-mode=VERIFY_IDENTITY", 3306),
        ("mongodb", "mongodb://", "&tls=true", 27017),
        ("redis", "rediss://", "", 6379),
        ("rabbitmq", "amqps://", "/%2F", 5671),
    ];
    for engine in engines() {
        let instance = served(named(engine.as_ref()), "the CA", "1");
        let name = engine.engine().to_string();
        let (_, start, end, port) = expected.iter().find(|(of, ..)| *of == name).unwrap();
        let secret = connection_secret(&build(&instance));
        let entries = &secret["entries"];
        let uri = entries["uri"].as_str().unwrap();
        assert!(
            uri.starts_with(start) && uri.ends_with(end) && uri.contains(&format!(":{port}/")),
            "{uri}"
        );
        assert_eq!(entries["port"], port.to_string());
        assert_eq!(entries["ca.crt"], "the CA");
        // The specification has it for the certificate of a client.
        assert_eq!(entries["certificates"], Value::Null);
        assert_eq!(engine.connection(&instance).port, *port);
        let jdbc = entries["jdbc-uri"].as_str().unwrap_or_default().to_lowercase();
        assert!(jdbc.is_empty() || jdbc.contains("&sslmode=verify"), "{jdbc}");
        // What is not asked for is not given, whatever is known.
        let plain = served(orders(engine.as_ref(), &json!({})), "the CA", "1");
        assert_eq!(
            connection_secret(&build(&plain))["entries"]["ca.crt"],
            Value::Null
        );
        assert_eq!(
            build(&plain).objects(),
            build(&Instance { tls: None, ..plain }).objects()
        );
    }
}

fn pod(manifests: &Manifests<Prepared>) -> Value {
    of_kind(manifests, "StatefulSet")[0]["spec"]["template"].clone()
}

#[test]
fn a_renewed_certificate_starts_pods_anew_where_it_is_read_at_the_start() {
    for engine in engines() {
        let one = pod(&build(&served(named(engine.as_ref()), "ca", "1")));
        let other = pod(&build(&served(named(engine.as_ref()), "ca", "2")));
        let rereads = engine.engine().as_str() == "rabbitmq";
        assert_eq!(one == other, rereads, "{}", engine.engine());
        let annotations = |pod: &Value| pod["metadata"]["annotations"].clone();
        assert_eq!(annotations(&one) == annotations(&other), rereads);
        assert_eq!(one["spec"], other["spec"]);
    }
}

#[test]
fn probes_speak_tls_and_no_script_opens_a_plain_connection() {
    for engine in engines() {
        let manifests = build(&named(engine.as_ref()));
        let scripts = of_kind(&manifests, "ConfigMap")[0]["data"].to_string();
        let probes = pod(&manifests)["spec"]["containers"][0]["readinessProbe"].to_string();
        assert!(
            !scripts.contains("/dev/tcp") && !scripts.contains(">&3"),
            "{scripts}"
        );
        let verifies = format!("{scripts}{probes}").contains("/etc/kidp/tls/ca.crt");
        assert!(verifies, "{}", engine.engine());
        let plain = build(&orders(engine.as_ref(), &json!({})));
        assert!(!format!("{:?}", of_kind(&plain, "ConfigMap")).contains("/etc/kidp/tls"));
    }
}

#[test]
fn cert_manager_is_asked_for_what_is_not_named() {
    for engine in engines() {
        let engine = engine.as_ref();
        let base = format!("orders-{}", engine.engine());
        let with = |encryption: &Value| {
            let mut instance = orders(engine, encryption);
            instance.features.cert_manager = true;
            build(&instance)
        };
        let own = with(&json!({"inTransit": true}));
        let keys: Vec<_> = own
            .objects()
            .iter()
            .take_while(|o| o.wave() == Wave::Certificate)
            .map(kidp_provisioners::Object::key)
            .collect();
        let chain = [
            "Issuer/%-selfsigned",
            "Issuer/%-ca",
            "Certificate/%-ca",
            "Certificate/%-tls",
        ];
        assert_eq!(keys, chain.map(|key| key.replace('%', &base)));
        let [authority, leaf] = &of_kind(&own, "Certificate")[..] else {
            panic!("{keys:?}")
        };
        assert_eq!(authority["spec"]["isCA"], true);
        assert_eq!(authority["spec"]["privateKey"]["rotationPolicy"], "Never");
        assert_eq!(
            authority["spec"]["issuerRef"]["name"],
            format!("{base}-selfsigned")
        );
        assert_eq!(leaf["spec"]["isCA"], Value::Null);
        assert_eq!(leaf["spec"]["privateKey"]["rotationPolicy"], "Always");
        assert_eq!(leaf["spec"]["issuerRef"]["name"], format!("{base}-ca"));
        let names = leaf["spec"]["dnsNames"].as_array().unwrap();
        for name in [
            format!("{base}.shop.svc"),
            format!("*.{base}-headless.shop.svc"),
            "localhost".to_owned(),
        ] {
            assert!(names.contains(&json!(name)), "{name}");
        }
        // cert-manager leaves its Secrets behind; they are found by their labels.
        let labels = &leaf["spec"]["secretTemplate"]["labels"];
        assert_eq!(
            labels["platform.company.com/deployment-id"],
            leaf["metadata"]["labels"]["platform.company.com/deployment-id"]
        );
        assert_eq!(labels["platform.company.com/certificate"], format!("{base}-tls"));

        let source = json!({"issuerRef": {"name": "company", "kind": "ClusterIssuer"}});
        let signed = with(&json!({"inTransit": true, "certificate": source}));
        assert_eq!(of_kind(&signed, "Issuer"), [] as [Value; 0]);
        let reference = json!({"name": "company", "kind": "ClusterIssuer", "group": "cert-manager.io"});
        assert_eq!(of_kind(&signed, "Certificate")[0]["spec"]["issuerRef"], reference);
        let given = with(&json!({"inTransit": true, "certificate": {"secretName": "company"}}));
        assert_eq!(of_kind(&given, "Certificate"), [] as [Value; 0]);
    }
}
