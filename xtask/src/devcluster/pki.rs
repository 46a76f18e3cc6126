//! The cluster's certificates: one authority, one certificate a component, and the key that signs service-account
//! tokens. They are made anew at each `up` and are worth nothing outside this machine.
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use super::{Error, NODE_IP, NODE_NAME, SERVICE_IP};
use crate::paths::Layout;

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// A certificate with its key, as PEM.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// Who a client certificate says its holder is.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// File name of the kubeconfig.
    pub component: &'static str,
    /// Kubernetes user.
    pub user: &'static str,
    /// Kubernetes group.
    pub group: Option<&'static str>,
}

/// Everyone who talks to the API server. Rights come from the built-in roles of the same name, from the node
/// authorizer, or from `devcluster/manifests/bootstrap.yaml`.
pub const IDENTITIES: [Identity; 7] = [
    Identity {
        component: "admin",
        user: "kidp-admin",
        group: Some("system:masters"),
    },
    Identity {
        component: "kube-controller-manager",
        user: "system:kube-controller-manager",
        group: None,
    },
    Identity {
        component: "kube-scheduler",
        user: "system:kube-scheduler",
        group: None,
    },
    Identity {
        component: "kubelet",
        user: "system:node:kidp-node",
        group: Some("system:nodes"),
    },
    Identity {
        component: "kube-proxy",
        user: "system:kube-proxy",
        group: None,
    },
    Identity {
        component: "coredns",
        user: "kidp:coredns",
        group: None,
    },
    Identity {
        component: "storage-provisioner",
        user: "kidp:storage-provisioner",
        group: None,
    },
];

/// The authority of one cluster and the files made from it.
pub struct Pki {
    dir: PathBuf,
    ca: Issuer,
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pki")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl Pki {
    /// Makes the authorities, the server certificates and the token key under `pki/`.
    pub fn create(layout: &Layout) -> Result<Self, Error> {
        let dir = layout.pki();
        let ca = authority("kidp-devcluster")?;
        let proxy_ca = authority("kidp-devcluster-front-proxy")?;
        write(&dir.join("ca.crt"), &ca.pem())?;
        write(&dir.join("ca.key"), &ca.key().serialize_pem())?;
        write(&dir.join("front-proxy-ca.crt"), &proxy_ca.pem())?;
        let tokens = KeyPair::generate()?;
        write(&dir.join("sa.key"), &tokens.serialize_pem())?;
        write(&dir.join("sa.pub"), &tokens.public_key_pem())?;
        let pki = Self { dir, ca };
        let names = [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "localhost",
            "127.0.0.1",
        ];
        let api = [
            &names[..],
            &["kubernetes.default.svc.cluster.local", NODE_IP, SERVICE_IP],
        ]
        .concat();
        pki.save("apiserver", &server(&pki.ca, "kube-apiserver", &api)?)?;
        pki.save("kubelet", &server(&pki.ca, NODE_NAME, &[NODE_NAME, NODE_IP])?)?;
        let kubelet_client = client(&pki.ca, "kube-apiserver-kubelet-client", Some("system:masters"))?;
        pki.save("apiserver-kubelet-client", &kubelet_client)?;
        pki.save(
            "front-proxy-client",
            &client(&proxy_ca, "front-proxy-client", None)?,
        )?;
        Ok(pki)
    }

    /// The authority's certificate.
    pub fn ca_pem(&self) -> String {
        self.ca.pem()
    }

    /// A client certificate.
    pub fn client(&self, identity: &Identity) -> Result<Credential, Error> {
        client(&self.ca, identity.user, identity.group)
    }

    fn save(&self, name: &str, credential: &Credential) -> Result<(), Error> {
        write(&self.dir.join(format!("{name}.crt")), &credential.certificate)?;
        write(&self.dir.join(format!("{name}.key")), &credential.key)
    }
}

fn authority(name: &str) -> Result<Issuer, Error> {
    let mut params = CertificateParams::default();
    set_subject(&mut params, name, None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn server(issuer: &Issuer, name: &str, names: &[&str]) -> Result<Credential, Error> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names)?;
    set_subject(&mut params, name, None);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    issue(issuer, params)
}

fn client(issuer: &Issuer, user: &str, group: Option<&str>) -> Result<Credential, Error> {
    let mut params = CertificateParams::default();
    set_subject(&mut params, user, group);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    issue(issuer, params)
}

fn issue(issuer: &Issuer, mut params: CertificateParams) -> Result<Credential, Error> {
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok(Credential {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

fn set_subject(params: &mut CertificateParams, name: &str, group: Option<&str>) {
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(2044, 1, 1);
}

/// Writes a file that only root may read.
pub fn write(path: &Path, text: &str) -> Result<(), Error> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(Error::io(path))?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_for_root_only_and_certificates_are_made() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout {
            state: dir.path().into(),
            cache: dir.path().into(),
        };
        std::fs::create_dir_all(layout.pki()).unwrap();
        let pki = Pki::create(&layout).unwrap();
        let mode = std::fs::metadata(layout.pki().join("ca.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let admin = pki.client(&IDENTITIES[0]).unwrap();
        assert!(admin.certificate.starts_with("-----BEGIN CERTIFICATE"));
        assert!(admin.key.contains("PRIVATE KEY"));
    }
}
