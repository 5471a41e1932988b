//! The writer, the cutter and the manifests, read back by others' parsers or by one written apart from the writer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod manifests;
mod mezzanine;
mod support;
