//! The name in a client certificate that TLS has verified already.

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Longest name that is taken.
const MAX_NAME: usize = 500;

/// The client's name: the first URI among the subject's alternative names (as SPIFFE has it), else the first DNS
/// name, else the common name. `None` when there is none, or none that can stand in a log or a policy.
pub fn client_name(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let names = alternatives
        .map(|e| e.value.general_names.as_slice())
        .unwrap_or_default();
    let uri = names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let dns = || {
        names.iter().find_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        })
    };
    let common = || {
        certificate
            .subject()
            .iter_common_name()
            .find_map(|name| name.as_str().ok())
    };
    uri.or_else(dns)
        .or_else(common)
        .filter(|name| is_usable(name))
        .map(str::to_owned)
}

fn is_usable(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn name(common: &str, alternatives: Vec<SanType>) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common);
        params.subject_alt_names = alternatives;
        let key = KeyPair::generate().unwrap();
        client_name(params.self_signed(&key).unwrap().der())
    }

    #[test]
    fn uri_before_dns_before_common_name() {
        let uri = SanType::URI("spiffe://kidp/operator".try_into().unwrap());
        let dns = SanType::DnsName("operator.kidp".try_into().unwrap());
        assert_eq!(
            name("cn", vec![dns.clone(), uri]).as_deref(),
            Some("spiffe://kidp/operator")
        );
        assert_eq!(name("cn", vec![dns]).as_deref(), Some("operator.kidp"));
        assert_eq!(name("cn", vec![]).as_deref(), Some("cn"));
    }

    #[test]
    fn what_is_no_name_is_none() {
        assert_eq!(name("", vec![]), None);
        assert_eq!(name("a\nb", vec![]), None);
        assert_eq!(client_name(b"nonsense"), None);
    }
}
