//! The process's crypto provider.

/// Installs aws-lc-rs as rustls' provider. Called first thing in every `main`: dependencies link two
/// providers, and rustls refuses to guess. Calling it again changes nothing.
pub fn install_crypto_provider() {
    // An error only says that a provider is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
