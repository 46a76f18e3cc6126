//! The scripts of bindings, engine by engine: what they say, and that no secret is in their words.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use kidp_core::instance::Engine;
use kidp_provisioners::binding::{Script, username};
use kidp_provisioners::{ClusterFeatures, Credentials, Instance, Registry};
use serde_json::json;

const PASSWORD: &str = "pass0word0pass0word0pass0word000";

fn instance(engine: Engine, high_availability: bool, tls: bool) -> (Registry, Instance) {
    let registry = Registry::standard();
    let provisioner = registry.iter().find(|p| p.engine() == engine).unwrap().clone();
    let version = provisioner.capabilities().versions.pop().unwrap();
    let mut spec = json!({"engine": engine, "version": version, "storage": {"size": "1Gi"},
        "highAvailability": high_availability});
    if tls {
        spec["encryption"] = json!({"inTransit": true, "certificate": {"secretName": "cert"}});
    }
    let spec = serde_json::from_value(spec).unwrap();
    let instance = Instance {
        features: ClusterFeatures {
            cloudnative_pg: true,
            ..ClusterFeatures::default()
        },
        ..Instance::new(provisioner.resource_type(), "shop", "orders", spec)
    };
    (registry, instance)
}

fn text(script: &Script) -> String {
    format!("$ {}\n<< {}", script.command.join(" ⏎ "), script.input)
}

#[test]
fn scripts_of_every_engine_that_binds() {
    for (engine, high_availability) in [
        (Engine::Postgresql, false),
        (Engine::Postgresql, true),
        (Engine::Mysql, false),
        (Engine::Rabbitmq, true),
    ] {
        let (registry, instance) = instance(engine, high_availability, false);
        let provisioner = registry.get(instance.resource_type, engine).unwrap();
        let binder = provisioner.binder().expect("binds");
        let user = username("binding-1");
        let own = provisioner.credentials(&instance, String::new());
        let login = Credentials::new(&user, PASSWORD.to_owned(), &own.database);
        let (bind, unbind) = (binder.bind(&instance, &login), binder.unbind(&instance, &user));
        // RabbitMQ is given a hash of it.
        let in_input = bind.input.contains(PASSWORD);
        assert_eq!(in_input, engine != Engine::Rabbitmq, "{engine}");
        for script in [&bind, &unbind] {
            assert!(!script.command.join(" ").contains(PASSWORD), "{engine}");
        }
        assert!(!unbind.input.contains(PASSWORD));
        let name = format!("{engine}{}", if high_availability { "-members" } else { "" });
        let place = binder.place(&instance);
        let entries: Vec<_> = binder
            .entries(&instance, &login)
            .into_iter()
            .map(|(key, value)| format!("{key}: {value}"))
            .collect();
        let whole = format!(
            "in {} of {:?}\n\n{}\n\n{}\n\n{}\n",
            place.container,
            place.labels,
            text(&bind),
            text(&unbind),
            entries.join("\n")
        );
        insta::assert_snapshot!(name, whole);
    }
}

#[test]
fn the_uri_of_a_binding_is_that_of_its_own_login() {
    for engine in [Engine::Postgresql, Engine::Mysql, Engine::Rabbitmq] {
        for tls in [false, true] {
            let (registry, instance) = instance(engine, false, tls);
            let provisioner = registry.get(instance.resource_type, engine).unwrap();
            let login = Credentials::new("bind_x", PASSWORD.to_owned(), "app");
            let entries = provisioner.binder().unwrap().entries(&instance, &login);
            let uri = &entries.iter().find(|(key, _)| *key == "uri").unwrap().1;
            assert!(uri.contains(&format!("bind_x:{PASSWORD}@")), "{uri}");
            assert!(
                entries.iter().all(|(_, value)| !value.contains("//app:")),
                "{engine}"
            );
        }
    }
}

#[test]
fn engines_that_cannot_say_so() {
    for (engine, binds) in [
        (Engine::Postgresql, true),
        (Engine::Mysql, true),
        (Engine::Rabbitmq, true),
        (Engine::Redis, false),
        (Engine::Mongodb, false),
    ] {
        let registry = Registry::standard();
        for provisioner in registry.iter().filter(|p| p.engine() == engine) {
            assert_eq!(provisioner.binder().is_some(), binds, "{engine}");
        }
    }
}
