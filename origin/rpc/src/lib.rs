//! Calls between services: in one process without sockets, between processes over mutual TLS.
