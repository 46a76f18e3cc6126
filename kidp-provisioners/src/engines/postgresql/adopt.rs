//! What a StatefulSet of PostgreSQL must be like to be taken over.

use k8s_openapi::api::core::v1::Container;

use super::{PORT, Postgresql};
use crate::adoption::Adopter;

/// Where the official image keeps its data, up to version 17, unless `PGDATA` says otherwise.
const DATA: &str = "/var/lib/postgresql/data";
/// The user of the official images on Alpine, and of those on Debian.
const ALPINE: i64 = 70;
const DEBIAN: i64 = 999;

impl Adopter for Postgresql {
    fn images(&self) -> &'static [&'static str] {
        &["postgres", "postgresql"]
    }

    fn port(&self) -> u16 {
        PORT.number
    }

    fn image(&self, version: &str) -> String {
        self.config.image.reference(version)
    }

    fn uid(&self) -> i64 {
        self.config.uid
    }

    fn uid_of(&self, image: &str) -> i64 {
        if image.contains("-alpine") { ALPINE } else { DEBIAN }
    }

    fn data_folder(&self, container: &Container) -> String {
        // Of several of a name, the last one counts.
        let mut variables = container.env.iter().flatten().rev();
        let set = variables.find(|variable| variable.name == "PGDATA");
        set.and_then(|variable| variable.value.clone())
            .unwrap_or_else(|| DATA.to_owned())
    }
}
