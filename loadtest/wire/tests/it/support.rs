//! Servers in memory that say byte for byte what a test wants.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use mcsp_loadtest_scenario::{AllowList, HttpVersion};
use mcsp_loadtest_wire::{
    Answer, BoxedIo, Client, Connect, Failure, Limits, Link, Network, Request, RunClock,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use url::Url;

/// What the server says next, after a pause in ms.
pub(crate) type Script = Vec<(u64, Vec<u8>)>;

/// Each connection answers the requests that it gets with the scripts in turn, and then closes.
pub(crate) struct Scripted {
    pub(crate) connections: parking_lot::Mutex<Vec<Vec<Script>>>,
    pub(crate) delay: Duration,
}

impl Connect for Scripted {
    fn connect(&self, _: Option<IpAddr>, _: SocketAddr) -> BoxFuture<'_, io::Result<BoxedIo>> {
        Box::pin(async {
            tokio::time::sleep(self.delay).await;
            let scripts = {
                let mut connections = self.connections.lock();
                if connections.is_empty() {
                    return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
                }
                connections.remove(0)
            };
            let (ours, theirs) = tokio::io::duplex(64 << 10);
            tokio::spawn(speak(theirs, scripts));
            Ok(Box::new(ours) as BoxedIo)
        })
    }
}

async fn speak(mut io: DuplexStream, scripts: Vec<Script>) {
    for script in scripts {
        let mut request = Vec::new();
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut byte = [0];
            if io.read_exact(&mut byte).await.is_err() {
                return;
            }
            request.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&request).into_owned();
        let length = head.split("content-length: ").nth(1);
        let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
        if io
            .read_exact(&mut vec![0; length.unwrap_or(0)])
            .await
            .is_err()
        {
            return;
        }
        for (pause_ms, bytes) in script {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            if io.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }
}

pub(crate) fn limits() -> Limits {
    Limits {
        connect_timeout: Duration::from_secs(2),
        read_timeout: Duration::from_secs(3),
        head_bytes_max: 2_048,
    }
}

pub(crate) fn network(connect: Arc<dyn Connect>) -> Arc<Network> {
    let network = Network::new(
        RunClock::starting_now(),
        limits(),
        AllowList::loopback_only(),
        BTreeMap::new(),
        None,
    );
    Arc::new(network.expect("a network").with_connect(connect))
}

/// A user whose connections say these things.
pub(crate) fn user(connections: Vec<Vec<Script>>) -> Client {
    let scripted = Scripted {
        connections: parking_lot::Mutex::new(connections),
        delay: Duration::from_millis(20),
    };
    Client::new(
        network(Arc::new(scripted)),
        HttpVersion::H1,
        None,
        Link::unbounded(),
    )
}

pub(crate) fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL")
}

pub(crate) async fn get(
    client: &mut Client,
    target: &str,
) -> Result<(Answer, Vec<u8>), Box<Failure>> {
    let url = url(target);
    let mut body = Vec::new();
    let answer = client
        .send(&Request::get(&url, &[]), &mut |part| {
            body.extend_from_slice(part);
        })
        .await?;
    Ok((answer, body))
}

pub(crate) const TARGET: &str = "http://127.0.0.1:1/a";
