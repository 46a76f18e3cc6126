//! The server in a pod template: its version, its user, its port, and where its data is.

use k8s_openapi::api::apps::v1::StatefulSetSpec;
use k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec, VolumeMount};

use super::super::Obstacle;
use super::Case;
use crate::consequence::{image_name, image_version};

/// What is said of it.
pub(super) struct Server {
    pub(super) container: String,
    /// Its port, and what that is called.
    pub(super) port: (u16, Option<String>),
    /// Folder of the data on the volume, where it is known.
    pub(super) data_folder: Option<String>,
}

impl Case<'_> {
    pub(super) fn server(&mut self, key: &str, spec: &StatefulSetSpec) -> Option<Server> {
        let pod = spec.template.spec.as_ref()?;
        let runs = |container: &&Container| {
            let image = container.image.as_deref().and_then(image_name);
            image.is_some_and(|name| self.adopter.images().contains(&name))
        };
        let servers: Vec<_> = pod.containers.iter().filter(runs).collect();
        let [container] = servers.as_slice() else {
            let (found, engine) = (servers.len(), self.provisioner.engine().to_string());
            self.block(key, Obstacle::Server { found, engine });
            return None;
        };
        let image = container.image.clone().unwrap_or_default();
        self.version(key, &image);
        let ours = self.adopter.image(&self.instance.spec.version);
        let is_same = image_name(&image) == image_name(&ours);
        if self.replaces() {
            self.replaceable(key, pod, container, (&image, &ours), is_same);
        }
        let mut templates = spec.volume_claim_templates.iter().flatten();
        let volume = templates.find_map(|claim| claim.metadata.name.as_deref())?;
        Some(Server {
            container: container.name.clone(),
            port: self.port(key, container),
            data_folder: self.data_folder(key, container, volume, is_same),
        })
    }

    fn version(&mut self, key: &str, image: &str) {
        let Some(found) = image_version(image) else {
            let image = image.to_owned();
            return self.block(key, Obstacle::UnknownVersion { image });
        };
        let asked = &self.instance.spec.version;
        let opens = self.provisioner.opens_data(found, asked);
        // What is kept is what runs, so that neither may be ahead of the other.
        if !opens || !(self.replaces() || self.provisioner.opens_data(asked, found)) {
            let found = found.to_owned();
            self.block(key, Obstacle::Version { found });
        }
    }

    /// Whether the server of a new instance would find the files as it leaves them itself.
    fn replaceable(
        &mut self,
        key: &str,
        pod: &PodSpec,
        container: &Container,
        (image, ours): (&str, &str),
        is_same: bool,
    ) {
        // Another base image sorts text otherwise, so that indexes would be wrong.
        let is_same_base = self.adopter.uid_of(image) == self.adopter.uid_of(ours);
        if !is_same || !is_same_base {
            let (found, ours) = (image.to_owned(), ours.to_owned());
            self.block(key, Obstacle::ForeignImage { found, ours });
        }
        let own = container
            .security_context
            .as_ref()
            .and_then(|context| context.run_as_user);
        let pods = pod
            .security_context
            .as_ref()
            .and_then(|context| context.run_as_user);
        // As root, the image's entrypoint takes on the image's user before it starts the server.
        let said = own.or(pods).filter(|uid| *uid != 0);
        let (found, ours) = (
            said.unwrap_or_else(|| self.adopter.uid_of(image)),
            self.adopter.uid(),
        );
        if found != ours {
            self.block(key, Obstacle::User { found, ours });
        }
    }

    /// The engine's own port, or the first that the container names if that is not among them; with its name.
    fn port(&mut self, key: &str, container: &Container) -> (u16, Option<String>) {
        let usual = self.adopter.port();
        let number = |port: &ContainerPort| u16::try_from(port.container_port).ok();
        let named: Vec<_> = container.ports.iter().flatten().collect();
        let own = named.iter().find(|port| number(port) == Some(usual));
        let Some(port) = own.or(named.first()) else {
            return (usual, None);
        };
        let found = number(port).unwrap_or(usual);
        if self.replaces() && found != usual {
            self.block(key, Obstacle::Port { found, ours: usual });
        }
        (found, port.name.clone())
    }

    /// Where the data is on the volume. Of another distribution's image only that it has the volume is known.
    fn data_folder(
        &mut self,
        key: &str,
        container: &Container,
        volume: &str,
        is_same: bool,
    ) -> Option<String> {
        let folder = self.adopter.data_folder(container);
        let mounts = container.volume_mounts.iter().flatten();
        let of_volume: Vec<_> = mounts.filter(|mount| mount.name == volume).collect();
        let found = of_volume.iter().find_map(|mount| below(mount, &folder));
        if found.is_none() && (is_same || of_volume.is_empty()) {
            self.block(key, Obstacle::DataFolder { folder });
        }
        found
    }
}

/// A folder of the container's as one of a volume that is mounted above it.
fn below(mount: &VolumeMount, folder: &str) -> Option<String> {
    let rest = folder
        .trim_end_matches('/')
        .strip_prefix(mount.mount_path.trim_end_matches('/'))?;
    let is_below = rest.is_empty() || rest.starts_with('/');
    if !is_below || mount.sub_path_expr.is_some() || rest.split('/').any(|part| part == "..") {
        return None;
    }
    let parts = [mount.sub_path.as_deref().unwrap_or_default(), rest];
    let parts: Vec<_> = parts
        .map(|part| part.trim_matches('/'))
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_found_on_its_volume() {
        let mount = |path: &str, sub: Option<&str>| VolumeMount {
            mount_path: path.to_owned(),
            sub_path: sub.map(ToOwned::to_owned),
            ..VolumeMount::default()
        };
        let data = "/var/lib/postgresql/data";
        for (path, sub, folder, expected) in [
            (data, None, data, Some("")),
            (data, None, "/var/lib/postgresql/data/pgdata/", Some("pgdata")),
            ("/var/lib/postgresql/", Some("a/b"), data, Some("a/b/data")),
            (data, Some("pg"), data, Some("pg")),
            ("/var/lib/postgres", None, data, None),
            ("/data", None, data, None),
            ("/var", None, "/var/../etc", None),
        ] {
            assert_eq!(
                below(&mount(path, sub), folder).as_deref(),
                expected,
                "{path} {sub:?} {folder}"
            );
        }
    }
}
