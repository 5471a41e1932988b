//! Nodes that hear each other over real connections.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mcsp_edge_limits::{Class, Exchange, Gossip, LimitsConfig, Scope};
use mcsp_identity::{LocalCa, SpiffeId, WorkloadIdentity};
use mcsp_runtime::{ManualClock, Shutdown, ShutdownTrigger, install_crypto_provider};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::support::{Node, config, node_with};

const INTERVAL: Duration = Duration::from_millis(20);
const SERVER_NAME: &str = "los1.edge.mcsp.internal";
const FROM: &str = "192.0.2.1";

struct Pop {
    dir: tempfile::TempDir,
    ca: LocalCa,
    clock: Arc<ManualClock>,
    config: LimitsConfig,
}

struct Member {
    node: Node,
    exchange: Arc<Exchange>,
    stop: ShutdownTrigger,
}

impl Pop {
    fn new() -> Self {
        install_crypto_provider();
        let dir = tempfile::tempdir().unwrap();
        let ca = LocalCa::create_or_open(&dir.path().join("ca")).unwrap();
        Self {
            dir,
            ca,
            clock: ManualClock::new(1_800_000_000_000),
            config: config(&[(Class::Web, Scope::Address, "1/s burst 100")]),
        }
    }

    fn identity(&self, pop: &str) -> WorkloadIdentity {
        let id = SpiffeId::new("mcsp.internal", "edge", pop).unwrap();
        let dir = self.dir.path().join(pop);
        let files = self.ca.issue(&id, &[], Path::new(&dir)).unwrap();
        WorkloadIdentity::load(&files.config()).unwrap()
    }

    fn start(&self, name: &str, pop: &str, peers: &[String], listener: TcpListener) -> Member {
        let node = node_with(&self.config, Arc::clone(&self.clock));
        let limiter = Arc::clone(&node.limiter);
        let exchange = Exchange::new(limiter, name, 60_000, self.clock.clone(), &node.registry);
        let exchange = Arc::new(exchange.unwrap());
        let silence = Duration::from_secs(30);
        let gossip = Gossip::new(
            Arc::clone(&exchange),
            &self.identity(pop),
            SERVER_NAME,
            peers,
            INTERVAL,
            silence,
        );
        let (stop, shutdown): (ShutdownTrigger, Shutdown) = ShutdownTrigger::new();
        tokio::spawn(gossip.unwrap().run(Some(listener), shutdown));
        Member {
            node,
            exchange,
            stop,
        }
    }
}

async fn bind() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..12_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within two minutes: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_a_pop_share_a_limit_and_go_on_alone() {
    let pop = Pop::new();
    let ((one, one_at), (other, other_at)) = (bind().await, bind().await);
    let first = pop.start("a", "los1", std::slice::from_ref(&other_at), one);
    let second = pop.start("b", "los1", std::slice::from_ref(&one_at), other);
    until("both are heard", || {
        first.exchange.peers_alive() == 1 && second.exchange.peers_alive() == 1
    })
    .await;
    assert_eq!(first.node.burst(Class::Web, FROM), 100);
    until("the other knows", || {
        second.node.client(Class::Web, FROM).is_err()
    })
    .await;

    first.stop.trigger();
    assert_eq!(second.node.burst(Class::Web, "192.0.2.2"), 100, "alone");
    // One that starts again, where it was, is found again.
    let again = loop {
        match TcpListener::bind(&one_at).await {
            Ok(listener) => break listener,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    pop.clock.advance(Duration::from_millis(5));
    let third = pop.start("a", "los1", &[other_at], again);
    until("heard again", || third.exchange.peers_alive() == 1).await;
    assert_eq!(second.node.burst(Class::Web, "192.0.2.3"), 100);
    until("the new one knows", || {
        third.node.client(Class::Web, "192.0.2.3").is_err()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_of_another_pop_is_not_believed() {
    let pop = Pop::new();
    let (listener, address) = bind().await;
    let member = pop.start("a", "los1", &[], listener);
    let (strangers, _) = bind().await;
    let stranger = pop.start("x", "abv1", std::slice::from_ref(&address), strangers);
    let (friends, _) = bind().await;
    // A connection without TLS is closed, and the next is served.
    let mut plain = tokio::net::TcpStream::connect(&address).await.unwrap();
    plain.write_all(&[0; 64]).await.unwrap();
    assert_eq!(stranger.node.burst(Class::Web, FROM), 100);
    let friend = pop.start("b", "los1", &[address], friends);
    until("a friend is heard", || member.exchange.peers_alive() == 1).await;
    assert_eq!(friend.node.burst(Class::Web, "192.0.2.9"), 100);
    until("the friend is believed", || {
        member.node.client(Class::Web, "192.0.2.9").is_err()
    })
    .await;
    assert_eq!(member.exchange.peers_alive(), 1);
    assert!(member.node.client(Class::Web, FROM).is_ok());
}
