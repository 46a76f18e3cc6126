//! The reference of the custom resources: a table of fields for each kind, from the definitions that are installed.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::cell;
use super::schema::{self, Field};

/// The whole document.
pub fn page() -> String {
    let mut text = String::from(
        "# Custom resources\n\nEvery field of every kind. `[]` stands for the members of a list, `{}` for those of a map; \
         **bold** is required. What a kind is for, and examples, are in the other chapters.\n",
    );
    let all = kidp_core::crd::operator_crds()
        .into_iter()
        .chain(kidp_core::crd::broker_crds());
    for crd in all {
        section(&mut text, &crd);
    }
    text
}

fn section(text: &mut String, crd: &CustomResourceDefinition) {
    let names = &crd.spec.names;
    let version = crd.spec.versions.first().map_or("", |v| v.name.as_str());
    // Writing to a String does not fail.
    let _ = writeln!(text, "\n## {}\n", names.kind);
    let _ = writeln!(
        text,
        "`{}/{version}`, {}, `kubectl get {}`.\n",
        crd.spec.group,
        crd.spec.scope.to_lowercase(),
        names.plural
    );
    let Some(found) = schema::of(crd) else { return };
    let spec = found.properties.as_ref().and_then(|all| all.get("spec"));
    if let Some(about) = spec.and_then(|spec| spec.description.as_ref()) {
        let _ = writeln!(text, "{}\n", cell(about));
    }
    text.push_str("| field | type | default | |\n|---|---|---|---|\n");
    let own = schema::fields(found, "").into_iter().filter(is_own);
    own.for_each(|field| text.push_str(&row(&field)));
}

/// Whether it is not documented by Kubernetes, as what every object and every condition has is.
fn is_own(field: &Field) -> bool {
    let of_every_object = ["apiVersion", "kind", "metadata", "spec", "status"];
    !of_every_object.contains(&field.path.as_str()) && !field.path.contains("onditions[].")
}

fn row(field: &Field) -> String {
    let path = if field.required {
        format!("**`{}`**", field.path)
    } else {
        format!("`{}`", field.path)
    };
    let default = field.default.as_ref().map(|d| format!("`{}`", cell(d)));
    format!(
        "| {path} | {} | {} | {} |\n",
        cell(&field.kind),
        default.unwrap_or_default(),
        cell(&field.about)
    )
}
