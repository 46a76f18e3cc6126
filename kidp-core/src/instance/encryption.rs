//! What a request says about encryption, on disk and on the wire.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lowest TLS version a client may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

/// Encryption of data on disk and on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EncryptionSpec {
    /// Data on disk is encrypted (a property of the storage class).
    #[serde(default)]
    pub at_rest: bool,
    /// Clients must use TLS.
    #[serde(default)]
    pub in_transit: bool,
    /// Lowest TLS version accepted.
    #[serde(default, rename = "minTLSVersion", skip_serializing_if = "Option::is_none")]
    pub min_tls_version: Option<TlsVersion>,
    /// Where the server's certificate comes from. When absent, cert-manager makes a CA for the instance alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateSource>,
}

/// Where a server's certificate comes from: a Secret that is there, or an issuer of cert-manager's; one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateSource {
    /// A Secret in the resource's namespace, with `tls.crt`, `tls.key` and `ca.crt` in PEM. Whoever made it renews it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: Option<String>,
    /// An issuer of cert-manager's that signs the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,
}

/// An issuer of cert-manager's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IssuerRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// `Issuer`, of the resource's namespace, or `ClusterIssuer`.
    #[serde(default)]
    pub kind: IssuerKind,
}

/// Kinds of issuers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IssuerKind {
    /// Of one namespace.
    #[default]
    Issuer,
    /// Of the whole cluster.
    ClusterIssuer,
}

impl IssuerKind {
    /// The kind as it is written in a manifest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issuer => "Issuer",
            Self::ClusterIssuer => "ClusterIssuer",
        }
    }
}
