//! `catalog`: what can be asked for. Nothing is asked of a cluster.

use kidp_core::size::Size;
use kidp_core::wire::EngineCapability;
use kidp_provisioners::Registry;
use serde::Serialize;
use std::fmt::Write as _;

use crate::cli::Global;
use crate::error::{Result, Verdict};
use crate::output::{self, Format, Paint, table};
use crate::validate::{Feature, features};

const GIB: u64 = 1024 * 1024 * 1024;

/// What can be asked for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Catalog {
    engines: Vec<EngineCapability>,
    sizes: Vec<Preset>,
}

/// What a size gives each member.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Preset {
    name: &'static str,
    cpu_cores: u32,
    memory_gib: u64,
}

/// Lists engines, versions and sizes.
pub fn run(global: &Global, without: &[Feature]) -> Result<Verdict> {
    let features = features(without);
    let registry = Registry::standard();
    let catalog = Catalog {
        engines: registry
            .iter()
            .map(|engine| engine.catalog_entry(features))
            .collect(),
        sizes: Size::ALL.iter().map(|size| preset(*size)).collect(),
    };
    let format = global.output.unwrap_or(Format::Table);
    let paint = Paint::stdout(global.color);
    output::answer(format, &catalog, |catalog| text(catalog, format, paint))?;
    Ok(Verdict::Good)
}

fn preset(size: Size) -> Preset {
    Preset {
        name: size.as_str(),
        cpu_cores: size.cpu_cores(),
        memory_gib: size.memory_bytes() / GIB,
    }
}

fn text(catalog: &Catalog, format: Format, paint: Paint) -> String {
    let mut rows = vec![["KIND", "ENGINE", "VERSIONS", "HA"].map(str::to_owned).to_vec()];
    for engine in &catalog.engines {
        rows.push(vec![
            engine.resource_type.to_string(),
            engine.provider.clone(),
            engine.versions.join(", "),
            if engine.high_availability { "yes" } else { "no" }.to_owned(),
        ]);
    }
    let mut sizes = vec![["SIZE", "CPU", "MEMORY"].map(str::to_owned).to_vec()];
    for size in &catalog.sizes {
        sizes.push(vec![
            size.name.to_owned(),
            size.cpu_cores.to_string(),
            format!("{}Gi", size.memory_gib),
        ]);
    }
    let mut text = format!("{}\n{}", table(&rows), table(&sizes));
    if format == Format::Tree {
        for engine in &catalog.engines {
            let name = format!("{}/{}", engine.resource_type, engine.provider);
            let _ = writeln!(
                text,
                "\n{}\n  parameters: {}",
                paint.strong(&name),
                engine.parameters.join(", ")
            );
        }
    }
    text
}
