//! Names, labels and owner of an instance's objects.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kidp_core::instance::{Adopted, OwnerKind};
use kidp_core::labels::{self, Labels};
use kidp_core::names;

use crate::instance::Instance;

/// Marks a Secret and a volume claim that outlived their instance, and may be adopted by the next of that name.
pub const RETAINED: &str = "platform.company.com/retained";

/// What an instance's objects are called and how they are found again.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    /// The instance.
    pub instance: &'a Instance,
    /// The name that its objects share, see [`names::base_name`].
    pub base: String,
}

impl<'a> Scope<'a> {
    /// The scope of an instance.
    pub fn new(instance: &'a Instance) -> Self {
        let base = names::base_name(&instance.name, instance.spec.engine.as_str());
        Self { instance, base }
    }

    /// The base name with a suffix.
    pub fn name(&self, suffix: &str) -> String {
        names::with_suffix(&self.base, suffix)
    }

    /// Name of the connection Secret.
    pub fn secret(&self) -> String {
        self.name("connection")
    }

    /// What was taken over, if anything was.
    pub fn adopted(&self) -> Option<&'a Adopted> {
        self.instance.adopted.as_ref()
    }

    /// What was taken over with a pod template that stays as it is.
    pub fn kept(&self) -> Option<&'a Adopted> {
        self.adopted().filter(|adopted| !adopted.is_replaced())
    }

    /// Name of the StatefulSet.
    pub fn set(&self) -> &str {
        self.adopted()
            .map_or(&self.base, |adopted| adopted.stateful_set.as_str())
    }

    /// Name of the Service that governs the members.
    pub fn governing_service(&self) -> String {
        match self.adopted() {
            Some(adopted) => adopted.service_name().to_owned(),
            None => self.name("headless"),
        }
    }

    /// Name of the volume claim template, and of the volume in the pods.
    pub fn data_volume(&self) -> &'a str {
        self.adopted().map_or(DATA_VOLUME, Adopted::claim_template)
    }

    /// Name of the volume claim of a member.
    pub fn claim(&self, ordinal: i32) -> String {
        format!("{}-{}-{ordinal}", self.data_volume(), self.set())
    }

    /// The labels that tell whose an object is.
    pub fn identity(&self) -> Labels {
        labels::labels([
            (labels::NAME, self.instance.spec.engine.as_str()),
            (labels::INSTANCE, &self.base),
        ])
    }

    /// The labels that select the instance's pods. Immutable in a StatefulSet, so they hold nothing that a
    /// spec can change; of one that was taken over they are its own.
    pub fn selector(&self) -> Labels {
        self.adopted().map_or_else(|| self.identity(), Adopted::selector)
    }

    /// The labels of the instance's pods.
    pub fn pod_labels(&self) -> Labels {
        let mut set = self.stable_labels();
        set.extend(self.selector());
        set
    }

    /// [`Scope::selector`] as Kubernetes writes it.
    pub fn label_selector(&self) -> LabelSelector {
        LabelSelector {
            match_labels: Some(self.selector()),
            ..LabelSelector::default()
        }
    }

    /// The labels that never change in an instance's life: those of pods and volume claim templates, where a
    /// change would restart the database or be refused.
    pub fn stable_labels(&self) -> Labels {
        let instance = self.instance;
        let mut set = self.identity();
        set.extend(labels::labels([
            (labels::COMPONENT, component(instance)),
            (labels::PART_OF, labels::MANAGED_BY),
            (labels::MANAGED_BY_KEY, labels::MANAGED_BY),
            (labels::DEPLOYMENT_ID, instance.deployment_id.as_str()),
        ]));
        if !instance.resource_uid.is_empty() {
            set.insert(
                labels::RESOURCE_UID.to_owned(),
                labels::value(&instance.resource_uid),
            );
        }
        set
    }

    /// Every label of an object.
    pub fn labels(&self) -> Labels {
        let mut set = self.stable_labels();
        if !self.instance.team.is_empty() {
            set.insert(labels::TEAM.to_owned(), labels::value(&self.instance.team));
        }
        if let Some(owner) = self
            .instance
            .owner
            .as_ref()
            .filter(|o| o.kind == OwnerKind::Application)
        {
            set.insert(labels::APPLICATION.to_owned(), labels::value(&owner.name));
        }
        set
    }
}

/// Name of the volume claim template of every engine.
pub const DATA_VOLUME: &str = "data";

fn component(instance: &Instance) -> &'static str {
    use kidp_core::instance::ResourceType;
    match instance.resource_type {
        ResourceType::Database => "database",
        ResourceType::Cache => "cache",
        ResourceType::MessageQueue => "message-queue",
    }
}

/// Metadata of an object that goes with its instance.
pub fn object_meta(scope: &Scope<'_>, name: String) -> ObjectMeta {
    ObjectMeta {
        owner_references: scope.instance.owner_reference.clone().map(|owner| vec![owner]),
        ..kept_meta(scope, name)
    }
}

/// Metadata of an object that may outlive its instance: without an owner, so that no garbage collector takes it.
pub fn kept_meta(scope: &Scope<'_>, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(scope.instance.namespace.clone()),
        labels: Some(scope.labels()),
        ..ObjectMeta::default()
    }
}
