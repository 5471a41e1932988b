//! Ends of connections that were lent out, on real sockets: what comes for one that is closed takes back what is on its way.

use mcsp_edge_h1::{CloseReason, Closed, Delegation, Limits, serve_connection};
use mcsp_edge_traffic::TcpConnection;
use pingora_core::protocols::Shutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::site::{Lent, Site};

/// More than its client's side takes unread, less than ours holds.
const LENGTH: usize = 1_000_000;

const ASKED: &str = "GET /lend HTTP/1.1\r\nHost: a\r\n\r\n";

/// Answers, and ends the connection, as pingora does where it is not to be used again.
fn answer_and_end(delegation: Delegation) -> Lent {
    Box::pin(async move {
        let mut stream = delegation.stream;
        stream.read_exact(&mut [0; ASKED.len()]).await.unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; LENGTH]).await.unwrap();
        stream.flush().await.unwrap();
        Shutdown::shutdown(&mut *stream).await;
        None
    })
}

/// The same, giving it back.
fn answer_and_return(delegation: Delegation) -> Lent {
    Box::pin(async move {
        let mut stream = delegation.stream;
        stream.read_exact(&mut [0; ASKED.len()]).await.unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; LENGTH]).await.unwrap();
        stream.flush().await.unwrap();
        Some(stream)
    })
}

async fn open(
    lend: fn(Delegation) -> Lent,
    limits: Limits,
) -> (TcpStream, JoinHandle<Closed>, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let address = listener.local_addr().unwrap();
    let (client, server) = tokio::join!(socket.connect(address), listener.accept());
    let stream = Box::new(TcpConnection::from(server.unwrap().0));
    let (stop, stopped) = watch::channel(false);
    let site = Site::lending(lend);
    let served =
        tokio::spawn(async move { serve_connection(stream, &limits, &site, stopped).await });
    (client.unwrap(), served, stop)
}

/// RFC 9112 section 9.6.
#[tokio::test]
async fn a_client_that_has_asked_for_more_gets_all_of_the_last_answer() {
    for lend in [answer_and_end, answer_and_return] {
        // It is the client that ends here, however slow the machine is.
        let limits = Limits {
            requests_max: 1,
            linger_ms: 30_000,
            ..Limits::default()
        };
        let (mut client, served, _stop) = open(lend, limits).await;
        // More of them than are read ahead.
        let asked = ASKED.repeat(2_000);
        client.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(answer.len() > LENGTH, "{}", answer.len());
        drop(client);
        assert_eq!(served.await.unwrap().reason, CloseReason::Delegated);
    }
}

/// It is not waited for for ever.
#[tokio::test]
async fn a_client_that_stays_is_left() {
    let limits = Limits {
        requests_max: 1,
        linger_ms: 50,
        ..Limits::default()
    };
    let (mut client, served, _stop) = open(answer_and_end, limits).await;
    client.write_all(ASKED.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert!(answer.len() > LENGTH, "{}", answer.len());
    let bound = std::time::Duration::from_secs(60);
    let served = tokio::time::timeout(bound, served).await.unwrap();
    assert_eq!(served.unwrap().reason, CloseReason::Delegated);
    drop(client);
}

/// One that was not ended is cut, and is seen to be: its client does not wait for more.
#[tokio::test]
async fn an_answer_that_is_cut_is_not_ended() {
    let limits = Limits {
        linger_ms: 30_000,
        ..Limits::default()
    };
    let cut = |delegation: Delegation| -> Lent {
        Box::pin(async move {
            let mut stream = delegation.stream;
            stream.read_exact(&mut [0; ASKED.len()]).await.unwrap();
            let half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
            stream.write_all(half).await.unwrap();
            None
        })
    };
    let (mut client, served, _stop) = open(cut, limits).await;
    client.write_all(ASKED.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let bound = std::time::Duration::from_secs(60);
    let read = tokio::time::timeout(bound, client.read_to_end(&mut answer)).await;
    read.unwrap().unwrap();
    assert!(answer.ends_with(b"\r\n\r\nhalf"));
    assert_eq!(served.await.unwrap().reason, CloseReason::Delegated);
}
