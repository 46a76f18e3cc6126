//! The objects of files: YAML or JSON, one or many documents a file, from files, folders and the standard input.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use kidp_core::crd::{Cache, Database, MessageQueue, ServiceResource};
use kidp_core::instance::ResourceType;
use kidp_core::problem::FieldError;
use kube::Resource as _;
use serde::Deserialize as _;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::kinds::Subject;

/// Longest file, in bytes: more than an API server takes at once.
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// Most documents of all files.
const MAX_DOCUMENTS: usize = 1000;

/// One document of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The file, as it was named; `-` for the standard input.
    pub file: String,
    /// Its place in the file, from 1.
    pub number: usize,
    /// What it says.
    pub value: Value,
}

impl Document {
    /// A text of it; empty where there is none.
    fn text(&self, pointer: &str) -> &str {
        let found = self.value.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default()
    }

    /// `Kind/name`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.text("/kind"), self.text("/metadata/name"))
    }

    /// Its kind.
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// Its API group and version.
    pub fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    /// Where it is, for a message.
    pub fn place(&self) -> String {
        format!("{} document {} {}", self.file, self.number, self.key())
    }

    /// The service that it asks for; `None` where it is of another kind.
    pub fn subject(&self) -> Option<std::result::Result<Subject, FieldError>> {
        if self.api_version() != Database::api_version(&()) {
            return None;
        }
        let types = [
            ResourceType::Database,
            ResourceType::Cache,
            ResourceType::MessageQueue,
        ];
        let kind = types.into_iter().find(|kind| kind.as_str() == self.kind())?;
        Some(match kind {
            ResourceType::Database => parse::<Database>(&self.value),
            ResourceType::Cache => parse::<Cache>(&self.value),
            ResourceType::MessageQueue => parse::<MessageQueue>(&self.value),
        })
    }
}

fn parse<K: ServiceResource>(value: &Value) -> std::result::Result<Subject, FieldError> {
    serde_path_to_error::deserialize::<_, K>(value)
        .map(Subject::from)
        .map_err(|error| FieldError::new(error.path().to_string(), error.inner().to_string()))
}

/// Every document of files, folders (their `.yaml`, `.yml` and `.json` files) and `-`.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    for path in paths {
        for file in files(path)? {
            let name = file.display().to_string();
            let text = if name == "-" { stdin()? } else { contents(&file)? };
            parse_file(&name, &text, &mut documents)?;
        }
    }
    Ok(documents)
}

/// The services that files ask for, each with its document; at least one.
pub fn services(paths: &[PathBuf]) -> Result<Vec<(Document, Subject)>> {
    let found = any_services(paths)?;
    if found.is_empty() {
        let message = "there is no Database, Cache or MessageQueue in what -f names";
        return Err(Error::Usage(message.to_owned()));
    }
    Ok(found)
}

/// The same, or none.
pub fn any_services(paths: &[PathBuf]) -> Result<Vec<(Document, Subject)>> {
    let mut found = Vec::new();
    for document in read(paths)? {
        match document.subject() {
            None => {}
            Some(Ok(subject)) => found.push((document, subject)),
            Some(Err(fault)) => {
                let place = document.place();
                let fault = FieldError::new(format!("{place}: {}", fault.field), fault.message);
                return Err(Error::Invalid(vec![fault]));
            }
        }
    }
    Ok(found)
}

fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let known = file
            .extension()
            .is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known));
        if known && file.is_file() {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

fn contents(path: &Path) -> Result<String> {
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    bounded(file).map_err(failed)
}

fn stdin() -> Result<String> {
    bounded(std::io::stdin().lock()).map_err(|source| Error::File {
        path: "standard input".into(),
        source,
    })
}

fn bounded(reader: impl std::io::Read) -> std::io::Result<String> {
    let mut text = String::new();
    reader.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        let message = format!("is longer than {MAX_FILE} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

/// Adds the documents of a text. An entry that is there twice is an error, which JSON's reader would not notice.
fn parse_file(file: &str, text: &str, documents: &mut Vec<Document>) -> Result<()> {
    for (at, part) in serde_yaml_ng::Deserializer::from_str(text).enumerate() {
        let number = at + 1;
        let fault =
            |error: String| Error::Invalid(vec![FieldError::new(format!("{file} document {number}"), error)]);
        let value = serde_yaml_ng::Value::deserialize(part).map_err(|e| fault(e.to_string()))?;
        let value: Value = serde_yaml_ng::from_value(value).map_err(|e| fault(e.to_string()))?;
        if value.is_null() {
            continue;
        }
        if documents.len() >= MAX_DOCUMENTS {
            return Err(fault(format!("there are more than {MAX_DOCUMENTS} documents")));
        }
        documents.push(Document {
            file: file.to_owned(),
            number,
            value,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Document>> {
        let mut documents = Vec::new();
        parse_file("a.yaml", text, &mut documents)?;
        Ok(documents)
    }

    #[test]
    fn documents_are_numbered_as_they_stand_and_empty_ones_skipped() {
        let found =
            parsed("---\nkind: A\n---\n# nothing\n---\n{\"kind\": \"B\", \"metadata\": {\"name\": \"x\"}}\n")
                .unwrap();
        let places: Vec<_> = found.iter().map(Document::place).collect();
        assert_eq!(places, ["a.yaml document 1 A/", "a.yaml document 3 B/x"]);
    }

    #[test]
    fn an_entry_that_is_there_twice_is_refused_with_its_place() {
        let error = parsed("kind: A\nspec: {version: \"15\", version: \"16\"}\n").unwrap_err();
        assert!(error.to_string().contains("a.yaml document 1"), "{error}");
        assert!(error.to_string().contains("duplicate"), "{error}");
    }
}
