//! The macro that defines a kind of service; one invocation a kind, in the kind's own file.

/// Defines one kind of service: its CRD and its [`ServiceResource`].
///
/// A custom resource needs a struct of its own, and the rules on its fields have to stand at the fields. They are
/// written here once, so that no kind can lack a rule that the others have. A kind adds its names, its rule on
/// engines and the fields that only it has.
macro_rules! service_kind {
    (
        $(#[$doc:meta])*
        $kind:ident { $($names:tt)* }
        spec: $spec:ident,
        finalizer: $finalizer:expr,
        engine: $engine_rule:expr => $engine_message:expr,
        backup: $backup:expr,
        only: { $($only:tt)* }
    ) => {
        $(#[$doc])*
        #[derive(::kube::CustomResource, ::kube::KubeSchema, Clone, Debug, PartialEq)]
        #[derive(::serde::Serialize, ::serde::Deserialize)]
        #[kube(
            group = "platform.company.com",
            version = "v1",
            $($names)*,
            category = "kidp",
            namespaced,
            status = "crate::crd::ResourceStatus",
            derive = "PartialEq",
            printcolumn = r#"{"name":"Engine","type":"string","jsonPath":".spec.engine"}"#,
            printcolumn = r#"{"name":"Version","type":"string","jsonPath":".spec.version"}"#,
            printcolumn = r#"{"name":"Size","type":"string","jsonPath":".spec.size"}"#,
            printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
            printcolumn = r#"{"name":"Endpoint","type":"string","jsonPath":".status.endpoint"}"#,
            printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
        )]
        #[x_kube(
            validation = Rule::new("has(self.target) == has(oldSelf.target)")
                .message("target is fixed at creation: it can be neither added nor removed").field_path(".target"),
            validation = Rule::new("has(self.storage.class) == has(oldSelf.storage.class)")
                .message("storage.class is fixed at creation").field_path(".storage"),
        )]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $spec {
            /// The team or application that owns it.
            pub owner: crate::instance::OwnerRef,
            /// The engine. Fixed at creation.
            #[x_kube(
                validation = Rule::new("self == oldSelf").message("engine is fixed at creation"),
                validation = Rule::new($engine_rule).message(Message::Expression($engine_message.into()))
            )]
            pub engine: crate::instance::Engine,
            /// Engine version: a major version such as `15`, or a full one.
            #[schemars(length(min = 1, max = 20))]
            #[x_kube(validation = Rule::new("self.matches('^[0-9]+([.][0-9]+){0,2}$')")
                .message("version must be numbers joined by dots, such as 15 or 15.4"))]
            pub version: String,
            /// CPU and memory: small, medium, large or xlarge.
            #[serde(default)]
            pub size: crate::size::Size,
            /// Several members with automatic failover, where the engine supports it.
            #[serde(default)]
            pub high_availability: bool,
            /// The volume. Its size may grow, never shrink; its class is fixed at creation.
            #[x_kube(
                validation = Rule::new("isQuantity(self.size) && quantity(self.size).isGreaterThan(quantity('0'))")
                    .message("storage.size must be a positive quantity, such as 10Gi").field_path(".size"),
                validation = Rule::new("!isQuantity(self.size) || !isQuantity(oldSelf.size) || quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0")
                    .message("storage.size can grow, but never shrink").field_path(".size"),
                validation = Rule::new("!has(self.class) || !has(oldSelf.class) || self.class == oldSelf.class")
                    .message("storage.class is fixed at creation").field_path(".class")
            )]
            pub storage: crate::instance::StorageSpec,
            $($only)*
            /// Encryption of data on disk and on the wire.
            #[serde(default)]
            #[x_kube(
                validation = Rule::new("!has(self.minTLSVersion) || self.inTransit")
                    .message("encryption.minTLSVersion needs encryption.inTransit").field_path(".minTLSVersion"),
                validation = Rule::new("!has(self.certificate) || self.inTransit")
                    .message("encryption.certificate needs encryption.inTransit").field_path(".certificate"),
                validation = Rule::new("!has(self.certificate) || !(has(self.certificate.secretName) && has(self.certificate.issuerRef))")
                    .message("encryption.certificate takes secretName or issuerRef, not both").field_path(".certificate")
            )]
            pub encryption: crate::instance::EncryptionSpec,
            /// Metrics of the engine, in Prometheus' format.
            #[serde(default, skip_serializing_if = "crate::instance::MonitoringSpec::is_default")]
            #[x_kube(
                validation = Rule::new("!has(self.fromNamespaces) || self.enabled")
                    .message("monitoring.fromNamespaces needs monitoring.enabled").field_path(".fromNamespaces")
            )]
            pub monitoring: crate::instance::MonitoringSpec,
            /// Where it is placed; any fitting broker when absent. Fixed at creation.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[x_kube(validation = Rule::new("self == oldSelf").message("target is fixed at creation"))]
            pub target: Option<crate::crd::Target>,
            /// Engine parameters, as the engine's own configuration writes them.
            #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
            #[schemars(extend("maxProperties" = 64))]
            pub parameters: crate::instance::Parameters,
            /// What happens to the data at deletion.
            #[serde(default)]
            pub deletion_policy: crate::instance::DeletionPolicy,
            /// What is done about drift; what it leaves open, the team says.
            #[serde(default)]
            #[x_kube(
                validation = Rule::new("!has(self.rules) || self.rules.size() <= 32")
                    .message("drift.rules can have at most 32 entries").field_path(".rules"),
                validation = Rule::new("!has(self.maintenanceWindow) || !self.maintenanceWindow.duration.matches('^[1-9][0-9]*[mh]$') || duration(self.maintenanceWindow.duration) <= duration('24h')")
                    .message("drift.maintenanceWindow.duration can be at most 24h").field_path(".maintenanceWindow")
            )]
            pub drift: crate::instance::DriftSpec,
            /// A StatefulSet of this namespace that is there already and becomes the instance.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub adopt: Option<crate::instance::AdoptSpec>,
        }

        impl $spec {
            /// The part that a provisioner is asked for.
            pub fn instance(&self) -> crate::instance::InstanceSpec {
                let backup: fn(&Self) -> crate::instance::BackupSpec = $backup;
                crate::instance::InstanceSpec {
                    engine: self.engine,
                    version: self.version.clone(),
                    size: self.size,
                    high_availability: self.high_availability,
                    storage: self.storage.clone(),
                    backup: backup(self),
                    encryption: self.encryption.clone(),
                    monitoring: self.monitoring.clone(),
                    parameters: self.parameters.clone(),
                    deletion_policy: self.deletion_policy,
                    drift: self.drift.clone(),
                    adopt: self.adopt.clone(),
                }
            }
        }

        impl crate::crd::ServiceResource for $kind {
            const TYPE: crate::instance::ResourceType = crate::instance::ResourceType::$kind;
            const FINALIZER: &'static str = $finalizer;

            fn owner(&self) -> &crate::instance::OwnerRef {
                &self.spec.owner
            }

            fn engine(&self) -> crate::instance::Engine {
                self.spec.engine
            }

            fn target(&self) -> Option<&crate::crd::Target> {
                self.spec.target.as_ref()
            }

            fn deletion_policy(&self) -> crate::instance::DeletionPolicy {
                self.spec.deletion_policy
            }

            fn instance(&self) -> crate::instance::InstanceSpec {
                self.spec.instance()
            }
        }
    };
}

pub(super) use service_kind;
