//! Ends of connections on real sockets, where what comes for one that is closed takes back what is on its way.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mcsp_edge_h2::{Closed, serve_connection};
use pingora_core::protocols::l4::stream::Stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::conformance::{
    DATA, GOAWAY, HEADERS, PING, PREFACE, SETTINGS, WHOLE, WINDOW, frame, request,
};
use crate::site::{BOUND, Site, limits};

/// More than its client's side takes unread, less than ours holds.
const LENGTH: usize = 1_000_000;

/// A client that reads little at a time, and says so each time.
struct Client {
    socket: TcpStream,
    unread: Vec<u8>,
    data_bytes: usize,
    site: Arc<Site>,
    stop: watch::Sender<bool>,
    served: JoinHandle<Closed>,
}

impl Client {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 << 10).unwrap();
        let address = listener.local_addr().unwrap();
        let (socket, ours) = tokio::join!(socket.connect(address), listener.accept());
        let (mut socket, (ours, _)) = (socket.unwrap(), ours.unwrap());
        let (stop, stopped) = watch::channel(false);
        let site = Arc::<Site>::default();
        let served = tokio::spawn({
            let site = Arc::clone(&site);
            let stream = Box::new(Stream::from(ours));
            async move { serve_connection(stream, &limits(), &site, stopped).await }
        });
        let room = (16_u32 << 20).to_be_bytes();
        let hello = [
            PREFACE.to_vec(),
            frame(SETTINGS, 0, 0, &[&[0, 4][..], &room].concat()),
            frame(WINDOW, 0, 0, &room),
        ];
        socket.write_all(&hello.concat()).await.unwrap();
        Self {
            socket,
            unread: Vec::new(),
            data_bytes: 0,
            site,
            stop,
            served,
        }
    }

    /// What comes next: a frame's kind and payload; nothing after the last.
    async fn next(&mut self) -> std::io::Result<Option<(u8, Vec<u8>)>> {
        loop {
            if let Some((head, rest)) = self.unread.split_first_chunk::<9>() {
                let length = usize::from(head[1]) << 8 | usize::from(head[2]);
                if let Some(payload) = rest.get(..length) {
                    let found = (head[3], payload.to_vec());
                    self.unread.drain(..9 + length);
                    if found.0 == DATA {
                        self.data_bytes += length;
                    }
                    return Ok(Some(found));
                }
            }
            let read = self.socket.read_buf(&mut self.unread);
            if tokio::time::timeout(BOUND, read).await.expect("more")? == 0 {
                return Ok(None);
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.socket.write_all(bytes).await
    }

    async fn get(&mut self, stream: u32, path: &str) {
        let asked = frame(HEADERS, WHOLE, stream, &request("GET", path, &[]));
        self.send(&asked).await.unwrap();
    }

    /// Reads to the end, slowly.
    async fn finish(&mut self) -> std::io::Result<()> {
        while let Some((kind, payload)) = self.next().await? {
            if kind == DATA {
                let room = u32::try_from(payload.len()).unwrap().to_be_bytes();
                self.send(&frame(WINDOW, 0, 0, &room)).await?;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_client_that_leaves_gets_all_of_its_last_answer() {
    let mut client = Client::new().await;
    client.get(1, &format!("/full/{LENGTH}")).await;
    client.send(&frame(GOAWAY, 0, 0, &[0; 8])).await.unwrap();
    client.finish().await.unwrap();
    assert_eq!(client.data_bytes, LENGTH);
    drop(client.socket);
    client.served.await.unwrap();
}

#[tokio::test]
async fn a_node_that_ends_gives_all_of_its_last_answer() {
    let mut client = Client::new().await;
    client.get(1, &format!("/late/{LENGTH}")).await;
    while client.site.running.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    client.stop.send_replace(true);
    let farewell = loop {
        let (kind, payload) = client.next().await.unwrap().unwrap();
        if kind == PING {
            break payload;
        }
    };
    client.send(&frame(PING, 1, 0, &farewell)).await.unwrap();
    while client.next().await.unwrap().unwrap().0 != GOAWAY {}
    client.site.gate.notify_one();
    client.finish().await.unwrap();
    assert_eq!(client.data_bytes, LENGTH);
    drop(client.socket);
    client.served.await.unwrap();
}

/// One that reads on and never ends its side is waited for no longer than it reads.
#[tokio::test]
async fn a_client_that_says_nothing_more_is_not_waited_for() {
    let mut client = Client::new().await;
    client.get(1, "/full/1").await;
    client.send(&frame(GOAWAY, 0, 0, &[0; 8])).await.unwrap();
    client.finish().await.unwrap();
    // Not before nothing more is on its way: a clock that goes on whenever all tasks wait does not wait for sockets.
    tokio::time::pause();
    let closed = tokio::time::timeout(Duration::from_secs(10), client.served).await;
    closed.unwrap().unwrap();
}
