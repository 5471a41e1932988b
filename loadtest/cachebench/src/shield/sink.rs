//! Somebody else to attack: a process that takes every connection, shakes hands, reads and does nothing. It runs as attackers do,
//! while nobody else wants the load's core.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;
use tokio_rustls::TlsAcceptor;

use super::attack::{Target, background};
use crate::error::BenchError;
use crate::server::Certificate;

/// Longest wait for its addresses.
const START_LIMIT: Duration = Duration::from_secs(10);
/// Longest silence of a client.
const IDLE: Duration = Duration::from_secs(5);
/// Pause when the process has no more descriptors.
const PAUSE: Duration = Duration::from_millis(20);

/// A sink's process; it ends when dropped.
pub(super) struct Sink {
    pub(super) target: Target,
    child: Child,
}

impl Sink {
    /// Starts one, with the certificate in `folder`.
    ///
    /// # Errors
    /// When it does not say where it listens.
    pub(super) async fn start(folder: &Path) -> Result<Self, BenchError> {
        let fault = |reason: String| BenchError::tool("sink", reason);
        let mut command = background("sink")?;
        command.arg("--certificate").arg(folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| fault(error.to_string()))?;
        let stdout = child.stdout.take();
        let stdout = stdout.ok_or_else(|| fault("no output".to_owned()))?;
        let mut line = String::new();
        let mut reader = BufReader::new(stdout);
        let told = tokio::time::timeout(START_LIMIT, reader.read_line(&mut line)).await;
        let told = told.map_err(|_| fault("says nothing".to_owned()))?;
        told.map_err(|error| fault(error.to_string()))?;
        let target = serde_json::from_str(&line);
        let target = target.map_err(|error| fault(format!("{error}: {line}")))?;
        Ok(Self { target, child })
    }

    /// Ends it.
    pub(super) async fn stop(mut self) {
        // One that has ended already is as good.
        let _ = self.child.kill().await;
    }
}

/// Takes everything, in this process, until it is killed; `announce` is told where.
///
/// # Errors
/// When the certificate cannot be used, or no port is to be had.
pub async fn run(folder: &Path, announce: impl FnOnce(&Target)) -> Result<(), BenchError> {
    let acceptor = TlsAcceptor::from(Arc::new(server_config(folder)?));
    let fault = |source| BenchError::socket("a sink's port", source);
    let plain = TcpListener::bind("127.0.0.1:0").await.map_err(fault)?;
    let tls = TcpListener::bind("127.0.0.1:0").await.map_err(fault)?;
    announce(&Target {
        plain: plain.local_addr().map_err(fault)?,
        tls: tls.local_addr().map_err(fault)?,
    });
    loop {
        let accepted = tokio::select! {
            accepted = plain.accept() => accepted.map(|(stream, _)| (stream, None)),
            accepted = tls.accept() => accepted.map(|(stream, _)| (stream, Some(acceptor.clone()))),
        };
        match accepted {
            // As many as the system gives descriptors for.
            Ok((stream, acceptor)) => drop(tokio::spawn(take(stream, acceptor))),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn take(stream: TcpStream, acceptor: Option<TlsAcceptor>) {
    // However it ends is well.
    let _ = match acceptor {
        None => drain(stream).await,
        Some(acceptor) => match tokio::time::timeout(IDLE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => drain(stream).await,
            _ => Ok(()),
        },
    };
}

async fn drain(mut stream: impl AsyncRead + Unpin) -> io::Result<()> {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(read) = tokio::time::timeout(IDLE, stream.read(&mut bytes)).await {
        if read? == 0 {
            break;
        }
    }
    Ok(())
}

fn server_config(folder: &Path) -> Result<ServerConfig, BenchError> {
    let files = Certificate::in_folder(folder);
    let fault = |error: String| BenchError::tool("sink", error);
    let cert = CertificateDer::from_pem_file(&files.cert);
    let cert = cert.map_err(|error| fault(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_file(&files.key);
    let key = key.map_err(|error| fault(error.to_string()))?;
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![cert], key);
    let mut config = config.map_err(|error| fault(error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
