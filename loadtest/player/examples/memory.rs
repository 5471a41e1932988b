//! How much memory a player of sound takes: `memory [players] [seconds]`. The node is a process of its own, so that only
//! players are counted. Wants as many open files as players.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader as StdReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;

use mcsp_loadtest_measure::Recorder;
use mcsp_loadtest_player::{World, WorldOptions};
use mcsp_loadtest_scenario::{AllowList, Scenario, Schedule};
use mcsp_loadtest_wire::{Limits, Network, RunClock};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const SEGMENT_BYTES: usize = 32_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    if arguments.get(1).is_some_and(|first| first == "node") {
        return runtime.block_on(node());
    }
    let number = |index: usize, default: u64| {
        let text = arguments.get(index);
        text.map_or(default, |text| text.parse().expect("a number"))
    };
    let (players, seconds) = (number(1, 1_000), number(2, 30));
    let mut node = Command::new(std::env::current_exe().expect("a path"))
        .arg("node")
        .stdout(Stdio::piped())
        .spawn()
        .expect("a node");
    let mut port = String::new();
    let out = node.stdout.take().expect("its output");
    StdReader::new(out).read_line(&mut port).expect("a port");
    runtime.block_on(play(port.trim(), players, seconds));
    node.kill().expect("it runs");
    node.wait().expect("it ends");
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let word = line.and_then(|line| line.split_whitespace().nth(1));
    word.and_then(|word| word.parse().ok()).expect("a size")
}

async fn play(port: &str, players: u64, seconds: u64) {
    let rate = players as f64 / (seconds as f64 / 3.0).max(1.0);
    let text = format!(
        "name = \"memory\"\nprotocol = \"h1\"\nduration_s = {seconds}\n\
         arrivals = [{{ kind = \"constant\", rate_per_s = {rate:.1}, for_s = {} }}]\n\
         player = {{ watch_min_s = 3600, watch_max_s = 3600 }}\n[targets]\napi = \"http://127.0.0.1:{port}/\"\n",
        (seconds / 3).max(1)
    );
    let scenario = Scenario::parse(&text, "memory").expect("a scenario");
    let clock = RunClock::starting_now();
    let network = Network::new(
        clock.clone(),
        Limits::default(),
        AllowList::loopback_only(),
        BTreeMap::new(),
        None,
    )
    .expect("a network");
    let options = WorldOptions {
        content_ids: vec!["item".to_owned()],
        ..WorldOptions::default()
    };
    let world = World::new(scenario.clone(), Arc::new(network), options);
    let before = resident_kib();
    let leave_us = scenario.duration_us();
    let mut users = 0;
    for start in Schedule::whole(&scenario) {
        clock.until(start.at_us).await;
        tokio::spawn(Arc::clone(&world).run_user(start, leave_us));
        users += 1;
    }
    clock.until(leave_us.saturating_sub(1_000_000)).await;
    let grown = resident_kib() - before;
    clock.until(leave_us + 500_000).await;
    let partial = world.with_recorder(Recorder::take);
    println!(
        "{users} players: {grown} KiB, {:.1} KiB each; {} requests, {} errors, {} findings, {} stalls",
        grown as f64 / f64::from(users).max(1.0),
        partial.counts_of(None).requests,
        partial.counts_of(None).errors,
        partial.findings.count(),
        partial.sessions.stalls,
    );
}

async fn node() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    println!("{port}");
    std::io::stdout().flush().expect("it is read");
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(speak(stream, port));
    }
}

async fn speak(stream: TcpStream, port: u16) {
    let mut stream = BufReader::with_capacity(2_048, stream);
    let mut body_left = 0;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match stream.read_line(&mut head).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        if let Some(length) = head.split("content-length: ").nth(1) {
            body_left = length
                .lines()
                .next()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
        }
        while body_left > 0 {
            let held = stream
                .fill_buf()
                .await
                .map_or(0, <[u8]>::len)
                .min(body_left);
            if held == 0 {
                return;
            }
            stream.consume(held);
            body_left -= held;
        }
        let path = head.split(' ').nth(1).unwrap_or_default();
        let (kind, body) = answer(path, port);
        let text = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncache-status: pop; hit\r\nset-cookie: mcsp_refresh=r\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let whole = [text.as_bytes(), &body].concat();
        if stream.write_all(&whole).await.is_err() {
            return;
        }
    }
}

fn answer(path: &str, port: u16) -> (&'static str, Vec<u8>) {
    let media = format!("http://127.0.0.1:{port}/media/TOKEN/ng/item");
    let file = path.rsplit('/').next().unwrap_or_default();
    match file {
        "register" | "login" | "refresh" => (
            "application/json",
            br#"{"access_token":"t","expires_in":3600}"#.to_vec(),
        ),
        "item" => {
            let text = format!(
                r#"{{"media_session_id":"s","hls_url":"{media}/master.m3u8","dash_url":"{media}/manifest.mpd"}}"#
            );
            ("application/json", text.into())
        }
        "master.m3u8" => {
            let text =
                "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=66000,CODECS=\"mp4a.40.2\"\na64/media.m3u8\n";
            ("application/vnd.apple.mpegurl", text.into())
        }
        "media.m3u8" => {
            let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n".to_owned();
            for number in 1..=900 {
                text.push_str(&format!("#EXTINF:4.0,\n{number}.m4s\n"));
            }
            (
                "application/vnd.apple.mpegurl",
                (text + "#EXT-X-ENDLIST\n").into(),
            )
        }
        name => {
            let mut segment = u32::try_from(SEGMENT_BYTES)
                .expect("a size")
                .to_be_bytes()
                .to_vec();
            segment.extend_from_slice(b"mdat");
            segment.resize(SEGMENT_BYTES, name.bytes().fold(0, u8::wrapping_add));
            segment.splice(8..8 + name.len(), name.bytes());
            ("video/mp4", segment)
        }
    }
}
