//! `validate`: says what an API server, the operator and a broker would say of files, without asking them.

mod check;
mod schema;

pub use check::{Checked, Checker};

use std::path::PathBuf;

use clap::ValueEnum;
use kidp_core::problem::FieldError;
use kidp_provisioners::ClusterFeatures;
use serde::Serialize;

use crate::cli::Global;
use crate::documents;
use crate::error::{Result, Verdict};
use crate::output::{self, Format, Health, Paint};

/// What a target cluster may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Feature {
    /// Certificates by cert-manager.
    CertManager,
    /// Highly available PostgreSQL by CloudNativePG.
    CloudnativePg,
}

/// The features of a cluster that lacks these.
pub fn features(without: &[Feature]) -> ClusterFeatures {
    ClusterFeatures {
        cert_manager: !without.contains(&Feature::CertManager),
        cloudnative_pg: !without.contains(&Feature::CloudnativePg),
        // Nothing is refused for the want of it.
        prometheus_operator: true,
    }
}

/// What is said of one document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    file: String,
    document: usize,
    object: String,
    /// Whether it is of a kind of KIDP's.
    checked: bool,
    errors: Vec<FieldError>,
}

/// Checks every document of `files`.
pub fn run(global: &Global, files: &[PathBuf], without: &[Feature]) -> Result<Verdict> {
    let checker = Checker::new(
        features(without),
        global.namespace.as_deref().unwrap_or("default"),
    );
    let mut answers = Vec::new();
    for document in documents::read(files)? {
        let (is_ours, errors) = match checker.check(&document, None)? {
            Checked::NotOurs => (false, Vec::new()),
            Checked::Faults(faults) => (true, faults),
        };
        answers.push(Told {
            object: document.key(),
            file: document.file,
            document: document.number,
            checked: is_ours,
            errors,
        });
    }
    let paint = Paint::stdout(global.color);
    output::answer(global.output.unwrap_or(Format::Table), &answers, |told| {
        text(told, paint)
    })?;
    let is_good = answers.iter().all(|document| document.errors.is_empty());
    Ok(if is_good { Verdict::Good } else { Verdict::Bad })
}

fn text(told: &[Told], paint: Paint) -> String {
    let lines = told.iter().flat_map(|document| {
        let place = format!(
            "{} document {} {}",
            document.file, document.document, document.object
        );
        let state = match (document.checked, document.errors.is_empty()) {
            (false, _) => Some(paint.dim("skipped, not a kind of KIDP")),
            (true, true) => Some(paint.health(Health::Good, "valid")),
            (true, false) => None,
        };
        let errors = document.errors.iter().map(|error| {
            format!(
                "{}: {}",
                paint.health(Health::Bad, &error.field),
                output::line(&error.message)
            )
        });
        let said: Vec<_> = state.into_iter().chain(errors).collect();
        said.into_iter().map(move |said| format!("{place}: {said}\n"))
    });
    lines.collect()
}
