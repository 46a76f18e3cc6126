//! Tables and properties of the selection.

use super::*;
use proptest::prelude::*;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn candidate(name: &str) -> Candidate {
    Candidate {
        namespace: "kidp-system".into(),
        name: name.into(),
        spec: serde_json::from_value(serde_json::json!({
            "endpoint": "http://broker:8082", "region": "eu", "cloudProvider": "metal",
            "capabilities": [{"resourceType": "Database", "providers": ["postgresql"]}],
        }))
        .unwrap(),
        phase: BrokerPhase::Ready,
        last_heartbeat: None,
        active: 0,
    }
}

fn request() -> PlacementRequest {
    PlacementRequest {
        resource_type: ResourceType::Database,
        engine: Engine::Postgresql,
        target: None,
    }
}

fn verdict(request: &PlacementRequest, candidate: Candidate) -> Verdict {
    select_broker(request, vec![candidate], now())
        .verdicts
        .remove(0)
        .1
}

#[test]
fn each_filter_refuses_with_its_own_reason() {
    let target = |target: Target| PlacementRequest {
        target: Some(target),
        ..request()
    };
    let text = |s: &str| Some(s.to_owned());
    let table = [
        (
            target(Target {
                broker: text("b"),
                ..Target::default()
            }),
            candidate("a"),
            Verdict::NotTheTarget,
        ),
        (
            target(Target {
                region: text("us"),
                ..Target::default()
            }),
            candidate("a"),
            Verdict::OtherRegion,
        ),
        (
            target(Target {
                cloud_provider: text("x"),
                ..Target::default()
            }),
            candidate("a"),
            Verdict::OtherCloudProvider,
        ),
        (
            PlacementRequest {
                engine: Engine::Mysql,
                ..request()
            },
            candidate("a"),
            Verdict::NotCapable,
        ),
        (
            request(),
            Candidate {
                phase: BrokerPhase::Offline,
                ..candidate("a")
            },
            Verdict::NotReady(BrokerPhase::Offline),
        ),
        (
            request(),
            Candidate {
                active: 10,
                ..candidate("a")
            },
            Verdict::Full(10),
        ),
        (request(), candidate("a"), Verdict::Fits(200.0)),
        (
            request(),
            Candidate {
                last_heartbeat: Some(now()),
                ..candidate("a")
            },
            Verdict::Fits(210.0),
        ),
        (
            request(),
            Candidate {
                active: 5,
                ..candidate("a")
            },
            Verdict::Fits(150.0),
        ),
    ];
    for (request, candidate, expected) in table {
        assert_eq!(verdict(&request, candidate), expected);
    }
}

#[test]
fn an_empty_provider_list_serves_every_engine_but_sql_server() {
    let mut any = candidate("a");
    any.spec.capabilities[0].providers.clear();
    let ask =
        |engine, candidate: &Candidate| verdict(&PlacementRequest { engine, ..request() }, candidate.clone());
    assert!(matches!(ask(Engine::Mysql, &any), Verdict::Fits(_)));
    assert_eq!(ask(Engine::Sqlserver, &any), Verdict::NotCapable);
    any.spec.capabilities[0].providers.push("sqlserver".into());
    assert!(matches!(ask(Engine::Sqlserver, &any), Verdict::Fits(_)));
}

#[test]
fn a_tie_goes_to_the_first_name() {
    let chosen = select_broker(&request(), vec![candidate("b"), candidate("a")], now()).chosen;
    assert_eq!(chosen.unwrap().1, "a");
}

fn any_candidate() -> impl Strategy<Value = Candidate> {
    (
        0_usize..5,
        0_u32..1000,
        0_u32..12,
        "[a-f]",
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(phase, priority, active, name, capable, beat)| {
            let phases = [
                BrokerPhase::Ready,
                BrokerPhase::Ready,
                BrokerPhase::Pending,
                BrokerPhase::Unhealthy,
                BrokerPhase::Offline,
            ];
            let mut candidate = Candidate {
                phase: phases[phase],
                active,
                last_heartbeat: beat.then(now),
                ..candidate(&name)
            };
            candidate.spec.priority = priority;
            if !capable {
                candidate.spec.capabilities.clear();
            }
            candidate
        })
}

fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
    proptest::collection::vec(any_candidate(), 0..8).prop_map(|mut all| {
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.dedup_by(|a, b| a.name == b.name);
        all
    })
}

proptest! {
    #[test]
    fn the_chosen_one_fits_and_none_scores_higher(candidates in any_candidates()) {
        let selection = select_broker(&request(), candidates, now());
        let score = |v: &Verdict| match v { Verdict::Fits(score) => Some(*score), _ => None };
        let best = selection.verdicts.iter().filter_map(|(_, v)| score(v)).fold(f64::MIN, f64::max);
        match selection.chosen {
            Some((_, name)) => {
                let (_, verdict) = selection.verdicts.iter().find(|(c, _)| c.name == name).unwrap();
                prop_assert_eq!(score(verdict), Some(best));
            }
            None => prop_assert!(selection.verdicts.iter().all(|(_, v)| score(v).is_none())),
        }
    }

    #[test]
    fn order_does_not_matter(candidates in any_candidates(), seed in 0_usize..8) {
        let mut turned = candidates.clone();
        if !turned.is_empty() {
            let by = seed % turned.len();
            turned.rotate_left(by);
        }
        prop_assert_eq!(
            select_broker(&request(), candidates, now()),
            select_broker(&request(), turned, now())
        );
    }

    #[test]
    fn more_priority_never_loses_the_choice(candidates in any_candidates(), more in 1_u32..100) {
        if let Some((_, name)) = select_broker(&request(), candidates.clone(), now()).chosen {
            let mut raised = candidates;
            for candidate in &mut raised {
                if candidate.name == name {
                    candidate.spec.priority += more;
                }
            }
            prop_assert_eq!(select_broker(&request(), raised, now()).chosen.unwrap().1, name);
        }
    }
}
