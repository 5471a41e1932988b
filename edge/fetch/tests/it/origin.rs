//! An upstream that does, byte for byte, what a test tells it to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

/// What happens on one connection, in order; the connection is closed after the last.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Reads a request's head.
    Request,
    Send(Vec<u8>),
    /// Waits until [`Origin::go_on`] is called.
    Hold,
    /// Waits until the other side closes.
    AwaitClose,
    /// Closes with a reset instead of an end.
    Reset,
}

pub(crate) fn send(text: &str) -> Step {
    Step::Send(text.as_bytes().to_vec())
}

/// What a connection saw.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    pub(crate) requests: Vec<String>,
    pub(crate) closed: usize,
}

pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    seen: watch::Receiver<Seen>,
    go_on: Arc<Notify>,
}

impl Origin {
    /// Each connection takes the next of `scripts`; those after the last are closed at once.
    pub(crate) async fn start(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen_sender, seen) = watch::channel(Seen::default());
        let seen_sender = Arc::new(seen_sender);
        let go_on = Arc::new(Notify::new());
        let scripts = Mutex::new(VecDeque::from(scripts));
        tokio::spawn({
            let go_on = Arc::clone(&go_on);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let script = scripts.lock().unwrap().pop_front().unwrap_or_default();
                    seen_sender.send_modify(|seen| seen.connections += 1);
                    tokio::spawn(play(
                        stream,
                        script,
                        Arc::clone(&seen_sender),
                        Arc::clone(&go_on),
                    ));
                }
            }
        });
        Self {
            address,
            seen,
            go_on,
        }
    }

    /// One connection that answers one request.
    pub(crate) async fn answering(raw: &[u8]) -> Self {
        Self::start(vec![vec![Step::Request, Step::Send(raw.to_vec())]]).await
    }

    pub(crate) fn go_on(&self) {
        self.go_on.notify_one();
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until `is_so` of what was seen.
    pub(crate) async fn until(&self, is_so: impl FnMut(&Seen) -> bool) {
        let mut seen = self.seen.clone();
        tokio::time::timeout(std::time::Duration::from_secs(60), seen.wait_for(is_so))
            .await
            .unwrap()
            .unwrap();
    }
}

async fn play(
    mut stream: TcpStream,
    script: Vec<Step>,
    seen: Arc<watch::Sender<Seen>>,
    go_on: Arc<Notify>,
) {
    for step in script {
        match step {
            Step::Request => {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                let head = String::from_utf8(head).unwrap();
                seen.send_modify(|seen| seen.requests.push(head));
            }
            Step::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Step::Hold => go_on.notified().await,
            Step::AwaitClose => {
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                seen.send_modify(|seen| seen.closed += 1);
            }
            Step::Reset => {
                stream.set_zero_linger().unwrap();
                return;
            }
        }
    }
    // The peer's bytes are read to their end, so that closing is no reset.
    let _ = stream.shutdown().await;
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
}
