//! The suite's client: says exactly what a row wants said, and hears everything, interim responses included.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncWriteExt as _, BufWriter};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::wire::{Fields, Framing, Head, WireReader};

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// How long after the last byte of raw requests more answers are waited for.
const RAW_IDLE: Duration = Duration::from_millis(700);
/// Most answers read of one raw exchange.
const RAW_ANSWERS_MAX: usize = 8;

/// A request that a row sends.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The target, with its query.
    pub target: String,
    /// Fields beside `Host`.
    pub fields: Vec<(String, String)>,
    /// The body; its length is said when it is not empty.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            fields: Vec::new(),
            body: Vec::new(),
        }
    }

    /// With one more field.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    fn bytes(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self
            .fields
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            head.push_str(&format!("Host: {host}\r\n"));
        }
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        // RFC 9110 §8.6: also of none, where the method has a meaning for one.
        let may_have_body = matches!(self.method.as_str(), "POST" | "PUT" | "PATCH");
        if may_have_body || !self.body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The fields.
    pub fields: Fields,
    /// The body as far as it came.
    pub body: Vec<u8>,
    /// Did it end as its head said it would?
    pub is_complete: bool,
    /// The heads of 1xx before it.
    pub interim: Vec<Head>,
    /// When the first byte of the body was there.
    pub first_byte: Option<Instant>,
}

impl Response {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `Age` in seconds.
    #[must_use]
    pub fn age_s(&self) -> Option<i64> {
        self.fields.get("age")?.parse().ok()
    }
}

/// Sends one request on a connection of its own.
///
/// # Errors
/// In words, when there is no answer within 15 s or what came is none.
pub async fn send(proxy: SocketAddr, request: &Request) -> Result<Response, String> {
    let work = async {
        let stream = TcpStream::connect(proxy).await.map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        let (read, mut write) = stream.into_split();
        write
            .write_all(&request.bytes(&proxy.to_string()))
            .await
            .map_err(text)?;
        let answer = read_response(&mut WireReader::new(read), &request.method).await;
        drop(write);
        answer?.ok_or_else(|| "the connection was closed without an answer".to_owned())
    };
    timeout(ANSWER_LIMIT, work)
        .await
        .map_err(|_| format!("no answer within {} s", ANSWER_LIMIT.as_secs()))?
}

/// Sends these requests in turn on one connection, and on another where the server closes it; `check` looks at each
/// answer.
///
/// # Errors
/// In words: the check's, or when there is no answer.
pub async fn send_all(
    proxy: SocketAddr,
    requests: &[Request],
    mut check: impl FnMut(&Request, &Response) -> Result<(), String>,
) -> Result<(), String> {
    let mut connection = None;
    for request in requests {
        let mut tries = 0;
        let answer = loop {
            tries += 1;
            let mut open = match connection.take() {
                Some(open) => open,
                None => Connection::open(proxy).await?,
            };
            match timeout(ANSWER_LIMIT, open.exchange(request)).await {
                Ok(Ok(Some(answer))) => {
                    connection = Some(open);
                    break answer;
                }
                // A kept connection may be closed at any time.
                Ok(Ok(None) | Err(_)) if tries < 3 => {}
                Ok(Ok(None)) => return Err(format!("{}: no answer", request.target)),
                Ok(Err(reason)) => return Err(format!("{}: {reason}", request.target)),
                Err(_) => return Err(format!("{}: no answer in time", request.target)),
            }
        };
        let closes = answer
            .fields
            .get("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if closes {
            connection = None;
        }
        check(request, &answer)?;
    }
    Ok(())
}

/// A connection that is kept.
struct Connection {
    host: String,
    reader: WireReader<tokio::net::tcp::OwnedReadHalf>,
    writer: tokio::net::tcp::OwnedWriteHalf,
}

impl Connection {
    async fn open(proxy: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(proxy).await.map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        let (read, writer) = stream.into_split();
        Ok(Self {
            host: proxy.to_string(),
            reader: WireReader::new(read),
            writer,
        })
    }

    async fn exchange(&mut self, request: &Request) -> Result<Option<Response>, String> {
        let bytes = request.bytes(&self.host);
        self.writer.write_all(&bytes).await.map_err(text)?;
        read_response(&mut self.reader, &request.method).await
    }
}

/// Sends these bytes as they are and reads what is answered until the server closes or falls silent; the flag says
/// whether it closed.
///
/// # Errors
/// In words, when the connection cannot be made.
pub async fn raw(proxy: SocketAddr, bytes: &[u8]) -> Result<(Vec<Response>, bool), String> {
    let stream = TcpStream::connect(proxy).await.map_err(text)?;
    let (read, write) = stream.into_split();
    let mut write = BufWriter::new(write);
    // A server that refuses early may have closed before it read all.
    let _ = async {
        write.write_all(bytes).await?;
        write.flush().await
    }
    .await;
    let mut reader = WireReader::new(read);
    let mut answers = Vec::new();
    while answers.len() < RAW_ANSWERS_MAX {
        match timeout(RAW_IDLE, read_response(&mut reader, "GET")).await {
            Err(_) => return Ok((answers, false)),
            Ok(Ok(Some(answer))) => answers.push(answer),
            Ok(Ok(None) | Err(_)) => return Ok((answers, true)),
        }
    }
    Ok((answers, false))
}

async fn read_response<R: tokio::io::AsyncRead + Unpin>(
    reader: &mut WireReader<R>,
    method: &str,
) -> Result<Option<Response>, String> {
    let mut interim = Vec::new();
    let head = loop {
        let Some(head) = reader.head().await.map_err(text)? else {
            return Ok(None);
        };
        match head.status() {
            0 => return Err(format!("not a response: {:?}", head.start)),
            100..=199 if interim.len() < 32 => interim.push(head),
            _ => break head,
        }
    };
    let framing = Framing::of_response(method, &head);
    let mut first_byte = None;
    if framing != Framing::None && framing != Framing::Length(0) {
        let is_there = reader.has_byte().await.unwrap_or(false);
        first_byte = is_there.then(Instant::now);
    }
    let (body, is_complete) = reader.body(framing).await.map_err(text)?;
    Ok(Some(Response {
        status: head.status(),
        fields: head.fields,
        body,
        is_complete,
        interim,
        first_byte,
    }))
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}
