//! Whether an object of a namespace may name a team as its own: a pure function of the team and of whose the namespace is.
//!
//! A team without namespaces may be named from wherever nobody else's namespace is. That is how it was before teams had
//! namespaces, and who may create resources somewhere is then all there is to keep teams apart.

use kidp_core::crd::{Application, Team};
use kidp_core::labels;
use kube::ResourceExt;

use crate::cache::{Caches, namespace_of, resolve};

/// Why objects of `namespace` may not name `team`; `None` where they may.
pub fn refusal(team: &Team, namespace: &str, caches: &Caches) -> Option<String> {
    let name = format!("{}/{}", namespace_of(team), team.name_any());
    match caches.holder(namespace) {
        Some(uid) if uid == labels::value(&team.uid().unwrap_or_default()) => None,
        Some(_) => Some(format!(
            "namespace `{namespace}` belongs to another team than `{name}`"
        )),
        None if team.spec.namespaces.is_empty() || namespace == namespace_of(team) => None,
        None => Some(format!(
            "Team `{name}` has namespaces of its own, and `{namespace}` is none of them"
        )),
    }
}

/// Why an application may not belong to the team that it names; `None` where it may, and where there is no such team.
pub fn refusal_of_application(application: &Application, caches: &Caches) -> Option<String> {
    let namespace = namespace_of(application);
    let (team_namespace, team) = resolve(&application.spec.team_ref, &namespace);
    let team = caches.team(&team_namespace, &team)?;
    refusal(&team, &namespace, caches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::caches;
    use crate::testing::{database, fill, object};
    use k8s_openapi::api::core::v1::Namespace;
    use kube::api::PartialObjectMeta;
    use serde_json::json;

    fn team(name: &str, namespaces: &[&str]) -> Team {
        let namespaces: Vec<_> = namespaces.iter().map(|name| json!({"name": name})).collect();
        object(
            "Team",
            name,
            &json!({"displayName": name, "owners": ["ada"], "namespaces": namespaces}),
        )
    }

    fn held(name: &str, uid: &str) -> PartialObjectMeta<Namespace> {
        serde_json::from_value(
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": name, "labels": {labels::TEAM_UID: uid}}}),
        )
        .unwrap()
    }

    #[test]
    fn a_team_is_named_from_its_own_places_only() {
        let (readers, mut writers) = caches();
        fill(
            &mut writers.namespaces,
            [held("red-prod", "uid-red"), held("blue-prod", "uid-blue")],
        );
        let (red, plain) = (team("red", &["red-prod", "red-test"]), team("plain", &[]));
        // Both teams are in `shop`.
        let table = [
            (&red, "red-prod", true),
            (&red, "shop", true),
            // Asked for, and not made for it: somebody else's, or not there yet.
            (&red, "red-test", false),
            (&red, "elsewhere", false),
            (&red, "blue-prod", false),
            (&plain, "shop", true),
            (&plain, "elsewhere", true),
            (&plain, "blue-prod", false),
        ];
        for (team, namespace, allowed) in table {
            let refusal = refusal(team, namespace, &readers);
            assert_eq!(
                refusal.is_none(),
                allowed,
                "{} from {namespace}: {refusal:?}",
                team.name_any()
            );
        }
    }

    #[test]
    fn an_application_elsewhere_is_no_way_to_a_team() {
        use crate::resource::dereference::{Owner, owner};
        let (readers, mut writers) = caches();
        fill(&mut writers.teams, [team("red", &["red-prod"])]);
        let mut app: Application = object(
            "Application",
            "app",
            &json!({"displayName": "A", "teamRef": {"name": "red", "namespace": "shop"}}),
        );
        app.metadata.namespace = Some("elsewhere".into());
        assert!(refusal_of_application(&app, &readers).is_some());
        fill(&mut writers.applications, [app]);
        let mut inside = database("orders");
        inside.spec.owner.kind = kidp_core::instance::OwnerKind::Application;
        inside.spec.owner.name = "app".into();
        inside.spec.owner.namespace = Some("elsewhere".into());
        let Owner::NotAllowed(said) = owner(&inside, &readers) else {
            panic!("allowed");
        };
        assert!(said.starts_with("spec.owner: Application `app`"), "{said}");
    }
}
