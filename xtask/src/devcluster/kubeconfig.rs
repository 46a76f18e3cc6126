//! Renders kubeconfig files: one cluster, one user with an embedded client certificate.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::pki::Credential;

/// A kubeconfig as YAML (which JSON is), with the certificates inside, so that the file can be copied alone.
pub fn render(server: &str, ca_pem: &str, user: &str, credential: &Credential) -> String {
    let encode = |text: &str| STANDARD.encode(text.as_bytes());
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "kidp-devcluster",
            "cluster": { "server": server, "certificate-authority-data": encode(ca_pem) },
        }],
        "users": [{
            "name": user,
            "user": {
                "client-certificate-data": encode(&credential.certificate),
                "client-key-data": encode(&credential.key),
            },
        }],
        "contexts": [{
            "name": "kidp-devcluster",
            "context": { "cluster": "kidp-devcluster", "user": user },
        }],
        "current-context": "kidp-devcluster",
    });
    format!("{config:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kube_reads_what_is_rendered() {
        let credential = Credential {
            certificate: "CERT".into(),
            key: "KEY".into(),
        };
        let text = render("https://172.30.0.1:6443", "CA", "admin", &credential);
        let config = kube::config::Kubeconfig::from_yaml(&text).unwrap();
        assert_eq!(config.current_context.as_deref(), Some("kidp-devcluster"));
        let cluster = config.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://172.30.0.1:6443"));
        assert_eq!(cluster.certificate_authority_data.as_deref(), Some("Q0E="));
    }
}
