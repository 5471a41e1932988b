//! Waits and their bounds, on a clock that stands still.

use std::time::Duration;

use mcsp_edge_h1::{CloseReason, Closed, Limits, Refusal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::site::{Line, Site, open, read_until};

const GET: &[u8] = b"GET /full/1 HTTP/1.1\r\nHost: a\r\n\r\n";

fn near(since: Instant, expected_ms: u64) {
    let elapsed = since.elapsed();
    let expected = Duration::from_millis(expected_ms);
    assert!(
        elapsed >= expected && elapsed < expected + Duration::from_millis(20),
        "{elapsed:?} instead of {expected:?}"
    );
}

/// RFC 9110 15.5.9.
#[tokio::test(start_paused = true)]
async fn a_head_that_drips_in_is_cut_off_in_time() {
    let limits = Limits {
        head_timeout_ms: 5000,
        linger_ms: 0,
        ..Limits::default()
    };
    let site = Site::new();
    let mut line = open(&site, &limits, 4096);
    let start = Instant::now();
    let dripping = async {
        for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
            .iter()
            .cycle()
        {
            sleep(Duration::from_millis(300)).await;
            if line.client.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    };
    let served = tokio::select! {
        () = dripping => panic!("the client noticed first"),
        served = line.served => served.unwrap(),
    };
    near(start, 5000);
    assert_eq!(served.reason, CloseReason::Refused(Refusal::HeadTimeout));
    let mut output = String::new();
    line.client.read_to_string(&mut output).await.unwrap();
    assert!(
        output.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
        "{output}"
    );
}

/// Thousands may be late in the same moment.
#[tokio::test(start_paused = true)]
async fn connections_without_a_request_end_when_the_handler_lets_them() {
    let limits = Limits {
        head_timeout_ms: 5000,
        linger_ms: 0,
        ..Limits::default()
    };
    let site = Site::new();
    site.ends.forget_permits(usize::MAX);
    let silent = open(&site, &limits, 4096);
    let mut half = open(&site, &limits, 4096);
    half.client.write_all(&GET[..10]).await.unwrap();
    let gone = open(&site, &limits, 4096);
    drop(gone.client);
    sleep(Duration::from_secs(60)).await;
    let mut byte = [0];
    let told = timeout(Duration::from_secs(1), half.client.read(&mut byte)).await;
    assert!(told.is_err(), "told {told:?} before its turn");
    assert!(!silent.served.is_finished() && !gone.served.is_finished());
    site.ends.add_permits(3);
    let reason = async |served: JoinHandle<Closed>| served.await.unwrap().reason;
    assert_eq!(reason(silent.served).await, CloseReason::Idle);
    assert_eq!(reason(gone.served).await, CloseReason::Client);
    let refused = CloseReason::Refused(Refusal::HeadTimeout);
    assert_eq!(reason(half.served).await, refused);
    let mut output = String::new();
    half.client.read_to_string(&mut output).await.unwrap();
    assert!(output.starts_with("HTTP/1.1 408 "), "{output}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_ends_without_a_word() {
    let limits = Limits {
        head_timeout_ms: 5000,
        idle_timeout_ms: 30_000,
        ..Limits::default()
    };
    let site = Site::new();
    let mut line = open(&site, &limits, 4096);
    let start = Instant::now();
    let mut output = Vec::new();
    line.client.read_to_end(&mut output).await.unwrap();
    near(start, 5000);
    assert_eq!(output, b"");
    assert_eq!(line.served.await.unwrap().reason, CloseReason::Idle);

    let mut line = open(&site, &limits, 4096);
    line.client.write_all(GET).await.unwrap();
    read_until(&mut line.client, b"\r\n\r\nx").await;
    let start = Instant::now();
    // Empty lines do not make it less idle.
    line.client.write_all(b"\r\n").await.unwrap();
    line.client.read_to_end(&mut output).await.unwrap();
    near(start, 30_000);
    assert_eq!(output, b"");
    assert_eq!(line.served.await.unwrap().reason, CloseReason::Idle);
}

#[tokio::test(start_paused = true)]
async fn each_head_has_its_own_time() {
    let limits = Limits {
        head_timeout_ms: 5000,
        idle_timeout_ms: 30_000,
        ..Limits::default()
    };
    let site = Site::new();
    let mut line = open(&site, &limits, 4096);
    for _ in 0..5 {
        sleep(Duration::from_millis(4000)).await;
        line.client.write_all(&GET[..10]).await.unwrap();
        sleep(Duration::from_millis(900)).await;
        line.client.write_all(&GET[10..]).await.unwrap();
        read_until(&mut line.client, b"\r\n\r\nx").await;
        sleep(Duration::from_millis(20_000)).await;
    }
    line.client.write_all(&GET[..10]).await.unwrap();
    let start = Instant::now();
    let mut output = String::new();
    line.client.read_to_string(&mut output).await.unwrap();
    near(start, 5000);
    assert!(output.starts_with("HTTP/1.1 408 "));
}

/// Asks for so much at once and takes all of the answers. The server's task has one turn for it, and what a task may do in a turn is
/// over in the midst of one of these crowds, wherever that is.
async fn crowd(line: &mut Line, requests: usize) {
    line.client.write_all(&GET.repeat(requests)).await.unwrap();
    answers(line, requests).await;
}

async fn answers(line: &mut Line, wanted: usize) {
    const END: &[u8] = b"\r\n\r\nx";
    let mut output = Vec::new();
    while output
        .windows(END.len())
        .filter(|some| *some == END)
        .count()
        < wanted
    {
        let read = line.client.read_buf(&mut output).await.unwrap();
        assert!(read > 0, "ended early");
    }
}

const CROWD_MAX: usize = 150;

fn for_crowds() -> Limits {
    Limits {
        head_timeout_ms: 5000,
        idle_timeout_ms: 30_000,
        ..Limits::default()
    }
}

#[tokio::test(start_paused = true)]
async fn however_much_was_asked_at_once_an_idle_connection_ends_in_time() {
    let site = Site::new();
    for requests in 1..CROWD_MAX {
        let mut line = open(&site, &for_crowds(), 1 << 20);
        crowd(&mut line, requests).await;
        // Before the server has looked whether there is more.
        line.client.write_all(GET).await.unwrap();
        answers(&mut line, 1).await;
        let start = Instant::now();
        let end = timeout(Duration::from_secs(3600), line.served).await;
        let Ok(closed) = end else {
            panic!("{requests} requests at once, and it never ends");
        };
        assert_eq!(closed.unwrap().reason, CloseReason::Idle);
        near(start, 30_000);
    }
}

#[tokio::test(start_paused = true)]
async fn however_much_was_asked_at_once_an_idle_connection_hears_that_the_node_ends() {
    let site = Site::new();
    for requests in 1..CROWD_MAX {
        let mut line = open(&site, &for_crowds(), 1 << 20);
        crowd(&mut line, requests).await;
        sleep(Duration::from_secs(1)).await;
        line.stop.send_replace(true);
        let start = Instant::now();
        assert_eq!(line.served.await.unwrap().reason, CloseReason::Stopped);
        assert!(start.elapsed().is_zero(), "{requests} requests at once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_let_go() {
    let limits = Limits {
        write_timeout_ms: 10_000,
        ..Limits::default()
    };
    let site = Site::new();
    let mut line = open(&site, &limits, 1000);
    line.client
        .write_all(b"GET /full/100000 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let start = Instant::now();
    assert_eq!(line.served.await.unwrap().reason, CloseReason::Cut);
    near(start, 10_000);
    assert_eq!(site.errors(), ["the client takes the answer too slowly"]);
}

/// A rate just below the least one is refused however steadily the bytes go; one just above is served however long it
/// takes.
#[tokio::test(start_paused = true)]
async fn a_client_must_take_the_least_rate() {
    let limits = Limits {
        write_timeout_ms: 10_000,
        drain_bytes_s_min: 1000,
        ..Limits::default()
    };
    for (step_bytes, is_served) in [(80, false), (120, true)] {
        let site = Site::new();
        let mut line = open(&site, &limits, 64);
        let request = b"GET /full/60000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        line.client.write_all(request).await.unwrap();
        let mut taken = 0;
        let mut chunk = vec![0; step_bytes];
        'taking: loop {
            sleep(Duration::from_millis(100)).await;
            let mut left = step_bytes;
            while left > 0 {
                match line.client.read(&mut chunk[..left]).await {
                    Ok(0) | Err(_) => break 'taking,
                    Ok(bytes) => {
                        left -= bytes;
                        taken += bytes;
                    }
                }
            }
        }
        let closed = line.served.await.unwrap();
        assert_eq!(
            closed.reason == CloseReason::Answered,
            is_served,
            "{step_bytes}"
        );
        assert_eq!(taken > 60_000, is_served, "{step_bytes}: {taken}");
    }
}

#[tokio::test(start_paused = true)]
async fn time_without_anything_to_send_does_not_count() {
    let limits = Limits {
        write_timeout_ms: 1000,
        drain_bytes_s_min: 1 << 20,
        ..Limits::default()
    };
    let site = Site::new();
    let mut line = open(&site, &limits, 4096);
    line.client
        .write_all(b"GET /wait/1 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    sleep(Duration::from_secs(3600)).await;
    site.gate.add_permits(1);
    read_until(&mut line.client, b"\r\n\r\nx").await;
}

#[tokio::test(start_paused = true)]
async fn bodies_have_deadlines() {
    let limits = Limits {
        body_timeout_ms: 3000,
        discard_timeout_ms: 2000,
        linger_ms: 0,
        ..Limits::default()
    };
    for (path, elapsed_ms, reason) in [
        ("/echo", 3000, CloseReason::Dropped),
        ("/full/1", 2000, CloseReason::Body),
    ] {
        let site = Site::new();
        let mut line = open(&site, &limits, 4096);
        let start = Instant::now();
        let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
        line.client.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(line.served.await.unwrap().reason, reason, "{path}");
        near(start, elapsed_ms);
    }
}

/// RFC 9112 9.6: the sending side ends first, what still comes is read, and not for ever.
#[tokio::test(start_paused = true)]
async fn an_ended_connection_lingers_and_no_longer() {
    let limits = Limits {
        linger_ms: 700,
        ..Limits::default()
    };
    let site = Site::new();
    let mut line = open(&site, &limits, 4096);
    let start = Instant::now();
    line.client
        .write_all(b"GET / HTTP/9.1\r\n\r\n")
        .await
        .unwrap();
    let mut output = String::new();
    line.client.read_to_string(&mut output).await.unwrap();
    assert!(output.starts_with("HTTP/1.1 505 "), "{output}");
    near(start, 0);
    // More than the pipe holds: somebody reads it.
    line.client.write_all(&vec![b'z'; 100_000]).await.unwrap();
    line.served.await.unwrap();
    near(start, 700);
}
