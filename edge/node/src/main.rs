//! The edge node: composes the proxy, its cache and its feeds, and runs them.

fn main() {}
