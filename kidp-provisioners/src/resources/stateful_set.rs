//! The StatefulSet that every engine runs in.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, EmptyDirVolumeSource, KeyToPath, PersistentVolumeClaim,
    PersistentVolumeClaimSpec, PodSpec, PodTemplateSpec, SecretVolumeSource, TopologySpreadConstraint,
    Volume, VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::config_map::CHECKSUM_ANNOTATION;
use super::meta::{DATA_VOLUME, Scope, object_meta};
use super::service::Port;
use super::{monitor, pod_security};

/// What an engine says about its pods; the rest is the same for all.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Number of members.
    pub replicas: i32,
    /// The engine's container; its security context is set here.
    pub container: Container,
    /// Beside it in every pod; their security contexts are set here too.
    pub sidecars: Vec<Container>,
    /// Run to their end before it, in order; their security contexts are set here too.
    pub init_containers: Vec<Container>,
    /// Volumes besides the data.
    pub volumes: Vec<Volume>,
    /// User and group of the image.
    pub uid: i64,
    /// Hash of the configuration.
    pub config_checksum: String,
    /// Longest clean shutdown.
    pub termination_grace_period_seconds: i64,
    /// Whether the members keep to different nodes and zones, as far as there are any.
    pub spread: bool,
}

impl Workload {
    /// The port that serves metrics, where a container has it.
    pub fn metrics(&self) -> Option<Port> {
        let containers = std::iter::once(&self.container).chain(&self.sidecars);
        let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
        let found = ports.find(|port| port.name.as_deref() == Some(monitor::METRICS))?;
        let number = u16::try_from(found.container_port).ok()?;
        Some(monitor::port(number))
    }
}

/// The StatefulSet.
///
/// `podManagementPolicy: Parallel` is what lets a corrected spec through: with `OrderedReady` the controller
/// waits for a broken pod to become ready before it replaces it, which a broken pod never does.
pub fn stateful_set(scope: &Scope<'_>, workload: Workload) -> StatefulSet {
    StatefulSet {
        metadata: object_meta(scope, scope.set().to_owned()),
        spec: Some(StatefulSetSpec {
            replicas: Some(workload.replicas),
            selector: scope.label_selector(),
            service_name: Some(scope.governing_service()),
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                ..StatefulSetUpdateStrategy::default()
            }),
            persistent_volume_claim_retention_policy: Some(keeps_claims()),
            revision_history_limit: Some(3),
            template: pod_template(scope, workload),
            volume_claim_templates: Some(vec![data_claim(scope)]),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

/// Claims are removed by `deprovision` alone, under the deletion policy.
pub(super) fn keeps_claims() -> StatefulSetPersistentVolumeClaimRetentionPolicy {
    StatefulSetPersistentVolumeClaimRetentionPolicy {
        when_deleted: Some("Retain".to_owned()),
        when_scaled: Some("Retain".to_owned()),
    }
}

fn pod_template(scope: &Scope<'_>, workload: Workload) -> PodTemplateSpec {
    let confined = |container: Container| Container {
        security_context: Some(pod_security::container()),
        ..container
    };
    let init_containers: Vec<_> = workload.init_containers.into_iter().map(confined).collect();
    // The engine's comes first: an instance is observed by it.
    let containers = std::iter::once(workload.container).chain(workload.sidecars);
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(scope.pod_labels()),
            annotations: Some(BTreeMap::from([(
                CHECKSUM_ANNOTATION.to_owned(),
                workload.config_checksum,
            )])),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            service_account_name: Some(scope.base.clone()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            security_context: Some(pod_security::pod(workload.uid)),
            termination_grace_period_seconds: Some(workload.termination_grace_period_seconds),
            init_containers: (!init_containers.is_empty()).then_some(init_containers),
            containers: containers.map(confined).collect(),
            volumes: Some(workload.volumes),
            topology_spread_constraints: workload.spread.then(|| spread(scope)),
            ..PodSpec::default()
        }),
    }
}

/// A wish, not a condition: members on one node are better than members that are not there.
fn spread(scope: &Scope<'_>) -> Vec<TopologySpreadConstraint> {
    let over = |topology_key: &str| TopologySpreadConstraint {
        max_skew: 1,
        topology_key: topology_key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(scope.label_selector()),
        ..TopologySpreadConstraint::default()
    };
    vec![
        over("topology.kubernetes.io/zone"),
        over("kubernetes.io/hostname"),
    ]
}

fn data_claim(scope: &Scope<'_>) -> PersistentVolumeClaim {
    let storage = &scope.instance.spec.storage;
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(DATA_VOLUME.to_owned()),
            labels: Some(scope.stable_labels()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: storage.class.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([(
                    "storage".to_owned(),
                    Quantity(storage.size.clone()),
                )])),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

/// A writable folder of the pod's life.
pub fn scratch(name: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    }
}

/// A writable folder in memory, counted against the container's memory limit.
pub fn memory(name: &str, limit_mebibytes: u64) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".to_owned()),
            size_limit: Some(Quantity(format!("{limit_mebibytes}Mi"))),
        }),
        ..Volume::default()
    }
}

/// The files of a ConfigMap.
pub fn config_files(name: &str, config_map: String) -> Volume {
    Volume {
        name: name.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: config_map,
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// Some entries of a Secret as files, readable by the pod's user and group alone.
pub fn secret_files(name: &str, secret: String, keys: &[&str]) -> Volume {
    let item = |key: &&str| KeyToPath {
        key: (*key).to_owned(),
        path: (*key).to_owned(),
        ..KeyToPath::default()
    };
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret),
            default_mode: Some(0o440),
            items: Some(keys.iter().map(item).collect()),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// A volume at a path.
pub fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    }
}

/// A volume at a path, not writable.
pub fn read_only_mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount {
        read_only: Some(true),
        ..mount(name, path)
    }
}
