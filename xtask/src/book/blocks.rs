//! What a reader copies out of the documents has to work: links lead somewhere, YAML is taken, commands exist.

#![cfg(test)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Command;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use kubectl_kidp::documents::Document;
use kubectl_kidp::validate::{Checked, Checker};
use serde_json::Value;

use super::engines::EVERYTHING;
use super::schema;
use crate::paths::checkout;

/// Every document: those of the book, and those in the folders of the crates.
fn documents() -> Vec<PathBuf> {
    let root = checkout();
    let mut found = markdown(&root.join("docs"));
    found.push(root.join("README.md"));
    for entry in std::fs::read_dir(root).unwrap() {
        let readme = entry.unwrap().path().join("README.md");
        found.extend(readme.is_file().then_some(readme));
    }
    found
}

fn markdown(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let inside = entries.flat_map(|path| {
        if path.is_dir() {
            markdown(&path)
        } else {
            let is_document = path.extension().is_some_and(|e| e == "md");
            is_document.then_some(path).into_iter().collect()
        }
    });
    let mut found: Vec<_> = inside.collect();
    found.sort();
    found
}

/// The fenced blocks of a document, each with the words after its fence; and the text between them.
fn split(text: &str) -> (Vec<(String, String)>, String) {
    let (mut blocks, mut prose) = (Vec::new(), String::new());
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(words)) => open = Some((words.to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, block)), None) => block.extend([line, "\n"]),
            (None, None) => prose.extend([line, "\n"]),
        }
    }
    assert!(open.is_none(), "a block is not closed");
    (blocks, prose)
}

/// Targets of the links in a text, without those in code spans.
fn links(prose: &str) -> Vec<String> {
    let plain: String = prose.split('`').step_by(2).collect::<Vec<_>>().join("");
    let after = plain.split("](").skip(1);
    after
        .filter_map(|rest| rest.split_once(')'))
        .map(|(to, _)| to.to_owned())
        .collect()
}

/// The anchors of a document's headings, as renderers of Markdown make them.
fn anchors(prose: &str) -> BTreeSet<String> {
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let slug = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(slug).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for path in documents() {
        let (_, prose) = split(&std::fs::read_to_string(&path).unwrap());
        for link in links(&prose) {
            if link.starts_with("http") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                path.parent().unwrap().join(file)
            };
            let known = anchor.is_empty() || {
                let text = std::fs::read_to_string(&target).unwrap_or_default();
                anchors(&split(&text).1).contains(anchor)
            };
            if !target.exists() || !known {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_document_is_in_the_table_of_contents() {
    let docs = checkout().join("docs");
    let contents = std::fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let listed: BTreeSet<_> = links(&contents).into_iter().map(|to| docs.join(to)).collect();
    let there: BTreeSet<_> = markdown(&docs)
        .into_iter()
        .filter(|path| !path.ends_with("SUMMARY.md"))
        .collect();
    assert_eq!(there, listed);
}

/// Keys of a document that its schema does not have; the API server would drop or refuse them.
fn unknown(value: &Value, schema: &JSONSchemaProps, path: &str, found: &mut Vec<String>) {
    if schema.x_kubernetes_preserve_unknown_fields == Some(true) {
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let path = format!("{path}.{key}");
                let known = schema.properties.as_ref().and_then(|all| all.get(key));
                match known.or_else(|| schema::values(schema)) {
                    Some(schema) => unknown(inner, schema, &path, found),
                    None => found.push(path),
                }
            }
        }
        Value::Array(list) => {
            let schema = schema::items(schema).unwrap();
            for inner in list {
                unknown(inner, schema, path, found);
            }
        }
        _ => {}
    }
}

/// What is wrong with an object of one of our kinds, in a cluster that has everything. A block that starts with `spec:` or
/// `status:` is a part of a `Database`.
fn faults(object: &Value) -> Vec<String> {
    let document = Document {
        file: String::new(),
        number: 1,
        value: whole(object),
    };
    let mut found = match Checker::new(EVERYTHING, "shop").check(&document, None).unwrap() {
        Checked::NotOurs => vec![format!("{} is no kind of ours", document.kind())],
        Checked::Faults(faults) => faults.iter().map(ToString::to_string).collect(),
    };
    let mut crds = kidp_core::crd::operator_crds().into_iter();
    let crd = crds.find(|crd| crd.spec.names.kind == document.kind());
    let schema = crd.as_ref().and_then(schema::of);
    let status = schema.and_then(|schema| schema.properties.as_ref()?.get("status"));
    if let (Some(value), Some(schema)) = (object.get("status"), status) {
        unknown(value, schema, "status", &mut found);
    }
    found
}

/// The object itself, or a `Database` around a part of one.
fn whole(object: &Value) -> Value {
    if object.get("apiVersion").is_some() {
        return object.clone();
    }
    let mut whole = serde_json::json!({"apiVersion": "platform.company.com/v1", "kind": "Database",
        "metadata": {"name": "orders"}, "spec": {"engine": "postgresql", "version": "16",
        "storage": {"size": "1Gi"}, "owner": {"kind": "Team", "name": "payments"}}});
    for (field, value) in object["spec"].as_object().into_iter().flatten() {
        whole["spec"][field] = value.clone();
    }
    whole
}

#[test]
fn every_yaml_block_would_be_taken() {
    let mut checked = 0;
    let mut found = Vec::new();
    for path in documents() {
        let (blocks, _) = split(&std::fs::read_to_string(&path).unwrap());
        for (_, block) in blocks.iter().filter(|(words, _)| words == "yaml") {
            for document in serde_yaml_ng::Deserializer::from_str(block) {
                let object: Value = serde::Deserialize::deserialize(document)
                    .unwrap_or_else(|error| panic!("{}: {error}\n{block}", path.display()));
                let group = object["apiVersion"].as_str().unwrap_or_default();
                let fragment = object.get("spec").is_some() || object.get("status").is_some();
                if group.contains("platform.company.com") || (group.is_empty() && fragment) {
                    checked += 1;
                    let said = faults(&object);
                    found.extend(said.iter().map(|fault| format!("{}: {fault}", path.display())));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(checked > 10, "only {checked} blocks were found");
}

#[test]
fn a_wrong_block_would_be_found() {
    let said = |kind: &str, spec: &str| {
        let head = "apiVersion: platform.company.com/v1\nmetadata: {name: orders}";
        let yaml = format!("{head}\nkind: {kind}\nspec: {spec}");
        faults(&serde_yaml_ng::from_str(&yaml).unwrap()).join("\n")
    };
    let right = "{engine: postgresql, version: '16', size: small, storage: {size: 1Gi}, owner: {kind: Team, name: t}}";
    assert_eq!(said("Database", right), "");
    let wrong = |from, to| said("Database", &right.replace(from, to));
    assert!(wrong("size: small", "sise: small").contains("spec.sise"));
    assert!(wrong("'16'", "'9.6'").contains("spec.version"));
    assert_eq!(
        said("Team", "{displayName: Payments}"),
        "spec.owners: is required"
    );
    let part = |yaml: &str| faults(&serde_yaml_ng::from_str(yaml).unwrap()).join("\n");
    assert!(part("spec: {encryption: {inTransfer: true}}").contains("spec.encryption.inTransfer"));
    assert_eq!(part("status: {chances: 1}"), "status.chances");
}

/// The words of a command line, up to a comment.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace()
        .take_while(|word| !word.starts_with('#'))
        .collect()
}

#[test]
fn every_command_exists() {
    let cli: Command = crate::cli::command();
    let mut checked = 0;
    for path in documents() {
        let (blocks, _) = split(&std::fs::read_to_string(&path).unwrap());
        let shell = blocks
            .iter()
            .filter(|(words, _)| ["console", "sh"].contains(&words.as_str()));
        for line in shell.flat_map(|(_, block)| block.lines()) {
            let words = words(line);
            if let ["cargo", "xtask", rest @ ..] = words.as_slice() {
                let arguments = ["cargo xtask"].iter().chain(rest);
                let outcome = cli.clone().try_get_matches_from(arguments);
                let outcome = outcome.map_err(|error| error.to_string());
                assert!(
                    outcome.is_ok(),
                    "{}: {line}: {}",
                    path.display(),
                    outcome.unwrap_err()
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 10, "only {checked} commands were found");
}
