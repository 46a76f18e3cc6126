//! The policy as a table, and what holds for any change.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use Policy::{Alert, Ignore, Remediate};

fn change(object: &str, path: &str, before: Value, after: Value, consequence: Consequence) -> Change {
    Change {
        path: path.to_owned(),
        before,
        after,
        consequence,
        ..Change::missing(object)
    }
}

fn rule(object: &str, path: Option<&str>, policy: Policy) -> Rule {
    Rule {
        object: object.to_owned(),
        path: path.map(ToOwned::to_owned),
        policy,
    }
}

fn scaled() -> Change {
    change(
        "StatefulSet/db",
        "spec.replicas",
        json!(1),
        json!(0),
        Consequence::None,
    )
}

const IMAGE: &str = "spec.template.spec.containers[name=db].image";
const CPU: &str = "spec.template.spec.containers[name=db].resources.limits.cpu";

#[test]
fn without_a_word_all_is_put_back_but_what_is_guarded() {
    let rolling = Consequence::RollingRestart;
    let of =
        |object: &str, path: &str, before: Value, after: Value| change(object, path, before, after, rolling);
    for (change, expected) in [
        (scaled(), None),
        (
            change("ConfigMap/db", "data.a", json!("1"), json!("2"), rolling),
            None,
        ),
        (Change::missing("Service/db"), None),
        (Change::missing("StatefulSet/db"), None),
        (
            of(
                "StatefulSet/db",
                IMAGE,
                json!("r/postgres:17"),
                json!("r/postgres:17.2"),
            ),
            None,
        ),
        (
            of(
                "StatefulSet/db",
                IMAGE,
                json!("r:5000/postgres:17"),
                json!("r:5000/postgres:16-alpine"),
            ),
            Some(Guard::MajorVersion),
        ),
        (
            of("Cluster/db", "spec.imageName", json!("pg:17"), json!("pg:18")),
            Some(Guard::MajorVersion),
        ),
        (of("StatefulSet/db", IMAGE, json!("pg:17"), json!("other")), None),
        (
            of("StatefulSet/db", CPU, json!("1"), json!("1500m")),
            Some(Guard::Cost),
        ),
        (of("StatefulSet/db", CPU, json!("1"), json!("500m")), None),
        (
            of(
                "PersistentVolumeClaim/d",
                "spec.resources.requests.storage",
                json!("1Gi"),
                json!("2Gi"),
            ),
            Some(Guard::Cost),
        ),
        (
            of("Cluster/d", "spec.storage.size", json!("1Gi"), json!("2Gi")),
            Some(Guard::Cost),
        ),
        (Change::missing("PersistentVolumeClaim/d"), Some(Guard::DataLoss)),
        (
            change(
                "StatefulSet/db",
                "spec.serviceName",
                json!("a"),
                json!("b"),
                Consequence::Recreate,
            ),
            Some(Guard::Recreate),
        ),
        (
            change(
                "Service/db",
                "spec.clusterIP",
                json!("None"),
                json!(""),
                Consequence::Recreate,
            ),
            Some(Guard::Recreate),
        ),
        (
            change("Service/db", "x", json!(1), json!(2), Consequence::DataLoss),
            Some(Guard::DataLoss),
        ),
    ] {
        assert_eq!(guard(&change), expected, "{change}");
        let policy = if expected.is_some() { Alert } else { Remediate };
        assert_eq!(decide(&[], &change), policy, "{change}");
        let said = [Level {
            policy: Some(Remediate),
            ..Level::default()
        }];
        assert_eq!(
            decide(&said, &change),
            policy,
            "a general policy lifts no guard: {change}"
        );
    }
}

#[test]
fn the_closest_that_says_something_holds() {
    let own = Level {
        rules: vec![rule("StatefulSet", Some("spec.replicas"), Ignore)],
        policy: None,
    };
    let team = Level {
        rules: vec![rule("*", None, Remediate)],
        policy: Some(Alert),
    };
    let levels = [own, team.clone()];
    assert_eq!(decide(&levels, &scaled()), Ignore, "an own rule");
    let label = change(
        "Service/db",
        "metadata.labels.a",
        json!("1"),
        Value::Null,
        Consequence::None,
    );
    assert_eq!(decide(&levels, &label), Remediate, "the team's rule");
    let strict = Level {
        policy: Some(Alert),
        ..Level::default()
    };
    assert_eq!(
        decide(&[strict, team], &label),
        Alert,
        "an own policy against the team's rule"
    );
}

#[test]
fn a_rule_that_names_the_field_lifts_its_guard_but_for_a_loss_of_data() {
    let levels = [Level {
        rules: vec![rule("StatefulSet/db", Some("spec.template"), Remediate)],
        policy: None,
    }];
    let image = change(
        "StatefulSet/db",
        IMAGE,
        json!("a:17"),
        json!("a:18"),
        Consequence::RollingRestart,
    );
    assert_eq!(decide(&levels, &image), Remediate);
    let loss = Change {
        consequence: Consequence::DataLoss,
        ..image
    };
    assert_eq!(decide(&levels, &loss), Alert);
}

#[test]
fn rules_fit_kinds_names_and_paths_at_their_joints() {
    for (object, path, fits) in [
        ("StatefulSet", None, true),
        ("Stateful*", None, true),
        ("StatefulSet/d*", Some("spec"), true),
        ("*", Some("spec.replicas"), true),
        ("*/db", None, true),
        ("**b", None, true),
        ("Set", None, false),
        ("StatefulSet/other", None, false),
        ("StatefulSet", Some("spec.replica"), false),
        ("StatefulSet", Some("spec.replicas.x"), false),
        ("ConfigMap", Some("spec"), false),
    ] {
        assert_eq!(
            rule(object, path, Alert).fits(&scaled()),
            fits,
            "{object} {path:?}"
        );
    }
}

fn any_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![Just(Remediate), Just(Alert), Just(Ignore)]
}

proptest! {
    #[test]
    fn a_loss_of_data_is_never_brought_about(
        rules in prop::collection::vec(("[A-Z*a-z/]{0,6}", any_policy()), 0..4),
        general in prop::option::of(any_policy()),
        path in "[a-z.\\[\\]]{0,8}",
    ) {
        let rules = rules.into_iter().map(|(object, policy)| rule(&object, None, policy)).collect();
        let levels = [Level { rules, policy: general }];
        let loss = change("Kind/n", &path, json!(1), json!(2), Consequence::DataLoss);
        prop_assert_ne!(decide(&levels, &loss), Remediate);
    }

    #[test]
    fn a_glob_matches_what_its_stars_stand_for(parts in prop::collection::vec("[ab]{0,3}", 1..5), gap in "[ab]{0,4}") {
        prop_assert!(matches_glob(&parts.join("*"), &parts.join(&gap)));
    }

    #[test]
    fn without_a_star_a_glob_is_the_text(a in "[ab]{0,4}", b in "[ab]{0,4}") {
        prop_assert_eq!(matches_glob(&a, &b), a == b);
    }
}
