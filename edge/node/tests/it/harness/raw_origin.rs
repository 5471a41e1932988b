//! A plain origin whose every byte the test writes.

use std::net::SocketAddr;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{Node, within};

/// One request on a connection of its own, and the way to answer it.
pub(crate) struct Asked {
    /// Up to the empty line, and what came with it.
    pub(crate) head: String,
    stream: TcpStream,
}

/// Hands each request to the test.
pub(crate) struct RawOrigin {
    pub(crate) address: SocketAddr,
    asked: mpsc::Receiver<Asked>,
}

impl RawOrigin {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = mpsc::channel(64);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let tell = tell.clone();
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let head = String::from_utf8(head).unwrap();
                    let _ = tell.send(Asked { head, stream }).await;
                });
            }
        });
        Self { address, asked }
    }

    /// A node whose one route leads here, with `extra` in that route.
    pub(crate) async fn node(&self, extra: &str) -> (Node, TempDir) {
        let dir = TempDir::new().unwrap();
        let state = dir.path().join("edge-state");
        let text = format!(
            "state_dir = \"{}\"\nworker_threads = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
             [[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n\
             [[route]]\nname = \"raw\"\nupstream = \"http://{}\"\n{extra}",
            state.display(),
            self.address,
        );
        let node = Node::start_from(dir.path(), "edge", &text).await;
        node.wait_ready().await;
        (node, dir)
    }

    /// The next request.
    pub(crate) async fn asked(&mut self) -> Asked {
        within("a request", self.asked.recv()).await.unwrap()
    }

    /// Is there none that has come and not been taken?
    pub(crate) fn is_idle(&mut self) -> bool {
        self.asked.try_recv().is_err()
    }
}

impl Asked {
    pub(crate) async fn write(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Answers with 200 and ends the connection.
    pub(crate) async fn answer(mut self, fields: &str, body: &str) {
        let length = body.len();
        self.write(&format!(
            "HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        ))
        .await;
    }

    /// Answers with this status and ends the connection.
    pub(crate) async fn refuse(mut self, status: u16) {
        self.write(&format!(
            "HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ))
        .await;
    }

    /// Waits until the node has given the request up.
    pub(crate) async fn given_up(mut self) {
        let mut rest = Vec::new();
        // Whether by an end or by a reset.
        let _ = within("an end", self.stream.read_to_end(&mut rest)).await;
    }

    /// The lines of a field, by its name in lower case.
    pub(crate) fn field(&self, name: &str) -> Vec<&str> {
        let lines = self.head.split("\r\n").skip(1);
        lines
            .filter_map(|line| line.split_once(": "))
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }
}
