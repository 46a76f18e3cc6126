//! `redis.conf`, from what KIDP needs, the presets and the user's parameters.

use std::fmt::Write;

use kidp_core::instance::{ResourceType, TlsVersion};
use kidp_core::size::Size;

use super::{PORT, acl, members, parameters};
use crate::engines::tls;
use crate::instance::Instance;
use crate::resources::config_map::Files;

/// Where the ConfigMap is mounted.
pub(super) const FOLDER: &str = "/etc/kidp/redis";
/// The file that the server reads.
pub(super) const PATH: &str = "/etc/kidp/redis/redis.conf";
/// Where the data is: the image's working folder.
pub(super) const DATA: &str = "/data";

/// The files of the ConfigMap.
pub(super) fn files(instance: &Instance) -> Files {
    let mut files = members::files(instance);
    files.insert("redis.conf".to_owned(), render(instance));
    files
}

fn render(instance: &Instance) -> String {
    let spec = &instance.spec;
    let tuned = parameters::CATALOGUE.settings(presets(instance.resource_type, spec.size), spec);
    let mut text = format!(
        "# Written by KIDP for size {}. Change spec.parameters, not this file.\n",
        spec.size
    );
    let fixed = fixed(instance).into_iter().chain(members::settings(instance));
    for (name, value) in fixed.chain(tuned) {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name} {}", quote(&value));
    }
    text
}

/// What the pod depends on; not to be changed by parameters.
fn fixed(instance: &Instance) -> Vec<(&'static str, String)> {
    let mut fixed = listener(instance);
    fixed.extend([
        ("dir", DATA.to_owned()),
        ("aclfile", acl::PATH.to_owned()),
        // The image has it off. With it, a user without password would still be no open door.
        ("protected-mode", "yes".to_owned()),
        ("daemonize", "no".to_owned()),
        // Data is on the claim, of a cache too: a restart must not send every client to the database behind it.
        ("appendonly", "yes".to_owned()),
        ("logfile", String::new()),
        // SIGTERM writes the log to disk, takes a snapshot where `save` asks for them, and ends.
        ("shutdown-on-sigterm", "default".to_owned()),
    ]);
    fixed
}

/// What clients connect to. A certificate of their own is not asked for: they have a password.
/// <https://redis.io/docs/latest/operate/oss_and_stack/management/security/encryption/>
fn listener(instance: &Instance) -> Vec<(&'static str, String)> {
    let port = PORT.number.to_string();
    if !tls::is_on(instance) {
        return vec![("port", port)];
    }
    let versions = match tls::lowest(instance) {
        TlsVersion::V1_2 => "TLSv1.2 TLSv1.3",
        TlsVersion::V1_3 => "TLSv1.3",
    };
    vec![
        ("port", "0".to_owned()),
        ("tls-port", port),
        ("tls-cert-file", tls::certificate()),
        ("tls-key-file", tls::key()),
        ("tls-ca-cert-file", tls::ca()),
        ("tls-auth-clients", "no".to_owned()),
        ("tls-protocols", versions.to_owned()),
    ]
}

/// Settings by kind and size.
fn presets(resource_type: ResourceType, size: Size) -> Vec<(&'static str, String)> {
    // A quarter is left for clients, for the pages that are written to while a snapshot is taken, and for
    // fragmentation. <https://redis.io/docs/latest/operate/oss_and_stack/management/optimization/memory-optimization/>
    let keys = size.memory_bytes() / 4 * 3;
    let policy = match resource_type {
        ResourceType::Cache => "allkeys-lru",
        ResourceType::Database | ResourceType::MessageQueue => "noeviction",
    };
    vec![
        ("maxmemory", format!("{}mb", keys >> 20)),
        ("maxmemory-policy", policy.to_owned()),
        // At most a second of writes is lost when a node dies, none when a pod is stopped.
        ("appendfsync", "everysec".to_owned()),
        // A full snapshot besides the log would write everything twice.
        ("save", String::new()),
        ("tcp-keepalive", "60".to_owned()),
    ]
}

/// A value in double quotes, so that it stays one value: quotes and backslashes are escaped, and what would end the
/// line is dropped. Redis splits a line as `sdssplitargs` does:
/// <https://github.com/redis/redis/blob/7.0/src/sds.c>
fn quote(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for c in value.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::quote;
    use proptest::prelude::*;

    /// The value that Redis reads from a line's quoted argument (`sdssplitargs`), if it is one and the last.
    fn unquote(text: &str) -> Option<String> {
        let mut chars = text.strip_prefix('"')?.chars();
        let mut value = String::new();
        loop {
            match chars.next()? {
                '"' => return chars.next().is_none().then_some(value),
                '\\' => match chars.next()? {
                    c @ ('"' | '\\') => value.push(c),
                    // n, r, t, b, a and x would mean something else.
                    _ => return None,
                },
                '\n' | '\r' => return None,
                c => value.push(c),
            }
        }
    }

    proptest! {
        #[test]
        fn a_quoted_value_is_read_back_as_one_value(value in "\\PC{0,60}|[\"'\\\\\n\r #nx]{0,20}") {
            let kept: String = value.chars().filter(|c| !c.is_control()).collect();
            prop_assert_eq!(unquote(&quote(&value)), Some(kept));
        }
    }
}
