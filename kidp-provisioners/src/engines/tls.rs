//! TLS as every engine has it: where the certificate is, from which version on, and when its pods start anew for it.

use k8s_openapi::api::core::v1::{Volume, VolumeMount};
use kidp_core::instance::TlsVersion;
use kidp_core::names::short_hash;

use crate::instance::Instance;
use crate::resources::certificate;
use crate::resources::meta::Scope;
use crate::resources::service;
use crate::resources::stateful_set::{read_only_mount, secret_files};
use crate::tls::{CA, CERTIFICATE, KEY};

/// Where the certificate's Secret is mounted. The whole folder: a file that is mounted by itself is never renewed.
pub const FOLDER: &str = "/etc/kidp/tls";

const VOLUME: &str = "tls";

/// Whether clients must use TLS.
pub fn is_on(instance: &Instance) -> bool {
    instance.spec.encryption.in_transit
}

/// The lowest version that is served: 1.2, or what is asked for.
pub fn lowest(instance: &Instance) -> TlsVersion {
    let asked = instance.spec.encryption.min_tls_version;
    asked.unwrap_or(TlsVersion::V1_2)
}

/// Path of the server's certificate.
pub fn certificate() -> String {
    format!("{FOLDER}/{CERTIFICATE}")
}

/// Path of the server's key: readable by the pod's group, owned by root.
pub fn key() -> String {
    format!("{FOLDER}/{KEY}")
}

/// Path of the CA.
pub fn ca() -> String {
    format!("{FOLDER}/{CA}")
}

/// The volume with the three files, where there is TLS.
pub fn volume(scope: &Scope<'_>) -> Option<Volume> {
    let secret = || certificate::secret_name(scope);
    is_on(scope.instance).then(|| secret_files(VOLUME, secret(), &[CERTIFICATE, KEY, CA]))
}

/// The mount of [`volume`], where there is TLS.
pub fn mount(scope: &Scope<'_>) -> Option<VolumeMount> {
    is_on(scope.instance).then(|| read_only_mount(VOLUME, FOLDER))
}

/// A mount of the CA alone, where there is TLS, for a container that has no use for the key. It is never renewed while
/// its pod runs, which is why it is for engines whose pods start anew for it.
pub fn ca_mount(scope: &Scope<'_>) -> Option<VolumeMount> {
    is_on(scope.instance).then(|| VolumeMount {
        sub_path: Some(CA.to_owned()),
        ..read_only_mount(VOLUME, &ca())
    })
}

/// Hash of a configuration and of the certificate that is served, for engines that read both at their start only: a
/// renewed certificate starts their pods anew, so that none goes on with one that has expired. Without TLS it is that
/// of the configuration.
pub fn checksum(instance: &Instance, configuration: String) -> String {
    match instance.tls.as_ref().filter(|_| is_on(instance)) {
        Some(served) => short_hash(&[&configuration, &served.checksum], 16),
        None => configuration,
    }
}

/// A probe's script in bash that talks to a server through file descriptor 3, made to talk through `openssl`, which
/// verifies the chain and the name that clients connect to. `open` is the line that opens the plain connection, `address`
/// where the server is. What is written goes to descriptor 4: a program has two pipes where a socket has one.
pub(super) fn over_tls(scope: &Scope<'_>, script: &str, open: &str, address: &str) -> String {
    let host = service::host(scope);
    let ca = ca();
    let opened = format!(
        "coproc TLS {{ exec openssl s_client -quiet -connect {address} -servername {host} -verify_hostname {host} \\\n    \
         -CAfile {ca} -verify_return_error 2> /dev/null; }}\n\
         exec 3<&\"${{TLS[0]}}\" 4>&\"${{TLS[1]}}\"\n\
         trap 'kill \"${{TLS_PID-}}\" 2> /dev/null || true' EXIT"
    );
    script.replace(open, &opened).replace(">&3", ">&4")
}
