//! A handler whose paths say what to do, and a connection to it.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use mcsp_edge_h1::{
    BodyLength, Closed, Delegation, Exchange, Handler, Head, Limits, Next, Peer, Refusal,
    SendError, serve_connection,
};
use pingora_core::protocols::Stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// What reached the handler, and what it does with requests that it lends out.
pub(crate) struct Site {
    pub(crate) seen: Mutex<Vec<String>>,
    pub(crate) refused: Mutex<Vec<Refusal>>,
    pub(crate) errors: Mutex<Vec<String>>,
    /// `/wait` answers once it holds a permit.
    pub(crate) gate: Semaphore,
    /// Notes that `/wait` has begun.
    pub(crate) waiting: Semaphore,
    /// Connections that may end.
    pub(crate) ends: Semaphore,
    lend: Box<dyn Fn(Delegation) -> Lent + Send + Sync>,
    /// Not `/lend` alone.
    lends_all: bool,
}

pub(crate) type Lent = std::pin::Pin<Box<dyn Future<Output = Option<Stream>> + Send>>;

impl Site {
    pub(crate) fn new() -> Arc<Self> {
        Self::lending(|_| Box::pin(async { None }))
    }

    pub(crate) fn lending(lend: impl Fn(Delegation) -> Lent + Send + Sync + 'static) -> Arc<Self> {
        Self::build(lend, false)
    }

    pub(crate) fn lending_all(
        lend: impl Fn(Delegation) -> Lent + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::build(lend, true)
    }

    fn build(
        lend: impl Fn(Delegation) -> Lent + Send + Sync + 'static,
        lends_all: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            seen: Mutex::default(),
            refused: Mutex::default(),
            errors: Mutex::default(),
            gate: Semaphore::new(0),
            waiting: Semaphore::new(0),
            ends: Semaphore::new(1_000),
            lend: Box::new(lend),
            lends_all,
        })
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn refused(&self) -> Vec<Refusal> {
        self.refused.lock().unwrap().clone()
    }

    pub(crate) fn errors(&self) -> Vec<String> {
        self.errors.lock().unwrap().clone()
    }

    async fn act(&self, exchange: &mut Exchange<'_>) -> Result<Next, SendError> {
        if self.lends_all {
            return Ok(Next::Delegate);
        }
        let path = exchange.request().uri.path().to_owned();
        let mut words = path.split('/').skip(1);
        let word = words.next().unwrap_or_default();
        let number: u64 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let data = Bytes::from(vec![b'x'; usize::try_from(number).unwrap()]);
        let status = match word {
            "204" => StatusCode::NO_CONTENT,
            "304" => StatusCode::NOT_MODIFIED,
            _ => StatusCode::OK,
        };
        let head = exchange.head(status);
        match word {
            "chunked" => {
                exchange.begin(head, BodyLength::Chunked)?;
                exchange.write(data.clone()).await?;
                exchange.write_all(&vec![data; 20]).await?;
                exchange.finish().await?;
            }
            "close" => {
                exchange.close_after();
                exchange.send_full(head, &[data]).await?;
            }
            "until-close" => {
                exchange.begin(head, BodyLength::UntilClose)?;
                exchange.write(data).await?;
                exchange.finish().await?;
            }
            "none" => {
                exchange.begin(head, BodyLength::None)?;
                exchange.finish().await?;
            }
            "known" => {
                exchange.begin(head, BodyLength::Known(number))?;
                exchange.flush().await?;
                for chunk in data.chunks(1000) {
                    exchange.write(Bytes::copy_from_slice(chunk)).await?;
                }
                exchange.finish().await?;
            }
            "long" => {
                exchange.begin(head, BodyLength::Known(number))?;
                exchange.write(data).await?;
                exchange.write(Bytes::from_static(b"!")).await?;
            }
            "short" => {
                exchange.begin(head, BodyLength::Known(number + 1))?;
                exchange.write(data).await?;
                exchange.finish().await?;
            }
            "unfinished" => {
                exchange.begin(head, BodyLength::Chunked)?;
                exchange.write(data).await?;
            }
            "twice" => {
                exchange.send_full(head, &[]).await?;
                let head = exchange.head(status);
                exchange.send_full(head, &[]).await?;
            }
            "hints" => {
                let mut fields = HeaderMap::new();
                fields.insert("link", HeaderValue::from_static("</a>; rel=preload"));
                fields.insert("connection", HeaderValue::from_static("close"));
                exchange
                    .send_interim(StatusCode::EARLY_HINTS, &fields)
                    .await?;
                exchange.send_full(head, &[data]).await?;
            }
            "wait" => {
                self.waiting.add_permits(1);
                self.gate.acquire().await.unwrap().forget();
                exchange.send_full(head, &[data]).await?;
            }
            "gone" => {
                self.waiting.add_permits(1);
                exchange.client_gone().await;
                self.errors.lock().unwrap().push("gone".to_owned());
                return Ok(Next::Close);
            }
            "echo" => return self.echo(exchange, head).await,
            "drop" => return Ok(Next::Close),
            "nothing" => return Ok(Next::KeepAlive),
            "lend" => return Ok(Next::Delegate),
            "peek-and-lend" => {
                let _ = exchange.read_body().await;
                return Ok(Next::Delegate);
            }
            "" | "full" | "204" | "304" => {
                let mut head = head;
                head.field(&CONTENT_TYPE, &HeaderValue::from_static("text/plain"));
                exchange.send_full(head, &[data]).await?;
            }
            _ => {
                let head = exchange.head(StatusCode::NOT_FOUND);
                exchange.send_full(head, &[]).await?;
            }
        }
        Ok(Next::KeepAlive)
    }

    async fn echo(&self, exchange: &mut Exchange<'_>, head: Head) -> Result<Next, SendError> {
        let mut body = Vec::new();
        loop {
            match exchange.read_body().await {
                Ok(Some(data)) => body.push(data),
                Ok(None) => break,
                Err(error) => {
                    self.errors.lock().unwrap().push(error.to_string());
                    return Ok(Next::Close);
                }
            }
        }
        exchange.send_full(head, &body).await?;
        Ok(Next::KeepAlive)
    }
}

impl Handler for Site {
    async fn on_request(&self, exchange: &mut Exchange<'_>) -> Next {
        let request = exchange.request();
        let host = request
            .headers
            .get("host")
            .map_or("-", |host| host.to_str().unwrap());
        let line = format!("{} {} {host}", request.method, request.uri);
        self.seen.lock().unwrap().push(line);
        match self.act(exchange).await {
            Ok(next) => next,
            Err(error) => {
                self.errors.lock().unwrap().push(error.to_string());
                Next::KeepAlive
            }
        }
    }

    async fn delegate(&self, delegation: Delegation) -> Option<Stream> {
        (self.lend)(delegation).await
    }

    fn on_refused(&self, refusal: Refusal, _peer: &Peer) {
        self.refused.lock().unwrap().push(refusal);
    }

    async fn end(&self, end: impl Future<Output = Closed> + Send) -> Closed {
        self.ends.acquire().await.unwrap().forget();
        end.await
    }

    fn fields(&self, head: &mut Head) {
        head.field(
            &DATE,
            &HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"),
        );
    }
}

/// A client's end of a connection.
pub(crate) struct Line {
    pub(crate) client: DuplexStream,
    pub(crate) served: JoinHandle<Closed>,
    pub(crate) stop: watch::Sender<bool>,
}

/// Opens a connection whose pipes hold `pipe_bytes` in each direction.
pub(crate) fn open(site: &Arc<Site>, limits: &Limits, pipe_bytes: usize) -> Line {
    let (client, server) = tokio::io::duplex(pipe_bytes);
    let (stop, stopped) = watch::channel(false);
    let (site, limits) = (Arc::clone(site), limits.clone());
    let served =
        tokio::spawn(
            async move { serve_connection(Box::new(server), &limits, &site, stopped).await },
        );
    Line {
        client,
        served,
        stop,
    }
}

/// What a whole conversation gave.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) output: Vec<u8>,
    pub(crate) seen: Vec<String>,
    pub(crate) refused: Vec<Refusal>,
    pub(crate) closed: Closed,
}

impl Talk {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    /// The statuses of all answers, interim ones too.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        statuses(&self.output)
    }
}

/// Statuses of all answers in `output`, found by their heads; bodies here never look like one.
pub(crate) fn statuses(output: &[u8]) -> Vec<u16> {
    String::from_utf8_lossy(output)
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|answer| answer[..3].parse().unwrap())
        .collect()
}

/// Sends `input` in the given pieces, ends the sending side, and reads all that comes back.
pub(crate) async fn talk_in_pieces(pieces: &[&[u8]], limits: &Limits) -> Talk {
    let site = Site::new();
    let Line {
        client,
        served,
        stop,
    } = open(&site, limits, 1 << 20);
    let (mut reading, mut writing) = tokio::io::split(client);
    for piece in pieces {
        // A server that has refused reads no further.
        if writing.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let _ = writing.shutdown().await;
    let mut output = Vec::new();
    reading.read_to_end(&mut output).await.unwrap();
    let closed = served.await.unwrap();
    drop(stop);
    Talk {
        output,
        seen: site.seen(),
        refused: site.refused(),
        closed,
    }
}

pub(crate) async fn talk(input: &[u8]) -> Talk {
    talk_in_pieces(&[input], &Limits::default()).await
}

/// Reads until `output` ends with `end`.
pub(crate) async fn read_until(client: &mut DuplexStream, end: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    while !output.ends_with(end) {
        let read = client.read_buf(&mut output).await.unwrap();
        assert!(
            read > 0,
            "ended early: {}",
            String::from_utf8_lossy(&output)
        );
    }
    output
}
