//! When what happened is told exactly, and a link is as slow as its trace.

use std::sync::Arc;
use std::time::Duration;

use mcsp_loadtest_scenario::{HttpVersion, Trace};
use mcsp_loadtest_wire::{Body, Client, Link, Request};

use crate::support::{Scripted, TARGET, get, network, url, user};

#[tokio::test(start_paused = true)]
async fn connection_first_and_last_byte_are_where_the_server_put_them() {
    let script = vec![
        (70, b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n".to_vec()),
        (30, b"abc".to_vec()),
        (100, b"def".to_vec()),
    ];
    let (answer, _) = get(&mut user(vec![vec![script]]), TARGET)
        .await
        .expect("an answer");
    let times = answer.times;
    let ms = |us: u64| us.div_ceil(1_000);
    // Timers fire at the next whole millisecond.
    assert!((20..=21).contains(&ms(times.connect_us.expect("it connected"))));
    assert!((90..=93).contains(&ms(times.first_byte_us - times.started_us)));
    assert!((220..=226).contains(&ms(times.last_byte_us - times.started_us)));
}

fn shaped(kbit_s: u64, connections: usize, script: Vec<(u64, Vec<u8>)>) -> Client {
    let scripted = Scripted {
        connections: parking_lot::Mutex::new(vec![vec![script]; connections]),
        delay: Duration::ZERO,
    };
    let network = network(Arc::new(scripted));
    let trace = Trace {
        kbit_s: Some(kbit_s),
        ..Trace::default()
    };
    let bandwidth = Arc::new(trace.bandwidth().expect("a rate"));
    let link = Link::shaped(bandwidth, network.clock().clone(), 0);
    Client::new(network, HttpVersion::H1, None, link)
}

#[tokio::test(start_paused = true)]
async fn a_body_takes_as_long_as_the_link_needs_for_it() {
    let mut script = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n".to_vec();
    let head = script.len() as u64;
    script.resize(script.len() + 100_000, 7);
    let mut client = shaped(400, 1, vec![(0, script)]);
    let (answer, body) = get(&mut client, TARGET).await.expect("an answer");
    assert_eq!(body.len(), 100_000);
    let took_us = answer.times.last_byte_us - answer.times.started_us;
    let due_us = (100_000 + head) * 8 * 1_000_000 / 400_000;
    assert!(
        took_us >= due_us && took_us < due_us + 5_000,
        "{took_us} for {due_us}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_body_is_shaped_too() {
    let script = vec![(
        0,
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec(),
    )];
    let mut client = shaped(80, 1, script);
    let url = url(TARGET);
    let bytes = vec![1; 20_000];
    let request = Request {
        method: http::Method::PUT,
        body: Body::Bytes(&bytes),
        ..Request::get(&url, &[])
    };
    let answer = client.send(&request, &mut |_| {}).await.expect("an answer");
    let took_us = answer.times.last_byte_us - answer.times.started_us;
    // The last piece is on its way when the node answers.
    assert!((1_700_000..2_100_000).contains(&took_us), "{took_us}");
}
