//! `cargo xtask charts`: `deploy/manifests` is what helm renders of the charts in `deploy/charts`, so that both ways to
//! install give the same objects. It says what is stale, and with `--write` writes it anew.
//!
//! helm is built for this. So that a stale manifest is seen without helm too, `deploy/charts/rendered.sha256` has a hash of
//! what the last rendering was made of and one of what it gave, and a test compares both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::devcluster::{self, key};
use crate::paths::{Layout, checkout};
use crate::process::{Cmd, ProcessError};
use crate::progress::Progress;

/// Opens every rendered manifest.
const RENDERED: &str = "# Rendered from deploy/charts by `cargo xtask charts --write`; do not edit.\n";
/// The hashes of the last rendering.
const STAMP: &str = "deploy/charts/rendered.sha256";
/// Manifests that are no chart's: a release's namespace is there before it.
const BY_HAND: [&str; 2] = ["kustomization.yaml", "namespace.yaml"];

/// What to do.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Write the manifests, rather than compare them.
    #[arg(long)]
    write: bool,
}

/// Why the manifests are not what the charts render, or that is not known.
#[derive(Debug, thiserror::Error)]
pub enum ChartsError {
    /// helm could not be built.
    #[error(transparent)]
    Build(#[from] devcluster::Error),
    /// helm refused.
    #[error(transparent)]
    Helm(#[from] ProcessError),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A document is not what it has to be.
    #[error("{document}: {reason}")]
    Document {
        /// Which.
        document: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody edited a chart or a manifest, and not the other.
    #[error("not what the charts render: {}; run `cargo xtask charts --write`", .0.join(", "))]
    Stale(Vec<String>),
    /// The overlay was forgotten.
    #[error(
        "{0}: the patches in deploy/manifests/admission make something else of it than the chart does with admission.enabled"
    )]
    Overlay(String),
}

impl ChartsError {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    fn document(document: &str, reason: String) -> Self {
        Self::Document {
            document: document.to_owned(),
            reason,
        }
    }
}

/// One `helm template`.
struct Rendering {
    chart: &'static str,
    namespace: &'static str,
    /// In `deploy/charts/values`.
    values: &'static str,
    /// In `deploy/manifests`.
    folder: &'static str,
}

const OPERATOR: Rendering = Rendering {
    chart: "kidp-operator",
    namespace: "kidp-system",
    values: "operator.yaml",
    folder: "operator",
};
const ADMISSION: Rendering = Rendering {
    values: "operator-admission.yaml",
    folder: "admission",
    ..OPERATOR
};
const BROKER: Rendering = Rendering {
    chart: "kidp-broker",
    namespace: "kidp-broker-local",
    values: "broker.yaml",
    folder: "broker",
};

/// What helm made, by the template's path in its chart.
type Rendered = BTreeMap<String, String>;

/// Renders, and compares or writes.
pub async fn run(options: &Options, progress: &Progress) -> Result<(), ChartsError> {
    let layout = Layout::from_env();
    let helm = progress.step("helm, built once a machine", devcluster::helm(&layout));
    let helm = helm.await?;
    if options.write {
        return progress.step("writing deploy/manifests", write(&helm)).await;
    }
    check(&helm, progress).await
}

/// Compares what is committed with what this helm renders.
pub async fn check(helm: &Path, progress: &Progress) -> Result<(), ChartsError> {
    let compare = async {
        let mut stale = stale(&manifests(helm).await?)?;
        stale.extend((committed_stamp() != stamp()?).then(|| STAMP.to_owned()));
        if stale.is_empty() {
            Ok(())
        } else {
            Err(ChartsError::Stale(stale))
        }
    };
    progress
        .step("manifests as the charts render them", compare)
        .await
}

async fn write(helm: &Path) -> Result<(), ChartsError> {
    for (path, text) in manifests(helm).await? {
        let path = checkout().join(path);
        std::fs::write(&path, text).map_err(ChartsError::io(&path))?;
    }
    let path = checkout().join(STAMP);
    std::fs::write(&path, stamp()?).map_err(ChartsError::io(&path))
}

/// Path in the checkout and text of every manifest.
async fn manifests(helm: &Path) -> Result<BTreeMap<String, String>, ChartsError> {
    let operator = render(helm, &OPERATOR).await?;
    let admission = render(helm, &ADMISSION).await?;
    let broker = render(helm, &BROKER).await?;
    overlay_agrees(&operator, &admission)?;
    let more: Rendered = admission
        .into_iter()
        .filter(|(template, _)| !operator.contains_key(template))
        .collect();
    let mut manifests = BTreeMap::new();
    for (rendering, rendered) in [(OPERATOR, operator), (ADMISSION, more), (BROKER, broker)] {
        for (template, text) in rendered {
            let name = template.rsplit('/').next().unwrap_or(&template);
            manifests.insert(format!("deploy/manifests/{}/{name}", rendering.folder), text);
        }
    }
    Ok(manifests)
}

async fn render(helm: &Path, rendering: &Rendering) -> Result<Rendered, ChartsError> {
    let scratch = tempfile::tempdir().map_err(ChartsError::io(&std::env::temp_dir()))?;
    let values = checkout().join("deploy/charts/values").join(rendering.values);
    let out = scratch.path().join("out");
    // A CRD is in deploy/crds, whatever it is installed with.
    template(helm, rendering.chart, rendering.namespace, scratch.path())
        .args(["--set", "crds.install=false", "--values"])
        .arg(values)
        .arg("--output-dir")
        .arg(&out)
        .output()
        .await?;
    let files = files(&out.join(rendering.chart).join("templates"))?.into_iter();
    Ok(files.map(|(path, text)| (path, plain(&text))).collect())
}

/// `helm template` of a chart as a release of the same name, with a home of its own.
fn template(helm: &Path, chart: &str, namespace: &str, home: &Path) -> Cmd {
    Cmd::new(helm)
        .args(["template", chart])
        .arg(checkout().join("deploy/charts").join(chart))
        .args(["--namespace", namespace])
        .env("HELM_CACHE_HOME", home.join("cache"))
        .env("HELM_CONFIG_HOME", home.join("config"))
        .env("HELM_DATA_HOME", home.join("data"))
}

/// Writes a file for each chart with its defaults, with the values of the manifests, and with those in
/// `deploy/charts/variants`; the definitions are in it.
pub async fn variants(helm: &Path, folder: &Path) -> Result<Vec<PathBuf>, ChartsError> {
    let scratch = tempfile::tempdir().map_err(ChartsError::io(&std::env::temp_dir()))?;
    let charts = checkout().join("deploy/charts");
    let mut written = Vec::new();
    for Rendering { chart, namespace, .. } in [OPERATOR, BROKER] {
        let mut values = vec![("default".to_owned(), None)];
        for (place, begin) in [("variants", chart), ("values", chart.trim_start_matches("kidp-"))] {
            let of_chart = files(&charts.join(place))?.into_keys();
            let of_chart = of_chart.filter(|name| name.starts_with(begin));
            values.extend(
                of_chart.map(|name| (format!("{place}-{name}"), Some(charts.join(place).join(name)))),
            );
        }
        for (name, values) in values {
            let mut helm = template(helm, chart, namespace, scratch.path());
            if let Some(values) = values {
                helm = helm.arg("--values").arg(values);
            }
            let path = folder.join(format!("{chart}-{}.yaml", name.trim_end_matches(".yaml")));
            std::fs::write(&path, helm.output().await?).map_err(ChartsError::io(&path))?;
            written.push(path);
        }
    }
    Ok(written)
}

/// Paths, relative to `folder`, and contents of all files below it.
fn files(folder: &Path) -> Result<BTreeMap<String, String>, ChartsError> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(current) = folders.pop() {
        let entries = std::fs::read_dir(&current).map_err(ChartsError::io(&current))?;
        for entry in entries {
            let path = entry.map_err(ChartsError::io(&current))?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).map_err(ChartsError::io(&path))?;
            let name = path.strip_prefix(folder).unwrap_or(&path);
            found.insert(name.to_string_lossy().into_owned(), text);
        }
    }
    Ok(found)
}

/// A rendered file without what is said of helm: whoever applies it does not install by it.
fn plain(text: &str) -> String {
    let of_helm = |line: &&str| {
        let field = line.trim_start();
        line.starts_with("# Source: ")
            || field.starts_with("helm.sh/chart: ")
            || field == "app.kubernetes.io/managed-by: Helm"
    };
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !of_helm(line))
        .map(str::trim_end)
        .collect();
    // helm ends each document with an empty line.
    let text = lines.join("\n").replace("\n\n---\n", "\n---\n");
    let text = text.trim().trim_start_matches("---").trim_start();
    format!("{RENDERED}{text}\n")
}

/// Manifests that differ from what is rendered, are missing, or are nobody's.
fn stale(manifests: &BTreeMap<String, String>) -> Result<Vec<String>, ChartsError> {
    let mut stale = Vec::new();
    for (path, text) in manifests {
        let committed = std::fs::read_to_string(checkout().join(path));
        if committed.ok().as_ref() != Some(text) {
            stale.push(path.clone());
        }
    }
    for path in files(&checkout().join("deploy/manifests"))?.into_keys() {
        let (name, path) = (file_name(&path), format!("deploy/manifests/{path}"));
        if !BY_HAND.contains(&name.as_str()) && !manifests.contains_key(&path) {
            stale.push(path);
        }
    }
    Ok(stale)
}

fn file_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

/// The patches of a kustomization that has JSON patches only.
#[derive(Deserialize)]
struct Overlay {
    patches: Vec<Patch>,
}

#[derive(Deserialize)]
struct Patch {
    target: Target,
    patch: String,
}

#[derive(Deserialize, PartialEq)]
struct Target {
    kind: String,
    name: String,
}

impl Target {
    fn of(object: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            kind: text(&object["kind"]),
            name: text(&object["metadata"]["name"]),
        }
    }
}

/// Refuses when the overlay's patches make something else of the operator's manifests than the chart makes with admission.
fn overlay_agrees(operator: &Rendered, admission: &Rendered) -> Result<(), ChartsError> {
    let path = checkout().join("deploy/manifests/admission/kustomization.yaml");
    let text = std::fs::read_to_string(&path).map_err(ChartsError::io(&path))?;
    let overlay: Overlay = serde_yaml_ng::from_str(&text)
        .map_err(|error| ChartsError::document(&path.display().to_string(), error.to_string()))?;
    for (template, plain) in operator {
        let with_admission = admission.get(template).map_or("", String::as_str);
        let patched = patched(&overlay, objects(template, plain)?)?;
        if patched != objects(template, with_admission)? {
            return Err(ChartsError::Overlay(template.clone()));
        }
    }
    Ok(())
}

fn patched(overlay: &Overlay, mut objects: Vec<Value>) -> Result<Vec<Value>, ChartsError> {
    for object in &mut objects {
        let target = Target::of(object);
        for patch in overlay.patches.iter().filter(|patch| patch.target == target) {
            let wrong = |reason: String| ChartsError::document(&target.name, reason);
            let operations: json_patch::Patch =
                serde_yaml_ng::from_str(&patch.patch).map_err(|e| wrong(e.to_string()))?;
            json_patch::patch(object, &operations.0).map_err(|e| wrong(e.to_string()))?;
        }
    }
    Ok(objects)
}

fn objects(document: &str, text: &str) -> Result<Vec<Value>, ChartsError> {
    let documents = serde_yaml_ng::Deserializer::from_str(text);
    let objects = documents.map(Value::deserialize);
    objects
        .collect::<Result<_, _>>()
        .map_err(|error| ChartsError::document(document, error.to_string()))
}

fn committed_stamp() -> String {
    std::fs::read_to_string(checkout().join(STAMP)).unwrap_or_default()
}

/// A hash of what manifests are rendered from, and one of the manifests.
fn stamp() -> Result<String, ChartsError> {
    let mut sources = files(&checkout().join("deploy/charts"))?;
    // What a manifest cannot depend on.
    sources.retain(|path, _| {
        let aside = ["rendered.sha256", "NOTES.txt", "values.schema.json"];
        !aside.contains(&file_name(path).as_str())
            && !path.contains("/templates/crds/")
            && !path.starts_with("variants/")
    });
    let manifests = files(&checkout().join("deploy/manifests"))?;
    let hash = |files: &BTreeMap<String, String>| {
        let parts: Vec<_> = files.iter().flat_map(|(path, text)| [&**path, &**text]).collect();
        key(&parts)
    };
    Ok(format!(
        "{}  charts\n{}  manifests\n",
        hash(&sources),
        hash(&manifests)
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const CHARTS: [&str; 2] = ["kidp-operator", "kidp-broker"];

    fn chart(name: &str, file: &str) -> String {
        std::fs::read_to_string(checkout().join("deploy/charts").join(name).join(file)).unwrap()
    }

    #[test]
    fn manifests_are_of_the_last_rendering() {
        assert_eq!(
            committed_stamp(),
            stamp().unwrap(),
            "a chart or a manifest was edited: run `cargo xtask charts --write`"
        );
    }

    #[test]
    fn every_manifest_says_where_it_is_from() {
        let manifests = files(&checkout().join("deploy/manifests")).unwrap();
        for (path, text) in manifests {
            let by_hand = BY_HAND.contains(&file_name(&path).as_str());
            assert_eq!(text.starts_with(RENDERED), !by_hand, "{path}");
            assert!(!text.contains("Helm"), "{path}");
        }
    }

    #[test]
    fn what_is_said_of_helm_is_left_out() {
        let text = "---\n# Source: c/templates/a.yaml\n# About.\nkind: A\nmetadata:\n  labels:\n    a: b\n    \
                    app.kubernetes.io/managed-by: Helm\n    helm.sh/chart: c-1\n\n---\n# Source: c/templates/a.yaml\nkind: B\n";
        assert_eq!(
            plain(text),
            format!("{RENDERED}# About.\nkind: A\nmetadata:\n  labels:\n    a: b\n---\nkind: B\n")
        );
    }

    #[test]
    fn patches_are_applied_to_their_target_alone() {
        let overlay =
            "patches: [{target: {kind: A, name: x}, patch: '[{op: replace, path: /spec/n, value: 2}]'}]";
        let overlay: Overlay = serde_yaml_ng::from_str(overlay).unwrap();
        let objects = |n: u8| {
            let text = format!(
                "kind: A\nmetadata: {{name: x}}\nspec: {{n: {n}}}\n---\nkind: B\nmetadata: {{name: x}}\n"
            );
            super::objects("test", &text).unwrap()
        };
        assert_eq!(patched(&overlay, objects(1)).unwrap(), objects(2));
        let missing = super::objects("test", "kind: A\nmetadata: {name: x}").unwrap();
        assert!(patched(&overlay, missing).is_err());
    }

    #[test]
    fn versions_are_the_workspace_s() {
        for name in CHARTS {
            let chart: Value = serde_yaml_ng::from_str(&chart(name, "Chart.yaml")).unwrap();
            for field in ["version", "appVersion"] {
                assert_eq!(chart[field], env!("CARGO_PKG_VERSION"), "{name}: {field}");
            }
        }
    }

    /// Paths of the values of a chart. A value that is a map without keys of its own counts as one.
    fn paths(value: &Value, schema: &Value, at: &str, found: &mut BTreeSet<String>) {
        match value.as_object() {
            Some(fields) if schema["properties"].is_object() => {
                for (name, value) in fields {
                    paths(value, &schema["properties"][name], &format!("{at}.{name}"), found);
                }
            }
            _ => {
                found.insert(at.to_owned());
            }
        }
    }

    /// Paths that a schema knows, each of which must say what it is; and no map may take a key that is not listed.
    fn known(schema: &Value, at: &str, found: &mut BTreeSet<String>) {
        let Some(properties) = schema["properties"].as_object() else {
            found.insert(at.to_owned());
            return;
        };
        assert_eq!(schema["additionalProperties"], false, "{at} takes anything");
        for (name, schema) in properties {
            let path = format!("{at}.{name}");
            let is_probe = name.ends_with("Probe");
            assert!(
                is_probe || schema["description"].is_string(),
                "{path} is not described"
            );
            known(schema, &path, found);
        }
    }

    #[test]
    fn values_and_their_schema_name_the_same() {
        for name in CHARTS {
            let values: Value = serde_yaml_ng::from_str(&chart(name, "values.yaml")).unwrap();
            let schema: Value = serde_json::from_str(&chart(name, "values.schema.json")).unwrap();
            let (mut given, mut taken) = (BTreeSet::new(), BTreeSet::new());
            paths(&values, &schema, "", &mut given);
            known(&schema, "", &mut taken);
            let unknown: Vec<_> = given.difference(&taken).collect();
            assert!(
                unknown.is_empty(),
                "{name} has values without a schema: {unknown:?}"
            );
            // Probes can be told more than they are told by default, and `global` is a parent chart's.
            taken.retain(|path| !path.contains("Probe.") && path != ".global");
            let missing: Vec<_> = taken.difference(&given).collect();
            assert!(missing.is_empty(), "{name} has no default for {missing:?}");
        }
    }
}
