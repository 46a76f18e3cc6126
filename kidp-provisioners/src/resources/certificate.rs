//! What cert-manager makes a certificate from, where it is to make one.
//!
//! ```text
//! an issuer is named:  Certificate <base>-tls, signed by it
//! nothing is named:    Issuer <base>-selfsigned ─> Certificate <base>-ca ─> Issuer <base>-ca ─> Certificate <base>-tls
//! a Secret is named:   nothing
//! ```
//! The CA of an instance signs for it alone, so that whoever trusts it trusts nothing else. It keeps its key when it is
//! renewed, and with it what it signed stays valid. <https://cert-manager.io/docs/configuration/ca/>

mod types;

use std::collections::BTreeMap;

use kidp_core::instance::{CertificateSource, IssuerKind, IssuerRef};

use super::meta::{Scope, object_meta};
use super::service;

pub use types::{
    Authority, Certificate, CertificateSpec, Issuer, IssuerSpec, PrivateKey, SecretTemplate, SelfSigned,
    Signer,
};

/// Label of a Secret that cert-manager makes for an instance, with the name of its `Certificate`. cert-manager leaves
/// the Secret behind; by this one it is told from the instance's data.
pub const CERTIFICATE_LABEL: &str = "platform.company.com/certificate";

/// 90 days, renewed a month before their end.
const LEAF: (&str, &str) = ("2160h0m0s", "720h0m0s");
/// Ten years, renewed a year before their end: longer than what it signs.
const AUTHORITY: (&str, &str) = ("87600h0m0s", "8760h0m0s");

/// The objects that cert-manager works from.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// Issuers of the instance's own.
    pub issuers: Vec<Issuer>,
    /// Certificates, the server's last.
    pub certificates: Vec<Certificate>,
}

/// Name of the Secret with the certificate that is served: the one that is named, or the one that cert-manager makes.
pub fn secret_name(scope: &Scope<'_>) -> String {
    named(scope).unwrap_or_else(|| scope.name("tls"))
}

/// Name of the Secret with the CA of the instance's own, where it has one.
pub fn authority_secret_name(scope: &Scope<'_>) -> Option<String> {
    let source = scope.instance.spec.encryption.certificate.as_ref();
    let own = source.is_none_or(|source| source.secret_name.is_none() && source.issuer_ref.is_none());
    own.then(|| scope.name("ca"))
}

/// Whether a user names the Secret.
pub fn is_named(scope: &Scope<'_>) -> bool {
    named(scope).is_some()
}

/// What cert-manager is asked for; nothing without TLS, where a Secret is named, or where there is no cert-manager.
pub fn chain(scope: &Scope<'_>) -> Chain {
    let encryption = &scope.instance.spec.encryption;
    if !encryption.in_transit || is_named(scope) || !scope.instance.features.cert_manager {
        return Chain::default();
    }
    if let Some(CertificateSource {
        issuer_ref: Some(IssuerRef { name, kind }),
        ..
    }) = &encryption.certificate
    {
        return Chain {
            issuers: Vec::new(),
            certificates: vec![leaf(scope, signer(name, *kind))],
        };
    }
    let (first, authority) = (scope.name("selfsigned"), scope.name("ca"));
    let self_signed = IssuerSpec {
        self_signed: Some(SelfSigned {}),
        ca: None,
    };
    let own = IssuerSpec {
        self_signed: None,
        ca: Some(Authority {
            secret_name: authority.clone(),
        }),
    };
    Chain {
        certificates: vec![
            ca(scope, signer(&first, IssuerKind::Issuer)),
            leaf(scope, signer(&authority, IssuerKind::Issuer)),
        ],
        issuers: vec![issuer(scope, first, self_signed), issuer(scope, authority, own)],
    }
}

/// Names that the members and the Services of an instance are reached by. Without the cluster's domain, which is not
/// ours to know.
pub fn dns_names(scope: &Scope<'_>) -> Vec<String> {
    let (base, namespace) = (&scope.base, &scope.instance.namespace);
    let members = format!("{}.{namespace}.svc", scope.name("headless"));
    vec![
        service::host(scope),
        format!("{base}.{namespace}"),
        base.clone(),
        members.clone(),
        format!("*.{members}"),
        "localhost".to_owned(),
    ]
}

fn named(scope: &Scope<'_>) -> Option<String> {
    let source = scope.instance.spec.encryption.certificate.as_ref()?;
    source.secret_name.clone()
}

fn issuer(scope: &Scope<'_>, name: String, spec: IssuerSpec) -> Issuer {
    Issuer {
        metadata: object_meta(scope, name),
        spec,
    }
}

fn ca(scope: &Scope<'_>, issuer_ref: Signer) -> Certificate {
    let name = scope.name("ca");
    let spec = CertificateSpec {
        is_ca: true,
        common_name: Some(name.clone()),
        usages: words(&["cert sign", "crl sign"]),
        ..spec(scope, &name, AUTHORITY, "Never", issuer_ref)
    };
    Certificate {
        metadata: object_meta(scope, name),
        spec,
    }
}

fn leaf(scope: &Scope<'_>, issuer_ref: Signer) -> Certificate {
    let name = secret_name(scope);
    let spec = CertificateSpec {
        dns_names: dns_names(scope),
        usages: words(&["digital signature", "server auth"]),
        ..spec(scope, &name, LEAF, "Always", issuer_ref)
    };
    Certificate {
        metadata: object_meta(scope, name),
        spec,
    }
}

/// What both have; the Secret is called like its certificate.
fn spec(
    scope: &Scope<'_>,
    name: &str,
    (duration, renew_before): (&str, &str),
    rotation_policy: &str,
    issuer_ref: Signer,
) -> CertificateSpec {
    let mut labels: BTreeMap<_, _> = scope.labels();
    labels.insert(CERTIFICATE_LABEL.to_owned(), name.to_owned());
    CertificateSpec {
        secret_name: name.to_owned(),
        secret_template: SecretTemplate { labels },
        duration: duration.to_owned(),
        renew_before: renew_before.to_owned(),
        private_key: PrivateKey {
            algorithm: "ECDSA".to_owned(),
            size: 256,
            rotation_policy: rotation_policy.to_owned(),
        },
        issuer_ref,
        ..CertificateSpec::default()
    }
}

fn signer(name: &str, kind: IssuerKind) -> Signer {
    Signer {
        name: name.to_owned(),
        kind: kind.as_str().to_owned(),
        group: "cert-manager.io".to_owned(),
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
