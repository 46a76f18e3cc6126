//! Tables and properties of the selection.

use super::*;
use crate::testing;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn candidate(name: &str) -> Candidate {
    Candidate {
        broker: Arc::new(testing::broker(name, None)),
        active: 0,
    }
}

fn with(mut candidate: Candidate, change: impl FnOnce(&mut Broker)) -> Candidate {
    change(Arc::make_mut(&mut candidate.broker));
    candidate
}

fn beating(candidate: Candidate) -> Candidate {
    with(candidate, |b| {
        b.status.get_or_insert_default().last_heartbeat = Some(Time(now()));
    })
}

fn phase(phase: BrokerPhase, candidate: Candidate) -> Candidate {
    with(candidate, |b| b.status.get_or_insert_default().phase = phase)
}

fn fits(priority: f64, free: f64, heartbeat: f64, apart: f64) -> Verdict {
    Verdict::Fits(Score {
        priority,
        free,
        heartbeat,
        apart,
        cost: 0.0,
    })
}

fn request() -> PlacementRequest {
    PlacementRequest {
        resource_type: ResourceType::Database,
        engine: Engine::Postgresql,
        target: None,
        tenant_residency: None,
        apart: Vec::new(),
        monthly: HashMap::new(),
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
    let in_germany = with(candidate("a"), |b| {
        b.spec.data_residency = vec!["EU".into(), "DE".into()];
    });
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
            phase(BrokerPhase::Offline, candidate("a")),
            Verdict::NotReady(BrokerPhase::Offline),
        ),
        (request(), at(10, candidate("a")), Verdict::Full(10)),
        (
            target(Target {
                data_residency: text("DE"),
                ..Target::default()
            }),
            in_germany.clone(),
            fits(100.0, 100.0, 0.0, 0.0),
        ),
        (
            target(Target {
                data_residency: text("FR"),
                ..Target::default()
            }),
            in_germany.clone(),
            Verdict::OtherJurisdiction,
        ),
        (
            PlacementRequest {
                tenant_residency: text("FR"),
                ..request()
            },
            in_germany,
            Verdict::OtherJurisdictionThanTenant,
        ),
        (request(), candidate("a"), fits(100.0, 100.0, 0.0, 0.0)),
        (request(), beating(candidate("a")), fits(100.0, 100.0, 10.0, 0.0)),
        (request(), at(5, candidate("a")), fits(100.0, 50.0, 0.0, 0.0)),
    ];
    for (request, candidate, expected) in table {
        assert_eq!(verdict(&request, candidate), expected);
    }
}

#[test]
fn an_empty_provider_list_serves_every_engine_but_sql_server() {
    let mut any = with(candidate("a"), |b| b.spec.capabilities[0].providers.clear());
    let ask =
        |engine, candidate: &Candidate| verdict(&PlacementRequest { engine, ..request() }, candidate.clone());
    assert!(matches!(ask(Engine::Mysql, &any), Verdict::Fits(_)));
    assert_eq!(ask(Engine::Sqlserver, &any), Verdict::NotCapable);
    any = with(any, |b| b.spec.capabilities[0].providers.push("sqlserver".into()));
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
            let candidate = with(self::phase(phases[phase], at(active, candidate(&name))), |b| {
                b.spec.priority = priority;
                if !capable {
                    b.spec.capabilities.clear();
                }
            });
            if beat { beating(candidate) } else { candidate }
        })
}

fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
    proptest::collection::vec(any_candidate(), 0..8).prop_map(|mut all| {
        all.sort_by(Candidate::by_name);
        all.dedup_by(|a, b| a.name() == b.name());
        all
    })
}

proptest! {
    #[test]
    fn the_chosen_one_fits_and_none_scores_higher(candidates in any_candidates()) {
        let selection = select_broker(&request(), candidates, now());
        let score = |v: &Verdict| match v { Verdict::Fits(score) => Some(score.total()), _ => None };
        let best = selection.verdicts.iter().filter_map(|(_, v)| score(v)).fold(f64::MIN, f64::max);
        match selection.chosen {
            Some((_, name)) => {
                let (_, verdict) = selection.verdicts.iter().find(|(c, _)| c.name() == name).unwrap();
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
                if candidate.name() == name {
                    Arc::make_mut(&mut candidate.broker).spec.priority += more;
                }
            }
            prop_assert_eq!(select_broker(&request(), raised, now()).chosen.unwrap().1, name);
        }
    }
}

fn at(active: u32, mut candidate: Candidate) -> Candidate {
    candidate.active = active;
    candidate
}

fn chosen(selection: &Selection) -> Option<&str> {
    selection.chosen.as_ref().map(|(_, name)| name.as_str())
}

#[test]
fn the_last_place_is_for_those_ahead_unless_they_cannot_use_it() {
    let nearly_full = || vec![at(9, candidate("a"))];
    let mysql = PlacementRequest {
        engine: Engine::Mysql,
        ..request()
    };
    let behind = |ahead: Vec<PlacementRequest>, brokers| {
        let selection = select_in_turn(&request(), ahead.into_iter(), brokers, now());
        (
            chosen(&selection).map(str::to_owned),
            selection.verdicts[0].1.clone(),
        )
    };
    assert_eq!(behind(vec![], nearly_full()).0.as_deref(), Some("a"));
    assert_eq!(behind(vec![request()], nearly_full()), (None, Verdict::Full(10)));
    let idle = behind(vec![mysql.clone(), mysql], nearly_full());
    assert_eq!(idle.0.as_deref(), Some("a"), "who fits nowhere keeps nobody out");
    let two = vec![at(9, candidate("a")), at(9, candidate("b"))];
    assert_eq!(
        behind(vec![request()], two).0.as_deref(),
        Some("b"),
        "a place elsewhere will do"
    );
}

proptest! {
    /// Whoever asks first, and however often: who is in turn gets in, nobody else does, and no place stays idle.
    #[test]
    fn a_crowd_fills_every_place_in_its_order(
        free in proptest::collection::vec(0_u32..4, 1..4), crowd in 1_usize..12,
        asks in proptest::collection::vec(any::<proptest::sample::Index>(), 0..40),
    ) {
        let mut brokers: Vec<_> = free.iter().enumerate()
            .map(|(i, free)| at(10 - free, candidate(&format!("b{i}")))).collect();
        let mut waiting: Vec<usize> = (0..crowd).collect();
        let mut served = Vec::new();
        let last = (0..crowd).cycle().take(crowd * crowd);
        for asker in asks.iter().map(|ask| ask.index(crowd)).chain(last) {
            let Some(position) = waiting.iter().position(|w| *w == asker) else { continue };
            let ahead = waiting[..position].iter().map(|_| request());
            let selection = select_in_turn(&request(), ahead, brokers.clone(), now());
            if let Some((_, name)) = selection.chosen {
                brokers.iter_mut().find(|b| b.name() == name).unwrap().active += 1;
                waiting.remove(position);
                served.push(asker);
            }
        }
        prop_assert!(brokers.iter().all(|b| b.active <= 10), "the limit holds");
        let places: u32 = free.iter().sum();
        let expected = crowd.min(usize::try_from(places).unwrap());
        served.sort_unstable();
        prop_assert_eq!(served, (0..expected).collect::<Vec<_>>(), "the first of the queue, and as many as there is room for");
    }
}

fn apart(topology_key: TopologyKey, weight: Option<u32>, at: &[&str]) -> PlacementRequest {
    let term = AntiAffinity {
        topology_key,
        weight,
        ..AntiAffinity::default()
    };
    PlacementRequest {
        apart: vec![Apart {
            term,
            at: at.iter().map(|name| ("shop".into(), (*name).into())).collect(),
        }],
        ..request()
    }
}

/// Two brokers in `eu`, one in `us`.
fn three() -> Vec<Candidate> {
    let us = with(candidate("us-1"), |b| b.spec.region = "us".into());
    vec![candidate("eu-1"), candidate("eu-2"), us]
}

#[test]
fn what_must_be_apart_is_and_what_should_be_loses_by_its_share() {
    let chosen = |request: &PlacementRequest| select_broker(request, three(), now()).chosen.map(|b| b.1);
    let table = [
        (apart(TopologyKey::Broker, None, &["eu-1"]), Some("eu-2")),
        (apart(TopologyKey::Region, None, &["eu-1"]), Some("us-1")),
        (apart(TopologyKey::CloudProvider, None, &["eu-1"]), None),
        (
            apart(TopologyKey::CloudProvider, Some(50), &["eu-1"]),
            Some("eu-1"),
        ),
        (
            apart(TopologyKey::Broker, Some(50), &["eu-1", "eu-1", "eu-2"]),
            Some("us-1"),
        ),
        (
            apart(TopologyKey::Broker, Some(50), &["eu-1", "us-1", "eu-1", "eu-2"]),
            Some("eu-2"),
        ),
        (
            apart(TopologyKey::Region, None, &["a broker that is gone"]),
            Some("eu-1"),
        ),
    ];
    for (request, expected) in table {
        assert_eq!(chosen(&request).as_deref(), expected, "{request:?}");
    }
    let refused = verdict(&apart(TopologyKey::Region, None, &["a", "a"]), candidate("a"));
    assert_eq!(refused, Verdict::SharedWith(TopologyKey::Region, 2));
    assert!(refused.may_pass(), "the other may be deleted");
}

fn any_term() -> impl Strategy<Value = PlacementRequest> {
    let topology = prop_oneof![
        Just(TopologyKey::Broker),
        Just(TopologyKey::Region),
        Just(TopologyKey::CloudProvider)
    ];
    let weight = proptest::option::of(1_u32..1000);
    let at = proptest::collection::vec(prop_oneof![Just("eu-1"), Just("eu-2"), Just("us-1")], 0..6);
    (topology, weight, at).prop_map(|(topology, weight, at)| apart(topology, weight, &at))
}

proptest! {
    /// Another neighbour at a broker never makes it more attractive.
    #[test]
    fn a_neighbour_never_helps(request in any_term(), more in 0_usize..3) {
        let score = |request: &PlacementRequest| {
            let verdicts = select_broker(request, three(), now()).verdicts;
            match &verdicts[more].1 { Verdict::Fits(score) => score.total(), _ => f64::MIN }
        };
        let mut crowded = request.clone();
        let names = ["eu-1", "eu-2", "us-1"];
        crowded.apart[0].at.push(("shop".into(), names[more].into()));
        prop_assert!(score(&crowded) <= score(&request));
    }
}

#[test]
fn a_verdict_says_what_it_is_made_of() {
    let loaded = verdict(
        &apart(TopologyKey::Broker, Some(30), &["a"]),
        beating(at(3, candidate("a"))),
    );
    assert_eq!(
        loaded.to_string(),
        "fits with score 150.0 (priority 100, free 70, heartbeat 10, anti-affinity -30)"
    );
}

#[test]
fn the_cheapest_gets_the_whole_weight_and_an_unknown_price_nothing() {
    let priced = |weight, prices: [Option<f64>; 3]| {
        let names = ["eu-1", "eu-2", "us-1"].map(|name| ("shop".to_owned(), name.to_owned()));
        PlacementRequest {
            target: Some(Target {
                cost_weight: weight,
                ..Target::default()
            }),
            monthly: names
                .into_iter()
                .zip(prices)
                .filter_map(|(n, p)| Some((n, p?)))
                .collect(),
            ..request()
        }
    };
    let costs = |request: &PlacementRequest| -> Vec<f64> {
        let verdicts = select_broker(request, three(), now()).verdicts;
        let cost = |verdict: &Verdict| match verdict {
            Verdict::Fits(score) => score.cost,
            _ => f64::NAN,
        };
        verdicts.iter().map(|(_, verdict)| cost(verdict)).collect()
    };
    assert_eq!(
        costs(&priced(Some(80), [Some(20.0), Some(10.0), None])),
        [40.0, 80.0, 0.0]
    );
    assert_eq!(
        costs(&priced(Some(80), [Some(0.0), Some(10.0), Some(0.0)])),
        [80.0, 0.0, 80.0]
    );
    assert_eq!(costs(&priced(None, [Some(20.0), Some(10.0), None])), [0.0; 3]);
    let dear = priced(Some(500), [Some(100.0), Some(90.0), Some(1.0)]);
    assert_eq!(chosen(&select_broker(&dear, three(), now())), Some("us-1"));
}
