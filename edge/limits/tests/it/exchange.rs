//! Nodes of one PoP.

use std::sync::Arc;

use mcsp_edge_limits::{
    Applied, Class, Exchange, ExchangeError, Fingerprint, Holder, LimitsConfig, Scope,
};
use mcsp_runtime::{Clock, ManualClock};
use proptest::prelude::*;

use crate::support::{Node, config, node_with};

struct Member {
    node: Node,
    exchange: Exchange,
}

const STALE_MS: u64 = 5_000;

fn member(name: &str, config: &LimitsConfig, clock: &Arc<ManualClock>) -> Member {
    let node = node_with(config, Arc::clone(clock));
    let exchange = Exchange::new(
        Arc::clone(&node.limiter),
        name,
        STALE_MS,
        Arc::clone(clock) as Arc<dyn Clock>,
        &node.registry,
    );
    Member {
        exchange: exchange.unwrap(),
        node,
    }
}

fn members(count: usize, config: &LimitsConfig) -> (Arc<ManualClock>, Vec<Member>) {
    let clock = ManualClock::new(1_800_000_000_000);
    let member = |at| member(&format!("node-{at}"), config, &clock);
    let members = (0..count).map(member).collect();
    (clock, members)
}

fn tell_all(members: &[Member], arrives: &mut dyn FnMut() -> bool) {
    let messages: Vec<_> = members.iter().map(|m| m.exchange.take_deltas()).collect();
    for (from, message) in messages.iter().enumerate() {
        for (to, member) in members.iter().enumerate() {
            if from != to && arrives() {
                member.exchange.apply(message).unwrap();
            }
        }
    }
}

const FROM: &str = "192.0.2.1";

#[test]
fn what_one_node_admitted_the_others_do_not() {
    let (_, members) = members(
        3,
        &config(&[
            (Class::ApiRead, Scope::Address, "1/s burst 40"),
            (Class::ApiRead, Scope::Pop, "1/s burst 100"),
            (Class::ApiRead, Scope::User, "1/s burst 40"),
        ]),
    );
    assert_eq!(members[0].node.burst(Class::ApiRead, FROM), 40);
    tell_all(&members, &mut || true);
    assert_eq!(members[1].node.burst(Class::ApiRead, FROM), 0);
    assert_eq!(members[2].node.burst(Class::ApiRead, FROM), 0);
    assert_eq!(members[2].node.burst(Class::ApiRead, "192.0.2.2"), 40);
    let holder = Holder {
        user: Some(Fingerprint::of(b"u_ng_1")),
        token: None,
    };
    let requests = |member: &Member| {
        let is_let_in = |_: &i32| member.node.holder(Class::ApiRead, &holder).is_ok();
        (0..500).take_while(is_let_in).count()
    };
    assert_eq!(requests(&members[1]), 40);
    tell_all(&members, &mut || true);
    assert_eq!(requests(&members[0]), 0);
    // The whole PoP has 60 left, on whichever node.
    let others = (0..500).filter(|_| {
        let other = Holder::default();
        members[0].node.holder(Class::ApiRead, &other).is_ok()
    });
    assert_eq!(others.count(), 60);
}

#[test]
fn a_message_counts_once_and_never_out_of_order() {
    let (_, members) = members(2, &config(&[(Class::Web, Scope::Address, "1/s burst 100")]));
    let [first, second] = [0, 1].map(|_| {
        for _ in 0..30 {
            assert!(members[0].node.client(Class::Web, FROM).is_ok());
        }
        members[0].exchange.take_deltas()
    });
    let exchange = &members[1].exchange;
    let counted = |missed| {
        Ok(Applied::Counted {
            keys: 1,
            unknown: 0,
            missed,
        })
    };
    assert_eq!(exchange.apply(&first), counted(0));
    assert_eq!(exchange.apply(&first), Ok(Applied::Repeated));
    assert_eq!(exchange.apply(&second), counted(0));
    assert_eq!(exchange.apply(&first), Ok(Applied::Repeated));
    assert_eq!(members[1].node.burst(Class::Web, FROM), 40);
    for _ in 0..3 {
        let _ = members[0].exchange.take_deltas();
    }
    let empty = members[0].exchange.take_deltas();
    let told = Applied::Counted {
        keys: 0,
        unknown: 0,
        missed: 3,
    };
    assert_eq!(exchange.apply(&empty), Ok(told));
    assert_eq!(
        members[1].node.metric("mcsp_edge_limits_messages_total"),
        3.0 + 2.0 + 3.0
    );
}

#[test]
fn a_node_that_starts_again_is_heard_and_what_it_said_before_is_not() {
    let config = config(&[(Class::Web, Scope::Address, "1/s burst 100")]);
    let (clock, members) = members(2, &config);
    let old = members[0].exchange.take_deltas();
    for _ in 0..5 {
        let message = members[0].exchange.take_deltas();
        members[1].exchange.apply(&message).unwrap();
    }
    clock.set(clock.now_ms() + 100);
    let again = member("node-0", &config, &clock);
    again.node.burst(Class::Web, FROM);
    let message = again.exchange.take_deltas();
    let counted = Applied::Counted {
        keys: 1,
        unknown: 0,
        missed: 0,
    };
    assert_eq!(members[1].exchange.apply(&message), Ok(counted));
    assert_eq!(members[1].exchange.apply(&old), Ok(Applied::Repeated));
    let late = members[0].exchange.take_deltas();
    assert_eq!(members[1].exchange.apply(&late), Ok(Applied::Repeated));
}

#[test]
fn silent_nodes_are_forgotten_and_there_are_only_so_many() {
    let config = config(&[]);
    let (clock, listeners) = members(1, &config);
    let exchange = &listeners[0].exchange;
    for at in 0..63 {
        let message = member(&format!("peer-{at}"), &config, &clock)
            .exchange
            .take_deltas();
        exchange.apply(&message).unwrap();
    }
    let late = member("late", &config, &clock).exchange;
    assert_eq!(
        exchange.apply(&late.take_deltas()),
        Err(ExchangeError::TooManyPeers)
    );
    assert_eq!(exchange.peers_alive(), 63);
    clock.set(clock.now_ms() + 5_000);
    assert!(exchange.apply(&late.take_deltas()).is_ok());
    assert_eq!(exchange.peers_alive(), 1);
    let own = member("node-0", &config, &clock).exchange.take_deltas();
    assert_eq!(
        exchange.apply(&own),
        Err(ExchangeError::Own("node-0".to_owned()))
    );
    assert!(matches!(
        exchange.apply(b"GET / HTTP/1.1"),
        Err(ExchangeError::Malformed(_))
    ));
}

#[test]
fn limits_that_only_others_have_are_left_alone() {
    let clock = ManualClock::new(1_800_000_000_000);
    let with = config(&[(Class::Web, Scope::Address, "1/s burst 100")]);
    let one = member("one", &with, &clock);
    let other = member("other", &config(&[]), &clock);
    one.node.burst(Class::Web, FROM);
    let counted = Applied::Counted {
        keys: 1,
        unknown: 1,
        missed: 0,
    };
    assert_eq!(
        other.exchange.apply(&one.exchange.take_deltas()),
        Ok(counted)
    );
    // With another rate of its own, a node counts the same requests by that.
    let looser = member(
        "looser",
        &config(&[(Class::Web, Scope::Address, "1/s burst 150")]),
        &clock,
    );
    one.node.after(200_000).burst(Class::Web, FROM);
    looser.exchange.apply(&one.exchange.take_deltas()).unwrap();
    assert_eq!(looser.node.burst(Class::Web, FROM), 50);
}

const INTERVAL_MS: u64 = 150;
const RATE: u64 = 40;
const BURST: u64 = 60;

fn shared_limit() -> LimitsConfig {
    let rate = format!("{RATE}/s burst {BURST}");
    config(&[(Class::Login, Scope::Address, rate.as_str())])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// N nodes let through what one would, and beside that only what each could not know of the others: what they let
    /// through in the intervals until they hear of it, and an eighth of a burst that is not worth a word.
    #[test]
    fn many_nodes_admit_what_one_would_and_a_bounded_slack(
        count in 2_usize..6,
        loads in proptest::collection::vec(proptest::collection::vec(0_u64..30, 6), 10..120),
    ) {
        let (clock, members) = members(count, &shared_limit());
        let (mut admitted, mut interval_max) = (0, 0);
        let mut elapsed_ms = 0;
        for load in &loads {
            for (member, asked) in members.iter().zip(load) {
                let is_let_in = |_: &u64| member.node.client(Class::Login, FROM).is_ok();
                let let_in = (0..*asked).filter(is_let_in).count() as u64;
                interval_max = interval_max.max(let_in);
                admitted += let_in;
            }
            let nodes = count as u64;
            let slack = (nodes - 1) * interval_max + nodes * (BURST / 8 + 2);
            let limit = BURST + RATE * elapsed_ms / 1_000;
            prop_assert!(admitted <= limit + slack, "{} of {} and {}", admitted, limit, slack);
            clock.set(clock.now_ms() + i64::try_from(INTERVAL_MS).unwrap());
            elapsed_ms += INTERVAL_MS;
            tell_all(&members, &mut || true);
        }
    }

    /// Cut off from the others, each goes by its own limit, no more and no less.
    #[test]
    fn a_node_alone_keeps_its_own_limit(asked in proptest::collection::vec(0_u64..40, 10..80)) {
        let (clock, members) = members(3, &shared_limit());
        let mut admitted = 0;
        for (at, asked) in asked.iter().enumerate() {
            let is_let_in = |_: &u64| members[0].node.client(Class::Login, FROM).is_ok();
            admitted += (0..*asked).filter(is_let_in).count() as u64;
            prop_assert!(admitted <= BURST + RATE * (at as u64 * INTERVAL_MS) / 1_000 + 1);
            clock.set(clock.now_ms() + i64::try_from(INTERVAL_MS).unwrap());
            tell_all(&members, &mut || false);
        }
        prop_assert_eq!(members[0].exchange.peers_alive(), 0);
    }

    /// Words that are lost make nobody wait for longer: who was held back is served again when his debt is paid.
    #[test]
    fn whatever_is_lost_a_client_is_served_again(lost in proptest::collection::vec(any::<bool>(), 1..50)) {
        let (clock, members) = members(3, &shared_limit());
        let mut lost = lost.iter().cycle();
        for _ in 0..40 {
            for member in &members {
                member.node.burst(Class::Login, FROM);
            }
            clock.set(clock.now_ms() + i64::try_from(INTERVAL_MS).unwrap());
            tell_all(&members, &mut || !*lost.next().unwrap());
        }
        // Sixteen bursts of debt at the most.
        let debt_ms = i64::try_from(16 * BURST * 1_000 / RATE).unwrap();
        clock.set(clock.now_ms() + debt_ms);
        for member in &members {
            prop_assert_eq!(member.node.burst(Class::Login, FROM) as u64, BURST);
        }
    }
}
