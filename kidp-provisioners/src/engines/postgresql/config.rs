//! `postgresql.conf`, from what KIDP needs, the presets and the user's parameters.

use std::collections::BTreeMap;
use std::fmt::Write;

use kidp_core::instance::TlsVersion;
use kidp_core::quantity::parse_bytes;

use super::{PORT, parameters, presets};
use crate::engines::tls;
use crate::instance::Instance;
use crate::resources::config_map::Files;

/// Where the ConfigMap is mounted.
pub(super) const FOLDER: &str = "/etc/postgresql";
/// The file that the server reads.
pub(super) const PATH: &str = "/etc/postgresql/postgresql.conf";
/// The file with who may connect, where clients must use TLS.
const HBA: &str = "pg_hba.conf";

/// Who may connect where clients must use TLS: everybody with a password over TLS, nobody without. The socket is the
/// pod's own, and the image's first start comes over it.
/// <https://www.postgresql.org/docs/current/auth-pg-hba-conf.html>
const HBA_TLS: &str = "# Written by KIDP.\nlocal all all trust\nhostssl all all all scram-sha-256\n";

/// The files of the ConfigMap.
pub(super) fn files(instance: &Instance) -> Files {
    let mut files = BTreeMap::from([("postgresql.conf".to_owned(), render(instance))]);
    if tls::is_on(instance) {
        files.insert(HBA.to_owned(), HBA_TLS.to_owned());
    }
    files
}

/// The whole file. Without TLS, `pg_hba.conf` stays as the image's first start made it, in the data folder.
fn render(instance: &Instance) -> String {
    let spec = &instance.spec;
    let storage = parse_bytes(&spec.storage.size).unwrap_or_default();
    let tuned = parameters::CATALOGUE.settings(presets::presets(spec.size, storage), spec);
    let mut text = format!(
        "# Written by KIDP for size {}. Change spec.parameters, not this file.\n",
        spec.size
    );
    let fixed = fixed(instance);
    let settings = fixed.iter().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in settings.chain(tuned.iter().map(|(name, value)| (*name, value.as_str()))) {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name} = {}", quote(value));
    }
    text
}

/// What the pod depends on; not to be changed by parameters.
fn fixed(instance: &Instance) -> Vec<(&'static str, String)> {
    let mut fixed = vec![
        ("listen_addresses", "*".to_owned()),
        ("port", PORT.number.to_string()),
        ("unix_socket_directories", "/var/run/postgresql".to_owned()),
        ("password_encryption", "scram-sha-256".to_owned()),
        ("dynamic_shared_memory_type", "posix".to_owned()),
        // `try` maps huge pages that a node may have set aside and the pod's cgroup does not grant: SIGBUS.
        ("huge_pages", "off".to_owned()),
        ("log_destination", "stderr".to_owned()),
        ("logging_collector", "off".to_owned()),
        ("log_timezone", "Etc/UTC".to_owned()),
        ("datestyle", "iso, mdy".to_owned()),
        ("default_text_search_config", "pg_catalog.english".to_owned()),
    ];
    if tls::is_on(instance) {
        let lowest = match tls::lowest(instance) {
            TlsVersion::V1_2 => "TLSv1.2",
            TlsVersion::V1_3 => "TLSv1.3",
        };
        // The key may be readable by the group, since root owns it.
        // <https://www.postgresql.org/docs/current/ssl-tcp.html#SSL-SETUP>
        fixed.extend([
            ("ssl", "on".to_owned()),
            ("ssl_cert_file", tls::certificate()),
            ("ssl_key_file", tls::key()),
            ("ssl_min_protocol_version", lowest.to_owned()),
            ("hba_file", format!("{FOLDER}/{HBA}")),
        ]);
    }
    fixed
}

/// A value in quotes, so that it stays one value: quotes and backslashes are doubled, and what would end the
/// line is dropped. <https://www.postgresql.org/docs/current/config-setting.html>
pub(super) fn quote(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('\'');
    for c in value.chars() {
        match c {
            '\'' => quoted.push_str("''"),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => {}
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::quote;
    use proptest::prelude::*;

    /// The value that PostgreSQL's lexer reads from a quoted one (`GUC_scanstr`).
    fn unquote(line: &str) -> Option<String> {
        let inner = line.strip_prefix('\'')?.strip_suffix('\'')?;
        let mut chars = inner.chars();
        let mut value = String::new();
        while let Some(c) = chars.next() {
            match c {
                '\'' => value.push((chars.next()? == '\'').then_some('\'')?),
                '\\' => value.push((chars.next()? == '\\').then_some('\\')?),
                '\n' | '\r' => return None,
                c => value.push(c),
            }
        }
        Some(value)
    }

    proptest! {
        #[test]
        fn a_quoted_value_is_read_back_as_one_value(value in "\\PC{0,60}|['\\\\\n\r #=a]{0,20}") {
            let kept: String = value.chars().filter(|c| !c.is_control()).collect();
            prop_assert_eq!(unquote(&quote(&value)), Some(kept));
        }
    }
}
