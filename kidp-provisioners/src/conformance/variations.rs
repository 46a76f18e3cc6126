//! Variations of an instance: of what is asked for, and of who asks.

use kidp_core::deployment::DeploymentId;
use kidp_core::instance::{
    CertificateSource, DeletionPolicy, DriftPolicy, InstanceSpec, IssuerKind, IssuerRef, OwnerKind, OwnerRef,
    StorageSpec, TlsVersion,
};
use kidp_core::size::Size;

use crate::instance::Instance;
use crate::provisioner::Provisioner;
use crate::tls::TlsMaterial;

/// Values that one or another type of parameter takes.
const VALUES: [&str; 19] = [
    "1", "10", "100", "1000", "0.5", "on", "off", "true", "yes", "1mb", "16MB", "64Mi", "1Gi", "30s", "60",
    "none", "UTC", "info", "60 1000",
];

/// The instance, and variations of it that may be refused.
pub(super) fn of(provisioner: &dyn Provisioner, instance: &Instance) -> Vec<Instance> {
    let mut all = vec![instance.clone()];
    let specs = specs(provisioner, instance);
    all.extend(specs.into_iter().map(|spec| Instance {
        spec,
        ..instance.clone()
    }));
    all.extend(names(instance.spec.engine.as_str()).into_iter().map(|name| {
        let namespace = instance.namespace.clone();
        placed(instance, name, namespace)
    }));
    let namespaces = ["n".repeat(63), "0".to_owned(), "kidp-system".to_owned()];
    all.extend(namespaces.map(|namespace| placed(instance, instance.name.clone(), namespace)));
    all.extend(asked_for_by_others(instance));
    all.extend(monitored(&all));
    let encrypted: Vec<_> = all
        .iter()
        .filter(|i| i.spec.encryption.in_transit)
        .flat_map(encrypted)
        .collect();
    all.extend(encrypted);
    all
}

/// Those with metrics, where the Prometheus Operator is installed.
fn monitored(all: &[Instance]) -> Vec<Instance> {
    let asked = all.iter().filter(|i| i.spec.monitoring.enabled);
    let installed = asked.map(|instance| {
        let mut instance = instance.clone();
        instance.features.prometheus_operator = true;
        instance
    });
    installed.collect()
}

/// Where a certificate may come from.
fn certificates() -> Vec<Option<CertificateSource>> {
    let issuer = |kind| CertificateSource {
        issuer_ref: Some(IssuerRef {
            name: "company".to_owned(),
            kind,
        }),
        secret_name: None,
    };
    let named = CertificateSource {
        secret_name: Some("orders.example.com".to_owned()),
        issuer_ref: None,
    };
    vec![
        None,
        Some(named),
        Some(issuer(IssuerKind::Issuer)),
        Some(issuer(IssuerKind::ClusterIssuer)),
    ]
}

/// The same instance where cert-manager is installed, and once its certificate is there.
fn encrypted(instance: &Instance) -> Vec<Instance> {
    let mut waiting = instance.clone();
    waiting.features.cert_manager = true;
    let served = Instance {
        tls: Some(TlsMaterial {
            ca: "-----BEGIN CERTIFICATE-----\n".to_owned(),
            checksum: "c0ffee".to_owned(),
        }),
        ..waiting.clone()
    };
    vec![waiting, served]
}

/// What the same instance may be asked to become.
fn specs(provisioner: &dyn Provisioner, instance: &Instance) -> Vec<InstanceSpec> {
    let base = &instance.spec;
    let with = |change: &dyn Fn(&mut InstanceSpec)| {
        let mut spec = base.clone();
        change(&mut spec);
        spec
    };
    let capabilities = provisioner.capabilities();
    let mut all: Vec<_> = Size::ALL.map(|size| with(&|s| s.size = size)).to_vec();
    for version in &capabilities.versions {
        for version in [version.clone(), format!("{version}.1"), format!("{version}.1.1")] {
            all.push(with(&|s| s.version.clone_from(&version)));
        }
    }
    for volume in ["20Gi", "64Gi", "2Ti"] {
        all.push(with(&|s| volume.clone_into(&mut s.storage.size)));
    }
    all.push(with(&|s| s.high_availability = true));
    all.push(with(&|s| s.deletion_policy = DeletionPolicy::Retain));
    all.push(with(&|s| s.deletion_policy = DeletionPolicy::Snapshot));
    all.push(with(&|s| s.drift.policy = Some(DriftPolicy::Alert)));
    all.push(with(&|s| {
        s.backup.enabled = true;
        s.backup.schedule = Some("0 3 * * *".to_owned());
        s.backup.retention = Some("30d".to_owned());
    }));
    all.push(with(&|s| s.encryption.at_rest = true));
    // Alone, with members and with TLS.
    for (high_availability, in_transit) in [(false, false), (true, false), (false, true), (true, true)] {
        all.push(with(&|s| {
            s.monitoring.enabled = true;
            s.high_availability = high_availability;
            s.encryption.in_transit = in_transit;
        }));
    }
    all.push(with(&|s| {
        s.monitoring.enabled = true;
        s.monitoring.from_namespaces = vec!["observability".to_owned(), "n".repeat(63)];
    }));
    let versions = [None, Some(TlsVersion::V1_2), Some(TlsVersion::V1_3), None];
    for (version, source) in versions.into_iter().zip(certificates()) {
        // With and without members to agree.
        for high_availability in [false, true] {
            all.push(with(&|s| {
                s.encryption.in_transit = true;
                s.encryption.min_tls_version = version;
                s.encryption.certificate.clone_from(&source);
                s.high_availability = high_availability;
            }));
        }
    }
    let parameters = parameters(provisioner, instance, &capabilities.parameters);
    // With and without members to agree.
    for high_availability in [false, true] {
        let mut spec = parameters.clone();
        spec.high_availability = high_availability;
        spec.size = Size::Large;
        all.push(spec);
    }
    all.push(parameters);
    all
}

/// Every parameter at once, each with the first value that is accepted.
fn parameters(provisioner: &dyn Provisioner, instance: &Instance, names: &[String]) -> InstanceSpec {
    let mut tried = instance.clone();
    for name in names {
        let known = tried.spec.parameters.clone();
        let accepted = VALUES.iter().any(|value| {
            tried.spec.parameters.insert(name.clone(), (*value).to_owned());
            provisioner.validate(&tried).is_ok()
        });
        if !accepted {
            tried.spec.parameters = known;
        }
    }
    tried.spec
}

/// Names at the limits of what Kubernetes accepts, and pairs of names that are easily confused.
fn names(engine: &str) -> Vec<String> {
    let long = "p".repeat(200);
    let mut names: Vec<String> = [
        "a",
        "0",
        "1st",
        "2026-01-01",
        "orders-eu",
        "orders.eu",
        "a.b.c",
        "a-b.c",
        "orders-config",
        "orders-connection",
        "orders-headless",
    ]
    .map(ToOwned::to_owned)
    .to_vec();
    names.extend([format!("orders-{engine}"), engine.to_owned()]);
    names.extend(["x".repeat(40), "x".repeat(41), "x".repeat(63), "y".repeat(253)]);
    names.extend([format!("{long}a"), format!("{long}b")]);
    names
}

/// The instance under another name or in another place, where it is another instance.
fn placed(instance: &Instance, name: String, namespace: String) -> Instance {
    let kind = instance.resource_type.as_str();
    Instance {
        deployment_id: DeploymentId::derive("conformance", &namespace, kind, &name, &instance.resource_uid),
        name,
        namespace,
        ..instance.clone()
    }
}

/// The instance for other teams and applications, and for nobody in particular.
fn asked_for_by_others(instance: &Instance) -> Vec<Instance> {
    let mut classed = placed(instance, "classed".to_owned(), instance.namespace.clone());
    classed.spec.storage = StorageSpec {
        class: Some("fast.example.com".to_owned()),
        ..instance.spec.storage.clone()
    };
    let mut unowned = placed(instance, "unowned".to_owned(), instance.namespace.clone());
    unowned.owner_reference = None;
    unowned.resource_uid.clear();
    let teams = ["t".repeat(100), "Zahlungen & Löhne".to_owned(), "-".to_owned()];
    let teams = teams.map(|team| Instance {
        team,
        ..instance.clone()
    });
    let owner = OwnerRef {
        kind: OwnerKind::Application,
        name: "web.shop".to_owned(),
        namespace: None,
    };
    let application = Instance {
        owner: Some(owner),
        ..instance.clone()
    };
    [classed, unowned, application].into_iter().chain(teams).collect()
}
