//! TCP through the proxy, in front of an echo.

use std::time::{Duration, Instant};

use mcsp_loadtest_chaos::{
    ChaosError, Direction, FaultProxy, NetworkFaults, ProxyCounts, ProxySettings,
};
use mcsp_loadtest_scenario::AllowList;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(200);

/// A proxy in front of a server that sends back what it gets.
pub(crate) async fn echo_behind(settings: ProxySettings) -> FaultProxy {
    let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = echo.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = echo.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    let allow = AllowList::loopback_only();
    FaultProxy::open("127.0.0.1:0".parse().unwrap(), upstream, &allow, &settings)
        .await
        .unwrap()
}

async fn connect(proxy: &FaultProxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

/// How long a byte takes there and back.
async fn round_trip(stream: &mut TcpStream) -> Duration {
    let start = Instant::now();
    stream.write_all(b"x").await.unwrap();
    let mut byte = [0];
    timeout(LONG, stream.read_exact(&mut byte))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&byte, b"x");
    start.elapsed()
}

/// Waits until the proxy has counted so: it does it beside what its clients are told.
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
async fn without_faults_every_byte_passes_in_order_and_ends_pass_too() {
    let proxy = echo_behind(ProxySettings::default()).await;
    let stream = connect(&proxy).await;
    let sent: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let (mut read, mut write) = stream.into_split();
    let copy = sent.clone();
    let writer = tokio::spawn(async move {
        write.write_all(&copy).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut got = Vec::new();
    timeout(LONG, read.read_to_end(&mut got))
        .await
        .unwrap()
        .unwrap();
    writer.await.unwrap();
    assert!(
        got == sent,
        "{} of {} bytes, or others",
        got.len(),
        sent.len()
    );
    let wanted = (1, 12_000_000, 12_000_000);
    counted(&proxy, |counts| {
        (
            counts.connections,
            counts.to_node_bytes,
            counts.to_client_bytes,
        ) == wanted
    })
    .await;
}

#[tokio::test]
async fn a_delay_is_felt_by_open_connections_and_gone_with_its_end() {
    let proxy = echo_behind(ProxySettings::default()).await;
    let mut stream = connect(&proxy).await;
    let mut quickest = Duration::MAX;
    // A busy machine is late now and then, but not each time.
    for _ in 0..100 {
        quickest = quickest.min(round_trip(&mut stream).await);
        if quickest < Duration::from_millis(150) {
            break;
        }
    }
    assert!(quickest < Duration::from_millis(150), "{quickest:?}");
    let slow = NetworkFaults {
        delay_ms: 150,
        ..NetworkFaults::default()
    };
    proxy.set(slow).unwrap();
    assert!(
        round_trip(&mut stream).await >= Duration::from_millis(300),
        "both ways"
    );
    // What is under way when the fault ends does not wait for its old time.
    let very_slow = NetworkFaults {
        delay_ms: 60_000,
        ..NetworkFaults::default()
    };
    proxy.set(very_slow).unwrap();
    stream.write_all(b"y").await.unwrap();
    let mut byte = [0];
    assert!(timeout(SHORT, stream.read_exact(&mut byte)).await.is_err());
    proxy.set(NetworkFaults::default()).unwrap();
    timeout(LONG, stream.read_exact(&mut byte))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&byte, b"y");
}

#[tokio::test]
async fn a_black_hole_holds_everything_and_loses_nothing() {
    let proxy = echo_behind(ProxySettings::default()).await;
    let mut stream = connect(&proxy).await;
    round_trip(&mut stream).await;
    proxy
        .set(NetworkFaults {
            blackhole: true,
            ..NetworkFaults::default()
        })
        .unwrap();
    stream.write_all(b"held").await.unwrap();
    let mut new = connect(&proxy).await;
    new.write_all(b"also").await.unwrap();
    let (mut first, mut second) = ([0; 4], [0; 4]);
    assert!(timeout(SHORT, stream.read_exact(&mut first)).await.is_err());
    assert!(timeout(SHORT, new.read_exact(&mut second)).await.is_err());
    proxy.set(NetworkFaults::default()).unwrap();
    timeout(LONG, stream.read_exact(&mut first))
        .await
        .unwrap()
        .unwrap();
    timeout(LONG, new.read_exact(&mut second))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((&first, &second), (b"held", b"also"));
}

#[tokio::test]
async fn a_reset_is_a_reset_and_no_end() {
    let proxy = echo_behind(ProxySettings::default()).await;
    let mut stream = connect(&proxy).await;
    round_trip(&mut stream).await;
    proxy
        .set(NetworkFaults {
            reset: true,
            ..NetworkFaults::default()
        })
        .unwrap();
    let mut byte = [0];
    let error = timeout(LONG, stream.read(&mut byte))
        .await
        .unwrap()
        .expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let mut new = connect(&proxy).await;
    assert!(timeout(LONG, new.read(&mut byte)).await.unwrap().is_err());
    proxy.set(NetworkFaults::default()).unwrap();
    round_trip(&mut connect(&proxy).await).await;
    counted(&proxy, |counts| counts.reset == 2).await;
}

#[tokio::test]
async fn a_throttle_lets_through_its_rate() {
    let proxy = echo_behind(ProxySettings::default()).await;
    let mut stream = connect(&proxy).await;
    proxy
        .set(NetworkFaults {
            kbit_s: 800,
            ..NetworkFaults::default()
        })
        .unwrap();
    // 400 kbit at 800 kbit/s; the second direction overlaps the first. A busy machine may take longer, but not each time.
    let mut least = Duration::MAX;
    for _ in 0..10 {
        let start = Instant::now();
        let mut got = vec![0; 50_000];
        stream.write_all(&vec![7; 50_000]).await.unwrap();
        timeout(LONG, stream.read_exact(&mut got))
            .await
            .unwrap()
            .unwrap();
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(450), "{took:?}");
        least = least.min(took);
        if least < Duration::from_secs(3) {
            break;
        }
    }
    assert!(least < Duration::from_secs(3), "{least:?}");
}

#[tokio::test]
async fn a_lost_chunk_comes_a_timeout_later() {
    let proxy = echo_behind(ProxySettings::default()).await;
    let mut stream = connect(&proxy).await;
    proxy
        .set(NetworkFaults {
            loss_ratio: 0.5,
            ..NetworkFaults::default()
        })
        .unwrap();
    let mut resent = 0;
    for _ in 0..6 {
        let took = round_trip(&mut stream).await;
        let now = proxy.counts().chunks_resent;
        assert!(
            now == resent || took >= Duration::from_millis(200),
            "{took:?}"
        );
        resent = now;
    }
    assert!(resent > 0, "nothing was lost");
}

#[tokio::test]
async fn a_half_close_ends_one_direction_only() {
    let proxy = echo_behind(ProxySettings::default()).await;
    let mut stream = connect(&proxy).await;
    round_trip(&mut stream).await;
    proxy
        .set(NetworkFaults {
            half_close: Some(Direction::ToClient),
            ..NetworkFaults::default()
        })
        .unwrap();
    let mut byte = [0];
    assert_eq!(
        timeout(LONG, stream.read(&mut byte))
            .await
            .unwrap()
            .unwrap(),
        0,
        "an end, no error"
    );
    let before = proxy.counts().to_node_bytes;
    stream.write_all(b"still").await.unwrap();
    timeout(LONG, async {
        while proxy.counts().to_node_bytes < before + 5 || proxy.counts().dropped_bytes < 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_is_too_much_is_reset_and_counted() {
    let settings = ProxySettings {
        connections_max: 1,
        ..ProxySettings::default()
    };
    let proxy = echo_behind(settings).await;
    let mut first = connect(&proxy).await;
    round_trip(&mut first).await;
    let mut second = connect(&proxy).await;
    let mut byte = [0];
    assert!(
        timeout(LONG, second.read(&mut byte))
            .await
            .unwrap()
            .is_err()
    );
    round_trip(&mut first).await;
    counted(&proxy, |counts| (counts.refused, counts.open) == (1, 1)).await;
}

#[tokio::test]
async fn a_node_that_is_not_there_is_a_reset() {
    // Bound, so that nobody else is there either.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let free = nobody.local_addr().unwrap();
    let allow = AllowList::loopback_only();
    let listen = "127.0.0.1:0".parse().unwrap();
    let proxy = FaultProxy::open(listen, free, &allow, &ProxySettings::default())
        .await
        .unwrap();
    let mut byte = [0];
    assert!(
        timeout(LONG, connect(&proxy).await.read(&mut byte))
            .await
            .unwrap()
            .is_err()
    );
    counted(&proxy, |counts| counts.unreachable == 1).await;
}

#[tokio::test]
async fn addresses_that_are_not_listed_are_refused() {
    let loopback = "127.0.0.1:0".parse().unwrap();
    let settings = ProxySettings::default();
    let only = AllowList::loopback_only();
    for (listen, upstream) in [
        (loopback, "192.0.2.1:80"),
        ("0.0.0.0:0".parse().unwrap(), "127.0.0.1:9"),
    ] {
        let refused = FaultProxy::open(listen, upstream.parse().unwrap(), &only, &settings).await;
        assert!(
            matches!(refused, Err(ChaosError::Refused(_))),
            "{listen} to {upstream}: {refused:?}"
        );
    }
    let allow = AllowList::parse("192.0.2.0/24\n", "allow".as_ref()).unwrap();
    assert!(
        FaultProxy::open(loopback, "192.0.2.1:80".parse().unwrap(), &allow, &settings)
            .await
            .is_ok()
    );
}
