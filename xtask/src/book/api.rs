//! The reference of the broker's routes, from its `OpenAPI` document.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::{BookError, cell};

/// The whole document.
pub fn page(openapi: &Path) -> Result<String, BookError> {
    let text = std::fs::read_to_string(openapi).map_err(BookError::io(openapi))?;
    let document = serde_json::from_str(&text).map_err(|source| BookError::Json {
        path: openapi.to_owned(),
        source,
    })?;
    Ok(render(&document))
}

fn render(document: &Value) -> String {
    let mut text = String::from(
        "# The broker's API\n\nEvery route of the broker; the whole description, with the bodies, is \
         [openapi.json](../openapi.json), which each broker also serves. What the answers mean to a client is in \
         [architecture](../architecture.md#idempotence), who may ask in [security](../security.md).\n\n\
         | route | does | answers |\n|---|---|---|\n",
    );
    let empty = serde_json::Map::new();
    let object = |value: &Value| value.as_object().unwrap_or(&empty).clone();
    for (path, item) in object(&document["paths"]) {
        for (method, operation) in object(&item) {
            let Some(answers) = operation["responses"].as_object() else {
                continue;
            };
            let about = operation["summary"].as_str().unwrap_or_default();
            let answers: Vec<&str> = answers.keys().map(String::as_str).collect();
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "| `{} {path}` | {} | {} |",
                method.to_uppercase(),
                cell(about),
                answers.join(", ")
            );
        }
    }
    text
}
