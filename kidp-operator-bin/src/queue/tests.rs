//! The order on its own, and in a run of a broker with a few places.

use proptest::prelude::*;

use super::*;
use kidp_core::instance::ResourceType;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn ticket(namespace: &str, name: &str, created: i64) -> Ticket {
    let key = ResourceKey {
        kind: ResourceType::Database,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    Ticket {
        key,
        created: at(created),
    }
}

fn names(order: &[Ticket]) -> Vec<&str> {
    order.iter().map(|t| t.key.name.as_str()).collect()
}

#[test]
fn namespaces_take_turns_and_the_oldest_of_each_comes_first() {
    let waiting = vec![
        ticket("a", "a3", 3),
        ticket("a", "a1", 1),
        ticket("b", "b1", 9),
        ticket("a", "a2", 2),
        ticket("c", "c1", 5),
    ];
    assert_eq!(
        names(&order(waiting.clone(), &BTreeMap::new())),
        ["a1", "c1", "b1", "a2", "a3"]
    );
    let served = BTreeMap::from([("a".to_owned(), at(20))]);
    assert_eq!(
        names(&order(waiting.clone(), &served)),
        ["c1", "b1", "a1", "a2", "a3"]
    );
    assert_eq!(position(&waiting, &waiting[0].key), 3);
    assert_eq!(position(&waiting, &waiting[2].key), 1);
}

/// One broker, second by second. Arrivals are (second, namespace); an instance is done after `work` seconds.
fn run(arrivals: &[(i64, u8)], places: usize, work: i64) -> Vec<(i64, Ticket)> {
    let (mut waiting, mut busy): (Vec<Ticket>, Vec<i64>) = (Vec::new(), Vec::new());
    let (mut served, mut log) = (BTreeMap::new(), Vec::new());
    let mut left = arrivals.to_vec();
    let mut now = 0;
    while !left.is_empty() || !waiting.is_empty() {
        left.retain(|(second, namespace)| {
            let due = *second <= now;
            if due {
                let name = format!("{second}-{}", waiting.len() + log.len());
                waiting.push(ticket(&format!("ns-{namespace}"), &name, *second));
            }
            !due
        });
        busy.retain(|end| *end > now);
        let free = places - busy.len();
        let turn: Vec<_> = order(waiting.clone(), &served).into_iter().take(free).collect();
        for ticket in turn {
            waiting.retain(|w| *w != ticket);
            served.insert(ticket.key.namespace.clone(), at(now));
            busy.push(now + work);
            log.push((now, ticket));
        }
        assert!(busy.len() <= places, "the limit holds");
        assert!(
            busy.len() == places || waiting.is_empty(),
            "no place is idle while somebody waits"
        );
        now += 1;
    }
    log
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn everybody_is_served_in_turn(
        mut arrivals in proptest::collection::vec((0_i64..20, 0_u8..5), 1..60), places in 1_usize..4, work in 1_i64..4,
    ) {
        arrivals.sort_unstable();
        let log = run(&arrivals, places, work);
        prop_assert_eq!(log.len(), arrivals.len(), "all were served");
        for (index, (when, ticket)) in log.iter().enumerate() {
            // Between a namespace's turn and its next one, while it has somebody waiting all along, no other
            // namespace has more than two: one of the round that had begun, one of the next.
            let since = log[..index].iter().rev().find(|(_, t)| t.key.namespace == ticket.key.namespace);
            let since = since.map_or(ticket.created, |(when, _)| at(*when).max(ticket.created));
            let meanwhile = log[..index].iter().filter(|(then, _)| at(*then) > since && then <= when);
            let mut turns: BTreeMap<&str, usize> = BTreeMap::new();
            for (_, other) in meanwhile {
                *turns.entry(other.key.namespace.as_str()).or_default() += 1;
            }
            turns.remove(ticket.key.namespace.as_str());
            prop_assert!(turns.values().all(|n| *n <= 1 + places), "{ticket:?} at {when}: {turns:?}");
        }
    }

    #[test]
    fn a_flood_does_not_keep_others_waiting(flood in 10_usize..200) {
        let mut arrivals = vec![(0, 0); flood];
        arrivals.push((1, 1));
        let log = run(&arrivals, 1, 1);
        let turn = log.iter().position(|(_, t)| t.key.namespace == "ns-1").unwrap();
        prop_assert!(turn <= 2, "{turn}");
    }

    #[test]
    fn the_order_is_of_the_tickets_alone(
        mut arrivals in proptest::collection::vec((0_i64..9, 0_u8..4), 0..30), swap in any::<proptest::sample::Index>(),
    ) {
        arrivals.sort_unstable();
        let tickets: Vec<_> = arrivals.iter().enumerate()
            .map(|(i, (at, ns))| ticket(&format!("ns-{ns}"), &format!("t{i:03}"), *at)).collect();
        let served = BTreeMap::from([("ns-1".to_owned(), at(5))]);
        let once = order(tickets.clone(), &served);
        let mut turned = tickets;
        if !turned.is_empty() {
            let by = swap.index(turned.len());
            turned.rotate_left(by);
        }
        prop_assert_eq!(order(turned, &served), once);
    }
}
