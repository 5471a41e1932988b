//! Bytes of real connections.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use mcsp_edge_traffic::{TcpConnection, Traffic};
use pingora_core::protocols::l4::stream::Stream;
use prometheus::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The kernel counts the end of a connection as a byte that was received.
const END: u64 = 1;

fn counters(registry: &Registry, peers: &str) -> (u64, u64) {
    let families = registry.gather();
    let value = |name: &str| {
        let family = families
            .iter()
            .find(|family| family.name() == name)
            .unwrap();
        let metric = family
            .get_metric()
            .iter()
            .find(|metric| metric.get_label()[0].value() == peers);
        metric.unwrap().get_counter().get_value() as u64
    };
    (
        value("mcsp_edge_network_received_bytes_total"),
        value("mcsp_edge_network_sent_bytes_total"),
    )
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (far, near) = tokio::join!(TcpStream::connect(address), listener.accept());
    (far.unwrap(), near.unwrap().0)
}

#[tokio::test]
async fn what_a_connection_carried_is_counted_when_it_closes() {
    let registry = Registry::new();
    let traffic = Traffic::register(&registry, "clients").unwrap();
    let (mut far, near) = pair().await;
    let mut near = traffic.count(Box::new(Stream::from(near)));
    far.write_all(&[1; 700]).await.unwrap();
    near.read_exact(&mut [0; 700]).await.unwrap();
    near.write_all(&[2; 5_000]).await.unwrap();
    near.flush().await.unwrap();
    far.read_exact(&mut [0; 5_000]).await.unwrap();
    assert_eq!(counters(&registry, "clients"), (0, 0), "it asks seldom");
    drop(near);
    assert_eq!(counters(&registry, "clients"), (700, 5_000));
}

#[tokio::test]
async fn a_long_connection_shows_while_it_lasts_and_nothing_counts_twice() {
    const BYTES: usize = 3 << 20;
    let registry = Registry::new();
    let traffic = Traffic::register(&registry, "upstreams").unwrap();
    let (mut far, near) = pair().await;
    let mut near = traffic.count_unboxed(TcpConnection::from(near));
    let reading = tokio::spawn(async move {
        far.read_exact(&mut vec![0; BYTES]).await.unwrap();
        far
    });
    near.write_all(&vec![7; BYTES]).await.unwrap();
    near.flush().await.unwrap();
    let mut far = reading.await.unwrap();
    let (_, sent) = counters(&registry, "upstreams");
    assert!(sent > BYTES as u64 / 2, "{sent}");
    far.write_all(b"end").await.unwrap();
    drop(far);
    near.read_to_end(&mut Vec::new()).await.unwrap();
    drop(near);
    let (received, sent) = counters(&registry, "upstreams");
    // What was sent twice was sent.
    assert!(
        (BYTES..BYTES + BYTES / 2).contains(&(sent as usize)),
        "{sent}"
    );
    assert!((3..=3 + END).contains(&received), "{received}");
}

#[test]
fn each_kind_of_peers_has_counters_of_its_own_under_the_same_names() {
    let registry = Registry::new();
    let clients = Traffic::register(&registry, "clients").unwrap();
    let calls = Arc::new(Traffic::register(&registry, "calls").unwrap());
    clients.received(5);
    calls.sent(7);
    assert_eq!(counters(&registry, "clients"), (5, 0));
    assert_eq!(counters(&registry, "calls"), (0, 7));
    assert!(Traffic::register(&registry, "calls").is_err());
}
