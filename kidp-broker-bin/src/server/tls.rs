//! The TLS side of the server: certificate, key and the authorities of client certificates, from files.
//!
//! A client certificate is asked for and never demanded here: the kubelet's probes have none. One that is presented has to
//! be good, or there is no connection; a request without one is no client that the front door knows.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::auth::certificate;
use crate::config::AccessConfig;
use crate::reload::{EVERY, FileError, Live, follow};

/// The files do not make a TLS server. The texts hold nothing of the key.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The certificate file holds no certificate.
    #[error("--tls-cert-file holds no certificate in PEM")]
    Certificate,
    /// The key file holds no private key.
    #[error("--tls-key-file holds no private key in PEM")]
    Key,
    /// The authorities' file holds no certificate, or one that is none.
    #[error("--client-ca-file holds no usable certificate in PEM")]
    ClientCa,
    /// Certificate and key do not go together, or are of a kind that is not served.
    #[error("certificate and key cannot be used: {0}")]
    Pair(rustls::Error),
    /// No client certificate could be verified.
    #[error("--client-ca-file: {0}")]
    Verifier(#[from] VerifierBuilderError),
}

/// What connections are served with.
#[derive(Debug)]
pub struct Tls(Arc<ServerConfig>);

impl Tls {
    /// For the acceptor of a connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.0.clone()
    }

    /// From the contents of the files: certificate, key and, where clients may have certificates, their authorities.
    pub fn parse(contents: &[Vec<u8>]) -> Result<Self, TlsError> {
        let [certificate, key, authorities @ ..] = contents else {
            return Err(TlsError::Certificate);
        };
        let chain = certificates(certificate).ok_or(TlsError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Pair)?;
        let builder = match authorities.first() {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let roots = Arc::new(roots(pem)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .allow_unauthenticated()
                    .build()?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .ok()?;
    (!found.is_empty()).then_some(found)
}

fn roots(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem).ok_or(TlsError::ClientCa)? {
        roots.add(certificate).map_err(|_| TlsError::ClientCa)?;
    }
    Ok(roots)
}

/// What the API is served with, if it is served over TLS; it follows its files.
pub fn follow_files(config: &AccessConfig, stop: CancellationToken) -> Result<Option<Live<Tls>>, FileError> {
    let (Some(certificate), Some(key)) = (&config.tls_cert_file, &config.tls_key_file) else {
        return Ok(None);
    };
    let mut files: Vec<PathBuf> = vec![certificate.clone(), key.clone()];
    files.extend(config.client_ca_file.clone());
    follow(files, Tls::parse, EVERY, stop).map(Some)
}

/// The name in the certificate that the client of a connection proved to have.
pub fn client_name(connection: &ServerConnection) -> Option<Arc<str>> {
    let leaf = connection.peer_certificates()?.first()?;
    certificate::client_name(leaf).map(Arc::from)
}
