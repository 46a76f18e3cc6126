//! The mutations: one line of the table each.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{ApiResource, ListParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

/// What is done to an object.
#[derive(Clone, Debug)]
pub enum Act {
    /// A merge patch; the second one undoes it.
    Edit(Value, Value),
    Delete,
}

/// One line of the table.
pub struct Mutation {
    pub name: &'static str,
    pub object: (ApiResource, String),
    pub act: Act,
    /// Part of the line that tells of it.
    pub told: String,
    /// Whether it is left although all else is put back.
    pub guarded: bool,
    /// Whether a pod of the instance is another one afterwards; it need not be where it was put back at once.
    pub restarts: bool,
}

impl Mutation {
    fn restarting(self) -> Self {
        Self {
            restarts: true,
            ..self
        }
    }

    fn guarded(self) -> Self {
        Self {
            guarded: true,
            ..self
        }
    }
}

fn edit<K>(name: &'static str, object: &str, there: Value, back: Value, told: &str) -> Mutation
where
    K: kube::Resource<DynamicType = ()>,
{
    Mutation {
        name,
        object: (ApiResource::erase::<K>(&()), object.to_owned()),
        act: Act::Edit(there, back),
        told: told.to_owned(),
        guarded: false,
        restarts: false,
    }
}

fn delete<K: kube::Resource<DynamicType = ()>>(name: &'static str, object: &str) -> Mutation {
    Mutation {
        name,
        object: (ApiResource::erase::<K>(&()), object.to_owned()),
        act: Act::Delete,
        told: format!("{}/{object} is missing", K::kind(&())),
        guarded: false,
        restarts: false,
    }
}

/// The objects of one instance that are changed.
pub struct Objects {
    base: String,
    set: Value,
    services: Vec<String>,
    config: ConfigMap,
    account: String,
    secret: Secret,
}

async fn all<K>(client: &Client, namespace: &str, base: &str) -> Vec<K>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let of = ListParams::default().labels(&format!("app.kubernetes.io/instance={base}"));
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    api.list(&of).await.unwrap().items
}

impl Objects {
    /// Those of the instance whose objects have this base name.
    pub async fn read(client: &Client, namespace: &str, base: &str) -> Self {
        let sets = all::<StatefulSet>(client, namespace, base).await;
        let accounts = all::<ServiceAccount>(client, namespace, base).await;
        let services = all::<Service>(client, namespace, base).await;
        Self {
            base: base.to_owned(),
            set: serde_json::to_value(&sets[0]).unwrap(),
            services: services.iter().map(ResourceExt::name_any).collect(),
            config: all::<ConfigMap>(client, namespace, base).await.remove(0),
            account: accounts[0].name_any(),
            secret: all::<Secret>(client, namespace, base).await.remove(0),
        }
    }

    /// A setting in the configuration, which every engine has.
    pub fn setting(&self) -> Mutation {
        self.of_small_objects().remove(0)
    }

    /// The table, from what is put back at once to what costs a restart.
    pub fn mutations(&self) -> Vec<Mutation> {
        let mut table = self.of_small_objects();
        table.extend(self.of_services());
        table.extend(self.of_the_set());
        table.extend(self.of_the_template());
        table
    }

    fn of_small_objects(&self) -> Vec<Mutation> {
        let (config, secret) = (&self.config.name_any(), &self.secret.name_any());
        let data = self.config.data.clone().unwrap();
        let (file, text) = data.first_key_value().unwrap();
        let edited = format!("{text}\n# by hand\n");
        let host = &self.secret.data.as_ref().unwrap()["host"];
        let policy = &self.base;
        vec![
            edit::<ConfigMap>(
                "a setting",
                config,
                json!({"data": {file: edited}}),
                json!({"data": {file: text}}),
                "ConfigMap/",
            ),
            delete::<ConfigMap>("the ConfigMap gone", config),
            edit::<Secret>(
                "the host in the Secret",
                secret,
                json!({"data": {"host": "ZWxzZXdoZXJl"}}),
                json!({"data": {"host": host}}),
                "data.host",
            ),
            edit::<Secret>(
                "a label of the Secret",
                secret,
                part_of("else"),
                part_of("kidp"),
                "metadata.labels",
            ),
            edit::<ServiceAccount>(
                "a token for the pod",
                &self.account,
                json!({"automountServiceAccountToken": true}),
                json!({"automountServiceAccountToken": false}),
                "automountServiceAccountToken",
            ),
            delete::<ServiceAccount>("the ServiceAccount gone", &self.account),
            edit::<NetworkPolicy>(
                "the network open to all",
                policy,
                json!({"spec": {"policyTypes": ["Egress"]}}),
                json!({"spec": {"policyTypes": ["Ingress"]}}),
                "spec.policyTypes",
            ),
            delete::<NetworkPolicy>("the NetworkPolicy gone", policy),
        ]
    }

    fn of_services(&self) -> Vec<Mutation> {
        let key = "app.kubernetes.io/instance";
        let mut table = vec![
            edit::<Service>(
                "a label of the Service",
                &self.base,
                part_of("else"),
                part_of("kidp"),
                "metadata.labels",
            ),
            edit::<Service>(
                "the Service of nobody",
                &self.base,
                json!({"spec": {"selector": {key: "nobody"}}}),
                json!({"spec": {"selector": {key: self.base}}}),
                "spec.selector",
            ),
            delete::<Service>("the Service gone", &self.base),
        ];
        let other = self.services.iter().find(|name| **name != self.base);
        table.extend(other.map(|name| delete::<Service>("the Service of members gone", name)));
        table
    }

    fn of_the_set(&self) -> Vec<Mutation> {
        let set = &self.base;
        vec![
            edit::<StatefulSet>(
                "a label",
                set,
                part_of("else"),
                part_of("kidp"),
                "metadata.labels",
            ),
            edit::<StatefulSet>(
                "an update by hand only",
                set,
                json!({"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}}),
                json!({"spec": {"updateStrategy": {"type": "RollingUpdate"}}}),
                "spec.updateStrategy",
            ),
            edit::<StatefulSet>(
                "scaled to none",
                set,
                json!({"spec": {"replicas": 0}}),
                json!({"spec": {"replicas": 1}}),
                "spec.replicas: 1 became 0",
            )
            .restarting(),
            delete::<StatefulSet>("the StatefulSet gone", set).restarting(),
        ]
    }

    fn of_the_template(&self) -> Vec<Mutation> {
        let pod = &self.set["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let path = format!(
            "spec.template.spec.containers[name={}]",
            container["name"].as_str().unwrap()
        );
        // A merge patch replaces a list.
        let with = |field: &str, value: Value| {
            let mut all = pod["containers"].clone();
            all[0][field] = value;
            json!({"spec": {"template": {"spec": {"containers": all}}}})
        };
        let back = || json!({"spec": {"template": {"spec": {"containers": pod["containers"]}}}});
        let image = container["image"].as_str().unwrap();
        let short = image
            .trim_start_matches("docker.io/")
            .trim_start_matches("library/");
        let mut grown = container["resources"].clone();
        grown["limits"]["cpu"] = json!("1500m");
        let mut probe = container["readinessProbe"].clone();
        probe["periodSeconds"] = json!(59);
        let change = |name, field: &str, value, told: &str| {
            edit::<StatefulSet>(
                name,
                &self.base,
                with(field, value),
                back(),
                &format!("{path}.{told}"),
            )
            .restarting()
        };
        let grace = |seconds: Value| json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": seconds}}}});
        let time = "spec.template.spec.terminationGracePeriodSeconds";
        vec![
            change("another name of the image", "image", json!(short), "image"),
            change(
                "another probe",
                "readinessProbe",
                probe,
                "readinessProbe.periodSeconds",
            ),
            edit::<StatefulSet>(
                "less time to stop",
                &self.base,
                grace(json!(31)),
                grace(pod["terminationGracePeriodSeconds"].clone()),
                time,
            )
            .restarting(),
            change("more CPU", "resources", grown, "resources.limits.cpu").guarded(),
        ]
    }
}

fn part_of(value: &str) -> Value {
    json!({"metadata": {"labels": {"app.kubernetes.io/part-of": value}}})
}
