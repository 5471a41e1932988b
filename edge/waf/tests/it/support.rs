//! A small way to run a request through rules.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use mcsp_edge_waf::{
    Client, Collections, Environment, Limits, Loader, MonotonicTicks, RuleSet, ThreadTicks,
    Transaction,
};

pub(crate) fn rules(text: &str) -> Arc<RuleSet> {
    let mut loader = Loader::new();
    loader
        .text("test.conf", text.as_bytes(), Path::new("."))
        .unwrap();
    loader.compile().unwrap()
}

pub(crate) fn environment(limits: Limits) -> Arc<Environment> {
    Arc::new(Environment {
        limits,
        ticks: Arc::new(MonotonicTicks::default()),
        effort: Arc::new(ThreadTicks),
        collections: Collections::new(100),
    })
}

pub(crate) fn client() -> Client {
    Client {
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        port: 1,
        server: IpAddr::V4(Ipv4Addr::LOCALHOST),
        server_port: 443,
        country: Some("NG".to_owned()),
        signals: ["t13d1516h2_8daaf6152771_02713d6af862", "36873", ""].map(str::to_owned),
        id: "id".to_owned(),
        now_ms: 1_000,
    }
}

pub(crate) fn begin(rules: &str, target: &str) -> Transaction {
    let limits = Limits {
        budget_us: 1_000_000,
        ..Limits::default()
    };
    let mut transaction = Transaction::new(&self::rules(rules), &environment(limits), client());
    transaction.request_line(b"GET", target.as_bytes(), b"HTTP/1.1");
    transaction.request_header(b"Host", b"example.org");
    transaction
}

/// The ids of rules that matched a request without a body, all phases run.
pub(crate) fn ids(rules: &str, target: &str) -> Vec<u64> {
    let mut transaction = begin(rules, target);
    transaction.request_head_done();
    transaction.request_body_done();
    end(transaction)
}

/// The ids of rules that matched a request with a body.
pub(crate) fn ids_of_body(rules: &str, content_type: &str, body: &[u8]) -> Vec<u64> {
    let mut transaction = begin(rules, "/");
    transaction.request_header(b"Content-Type", content_type.as_bytes());
    transaction.request_head_done();
    body.chunks(7)
        .for_each(|piece| drop(transaction.request_body(piece)));
    transaction.request_body_done();
    end(transaction)
}

fn end(mut transaction: Transaction) -> Vec<u64> {
    transaction.response_line(200, b"HTTP/1.1");
    transaction.response_header(b"Content-Type", b"text/plain");
    transaction.response_head_done();
    transaction.response_body_done();
    let event = transaction.finish();
    event
        .map(|event| event.matches.into_iter().map(|found| found.id).collect())
        .unwrap_or_default()
}
