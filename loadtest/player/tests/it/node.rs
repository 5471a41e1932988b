//! A node in memory: the API, an item as HLS and DASH, and faults on demand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use mcsp_loadtest_measure::{FindingKind, Partial};
use mcsp_loadtest_player::{World, WorldOptions};
use mcsp_loadtest_scenario::{AllowList, Scenario, Schedule};
use mcsp_loadtest_wire::{BoxedIo, Connect, Limits, Network, RunClock};
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};

/// Pictures: id, height, bits per second.
pub(crate) const LADDER: [(&str, u32, u64); 3] = [
    ("v360", 360, 40_000),
    ("v720", 720, 125_000),
    ("v1080", 1_080, 250_000),
];
const SEGMENT_S: u64 = 4;
const SEGMENTS: u64 = 15;

/// What is wrong with the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    Nothing,
    /// Each answer comes 200 ms later from this second on.
    Slower(u64),
    /// One segment is cut off, and its connection closed.
    Truncated,
    /// One segment is cut off, and its length says so: the cut was made before the node.
    CutInside,
    /// One of several users gets other bytes.
    WrongBytes,
    /// One answer in a hundred is 503.
    Errors,
    /// The manifest says that it is an hour old.
    OldManifest,
    /// The manifest changes, and a minute later the old one is back.
    ManifestGoesBack,
    /// The initialisation segment of 720 is that of 360.
    WrongInit,
    /// Segments of 720 are those of 360.
    WrongSegments,
    /// Segments of 720 need thrice what the manifest says.
    Fat,
    /// The whole tree has moved, as another region or a renewed token does.
    Moved,
    /// Segments are not answered any more from this second on.
    Hangs(u64),
    /// The API opens a session with something else than it should say.
    BadAnswer,
    /// The manifest leads to a host that is not allowed.
    LedAstray,
}

pub(crate) struct Node {
    pub(crate) plant: Plant,
    clock: RunClock,
    requests: AtomicU64,
    pub(crate) seen: Mutex<Vec<(String, String)>>,
    /// What was uploaded of each part.
    pub(crate) parts: Mutex<BTreeMap<u64, Vec<u8>>>,
    pub(crate) completed: AtomicU64,
}

struct Asked {
    method: String,
    path: String,
    head: String,
    body: Vec<u8>,
}

struct Said {
    status: u16,
    fields: String,
    body: Vec<u8>,
    /// What of the body is really sent.
    sent: usize,
}

impl Said {
    fn ok(body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self {
            status: 200,
            fields: "cache-status: pop; hit\r\n".to_owned(),
            sent: body.len(),
            body,
        }
    }

    fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::ok("")
        }
    }

    fn with(mut self, field: &str) -> Self {
        self.fields.push_str(field);
        self.fields.push_str("\r\n");
        self
    }
}

fn boxed(kind: &[u8], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).expect("a small box");
    [&size.to_be_bytes()[..], kind, body].concat()
}

/// An initialisation segment with as much in it as players read.
fn init(height: u32) -> Vec<u8> {
    let mut entry = vec![0; 78];
    let width = u16::try_from(height * 16 / 9).expect("a width");
    entry[24..26].copy_from_slice(&width.to_be_bytes());
    entry[26..28].copy_from_slice(&u16::try_from(height).expect("a height").to_be_bytes());
    let stsd = [&[0, 0, 0, 0, 0, 0, 0, 1][..], &boxed(b"avc1", &entry)].concat();
    let stbl = boxed(b"stbl", &boxed(b"stsd", &stsd));
    let minf = boxed(b"minf", &[boxed(b"vmhd", &[0; 12]), stbl].concat());
    let trak = boxed(b"trak", &boxed(b"mdia", &minf));
    [boxed(b"ftyp", b"iso6"), boxed(b"moov", &trak)].concat()
}

fn media(seed: u64, bps: u64) -> Vec<u8> {
    let bytes = usize::try_from(bps / 8 * SEGMENT_S * 9 / 10).expect("a small segment");
    let mut data: Vec<u8> = seed.to_be_bytes().repeat(bytes / 8);
    data.truncate(bytes - 40);
    [boxed(b"moof", &[0; 16]), boxed(b"mdat", &data)].concat()
}

fn master(extra: bool) -> String {
    let mut out = "#EXTM3U\n#EXT-X-VERSION:7\n".to_owned();
    if extra {
        out.push_str("# a rendition more is there\n");
    }
    for (id, height, bps) in LADDER {
        let width = height * 16 / 9;
        let _ = writeln!(
            out,
            "#EXT-X-STREAM-INF:BANDWIDTH={bps},RESOLUTION={width}x{height}\n{id}/media.m3u8"
        );
    }
    out
}

fn playlist() -> String {
    let mut out =
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"init.mp4\"\n"
            .to_owned();
    for number in 1..=SEGMENTS {
        let _ = writeln!(out, "#EXTINF:{SEGMENT_S}.000,\n{number}.m4s");
    }
    out + "#EXT-X-ENDLIST\n"
}

fn mpd() -> String {
    let mut out = format!(
        "<MPD type=\"static\" mediaPresentationDuration=\"PT{}S\"><Period><AdaptationSet contentType=\"video\">",
        SEGMENT_S * SEGMENTS
    );
    for (id, height, bps) in LADDER {
        let width = height * 16 / 9;
        let _ = write!(
            out,
            "<Representation id=\"{id}\" bandwidth=\"{bps}\" width=\"{width}\" height=\"{height}\">\
             <SegmentTemplate timescale=\"1\" initialization=\"{id}/init.mp4\" media=\"{id}/$Number$.m4s\">\
             <SegmentTimeline><S t=\"0\" d=\"{SEGMENT_S}\" r=\"{}\"/></SegmentTimeline></SegmentTemplate></Representation>",
            SEGMENTS - 1
        );
    }
    out + "</AdaptationSet></Period></MPD>"
}

impl Node {
    fn answer(&self, asked: &Asked) -> Said {
        let path = asked.path.split('?').next().unwrap_or_default();
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        self.seen
            .lock()
            .push((asked.path.clone(), asked.head.clone()));
        if self.plant == Plant::Errors && number % 100 == 99 {
            return Said::status(503);
        }
        let base = "http://127.0.0.1:8080";
        match path {
            "/api/v1/auth/register" => Said::status(409),
            "/api/v1/auth/login" | "/api/v1/auth/refresh" => {
                Said::ok(r#"{"access_token":"t","token_type":"Bearer","expires_in":900,"user":{}}"#)
                    .with("set-cookie: mcsp_refresh=r; Path=/api/v1/auth; HttpOnly")
            }
            "/api/v1/play/item" if self.plant == Plant::BadAnswer => Said::ok("{}"),
            "/api/v1/play/item" => {
                assert!(
                    asked.head.contains("authorization: Bearer t"),
                    "{}",
                    asked.head
                );
                let media = format!("{base}/media/TOKEN/ng/item");
                let hls = if self.plant == Plant::LedAstray {
                    "http://192.0.2.1/media/TOKEN/ng/item/master.m3u8".to_owned()
                } else {
                    format!("{media}/master.m3u8")
                };
                Said::ok(format!(
                    r#"{{"media_session_id":"s","hls_url":"{hls}","dash_url":"{media}/manifest.mpd"}}"#
                ))
            }
            "/api/v1/users/me" | "/api/v1/content/item" => Said::ok("{}"),
            _ if path.starts_with("/api/v1/uploads/session") => self.upload(asked, base),
            _ if path.starts_with("/storage/") => {
                let part = path
                    .rsplit('/')
                    .next()
                    .and_then(|part| part.parse().ok())
                    .expect("a part");
                self.parts.lock().insert(part, asked.body.clone());
                Said::ok("")
            }
            _ => self.media(path, number),
        }
    }

    fn upload(&self, asked: &Asked, base: &str) -> Said {
        if asked.path.ends_with("/complete") {
            self.completed.fetch_add(1, Ordering::Relaxed);
            return Said::ok("{}");
        }
        let parts = self.parts.lock();
        let listed: Vec<String> = (1..=3_u64)
            .map(|number| {
                let received = parts.contains_key(&number);
                let bytes = if number == 3 { 34_464 } else { 50_000 };
                format!(
                    r#"{{"part_number":{number},"size_bytes":{bytes},"received":{received},"url":"{base}/storage/b/{number}"}}"#
                )
            })
            .collect();
        Said::ok(format!(
            r#"{{"upload_id":"u","parts":[{}]}}"#,
            listed.join(",")
        ))
    }

    fn media(&self, path: &str, number: u64) -> Said {
        let now_s = self.clock.now_us() / 1_000_000;
        let Some(rest) = path.strip_prefix("/media/") else {
            return Said::status(404);
        };
        let (token, rest) = rest.split_once('/').expect("a token");
        let name = rest.strip_prefix("ng/item/").expect("the item");
        if self.plant == Plant::Moved && token == "TOKEN" && name.ends_with(".m4s") && now_s >= 8 {
            return Said::status(307).with(&format!("location: /media/RENEWED/{rest}"));
        }
        let manifest = |text: String| {
            let said = Said::ok(text).with("cache-control: max-age=30");
            if self.plant == Plant::OldManifest {
                said.with("age: 3600")
            } else {
                said
            }
        };
        let (folder, file) = name.split_once('/').unwrap_or(("", name));
        match (folder, file) {
            ("", "master.m3u8") => {
                let is_new = self.plant == Plant::ManifestGoesBack && (10..70).contains(&now_s);
                return manifest(master(is_new));
            }
            ("", "manifest.mpd") => return manifest(mpd()),
            (_, "media.m3u8") => return manifest(playlist()),
            _ => {}
        }
        let rung = LADDER
            .iter()
            .position(|rung| rung.0 == folder)
            .expect("a rung");
        let is_720 = folder == "v720";
        if file == "init.mp4" {
            let height = if is_720 && self.plant == Plant::WrongInit {
                360
            } else {
                LADDER[rung].1
            };
            return Said::ok(init(height));
        }
        let index: u64 = file.trim_end_matches(".m4s").parse().expect("a number");
        let rung = if is_720 && self.plant == Plant::WrongSegments {
            0
        } else {
            rung
        };
        let factor = if is_720 && self.plant == Plant::Fat {
            3
        } else {
            1
        };
        let mut said = Said::ok(media(index * 10 + rung as u64, LADDER[rung].2 * factor));
        match (self.plant, index) {
            (Plant::Truncated, 3) if self.is_first(name) => said.sent = said.body.len() / 2,
            (Plant::CutInside, 3) => {
                said.body.truncate(said.body.len() / 2);
                said.sent = said.body.len();
            }
            (Plant::WrongBytes, 3) if number.is_multiple_of(2) => {
                if let Some(byte) = said.body.last_mut() {
                    *byte ^= 1;
                }
            }
            _ => {}
        }
        said
    }

    fn is_first(&self, name: &str) -> bool {
        self.seen
            .lock()
            .iter()
            .filter(|(path, _)| path.ends_with(name))
            .count()
            == 1
    }
}

async fn speak(node: Arc<Node>, io: DuplexStream) {
    let mut io = BufReader::new(io);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match io.read_line(&mut head).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        let length = head
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.lines().next()?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        if io.read_exact(&mut body).await.is_err() {
            return;
        }
        let mut words = head.split(' ');
        let asked = Asked {
            method: words.next().unwrap_or_default().to_owned(),
            path: words.next().unwrap_or_default().to_owned(),
            head: head.clone(),
            body,
        };
        assert!(["GET", "POST", "PUT"].contains(&asked.method.as_str()));
        let mut delay_ms = 5;
        if let Plant::Slower(from_s) = node.plant
            && node.clock.now_us() >= from_s * 1_000_000
        {
            delay_ms += 200;
        }
        if let Plant::Hangs(from_s) = node.plant
            && node.clock.now_us() >= from_s * 1_000_000
            && asked.path.ends_with(".m4s")
        {
            delay_ms = 3_600_000;
        }
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        let said = node.answer(&asked);
        let text = format!(
            "HTTP/1.1 {} X\r\n{}content-length: {}\r\n\r\n",
            said.status,
            said.fields,
            said.body.len()
        );
        let sent = [text.as_bytes(), &said.body[..said.sent]].concat();
        if io.write_all(&sent).await.is_err() || said.sent < said.body.len() {
            return;
        }
    }
}

struct InMemory(Arc<Node>);

impl Connect for InMemory {
    fn connect(&self, _: Option<IpAddr>, _: SocketAddr) -> BoxFuture<'_, io::Result<BoxedIo>> {
        Box::pin(async {
            let (ours, theirs) = tokio::io::duplex(16 << 10);
            tokio::spawn(speak(Arc::clone(&self.0), theirs));
            Ok(Box::new(ours) as BoxedIo)
        })
    }
}

/// What a run left.
pub(crate) struct Run {
    pub(crate) partial: Partial,
    pub(crate) node: Arc<Node>,
}

impl Run {
    /// The kinds of things that were found.
    pub(crate) fn kinds(&self) -> Vec<FindingKind> {
        self.partial.findings.iter().map(|(kind, _)| kind).collect()
    }
}

/// Runs a scenario, made of defaults and `extra`, against a node, to the end of all that is played.
pub(crate) async fn run(plant: Plant, extra: &str) -> Run {
    run_for(plant, extra, 600).await
}

/// The same, to so many seconds after the last arrival.
pub(crate) async fn run_for(plant: Plant, extra: &str, drain_s: u64) -> Run {
    let text = format!("name = \"test\"\n{extra}\n[targets]\napi = \"http://127.0.0.1:8080/\"\n");
    let scenario = Scenario::parse(&text, "test").expect("a scenario");
    let clock = RunClock::starting_now();
    let node = Arc::new(Node {
        plant,
        clock: clock.clone(),
        requests: AtomicU64::new(0),
        seen: Mutex::default(),
        parts: Mutex::default(),
        completed: AtomicU64::new(0),
    });
    let network = Network::new(
        clock.clone(),
        Limits::default(),
        AllowList::loopback_only(),
        BTreeMap::new(),
        None,
    )
    .expect("a network")
    .with_connect(Arc::new(InMemory(Arc::clone(&node))));
    let options = WorldOptions {
        content_ids: vec!["item".to_owned()],
        ..WorldOptions::default()
    };
    let world = World::new(scenario.clone(), Arc::new(network), options);
    let leave_us = scenario.duration_us() + drain_s * 1_000_000;
    let mut users = Vec::new();
    for start in Schedule::whole(&scenario) {
        clock.until(start.at_us).await;
        users.push(tokio::spawn(Arc::clone(&world).run_user(start, leave_us)));
    }
    for user in users {
        user.await.expect("no user panics");
    }
    let partial = world.with_recorder(mcsp_loadtest_measure::Recorder::take);
    Run { partial, node }
}

/// One user a second for ten seconds, who play to the end.
pub(crate) const PLAYERS: &str = "protocol = \"h1\"\nduration_s = 10\narrivals = [{ kind = \"constant\", rate_per_s = 1.0 }]\n\
    player = { watch_min_s = 300, watch_max_s = 300 }\n";
