//! A link between regions that can be cut and mended: a TCP forwarder of our own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::error::ClusterError;

/// Connections that one link carries at once.
const CONNECTIONS_MAX: usize = 1024;

/// Forwards every connection to `target`, until it is cut.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    up: watch::Sender<bool>,
    carried: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Link {
    /// Opens a link on a loopback port of its own.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn open(target: SocketAddr) -> Result<Self, ClusterError> {
        let broken =
            |error: std::io::Error| ClusterError::Broken(format!("link to {target}: {error}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(broken)?;
        let address = listener.local_addr().map_err(broken)?;
        let (up, is_up) = watch::channel(true);
        let carried = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(accept(listener, target, is_up, Arc::clone(&carried)));
        Ok(Self {
            address,
            up,
            carried,
            task,
        })
    }

    /// Where to connect to instead of the target.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Drops every connection and refuses new ones.
    pub fn cut(&self) {
        self.up.send_replace(false);
    }

    /// Carries connections again.
    pub fn mend(&self) {
        self.up.send_replace(true);
    }

    /// Connections carried so far.
    #[must_use]
    pub fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    is_up: watch::Receiver<bool>,
    carried: Arc<AtomicU64>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        if !*is_up.borrow() {
            continue;
        }
        carried.fetch_add(1, Ordering::Relaxed);
        let is_up = is_up.clone();
        tokio::spawn(async move {
            carry(client, target, is_up).await;
            drop(place);
        });
    }
}

async fn carry(mut client: TcpStream, target: SocketAddr, mut is_up: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    tokio::select! {
        // However it ends, both connections are closed.
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = is_up.wait_for(|up| !up) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn a_cut_link_drops_what_it_carried_and_a_mended_one_carries_again() {
        let target = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let link = Link::open(target.local_addr().expect("its address"))
            .await
            .expect("a link");
        let serve = async {
            loop {
                let (mut stream, _) = target.accept().await.expect("a connection");
                tokio::spawn(async move {
                    let mut byte = [0];
                    while stream.read_exact(&mut byte).await.is_ok() {
                        let _ = stream.write_all(&byte).await;
                    }
                });
            }
        };
        let echoes = async |stream: &mut TcpStream| {
            let mut byte = [0];
            stream.write_all(b"x").await.is_ok() && stream.read_exact(&mut byte).await.is_ok()
        };
        let play = async {
            let mut first = TcpStream::connect(link.address())
                .await
                .expect("a connection");
            assert!(echoes(&mut first).await);
            link.cut();
            assert!(!echoes(&mut first).await);
            let mut while_cut = TcpStream::connect(link.address())
                .await
                .expect("accepted, then dropped");
            assert!(!echoes(&mut while_cut).await);
            link.mend();
            let mut after = TcpStream::connect(link.address())
                .await
                .expect("a connection");
            assert!(echoes(&mut after).await);
            assert_eq!(link.carried(), 2);
        };
        tokio::select! { () = serve => {}, () = play => {} }
    }
}
