//! What an instance serves its clients over TLS with, as far as rendering depends on it. Pure.
//!
//! A Secret with `tls.crt`, `tls.key` and `ca.crt` is mounted by the pods; who made it, cert-manager or a user, does
//! not matter here. `provision` reads it before it builds: what clients verify goes into the connection Secret, and a
//! hash of what is served goes where engines that read their certificate at their start only have to see it.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use kidp_core::names::short_hash;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use thiserror::Error;

/// The server's certificate and what follows it up to the CA.
pub const CERTIFICATE: &str = "tls.crt";
/// The server's private key.
pub const KEY: &str = "tls.key";
/// What clients verify the server by.
pub const CA: &str = "ca.crt";

/// What is known of a certificate. The private key is no part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsMaterial {
    /// Certificates of the CA, in PEM.
    pub ca: String,
    /// Hash over the certificate and its CA. A new key comes with a new certificate.
    pub checksum: String,
}

/// Why a Secret cannot be served. Whoever made it mends it; nothing is written before.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateFault {
    /// An entry is missing or empty.
    #[error("has no entry `{key}`; a certificate's Secret has {CERTIFICATE}, {KEY} and {CA}")]
    Lacks {
        /// The entry.
        key: &'static str,
    },
    /// An entry is not what it has to be.
    #[error("its entry `{key}` has no certificate in PEM")]
    Unreadable {
        /// The entry.
        key: &'static str,
    },
    /// Clients that verify the name of the server would turn away.
    #[error("its certificate is not for {host}, which clients connect to")]
    OtherHost {
        /// The name that it has to have.
        host: String,
    },
}

/// Judges the entries of a Secret, for clients that connect to `host`. Dates are not looked at: that takes a clock, and
/// the engines' probes verify what is served.
pub fn material(data: &BTreeMap<String, ByteString>, host: &str) -> Result<TlsMaterial, CertificateFault> {
    let [certificate, _, ca] = [entry(data, CERTIFICATE)?, entry(data, KEY)?, entry(data, CA)?];
    first(ca, CA)?;
    let server = first(certificate, CERTIFICATE)?;
    let name = ServerName::try_from(host).ok();
    let covers = webpki::EndEntityCert::try_from(&server)
        .ok()
        .zip(name)
        .is_some_and(|(server, name)| server.verify_is_valid_for_subject_name(&name).is_ok());
    if !covers {
        let host = host.to_owned();
        return Err(CertificateFault::OtherHost { host });
    }
    let text = |bytes: &[u8], key| {
        String::from_utf8(bytes.to_vec()).map_err(|_| CertificateFault::Unreadable { key })
    };
    let (certificate, ca) = (text(certificate, CERTIFICATE)?, text(ca, CA)?);
    Ok(TlsMaterial {
        checksum: short_hash(&[&certificate, &ca], 16),
        ca,
    })
}

fn entry<'a>(
    data: &'a BTreeMap<String, ByteString>,
    key: &'static str,
) -> Result<&'a [u8], CertificateFault> {
    let value = data.get(key).map(|bytes| bytes.0.as_slice());
    value
        .filter(|bytes| !bytes.is_empty())
        .ok_or(CertificateFault::Lacks { key })
}

fn first(pem: &[u8], key: &'static str) -> Result<CertificateDer<'static>, CertificateFault> {
    CertificateDer::from_pem_slice(pem).map_err(|_| CertificateFault::Unreadable { key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    const HOST: &str = "orders-postgresql.shop.svc";

    fn secret(names: &[&str]) -> BTreeMap<String, ByteString> {
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let issuer = Issuer::new(ca, ca_key);
        let server = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        [
            (CERTIFICATE, server.pem()),
            (KEY, key.serialize_pem()),
            (CA, ca_certificate.pem()),
        ]
        .map(|(entry, pem)| (entry.to_owned(), ByteString(pem.into_bytes())))
        .into()
    }

    #[test]
    fn what_is_served_has_a_ca_and_a_hash_that_changes_with_it() {
        let (one, other) = (secret(&[HOST]), secret(&["a.b", HOST]));
        let (one, again, other) = (
            material(&one, HOST).unwrap(),
            material(&one, HOST).unwrap(),
            material(&other, HOST).unwrap(),
        );
        assert_eq!(one, again);
        assert_ne!(one.checksum, other.checksum);
        assert!(one.ca.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(material(&secret(&["*.shop.svc"]), HOST).is_ok());
    }

    #[test]
    fn what_cannot_be_served_is_said() {
        for key in [CERTIFICATE, KEY, CA] {
            let mut lacking = secret(&[HOST]);
            lacking.insert(key.to_owned(), ByteString(Vec::new()));
            assert_eq!(material(&lacking, HOST), Err(CertificateFault::Lacks { key }));
            lacking.remove(key);
            assert_eq!(material(&lacking, HOST), Err(CertificateFault::Lacks { key }));
        }
        for key in [CERTIFICATE, CA] {
            let mut broken = secret(&[HOST]);
            broken.insert(key.to_owned(), ByteString(b"-----BEGIN".to_vec()));
            assert_eq!(material(&broken, HOST), Err(CertificateFault::Unreadable { key }));
        }
        for names in [&["orders.shop.svc"][..], &["*.svc"], &[]] {
            let fault = material(&secret(names), HOST).unwrap_err();
            assert_eq!(
                fault.to_string(),
                format!("its certificate is not for {HOST}, which clients connect to")
            );
        }
    }
}
