//! What is wrong with the TLS that a request asks for.

use kidp_core::instance::{CertificateSource, EncryptionSpec, IssuerRef};
use kidp_core::names;
use kidp_core::problem::FieldError;

use crate::instance::Instance;

const CERTIFICATE: &str = "spec.encryption.certificate";

/// Every fault of `spec.encryption`, given what the cluster has.
pub(super) fn faults(instance: &Instance) -> Vec<FieldError> {
    let EncryptionSpec {
        in_transit,
        min_tls_version,
        certificate,
        ..
    } = &instance.spec.encryption;
    let mut faults = Vec::new();
    let mut fault = |field: &str, message: String| faults.push(FieldError::new(field, message));
    if !in_transit {
        let alone = [
            (min_tls_version.is_some(), "spec.encryption.minTLSVersion"),
            (certificate.is_some(), CERTIFICATE),
        ];
        for (_, field) in alone.into_iter().filter(|(given, _)| *given) {
            fault(
                field,
                "is of use with TLS only; set spec.encryption.inTransit to true, or leave it out".to_owned(),
            );
        }
        return faults;
    }
    let none = CertificateSource::default();
    let CertificateSource {
        secret_name,
        issuer_ref,
    } = certificate.as_ref().unwrap_or(&none);
    if let Some(Err(error)) = secret_name.as_deref().map(names::validate_subdomain) {
        fault(&format!("{CERTIFICATE}.secretName"), error.to_string());
    }
    if let Some(Err(error)) = issuer_ref.as_ref().map(|i| names::validate_subdomain(&i.name)) {
        fault(&format!("{CERTIFICATE}.issuerRef.name"), error.to_string());
    }
    match (secret_name, issuer_ref) {
        (Some(_), Some(_)) => fault(
            CERTIFICATE,
            "takes secretName or issuerRef, not both; leave one out".to_owned(),
        ),
        (None, Some(IssuerRef { name, kind })) if !instance.features.cert_manager => fault(
            &format!("{CERTIFICATE}.issuerRef"),
            format!(
                "{} `{name}` is cert-manager's, which this cluster does not have: install it, or name a Secret in \
                 {CERTIFICATE}.secretName",
                kind.as_str()
            ),
        ),
        (None, None) if !instance.features.cert_manager => fault(
            "spec.encryption.inTransit",
            format!(
                "TLS needs a certificate, and this cluster has no cert-manager to make one: install it, or name a Secret \
                 with tls.crt, tls.key and ca.crt in {CERTIFICATE}.secretName"
            ),
        ),
        _ => {}
    }
    faults
}
