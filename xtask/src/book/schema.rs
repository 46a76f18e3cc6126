//! The schemas of the custom resources, as a list of fields.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};

/// A field of a custom resource.
#[derive(Debug, PartialEq)]
pub struct Field {
    /// Its path, such as `spec.storage.size`; `[]` stands for the members of a list, `{}` for those of a map.
    pub path: String,
    /// Its type, with the values that are taken.
    pub kind: String,
    /// Whether an object without it is refused.
    pub required: bool,
    /// What it is where it is absent.
    pub default: Option<String>,
    /// What it means.
    pub about: String,
}

/// The schema of the only version that KIDP's definitions have.
pub fn of(crd: &CustomResourceDefinition) -> Option<&JSONSchemaProps> {
    let version = crd.spec.versions.first()?;
    version.schema.as_ref()?.open_api_v3_schema.as_ref()
}

/// Every field below `schema`, parents before their members.
pub fn fields(schema: &JSONSchemaProps, path: &str) -> Vec<Field> {
    let required = schema.required.iter().flatten().collect::<Vec<_>>();
    let mut found = Vec::new();
    for (name, inner) in schema.properties.iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        found.push(field(&path, inner, required.contains(&name)));
        found.extend(below(&path, inner));
    }
    found
}

fn below(path: &str, schema: &JSONSchemaProps) -> Vec<Field> {
    if let Some(inner) = items(schema) {
        return fields(inner, &format!("{path}[]"));
    }
    if let Some(inner) = values(schema) {
        return fields(inner, &format!("{path}{{}}"));
    }
    fields(schema, path)
}

/// The schema of a list's members.
pub fn items(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.items.as_ref()? {
        JSONSchemaPropsOrArray::Schema(inner) => Some(inner),
        JSONSchemaPropsOrArray::Schemas(several) => several.first(),
    }
}

/// The schema of a map's values.
pub fn values(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrBool;
    match schema.additional_properties.as_ref()? {
        JSONSchemaPropsOrBool::Schema(inner) => Some(inner),
        JSONSchemaPropsOrBool::Bool(_) => None,
    }
}

fn field(path: &str, schema: &JSONSchemaProps, required: bool) -> Field {
    Field {
        path: path.to_owned(),
        kind: kind(schema),
        required,
        default: schema.default.as_ref().map(|value| value.0.to_string()),
        about: schema.description.clone().unwrap_or_default(),
    }
}

fn kind(schema: &JSONSchemaProps) -> String {
    let words = schema.enum_.iter().flatten().filter_map(|value| value.0.as_str());
    let words: Vec<&str> = words.collect();
    if !words.is_empty() {
        return words.join(", ");
    }
    if let Some(inner) = items(schema) {
        return format!("list of {}", kind(inner));
    }
    if let Some(inner) = values(schema) {
        return format!("map of {}", kind(inner));
    }
    let plain = schema.type_.as_deref().unwrap_or("any");
    let bounds = [
        schema.minimum.map(|n| format!("at least {n}")),
        schema.maximum.map(|n| format!("at most {n}")),
        schema.max_length.map(|n| format!("at most {n} long")),
        schema.pattern.as_ref().map(|p| format!("as `{p}`")),
    ];
    let told: Vec<String> = bounds.into_iter().flatten().collect();
    if told.is_empty() {
        plain.to_owned()
    } else {
        format!("{plain}, {}", told.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_lists_and_maps() {
        let schema: JSONSchemaProps = serde_json::from_value(serde_json::json!({
            "type": "object", "required": ["a"], "properties": {
                "a": {"type": "integer", "minimum": 1, "default": 3, "description": "how many"},
                "b": {"type": "array", "items": {"type": "object", "properties": {"c": {"type": "string"}}}},
                "d": {"type": "object", "additionalProperties": {"enum": ["x", "y"]}},
            }
        }))
        .unwrap();
        let shown: Vec<String> = fields(&schema, "spec")
            .iter()
            .map(|f| format!("{} {}{}", f.path, f.kind, if f.required { " !" } else { "" }))
            .collect();
        assert_eq!(
            shown,
            [
                "spec.a integer, at least 1 !",
                "spec.b list of object",
                "spec.b[].c string",
                "spec.d map of x, y"
            ]
        );
    }
}
