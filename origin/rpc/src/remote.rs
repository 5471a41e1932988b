//! A connection to another process: made when it is first needed, made again when it is lost.

use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use mcsp_identity::{Dialer, WorkloadIdentity};
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::sync::Mutex;
use tonic::body::Body;

use crate::RpcError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A peer that is gone without a word is noticed after these two together.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a request that has not been sent is given to another connection.
const ATTEMPTS_MAX: u32 = 2;

/// Why a request got no answer.
#[derive(Debug, Error)]
pub(crate) enum RemoteError {
    #[error("cannot connect to {addr}: {reason}")]
    Connect { addr: String, reason: String },
    #[error("{addr} gave no answer: {reason}")]
    Broken { addr: String, reason: String },
}

pub(crate) struct Remote {
    addr: String,
    authority: Authority,
    dialer: Dialer,
    connection: Mutex<Option<SendRequest<Body>>>,
}

impl Remote {
    pub(crate) fn new(
        addr: &str,
        server_name: &str,
        identity: &WorkloadIdentity,
    ) -> Result<Self, RpcError> {
        let config = |key, value: &str, expected| RpcError::Config {
            key,
            value: value.to_owned(),
            expected,
        };
        let has_port = addr.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
        if !has_port {
            return Err(config("address", addr, "host:port"));
        }
        let bad_name = || {
            config(
                "server_name",
                server_name,
                "the DNS name in the server's certificate",
            )
        };
        let certificate_name =
            ServerName::try_from(server_name.to_owned()).map_err(|_| bad_name())?;
        Ok(Self {
            addr: addr.to_owned(),
            authority: server_name.parse().map_err(|_| bad_name())?,
            dialer: Dialer::new(identity, addr, certificate_name, &[b"h2"])?,
            connection: Mutex::new(None),
        })
    }

    /// Who is called, for logs.
    pub(crate) fn callee(&self) -> String {
        format!("{} at {}", self.authority, self.addr)
    }

    /// Sends the request. Only what has certainly not been sent is tried on a second connection.
    pub(crate) async fn send(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, RemoteError> {
        self.address(&mut request);
        let mut last = None;
        for _ in 0..ATTEMPTS_MAX {
            let mut sender = self.sender().await?;
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut error) => {
                    let reason = chain(error.error());
                    let broken = RemoteError::Broken {
                        addr: self.addr.clone(),
                        reason,
                    };
                    match error.take_message() {
                        Some(unsent) => request = unsent,
                        None => return Err(broken),
                    }
                    last = Some(broken);
                }
            }
        }
        Err(last.unwrap_or_else(|| RemoteError::Broken {
            addr: self.addr.clone(),
            reason: "the connection closes before a request can be sent".to_owned(),
        }))
    }

    /// HTTP/2 wants scheme and authority (RFC 9113 section 8.3.1); generated clients give a path.
    fn address(&self, request: &mut Request<Body>) {
        let path = request.uri().path_and_query().cloned();
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        *request.version_mut() = Version::HTTP_2;
    }

    /// The open connection, or a new one. While one caller connects the others wait for it, each within its deadline.
    async fn sender(&self) -> Result<SendRequest<Body>, RemoteError> {
        let mut connection = self.connection.lock().await;
        if let Some(sender) = connection.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        *connection = None;
        let sender = match tokio::time::timeout(CONNECT_TIMEOUT, self.connect()).await {
            Ok(connected) => connected?,
            Err(_) => return Err(self.connect_error("no connection within 3 s")),
        };
        *connection = Some(sender.clone());
        Ok(sender)
    }

    async fn connect(&self) -> Result<SendRequest<Body>, RemoteError> {
        let stream = self
            .dialer
            .dial()
            .await
            .map_err(|e| self.connect_error(e))?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| self.connect_error(chain(&e)))?;
        let addr: Arc<str> = self.addr.as_str().into();
        // Ends when the last sender is dropped, or the peer or a ping ends it.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%addr, error = %chain(&error), "connection ended");
            }
        });
        Ok(sender)
    }

    fn connect_error(&self, reason: impl std::fmt::Display) -> RemoteError {
        RemoteError::Connect {
            addr: self.addr.clone(),
            reason: reason.to_string(),
        }
    }
}

/// hyper says only the first half of what went wrong.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
