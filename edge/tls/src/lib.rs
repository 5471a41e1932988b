//! TLS at the edge: certificates by SNI, reloaded without a restart, and the connections of viewers.
//!
//! [`CertificateStore`] reads certificate files, picks one for each handshake by the name that the client asks for
//! (RFC 6066 section 3), and reads the files again when they change. A file that cannot be used is an error that names
//! it: at the start the node does not start, later the last good set stays in force. [`TlsServer`] does the handshakes; a
//! [`TlsStream`] is what comes of one.

mod config;
mod error;
mod files;
mod names;
mod recording;
mod reload;
mod server;
mod store;
mod stream;

pub use config::{CertificateConfig, TlsConfig, TlsVersion};
pub use error::TlsError;
pub use server::TlsServer;
pub use store::CertificateStore;
pub use stream::{TlsStream, digest_of_client};
