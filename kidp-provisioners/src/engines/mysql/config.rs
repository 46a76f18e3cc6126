//! The option file, from what KIDP needs, the presets and the user's parameters.

use std::collections::BTreeMap;
use std::fmt::Write;

use kidp_core::instance::TlsVersion;
use kidp_core::quantity::parse_bytes;

use super::{PORT, parameters, pod, presets};
use crate::engines::tls;
use crate::instance::Instance;
use crate::resources::config_map::Files;

/// Name of the option file; the image reads every `.cnf` of `/etc/mysql/conf.d`.
pub(super) const OPTIONS: &str = "kidp.cnf";
/// Name of the script that the image's first start ends with.
pub(super) const INITIALISED: &str = "initialised.sh";

/// The files of the ConfigMap.
pub(super) fn files(instance: &Instance) -> Files {
    BTreeMap::from([
        (OPTIONS.to_owned(), render(instance)),
        (INITIALISED.to_owned(), format!("rm -f {}\n", pod::UNFINISHED)),
    ])
}

fn render(instance: &Instance) -> String {
    let spec = &instance.spec;
    let storage = parse_bytes(&spec.storage.size).unwrap_or_default();
    let tuned = parameters::CATALOGUE.settings(presets::presets(spec.size, storage), spec);
    let mut text = format!(
        "# Written by KIDP for size {}. Change spec.parameters, not this file.\n[mysqld]\n",
        spec.size
    );
    for (name, value) in fixed(instance).into_iter().chain(tuned) {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name} = {}", quote(&value));
    }
    text
}

/// What the pod depends on; not to be changed by parameters.
fn fixed(instance: &Instance) -> Vec<(&'static str, String)> {
    let text = ToOwned::to_owned;
    let mut fixed = vec![
        ("datadir", text(pod::DATA_FOLDER)),
        ("port", PORT.number.to_string()),
        ("bind_address", text("*")),
        // The X protocol's port is on no Service.
        ("mysqlx", text("OFF")),
        // Clients are pods: their addresses have no names, and every lookup would wait for DNS.
        ("skip_name_resolve", text("ON")),
        ("host_cache_size", text("0")),
        ("secure_file_priv", text("NULL")),
        ("local_infile", text("OFF")),
        // There is no replica and no point-in-time restore that would read it, and it would fill the volume: it is
        // kept for 30 days unless told otherwise.
        ("disable_log_bin", text("ON")),
        ("log_timestamps", text("UTC")),
        ("character_set_server", text("utf8mb4")),
    ];
    if tls::is_on(instance) {
        let versions = match tls::lowest(instance) {
            TlsVersion::V1_2 => "TLSv1.2,TLSv1.3",
            TlsVersion::V1_3 => "TLSv1.3",
        };
        // The socket, which the image's first start comes over, counts as secure.
        // <https://dev.mysql.com/doc/refman/8.4/en/using-encrypted-connections.html>
        fixed.extend([
            ("require_secure_transport", text("ON")),
            ("ssl_ca", tls::ca()),
            ("ssl_cert", tls::certificate()),
            ("ssl_key", tls::key()),
            ("tls_version", text(versions)),
        ]);
    }
    fixed
}

/// A value in double quotes, so that it stays one value: an option file ends a value with its line, begins a comment at
/// `#`, and reads a few letters after a backslash as something else. Backslashes are doubled and what would end the line
/// is dropped. A quote cannot be escaped in a way that all versions read, and no accepted value has one: it is dropped
/// too. <https://dev.mysql.com/doc/refman/8.4/en/option-files.html>
fn quote(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for c in value.chars() {
        match c {
            '\\' => quoted.push_str("\\\\"),
            '"' | '\'' => {}
            c if c.is_control() => {}
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::quote;
    use proptest::prelude::*;

    /// The value that MySQL reads from an option file's line (`search_default_file_with_ext`): the first `#` outside
    /// quotes ends it, then one pair of quotes goes, then backslashes are read.
    fn unquote(line: &str) -> Option<String> {
        let inner = line.strip_prefix('"')?.strip_suffix('"')?;
        if inner.contains(['"', '\'', '\n', '\r']) {
            return None;
        }
        let mut value = String::new();
        let mut chars = inner.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => value.push((chars.next()? == '\\').then_some('\\')?),
                c => value.push(c),
            }
        }
        Some(value)
    }

    proptest! {
        #[test]
        fn a_quoted_value_is_read_back_as_one_value(value in "\\PC{0,60}|[\"'\\\\\n\r #n=\\[]{0,20}") {
            let kept: String = value.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\'')).collect();
            prop_assert_eq!(unquote(&quote(&value)), Some(kept));
        }
    }
}
