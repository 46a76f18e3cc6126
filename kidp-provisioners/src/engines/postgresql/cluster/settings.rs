//! What of presets and parameters goes into the `Cluster`.

use std::collections::BTreeMap;

use kidp_core::quantity::parse_bytes;

use super::super::{parameters, presets};
use crate::instance::Instance;

/// Has a field of its own in a `Cluster`.
const LIBRARIES: &str = "shared_preload_libraries";

const MIB: u64 = 1024 * 1024;

/// Settings by name. What CloudNativePG sets by itself is left to it.
pub(super) fn settings(instance: &Instance) -> BTreeMap<String, String> {
    let mut settings = tuned(instance);
    settings.remove(LIBRARIES);
    // As without failover: `try` maps huge pages that a node may have set aside and the pod's cgroup does not grant.
    settings.insert("huge_pages", "off".to_owned());
    settings
        .into_iter()
        .map(|(name, value)| (name.to_owned(), plain(value)))
        .collect()
}

/// A value that is a text wherever the `Cluster` is read: `on` and `off` are none to a reader of YAML 1.1, as `kubectl`
/// is, and PostgreSQL takes `true` and `false` for them everywhere.
/// <https://www.postgresql.org/docs/current/config-setting.html#CONFIG-SETTING-NAMES-VALUES>
fn plain(value: String) -> String {
    let means = |word: &str| value.eq_ignore_ascii_case(word);
    match (means("on"), means("off")) {
        (true, _) => "true".to_owned(),
        (_, true) => "false".to_owned(),
        _ => value,
    }
}

/// Libraries that are loaded at the server's start.
pub(super) fn libraries(instance: &Instance) -> Vec<String> {
    let listed = tuned(instance).remove(LIBRARIES).unwrap_or_default();
    let names = listed.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(ToOwned::to_owned).collect()
}

fn tuned(instance: &Instance) -> BTreeMap<&'static str, String> {
    let spec = &instance.spec;
    let storage = parse_bytes(&spec.storage.size).unwrap_or_default();
    let mut presets = presets::presets(spec.size, storage);
    // CloudNativePG's own default of 512 MB is half of a small volume. Standbys have slots, so that this is a reserve.
    let kept = (storage / 16).clamp(64 * MIB, 512 * MIB) / MIB;
    presets.push(("wal_keep_size", format!("{kept}MB")));
    parameters::CATALOGUE.settings(presets, spec)
}
