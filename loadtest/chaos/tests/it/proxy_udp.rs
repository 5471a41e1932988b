//! UDP through the proxy, in front of an echo.

use std::time::{Duration, Instant};

use mcsp_loadtest_chaos::{FaultProxy, NetworkFaults, ProxyCounts, ProxySettings};
use mcsp_loadtest_scenario::AllowList;
use tokio::net::UdpSocket;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(60);
/// After this nothing more is waited for that is not to come.
const SHORT: Duration = Duration::from_millis(700);

async fn echo_behind(settings: ProxySettings) -> FaultProxy {
    let echo = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let upstream = echo.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = echo.recv_from(&mut buffer).await.unwrap();
            echo.send_to(&buffer[..length], from).await.unwrap();
        }
    });
    let allow = AllowList::loopback_only();
    FaultProxy::open("127.0.0.1:0".parse().unwrap(), upstream, &allow, &settings)
        .await
        .unwrap()
}

async fn client(proxy: &FaultProxy) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(proxy.address()).await.unwrap();
    socket
}

/// How long a datagram takes there and back.
async fn round_trip(socket: &UdpSocket, text: &[u8]) -> Duration {
    let start = Instant::now();
    socket.send(text).await.unwrap();
    let mut buffer = [0; 2048];
    let length = timeout(LONG, socket.recv(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&buffer[..length], text);
    start.elapsed()
}

/// One that does not come back.
async fn swallowed(socket: &UdpSocket, text: &[u8]) {
    socket.send(text).await.unwrap();
    let came = timeout(SHORT, socket.recv(&mut [0; 2048])).await;
    assert!(came.is_err(), "{came:?}");
}

/// Waits until the proxy has counted so.
async fn counted(proxy: &FaultProxy, is_so: impl Fn(&ProxyCounts) -> bool) {
    let waited = async {
        while !is_so(&proxy.counts()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = timeout(LONG, waited).await;
    assert!(in_time.is_ok(), "{:?}", proxy.counts());
}

#[tokio::test]
async fn datagrams_go_both_ways_late_or_not_at_all() {
    let proxy = echo_behind(ProxySettings::default()).await;
    let (one, two) = (client(&proxy).await, client(&proxy).await);
    // Each client has its own answers.
    round_trip(&one, b"one").await;
    round_trip(&two, b"two").await;
    proxy
        .set(NetworkFaults {
            delay_ms: 100,
            ..NetworkFaults::default()
        })
        .unwrap();
    assert!(round_trip(&one, b"late").await >= Duration::from_millis(200));
    proxy
        .set(NetworkFaults {
            blackhole: true,
            ..NetworkFaults::default()
        })
        .unwrap();
    swallowed(&one, b"gone").await;
    counted(&proxy, |counts| counts.datagrams_lost == 1).await;
    proxy.set(NetworkFaults::default()).unwrap();
    // And what was swallowed stays so.
    round_trip(&one, b"back").await;
    assert_eq!(proxy.counts().datagrams_lost, 1);
}

#[tokio::test]
async fn the_share_that_is_lost_is_as_asked_and_the_same_for_the_same_seed() {
    let mut lost = Vec::new();
    for _ in 0..2 {
        let proxy = echo_behind(ProxySettings::default()).await;
        proxy
            .set(NetworkFaults {
                loss_ratio: 0.3,
                ..NetworkFaults::default()
            })
            .unwrap();
        let socket = client(&proxy).await;
        let mut buffer = [0; 64];
        let mut answered = Vec::new();
        for number in 0..200_u32 {
            // One after the other, or the two directions would draw in another order.
            let settled = proxy.counts();
            let before = settled.datagrams_lost + settled.datagrams;
            socket.send(&number.to_le_bytes()).await.unwrap();
            timeout(LONG, async {
                loop {
                    let now = proxy.counts();
                    let is_lost = now.datagrams_lost > settled.datagrams_lost;
                    if is_lost || now.datagrams_lost + now.datagrams >= before + 2 {
                        break;
                    }
                    tokio::time::sleep(Duration::from_micros(200)).await;
                }
            })
            .await
            .unwrap();
            if proxy.counts().datagrams_lost == settled.datagrams_lost {
                timeout(LONG, socket.recv(&mut buffer))
                    .await
                    .unwrap()
                    .unwrap();
                answered.push(number);
            }
        }
        // Both ways: 0.7² of 200.
        assert!((75..=121).contains(&answered.len()), "{}", answered.len());
        lost.push(answered);
    }
    assert_eq!(lost[0], lost[1]);
}

#[tokio::test]
async fn flows_that_are_too_many_are_dropped_and_counted() {
    let settings = ProxySettings {
        flows_max: 1,
        ..ProxySettings::default()
    };
    let proxy = echo_behind(settings).await;
    round_trip(&client(&proxy).await, b"first").await;
    swallowed(&client(&proxy).await, b"second").await;
    counted(&proxy, |counts| counts.datagrams_overflown == 1).await;
}
