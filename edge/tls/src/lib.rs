//! TLS at the edge: certificates by SNI, reloaded without a restart.
