//! The container beside an engine that turns its state into metrics, for engines that have none of their own.
//!
//! It connects inside the pod, with the login that clients have, and reads the password from a file. It has no probe: a
//! pod is ready when all of its containers are, and an engine is not to be taken out of service since nobody counts its
//! queries. An exporter whose engine is away runs on, and says so in its metrics. One that does not run at all, such as
//! one whose image cannot be had, does keep its pod from being ready, which is Kubernetes' own rule.

use k8s_openapi::api::core::v1::Container;

use super::Image;
use crate::resources::compute::{self, Share};
use crate::resources::container;
use crate::resources::monitor;

/// Where files for the exporter alone are mounted.
pub(super) const FOLDER: &str = "/etc/kidp/exporter";

/// A scrape every few seconds; Go programs, whose heap is the answer that they write.
const SHARE: Share = Share {
    cpu_millis: (10, 250),
    mebibytes: (32, 128),
};

/// An exporter's image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exporter {
    /// The image.
    pub image: Image,
    /// Its version, as its tags write it.
    pub version: String,
}

impl Exporter {
    /// A version of an image that its authors publish.
    pub fn official(registry: &str, repository: &str, version: &str) -> Self {
        Self {
            image: Image {
                registry: registry.to_owned(),
                ..Image::official(repository)
            },
            version: version.to_owned(),
        }
    }

    /// The container, that listens on a port of this number; how it finds its engine is to be added.
    pub(super) fn container(&self, port: u16) -> Container {
        Container {
            name: "exporter".to_owned(),
            image: Some(self.image.reference(&self.version)),
            image_pull_policy: Some(self.image.pull_policy.as_str().to_owned()),
            ports: Some(vec![container::port(&monitor::port(port))]),
            resources: Some(compute::fixed(SHARE)),
            ..Container::default()
        }
    }
}
