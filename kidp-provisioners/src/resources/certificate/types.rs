//! cert-manager's kinds, as far as they are used.

use kidp_core::labels::Labels;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// What signs certificates. <https://cert-manager.io/docs/reference/api-docs/#cert-manager.io/v1.IssuerSpec>
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "cert-manager.io",
    version = "v1",
    kind = "Issuer",
    namespaced,
    schema = "disabled",
    doc = "An issuer of cert-manager's."
)]
#[serde(rename_all = "camelCase")]
pub struct IssuerSpec {
    /// Each certificate signs itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_signed: Option<SelfSigned>,
    /// The key of a CA signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<Authority>,
}

/// Has no settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SelfSigned {}

/// A CA whose certificate and key are in a Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authority {
    /// The Secret's name.
    pub secret_name: String,
}

/// A certificate to be made. <https://cert-manager.io/docs/reference/api-docs/#cert-manager.io/v1.CertificateSpec>
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "cert-manager.io",
    version = "v1",
    kind = "Certificate",
    namespaced,
    schema = "disabled",
    doc = "A certificate that cert-manager makes and renews."
)]
#[serde(rename_all = "camelCase")]
pub struct CertificateSpec {
    /// The Secret that it is put into.
    pub secret_name: String,
    /// What that Secret has besides.
    pub secret_template: SecretTemplate,
    /// Whether it may sign others.
    #[serde(rename = "isCA", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_ca: bool,
    /// Its subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_name: Option<String>,
    /// Names that it is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_names: Vec<String>,
    /// How long it is valid.
    pub duration: String,
    /// How long before its end it is renewed.
    pub renew_before: String,
    /// What its key may be used for.
    pub usages: Vec<String>,
    /// Its key.
    pub private_key: PrivateKey,
    /// Who signs it.
    pub issuer_ref: Signer,
}

/// Metadata of a Secret that is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SecretTemplate {
    /// Its labels.
    pub labels: Labels,
}

/// How a key is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrivateKey {
    /// `ECDSA` or `RSA`.
    pub algorithm: String,
    /// In bits.
    pub size: u32,
    /// Whether a renewal makes a new one: `Always` or `Never`.
    pub rotation_policy: String,
}

/// An issuer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Signer {
    /// Its name.
    pub name: String,
    /// `Issuer` or `ClusterIssuer`.
    pub kind: String,
    /// Its API group.
    pub group: String,
}
