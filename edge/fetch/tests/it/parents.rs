//! Parents of a region: who is asked, who next, and when nobody is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mcsp_edge_fetch::{
    FetchRequest, FromParents, ParentAddress, ParentPolicy, ParentRequest, ParentTry, ParentWord,
    Parents, Patience, PoolPolicy, Sharding, shard_hash,
};
use mcsp_runtime::{ManualClock, SharedClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::harness::{Harness, get, nobody, read};
use crate::mtls::{NAME, World};

/// A parent that answers each request alike, or never.
struct Parent {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Parent {
    async fn start(world: &World, answer: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(world.server_speaking(b"http/1.1"));
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, counter) = (acceptor.clone(), Arc::clone(&counter));
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await.unwrap();
                    let mut head = Vec::new();
                    while let Ok(byte) = stream.read_u8().await {
                        head.push(byte);
                        if head.ends_with(b"\r\n\r\n") {
                            head.clear();
                            counter.fetch_add(1, Ordering::SeqCst);
                            let Some(answer) = answer else { continue };
                            stream.write_all(answer.as_bytes()).await.unwrap();
                            stream.flush().await.unwrap();
                        }
                    }
                });
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

const HIT: &str = "HTTP/1.1 200 OK\r\nx-mcsp-parent: hit\r\ncontent-length: 2\r\n\r\nok";
const BEHIND: &str = "HTTP/1.1 503 Behind\r\nx-mcsp-parent: behind\r\ncontent-length: 0\r\n\r\n";
const FAILED: &str =
    "HTTP/1.1 502 Bad Gateway\r\nx-mcsp-parent: failed\r\ncontent-length: 0\r\n\r\n";
const OF_NO_PARENT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno";

fn parents(addresses: &[SocketAddr]) -> Parents {
    let named: Vec<ParentAddress> = addresses
        .iter()
        .enumerate()
        .map(|(nth, address)| ParentAddress {
            id: format!("p{nth}"),
            server_name: NAME.to_owned(),
            address: address.to_string(),
        })
        .collect();
    let policy = ParentPolicy {
        sharding: Sharding {
            load_factor: 1.25,
            in_flight_floor: 32,
        },
        tries_max: 2,
        patience: Patience {
            connect_timeout_ms: 5_000,
            head_timeout_ms: 3_000,
        },
        pool: PoolPolicy {
            failures_max: 2,
            ..PoolPolicy::default()
        },
    };
    let clock: SharedClock = ManualClock::new(0);
    Parents::resolve(&named, policy, &clock).unwrap()
}

async fn ask(
    harness: &Harness,
    world: &World,
    parents: &Parents,
    request: &FetchRequest,
    object: &[u8],
) -> FromParents {
    let asked = ParentRequest {
        request,
        object: shard_hash(object),
        may_ask: &|_| true,
    };
    harness
        .fetcher
        .fetch_from_parents(asked, parents, &world.edge(), &mut |_| {})
        .await
}

#[tokio::test]
async fn an_object_is_asked_of_the_parent_that_is_its_home_and_what_broke_off_of_the_next() {
    let (world, harness) = (World::new(), Harness::new());
    let one = Parent::start(&world, Some(HIT)).await;
    let other = Parent::start(&world, Some(HIT)).await;
    let parents = parents(&[one.address, other.address]);
    let mut homes = Vec::new();
    for object in 0..8_u8 {
        for _ in 0..2 {
            let found = ask(&harness, &world, &parents, &get(), &[object]).await;
            assert_eq!(found.tries, [ParentTry::Said(ParentWord::Hit)]);
            let mut response = found.answer.unwrap();
            homes.push(response.address());
            assert_eq!(read(&mut response).await.unwrap(), (b"ok".to_vec(), true));
        }
        assert_eq!(homes.pop(), homes.last().copied(), "the same again");
        let mut again = get();
        again.avoid = homes.last().copied().into_iter().collect();
        let found = ask(&harness, &world, &parents, &again, &[object]).await;
        let elsewhere = found.answer.unwrap().address();
        assert_ne!(Some(elsewhere), homes.last().copied());
    }
    assert!(homes.contains(&one.address) && homes.contains(&other.address));
}

#[tokio::test]
async fn who_is_behind_or_no_parent_or_away_or_silent_is_passed_over_and_then_left_alone() {
    let (world, harness) = (World::new(), Harness::new());
    let silent = Parent::start(&world, None).await;
    let behind = Parent::start(&world, Some(BEHIND)).await;
    let foreign = Parent::start(&world, Some(OF_NO_PARENT)).await;
    for (address, wanted) in [
        (behind.address, ParentTry::Said(ParentWord::Behind)),
        (foreign.address, ParentTry::Foreign),
        (nobody().await, ParentTry::Unreachable),
        (silent.address, ParentTry::Slow),
    ] {
        let good = Parent::start(&world, Some(HIT)).await;
        let parents = parents(&[address, good.address]);
        let mut unlucky = 0;
        for object in 0..12_u8 {
            let found = ask(&harness, &world, &parents, &get(), &[object]).await;
            assert_eq!(found.answer.unwrap().address(), good.address);
            if found.tries.len() == 2 {
                assert_eq!(found.tries[0], wanted);
                unlucky += 1;
            }
        }
        assert_eq!(unlucky, 2, "{wanted:?}: from then on it is left alone");
        assert!(parents.states()[0].unhealthy_ms > 0, "{wanted:?}");
    }
}

#[tokio::test]
async fn an_origin_that_failed_is_not_asked_by_the_next_parent_too_and_does_the_parent_no_harm() {
    let (world, harness) = (World::new(), Harness::new());
    let one = Parent::start(&world, Some(FAILED)).await;
    let other = Parent::start(&world, Some(FAILED)).await;
    let parents = parents(&[one.address, other.address]);
    for object in 0..8_u8 {
        let found = ask(&harness, &world, &parents, &get(), &[object]).await;
        assert!(found.answer.is_none());
        assert_eq!(found.tries, [ParentTry::Said(ParentWord::Failed)]);
    }
    assert_eq!(one.asked() + other.asked(), 8);
    assert!(parents.states().iter().all(|state| state.failures == 0));
}

#[tokio::test]
async fn a_parent_that_may_not_carry_the_bytes_is_not_asked() {
    let (world, harness) = (World::new(), Harness::new());
    let one = Parent::start(&world, Some(HIT)).await;
    let parents = parents(&[one.address]);
    let asked = ParentRequest {
        request: &get(),
        object: 7,
        may_ask: &|id| id != "p0",
    };
    let found = harness
        .fetcher
        .fetch_from_parents(asked, &parents, &world.edge(), &mut |_| {})
        .await;
    assert!(found.answer.is_none() && found.tries.is_empty());
    assert_eq!(one.asked(), 0);
}
