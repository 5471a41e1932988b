//! Two tiers of nodes.

use std::net::SocketAddr;

use bytes::Bytes;
use mcsp_identity::{Dialer, WorkloadIdentity};
use reqwest::Response;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{CONTENT, Node, Serve, World};

pub(crate) const REST: &str = "v360/1.m4s";
pub(crate) const LISTENER: &str = "[shield.listener]\naddress = \"127.0.0.1:0\"\n";
pub(crate) const NOBODY: &str = "127.0.0.1:9";

pub(crate) fn body() -> Bytes {
    (0..300_000_u32)
        .map(|n| (n % 251) as u8)
        .collect::<Vec<_>>()
        .into()
}

/// Of 300 kB, with all that a cache goes by.
pub(crate) fn segment() -> Serve {
    Serve::ok(body())
        .with("cache-control", "public, max-age=600")
        .with("etag", "\"one\"")
        .with("surrogate-key", CONTENT)
        .ranged()
}

pub(crate) fn children_of(parents: &[(&str, SocketAddr)]) -> String {
    let parent = |(id, address): &(&str, SocketAddr)| {
        format!(
            "[[shield.parent]]\nid = \"{id}\"\npop = \"los1\"\nregion = \"ng-lagos\"\naddress = \"{address}\"\n"
        )
    };
    // Machines that run tests are slow.
    let patience = "[shield]\nconnect_timeout_ms = 5000\nhead_timeout_ms = 8000\n";
    let parents: String = parents.iter().map(parent).collect();
    format!("{patience}{parents}")
}

pub(crate) fn address_of(parent: &Node) -> SocketAddr {
    parent.shield.unwrap()
}

/// A parent in Lagos, and children in Abuja.
pub(crate) async fn tier(world: &World, children: usize) -> (Node, Vec<Node>) {
    let parent = world.node_with("los1-p", LISTENER).await;
    let extra = children_of(&[("p", address_of(&parent))]);
    let mut nodes = Vec::new();
    for nth in 0..children {
        nodes.push(world.node_with(&format!("abv1-c{nth}"), &extra).await);
    }
    (parent, nodes)
}

pub(crate) async fn tries(child: &Node, outcome: &str) -> f64 {
    let outcome = format!("outcome=\"{outcome}\"");
    let name = "mcsp_edge_shield_tries_total";
    child.metric(name, &[outcome.as_str()]).await
}

pub(crate) async fn fallbacks(child: &Node, why: &str) -> f64 {
    let why = format!("why=\"{why}\"");
    let name = "mcsp_edge_shield_fallbacks_total";
    child.metric(name, &[why.as_str()]).await
}

/// What all caches that took part say, the one nearest to the origin first.
pub(crate) fn caches(response: &Response) -> String {
    let lines = response.headers().get_all("cache-status").iter();
    let lines: Vec<_> = lines.map(|line| line.to_str().unwrap()).collect();
    lines.join(", ")
}

/// What a parent answers to a request made by hand.
pub(crate) async fn ask(
    parent: SocketAddr,
    identity: &WorkloadIdentity,
    path: &str,
    fields: &str,
) -> String {
    let name = ServerName::try_from("localhost").unwrap();
    let dialer = Dialer::new(identity, &parent.to_string(), name, &[b"http/1.1"]).unwrap();
    let mut stream = dialer.dial().await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: p\r\nconnection: close\r\n{fields}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A refusal may end the connection without a word of TLS.
    let _ = stream.read_to_end(&mut answer).await;
    // Names of fields are in no certain case.
    String::from_utf8_lossy(&answer).to_lowercase()
}

/// Where a node is with its feed, as its children tell it.
pub(crate) async fn position_of(node: &Node) -> String {
    let feed = node.shield_state().await["feed"].clone();
    let text = |key: &str| feed[key].as_str().unwrap().to_owned();
    let sequence = &feed["sequence"];
    let (region, epoch) = (text("region"), text("epoch"));
    format!("x-mcsp-feed-position: {region} {sequence} {epoch}\r\n")
}

pub(crate) fn status_of(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}
