//! The ConfigMap with the engine's configuration files.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kidp_core::names::short_hash;

use super::meta::{Scope, object_meta};

/// Annotation of the pod template with the hash of the configuration, so that a change of it starts new pods.
pub const CHECKSUM_ANNOTATION: &str = "platform.company.com/config-checksum";

/// Configuration files by name.
pub type Files = BTreeMap<String, String>;

/// The ConfigMap.
pub fn config_map(scope: &Scope<'_>, files: Files) -> ConfigMap {
    ConfigMap {
        metadata: object_meta(scope, scope.name("config")),
        data: Some(files),
        ..ConfigMap::default()
    }
}

/// Hash over names and contents.
pub fn checksum(files: &Files) -> String {
    let parts: Vec<&str> = files
        .iter()
        .flat_map(|(name, text)| [name.as_str(), text.as_str()])
        .collect();
    short_hash(&parts, 16)
}
