//! The certificate of the admission server and the authority behind it: made here, kept in a Secret, renewed in time.
//!
//! # Flow
//! Each certificate has an authority of its own, whose key is thrown away once it has signed. The Secret holds
//! certificate, key and the authorities that are to be believed: the new one and those before it that still hold. Every
//! replica reads the Secret every minute, tells the API server the authorities, waits until it has heard of them, and
//! only then serves the certificate. So there is no moment at which a served certificate is not believed.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp, Zoned, tz::TimeZone};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kidp_core::labels;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use x509_parser::pem::Pem;
use x509_parser::prelude::GeneralName;

use crate::backoff::{exponential, jitter};
use crate::kube_io::{WriteError, timed};

/// Name of the Secret.
pub const SECRET: &str = "kidp-operator-admission";
/// How long a certificate holds, in days.
const LIFE: i64 = 90;
/// How long before its end it is replaced.
const RENEW: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How often the Secret is looked at.
const EVERY: Duration = Duration::from_mins(1);
/// How soon after a failure.
const RETRY: Duration = Duration::from_secs(2);
/// How long the API server gets to hear of a new authority.
const HEARD: Duration = Duration::from_secs(2);
/// Most authorities that are believed at a time.
const AUTHORITIES: usize = 3;

const CA: &str = "ca.crt";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// Why there is no certificate. The texts hold nothing of the key.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// It cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// It cannot be served.
    #[error("the certificate in the Secret cannot be served: {0}")]
    Serve(#[from] rustls::Error),
    /// The Secret does not hold one.
    #[error("Secret `{SECRET}` holds no certificate with its key")]
    Unreadable,
    /// The API server did not do it.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What the Secret holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Material {
    authorities: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Material").finish_non_exhaustive()
    }
}

impl Material {
    /// A new certificate for `names`, behind a new authority; authorities of `old` that still hold are kept.
    pub fn new(names: &[String], old: Option<&Self>, now: Timestamp) -> Result<Self, CertificateError> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        authority.distinguished_name = named(&format!("kidp-operator admission {}", now.as_second()));
        hold(&mut authority, now);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let mut leaf = CertificateParams::new(names)?;
        leaf.distinguished_name = named("kidp-operator");
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        hold(&mut leaf, now);
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &authority)?;
        let mut authorities = authority.pem();
        for pem in old
            .map(|old| pems(&old.authorities))
            .unwrap_or_default()
            .iter()
            .take(AUTHORITIES - 1)
        {
            if end_of(pem).is_some_and(|end| end > now) {
                authorities.push_str(&rewritten(pem));
            }
        }
        Ok(Self {
            authorities: authorities.into_bytes(),
            certificate: certificate.pem().into_bytes(),
            key: key.serialize_pem().into_bytes(),
        })
    }

    /// Whether it is time for another one: it ends soon, is for other names, or is none.
    pub fn is_due(&self, names: &[String], now: Timestamp) -> bool {
        let Some(leaf) = pems(&self.certificate).into_iter().next() else {
            return true;
        };
        let ends_soon = end_of(&leaf).is_none_or(|end| now + RENEW >= end);
        ends_soon || !is_for(&leaf, names) || self.server().is_err()
    }

    /// The configuration of a server with it.
    pub fn server(&self) -> Result<Arc<ServerConfig>, CertificateError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| CertificateError::Unreadable)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| CertificateError::Unreadable)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn of(secret: &Secret) -> Option<Self> {
        let data = secret.data.as_ref()?;
        let get = |key: &str| data.get(key).map(|bytes| bytes.0.clone());
        Some(Self {
            authorities: get(CA)?,
            certificate: get(CERTIFICATE)?,
            key: get(KEY)?,
        })
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// From yesterday, for clocks that are behind, to the end of its life.
fn hold(params: &mut CertificateParams, now: Timestamp) {
    let day = |days: i64| {
        let at = Zoned::new(now + SignedDuration::from_hours(24 * days), TimeZone::UTC);
        rcgen::date_time_ymd(
            i32::from(at.year()),
            u8::try_from(at.month()).unwrap_or(1),
            u8::try_from(at.day()).unwrap_or(1),
        )
    };
    params.not_before = day(-1);
    params.not_after = day(LIFE);
}

fn pems(text: &[u8]) -> Vec<Pem> {
    Pem::iter_from_buffer(text).filter_map(Result::ok).collect()
}

fn end_of(pem: &Pem) -> Option<Timestamp> {
    let certificate = pem.parse_x509().ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

fn rewritten(pem: &Pem) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(&pem.contents);
    let lines: Vec<_> = body.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

/// Whether the certificate is for all of the names; addresses are compared as they are written.
fn is_for(pem: &Pem, names: &[String]) -> bool {
    let Ok(certificate) = pem.parse_x509() else {
        return false;
    };
    let Ok(Some(found)) = certificate.subject_alternative_name() else {
        return false;
    };
    let has = |name: &String| {
        found.value.general_names.iter().any(|found| match found {
            GeneralName::DNSName(dns) => dns == name,
            GeneralName::IPAddress([a, b, c, d]) => {
                *name == std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string()
            }
            GeneralName::IPAddress(bytes) => {
                let v6 = <[u8; 16]>::try_from(*bytes).map(|b| std::net::Ipv6Addr::from(b).to_string());
                v6.is_ok_and(|v6| v6 == *name)
            }
            _ => false,
        })
    };
    names.iter().all(has)
}

/// What is kept up to date, and where.
pub struct Keeper {
    client: Client,
    namespace: String,
    configuration: String,
    names: Vec<String>,
}

impl Keeper {
    /// A keeper of the Secret in `namespace` and of the authorities in the webhook `configuration`, for a server that is
    /// reached by `names`.
    pub fn new(client: Client, namespace: &str, configuration: &str, names: Vec<String>) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            configuration: configuration.to_owned(),
            names,
        }
    }

    /// Keeps certificate and authorities current until `stop`; `served` gets each new configuration.
    pub async fn keep(self, served: watch::Sender<Option<Arc<ServerConfig>>>, stop: CancellationToken) {
        let mut now_served = None;
        let mut failures = 0;
        loop {
            let pause = match self.renew(&mut now_served, &served).await {
                Ok(()) => {
                    failures = 0;
                    EVERY
                }
                Err(error) => {
                    tracing::warn!(%error, "admission certificate: trying again");
                    failures += 1;
                    exponential(failures - 1, RETRY, EVERY)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(jitter(pause)) => {}
            }
        }
    }

    async fn renew(
        &self,
        now_served: &mut Option<Material>,
        served: &watch::Sender<Option<Arc<ServerConfig>>>,
    ) -> Result<(), CertificateError> {
        let material = self.current(now_served.as_ref()).await?;
        let news = self.publish(&material.authorities).await?;
        if now_served.as_ref() == Some(&material) {
            return Ok(());
        }
        let config = material.server()?;
        if news {
            tokio::time::sleep(HEARD).await;
        }
        served.send_replace(Some(config));
        *now_served = Some(material);
        tracing::info!("admission certificate in use");
        Ok(())
    }

    /// What the Secret holds, after it was made or renewed where that was due. What is `served` is believed for as long as
    /// it holds, also where somebody removed the Secret.
    async fn current(&self, served: Option<&Material>) -> Result<Material, CertificateError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let live = timed(api.get_opt(SECRET)).await?;
        let old = live.as_ref().and_then(Material::of);
        let now = Timestamp::now();
        if let Some(old) = old.as_ref().filter(|old| !old.is_due(&self.names, now)) {
            return Ok(old.clone());
        }
        let material = Material::new(&self.names, old.as_ref().or(served), now)?;
        let mut secret = live.unwrap_or_else(|| Secret {
            metadata: ObjectMeta {
                name: Some(SECRET.to_owned()),
                labels: Some(labels::labels([(labels::PART_OF, labels::MANAGED_BY)])),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            ..Secret::default()
        });
        secret.data = Some(
            [
                (CA, &material.authorities),
                (CERTIFICATE, &material.certificate),
                (KEY, &material.key),
            ]
            .map(|(key, bytes)| (key.to_owned(), ByteString(bytes.clone())))
            .into(),
        );
        let params = PostParams::default();
        // Another replica that was quicker is a conflict; its certificate is read at the next try.
        if secret.metadata.resource_version.is_some() {
            timed(api.replace(SECRET, &params, &secret)).await?;
        } else {
            timed(api.create(&params, &secret)).await?;
        }
        tracing::info!("admission certificate made");
        Ok(material)
    }

    /// Tells the API server the authorities; whether that is news.
    async fn publish(&self, authorities: &[u8]) -> Result<bool, CertificateError> {
        let api: Api<ValidatingWebhookConfiguration> = Api::all(self.client.clone());
        let mut live = timed(api.get(&self.configuration)).await?;
        let mut news = false;
        for webhook in live.webhooks.iter_mut().flatten() {
            let bundle = &mut webhook.client_config.ca_bundle;
            if bundle.as_ref().is_none_or(|bundle| bundle.0 != authorities) {
                *bundle = Some(ByteString(authorities.to_vec()));
                news = true;
            }
        }
        if news {
            timed(api.replace(&self.configuration, &PostParams::default(), &live)).await?;
        }
        Ok(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["kidp-operator.kidp-system.svc".to_owned(), "127.0.0.1".to_owned()]
    }

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap() + SignedDuration::from_hours(24 * day)
    }

    #[test]
    fn a_certificate_is_replaced_before_its_end_and_for_other_names() {
        let material = Material::new(&names(), None, day(0)).unwrap();
        assert!(!material.is_due(&names(), day(0)) && !material.is_due(&names(), day(58)));
        assert!(material.is_due(&names(), day(61)), "a month before it ends");
        assert!(material.is_due(&["other.svc".to_owned()], day(0)));
        let broken = Material {
            key: b"none".to_vec(),
            ..material
        };
        assert!(broken.is_due(&names(), day(0)));
    }

    #[test]
    fn authorities_overlap_and_do_not_pile_up() {
        let mut material = Material::new(&names(), None, day(0)).unwrap();
        for round in 1..6 {
            let next = Material::new(&names(), Some(&material), day(round)).unwrap();
            let (old, new) = (pems(&material.authorities), pems(&next.authorities));
            assert!(
                new.iter().any(|pem| pem.contents == old[0].contents),
                "the one before is believed"
            );
            assert!(new.len() <= AUTHORITIES);
            material = next;
        }
        let late = Material::new(&names(), Some(&material), day(200)).unwrap();
        assert_eq!(pems(&late.authorities).len(), 1, "those that ended are not");
    }

    #[test]
    fn nothing_of_the_key_is_shown() {
        let material = Material::new(&names(), None, day(0)).unwrap();
        assert!(!format!("{material:?}").contains("PRIVATE"));
    }
}
