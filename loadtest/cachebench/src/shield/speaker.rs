//! A viewer's connection: HTTP/1.1, without TLS or over TLS 1.3, one request after the other. What it costs itself is
//! little and always the same.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio::net::TcpSocket;

use super::wait::{Socket, Wait};
use crate::error::BenchError;
use crate::server::Certificate;

/// Longest wait for a byte; beyond it the viewer has not been served.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// What is read at once.
const READ_BYTES: usize = 64 << 10;

/// How clients begin TLS: with the run's certificate, and these protocols (RFC 7301).
///
/// # Errors
/// When the certificate cannot be read or used.
pub(super) fn tls_config(
    certificate: &Certificate,
    protocols: &[&[u8]],
) -> Result<Arc<ClientConfig>, BenchError> {
    let fault = |error: String| BenchError::Answer(format!("certificate: {error}"));
    let mut roots = RootCertStore::empty();
    let cert = CertificateDer::from_pem_file(&certificate.cert);
    let cert = cert.map_err(|error| fault(error.to_string()))?;
    roots.add(cert).map_err(|error| fault(error.to_string()))?;
    let config = ClientConfig::builder().with_root_certificates(roots);
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// Whom the certificate names.
pub(super) fn server_name() -> Result<ServerName<'static>, BenchError> {
    ServerName::try_from("localhost").map_err(|error| BenchError::Answer(error.to_string()))
}

/// A TCP connection from an address of one's own.
pub(super) async fn dial(from: IpAddr, to: SocketAddr) -> std::io::Result<tokio::net::TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

enum Line {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

/// An open connection.
pub(super) struct Speaker {
    line: Line,
    host: String,
    buffer: Vec<u8>,
}

impl Speaker {
    /// Connects from `from`, which is one of this machine's addresses; over TLS where there is a configuration for it. `wait` is how
    /// it waits for bytes.
    ///
    /// # Errors
    /// In words.
    pub(super) async fn open(
        from: IpAddr,
        to: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        wait: Wait,
    ) -> Result<Self, String> {
        let stream = dial(from, to).await.map_err(text)?;
        let stream = stream.into_std().map_err(text)?;
        let stream = Socket::new(stream, wait, WAIT_MAX).map_err(text)?;
        let line = match tls {
            None => Line::Plain(stream),
            Some(config) => {
                let name = server_name().map_err(text)?;
                let session = ClientConnection::new(Arc::clone(config), name).map_err(text)?;
                Line::Tls(Box::new(StreamOwned::new(session, stream)))
            }
        };
        Ok(Self {
            line,
            host: to.to_string(),
            buffer: vec![0; READ_BYTES],
        })
    }

    /// Gets what has this path, all of it; how many bytes its body had.
    ///
    /// # Errors
    /// In words; the connection is of no use then.
    pub(super) fn get(&mut self, path: &str) -> Result<usize, String> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: ExoPlayer/2.19 (Linux; Android 14)\r\nAccept: */*\r\n\r\n",
            self.host
        );
        self.write(request.as_bytes()).map_err(text)?;
        let mut head = Vec::new();
        let (length, mut left) = loop {
            let read = self.read().map_err(text)?;
            head.extend_from_slice(&self.buffer[..read]);
            if let Some(end) = head.windows(4).position(|end| end == b"\r\n\r\n") {
                let length = length_in(&head[..end])?;
                let had = head.len() - end - 4;
                break (length, length.checked_sub(had).ok_or("more than was said")?);
            }
            if head.len() > HEAD_BYTES_MAX {
                return Err("a head without an end".to_owned());
            }
        };
        while left > 0 {
            let read = self.read().map_err(text)?;
            left = left.checked_sub(read).ok_or("more than was said")?;
        }
        Ok(length)
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.line {
            Line::Plain(stream) => stream.write_all(bytes),
            Line::Tls(stream) => {
                stream.write_all(bytes)?;
                stream.flush()
            }
        }
    }

    /// Some bytes; the end is an error.
    fn read(&mut self) -> std::io::Result<usize> {
        let read = match &mut self.line {
            Line::Plain(stream) => stream.read(&mut self.buffer)?,
            Line::Tls(stream) => stream.read(&mut self.buffer)?,
        };
        match read {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

/// `Content-Length` of an answer of 200.
fn length_in(head: &[u8]) -> Result<usize, String> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let start = lines.next().unwrap_or_default();
    if !start.starts_with("HTTP/1.1 200 ") {
        return Err(start.to_owned());
    }
    let mut lengths = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse().ok()).flatten()
    });
    lengths
        .next()
        .ok_or("an answer without a length".to_owned())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_not_200_is_none() {
        assert_eq!(
            length_in(b"HTTP/1.1 200 OK\r\nA: b\r\ncontent-length: 12"),
            Ok(12)
        );
        assert_eq!(
            length_in(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0"),
            Err("HTTP/1.1 429 Too Many Requests".to_owned())
        );
        assert!(length_in(b"HTTP/1.1 200 OK").is_err());
    }
}
