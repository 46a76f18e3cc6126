//! `mongod.conf`, from what KIDP needs, the presets and the user's parameters, and the scripts beside it.

use std::fmt::Write;

use kidp_core::instance::TlsVersion;
use serde_json::{Map, Value};

use super::parameters::CATALOGUE;
use super::{PORT, members, presets};
use crate::engines::tls;
use crate::instance::Instance;
use crate::resources::config_map::Files;
use crate::resources::meta::Scope;

/// Where the ConfigMap is mounted.
pub(super) const FOLDER: &str = "/etc/mongod";
/// The file that the server reads.
pub(super) const PATH: &str = "/etc/mongod/mongod.conf";

/// The line of `hello.sh` that opens its connection.
const OPEN: &str = "exec 3<> \"/dev/tcp/$POD_IP/27017\"";
/// Where the certificate and its key are together, as the server wants them; in memory.
pub(super) const TOGETHER: &str = "/run/kidp/tls";

/// Puts them together. A file that is not there ends it.
pub(super) fn join() -> String {
    format!(
        "set -eu\numask 0077\ncat {} {} > {TOGETHER}/server.pem\n",
        tls::certificate(),
        tls::key()
    )
}

/// The files of the ConfigMap.
pub(super) fn files(instance: &Instance) -> Files {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let mut files = members::files(instance);
    files.extend([
        file("mongod.conf", &render(instance)),
        file("login.js", include_str!("login.js")),
    ]);
    if !members::wanted(instance) {
        files.extend([file("hello.sh", &hello(instance))]);
    }
    files
}

/// The protocol's greeting, as a probe of a server alone.
fn hello(instance: &Instance) -> String {
    let hello = include_str!("hello.sh");
    if tls::is_on(instance) {
        tls::over_tls(&Scope::new(instance), hello, OPEN, "\"$POD_IP:27017\"")
    } else {
        hello.to_owned()
    }
}

/// The whole file, YAML. <https://www.mongodb.com/docs/manual/reference/configuration-options/>
fn render(instance: &Instance) -> String {
    let mut tuned = CATALOGUE.settings(presets::presets(instance.spec.size), &instance.spec);
    // `validate` refuses values of another type; they are left out here too, since `build` may be called without it.
    tuned.retain(|name, value| CATALOGUE.find(name).is_none_or(|p| p.kind.accepts(value)));
    let mut tree = Map::new();
    for (path, value) in tuned {
        insert(&mut tree, path, typed(&value));
    }
    for (path, value) in fixed(instance) {
        insert(&mut tree, path, value);
    }
    if members::wanted(instance) {
        insert(&mut tree, "security.keyFile", Value::from(members::KEY_FILE));
    }
    let mut text = format!(
        "# Written by KIDP for size {}. Change spec.parameters, not this file.\n",
        instance.spec.size
    );
    write(&mut text, &tree, 0);
    text
}

/// What the pod depends on; not to be changed by parameters.
fn fixed(instance: &Instance) -> Vec<(&'static str, Value)> {
    let mut fixed = vec![
        ("net.port", Value::from(PORT.number)),
        // The image says so on the command line otherwise; its first start listens on 127.0.0.1 all the same.
        ("net.bindIpAll", Value::from(true)),
        ("security.authorization", Value::from("enabled")),
        ("storage.dbPath", Value::from("/data/db")),
    ];
    if tls::is_on(instance) {
        let disabled = match tls::lowest(instance) {
            TlsVersion::V1_2 => "TLS1_0,TLS1_1",
            TlsVersion::V1_3 => "TLS1_0,TLS1_1,TLS1_2",
        };
        // Without a file of CAs the server would not start; clients need no certificate of their own.
        // <https://www.mongodb.com/docs/manual/tutorial/configure-ssl/>
        fixed.extend([
            ("net.tls.mode", Value::from("requireTLS")),
            (
                "net.tls.certificateKeyFile",
                Value::from(format!("{TOGETHER}/server.pem")),
            ),
            ("net.tls.CAFile", Value::from(tls::ca())),
            ("net.tls.allowConnectionsWithoutCertificates", Value::from(true)),
            ("net.tls.disabledProtocols", Value::from(disabled)),
        ]);
    }
    fixed
}

/// A number or a truth value where it reads like one: the server refuses `"0.5"` where it wants 0.5.
fn typed(value: &str) -> Value {
    match value {
        "true" => Value::from(true),
        "false" => Value::from(false),
        _ => value
            .parse::<i64>()
            .map(Value::from)
            .or_else(|_| value.parse::<f64>().map(Value::from))
            .unwrap_or_else(|_| Value::from(value)),
    }
}

fn insert(tree: &mut Map<String, Value>, path: &str, value: Value) {
    let Some((first, rest)) = path.split_once('.') else {
        tree.insert(path.to_owned(), value);
        return;
    };
    let branch = tree.entry(first).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(branch) = branch {
        insert(branch, rest, value);
    }
}

/// Block style; a scalar is written as JSON writes it, which YAML reads the same.
fn write(text: &mut String, tree: &Map<String, Value>, depth: usize) {
    let indent = "  ".repeat(depth);
    for (key, value) in tree {
        // Writing to a String does not fail.
        let _ = match value {
            Value::Object(branch) => {
                let written = writeln!(text, "{indent}{key}:");
                write(text, branch, depth + 1);
                written
            }
            scalar => writeln!(text, "{indent}{key}: {scalar}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{insert, typed, write};
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    fn text(tree: &Map<String, Value>) -> String {
        let mut text = String::new();
        write(&mut text, tree, 0);
        text
    }

    #[test]
    fn paths_become_branches() {
        let mut tree = Map::new();
        insert(&mut tree, "a.b.c", typed("1"));
        insert(&mut tree, "a.b.d", typed("0.5"));
        insert(&mut tree, "a.e", typed("true"));
        insert(&mut tree, "a.f", typed("off"));
        assert_eq!(
            json!(tree),
            json!({"a": {"b": {"c": 1, "d": 0.5}, "e": true, "f": "off"}})
        );
        assert_eq!(
            text(&tree),
            "a:\n  b:\n    c: 1\n    d: 0.5\n  e: true\n  f: \"off\"\n"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(values in prop::collection::btree_map(
            "[a-z]{1,6}(\\.[A-Z]{1,6}){0,3}", "\\PC{0,40}|[\n'\"\\\\#: \t{}&*!|>%@`-]{0,12}", 0..6)
        ) {
            let mut tree = Map::new();
            for (path, value) in &values {
                insert(&mut tree, path, typed(value));
            }
            let read: Value = serde_yaml_ng::from_str(&text(&tree)).unwrap();
            let expected = if tree.is_empty() { Value::Null } else { json!(tree) };
            prop_assert_eq!(read, expected);
        }
    }
}
