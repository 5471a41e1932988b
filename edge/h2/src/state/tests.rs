//! Frames and handlers in any order: what is reckoned of a connection stays what it is, so that no window is lost, no stream
//! left behind, and nothing kept beyond what may be.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use mcsp_edge_h2_wire::frame::{Frame, Parsed, parse};
use proptest::prelude::*;

use super::sending::WAITING_BYTES_MAX;
use super::*;

const STREAMS_MAX: u32 = 4;

fn limits() -> Limits {
    let second = std::time::Duration::from_secs(1);
    Limits {
        streams_max: STREAMS_MAX,
        idle_timeout: second,
        preface_timeout: second,
        write_timeout: second,
        fields_bytes_max: 16 << 10,
        pending_resets_max: 1_000,
        error_resets_max: 1_000,
        drain_bytes_s_min: 1,
    }
}

/// What a client does, or a handler, or the loop.
#[derive(Debug, Clone)]
enum Act {
    /// Begins the next stream.
    Ask {
        is_end: bool,
    },
    /// Of the stream that was begun so many before the last.
    Data {
        stream: u32,
        bytes: usize,
        padding: usize,
        is_end: bool,
    },
    Trailers(u32),
    Reset(u32),
    /// 0 is the connection's.
    Window(u32, u32),
    InitialWindow(u32),
    Ping,
    /// The loop has its handlers look at what came.
    Accept,
    /// The loop writes.
    Write,
    /// Of the handler with this number, among those there are.
    Head(usize, bool),
    Put {
        handler: usize,
        bytes: usize,
        is_end: bool,
        asks_for_room: bool,
    },
    TrailersOut(usize),
    Read(usize),
    GiveUp(usize),
    LetGo(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let ago = 0..6_u32;
    let handler = 0..5_usize;
    prop_oneof![
        4 => any::<bool>().prop_map(|is_end| Act::Ask { is_end }),
        6 => (ago.clone(), 0..16_000_usize, 0..300_usize, any::<bool>()).prop_map(
            |(stream, bytes, padding, is_end)| Act::Data { stream, bytes, padding, is_end }
        ),
        1 => ago.clone().prop_map(Act::Trailers),
        3 => ago.clone().prop_map(Act::Reset),
        3 => (0..7_u32, 1..2_000_000_u32).prop_map(|(stream, bytes)| Act::Window(stream, bytes)),
        2 => (0..1_000_000_u32).prop_map(Act::InitialWindow),
        1 => Just(Act::Ping),
        6 => Just(Act::Accept),
        6 => Just(Act::Write),
        4 => (handler.clone(), any::<bool>()).prop_map(|(at, is_end)| Act::Head(at, is_end)),
        8 => (handler.clone(), 0..700_000_usize, any::<bool>(), any::<bool>()).prop_map(
            |(handler, bytes, is_end, asks_for_room)| {
                Act::Put { handler, bytes, is_end, asks_for_room }
            }
        ),
        1 => handler.clone().prop_map(Act::TrailersOut),
        6 => handler.clone().prop_map(Act::Read),
        1 => handler.clone().prop_map(Act::GiveUp),
        3 => handler.prop_map(Act::LetGo),
    ]
}

/// What an [`Exchange`](crate::Exchange) knows.
struct Held {
    slot: usize,
    is_begun: bool,
    is_done: bool,
}

struct Scene {
    state: State,
    handlers: Vec<Held>,
    accepted: VecDeque<Accepted>,
    written: Output,
    last_stream: u32,
}

/// `GET https://x/`, or fields without those.
fn block(is_request: bool) -> &'static [u8] {
    if is_request {
        b"\x82\x87\x84\x41\x01x"
    } else {
        b"\x00\x01a\x01b"
    }
}

impl Scene {
    fn new() -> Self {
        Self {
            state: State::new(&limits()),
            handlers: Vec::new(),
            accepted: VecDeque::new(),
            written: Output::default(),
            last_stream: 0,
        }
    }

    fn stream(&self, ago: u32) -> u32 {
        self.last_stream.saturating_sub(2 * ago).max(1)
    }

    /// False: the connection ends.
    fn play(&mut self, act: Act) -> bool {
        let frame = match act {
            Act::Ask { is_end } => {
                self.last_stream = (self.last_stream + 2) | 1;
                return self.headers(self.last_stream, true, is_end);
            }
            Act::Trailers(ago) => return self.headers(self.stream(ago), false, true),
            Act::Data {
                stream,
                bytes,
                padding,
                is_end,
            } => {
                let data = vec![7; bytes];
                let frame = Frame::Data {
                    stream: self.stream(stream),
                    data: &data,
                    flow_bytes: bytes + padding,
                    is_end,
                };
                return self.state.apply(Ok(frame)).is_ok();
            }
            Act::InitialWindow(bytes) => {
                let mut frame = vec![0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4];
                frame.extend(bytes.to_be_bytes());
                let Ok(Parsed::Frame { frame, .. }) = parse(&frame, 100) else {
                    panic!("no frame");
                };
                return self.state.apply(frame).is_ok();
            }
            Act::Reset(ago) => Frame::Reset {
                stream: self.stream(ago),
                code: Code::CANCEL,
            },
            Act::Window(0, bytes) => Frame::WindowUpdate { stream: 0, bytes },
            Act::Window(ago, bytes) => Frame::WindowUpdate {
                stream: self.stream(ago - 1),
                bytes,
            },
            Act::Ping => Frame::Ping([1; 8]),
            other => {
                self.work(other);
                return true;
            }
        };
        self.state.apply(Ok(frame)).is_ok()
    }

    fn headers(&mut self, stream: u32, is_request: bool, is_end: bool) -> bool {
        let frame = Frame::Headers {
            stream,
            block: block(is_request),
            is_end,
            is_whole: true,
        };
        self.state.apply(Ok(frame)).is_ok()
    }

    fn work(&mut self, act: Act) {
        match act {
            Act::Accept => self.accept(),
            Act::Write => {
                self.state.fill(&mut self.written);
                let bytes = self.written.len();
                self.written.advance(bytes);
            }
            Act::LetGo(at) if at < self.handlers.len() => {
                let held = self.handlers.swap_remove(at);
                self.state.let_go(held.slot);
            }
            Act::Head(at, _)
            | Act::TrailersOut(at)
            | Act::Read(at)
            | Act::GiveUp(at)
            | Act::Put { handler: at, .. } => {
                if let Some(held) = self.handlers.get_mut(at) {
                    answer(&mut self.state, held, &act);
                }
            }
            _ => {}
        }
    }

    fn accept(&mut self) {
        self.state.take_accepted(&mut self.accepted);
        let held = |accepted: Accepted| Held {
            slot: accepted.slot,
            is_begun: false,
            is_done: false,
        };
        self.handlers.extend(self.accepted.drain(..).map(held));
    }

    fn check(&mut self) {
        let state = &mut self.state;
        let (mut open, mut reserved, mut unread) = (0, 0, 0);
        for stream in state.slots.all() {
            let queued: usize = stream.queue.iter().map(Bytes::len).sum();
            assert_eq!(stream.queued, queued);
            assert!(stream.reserved <= queued);
            assert!(stream.has_handle || !stream.is_closed(), "left behind");
            open += u32::from(!stream.is_closed());
            reserved += stream.reserved;
            unread += stream.body.len();
            if stream.gone.is_none() && !stream.is_heard {
                let reckoned = stream.body.len() + stream.body_untold;
                let reckoned = stream.body_window.bytes() + i64::try_from(reckoned).unwrap();
                assert_eq!(reckoned, i64::from(STREAM_WINDOW_BYTES));
            }
            let id = stream.id;
            let in_turn = state.turns.iter().filter(|(_, other)| *other == id).count();
            assert!(in_turn <= 1);
            assert!(!stream.is_in_turn || in_turn == 1);
        }
        assert_eq!(state.slots.open(), open);
        assert!(open <= STREAMS_MAX);
        assert_eq!(state.reserved, reserved);
        assert!(!state.is_full || state.reserved > 0);
        let most = WAITING_BYTES_MAX + (512 << 10);
        assert!(state.reserved < most, "{}", state.reserved);
        let reckoned = i64::try_from(unread + state.untold).unwrap() + state.window_in.bytes();
        assert_eq!(reckoned, i64::from(CONNECTION_WINDOW_BYTES), "room is lost");
    }

    /// Once nobody holds anything, and the client gives all the room there is, nothing is left.
    fn end(mut self) {
        self.accept();
        for held in std::mem::take(&mut self.handlers) {
            self.state.let_go(held.slot);
        }
        self.check();
        // What the client had not said all of was reset; what waits is for its windows.
        let ids: Vec<u32> = self.state.slots.all().map(|stream| stream.id).collect();
        for stream in ids.into_iter().chain([0]) {
            let window = Frame::WindowUpdate {
                stream,
                bytes: 1 << 30,
            };
            self.state.apply(Ok(window)).unwrap();
        }
        for _ in 0..200 {
            self.work(Act::Write);
        }
        self.check();
        assert_eq!(self.state.slots.open(), 0, "{:?}", self.state);
        assert_eq!(self.state.reserved, 0);
        assert!(self.state.turns.is_empty());
        assert_eq!(self.state.output_bytes(), 0);
    }
}

/// In the order that an exchange keeps to.
fn answer(state: &mut State, held: &mut Held, act: &Act) {
    let context = Context::from_waker(Waker::noop());
    let slot = held.slot;
    match *act {
        Act::Head(_, is_end) if !held.is_begun => {
            held.is_begun = true;
            held.is_done = is_end;
            let _ = state.head(slot, StatusCode::OK, &HeaderMap::new(), is_end);
        }
        Act::Put {
            bytes,
            is_end,
            asks_for_room,
            ..
        } if held.is_begun && !held.is_done => {
            let room = if asks_for_room {
                match state.poll_room(slot, &context) {
                    Poll::Ready(Ok(room)) => room,
                    _ => return,
                }
            } else {
                // What is handed over at once is no more than that.
                65_535
            };
            let data = Bytes::from(vec![7; bytes.min(room)]);
            held.is_done = is_end;
            let has_room = asks_for_room && !data.is_empty();
            let _ = state.data_out(slot, data, is_end, has_room);
        }
        Act::TrailersOut(_) if held.is_begun && !held.is_done => {
            held.is_done = true;
            let _ = state.trailers_out(slot, HeaderMap::new());
        }
        Act::Read(_) => {
            let _ = state.poll_body(slot, &context);
        }
        Act::GiveUp(_) => {
            held.is_done = true;
            state.reset(slot, Code::INTERNAL_ERROR);
        }
        _ => {
            let _ = state.poll_gone(slot, &context);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_reckoned_stays_so(acts in prop::collection::vec(act(), 1..120)) {
        let mut scene = Scene::new();
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let Ok(Parsed::Frame { frame, .. }) = parse(&settings, 100) else {
            panic!("no frame");
        };
        scene.state.apply(frame).unwrap();
        let mut goes_on = true;
        for act in acts {
            goes_on = scene.play(act);
            if !goes_on {
                break;
            }
            scene.check();
        }
        if goes_on {
            scene.end();
        } else {
            // Whoever still answers lets go of what is over.
            scene.state.end(Some(Code::PROTOCOL_ERROR));
            for held in scene.handlers {
                scene.state.let_go(held.slot);
            }
        }
    }
}
