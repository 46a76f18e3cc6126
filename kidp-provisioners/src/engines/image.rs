//! Where an engine's image comes from: official by default, every part configurable, digests possible.

use std::collections::BTreeMap;

/// When the kubelet asks the registry for an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Only when the node does not have it.
    #[default]
    IfNotPresent,
    /// At every start of a pod.
    Always,
    /// Never: images are loaded onto the nodes by other means.
    Never,
}

impl PullPolicy {
    /// As Kubernetes writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IfNotPresent => "IfNotPresent",
            Self::Always => "Always",
            Self::Never => "Never",
        }
    }
}

/// An image of an engine, by version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Registry host, such as `docker.io`.
    pub registry: String,
    /// Repository, such as `library/postgres`.
    pub repository: String,
    /// Tags by version, where the tag is not the version itself.
    pub tags: BTreeMap<String, String>,
    /// Digests (`sha256:...`) by version. A version with a digest is pinned to it.
    pub digests: BTreeMap<String, String>,
    /// When the registry is asked.
    pub pull_policy: PullPolicy,
}

impl Image {
    /// An official image: tags are versions, nothing is pinned.
    pub fn official(repository: &str) -> Self {
        Self {
            registry: "docker.io".to_owned(),
            repository: repository.to_owned(),
            tags: BTreeMap::new(),
            digests: BTreeMap::new(),
            pull_policy: PullPolicy::IfNotPresent,
        }
    }

    /// The reference of a version's image.
    ///
    /// ```
    /// use kidp_provisioners::engines::Image;
    /// assert_eq!(Image::official("library/postgres").reference("16"), "docker.io/library/postgres:16");
    /// ```
    pub fn reference(&self, version: &str) -> String {
        let tag = self.tags.get(version).map_or(version, String::as_str);
        let digest = self
            .digests
            .get(version)
            .map_or(String::new(), |digest| format!("@{digest}"));
        format!("{}/{}:{tag}{digest}", self.registry, self.repository)
    }
}
