//! Frames there and back, and what is none.

use bytes::BytesMut;
use mcsp_edge_h2_wire::frame::{
    FRAME_BYTES, Frame, GoAway, Parsed, Setting, parse, put_data_head, put_go_away, put_headers,
    put_ping, put_reset, put_settings, put_settings_ack, put_window_update,
};
use mcsp_edge_h2_wire::{Code, ConnectionError, StreamError};
use proptest::prelude::*;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn read(bytes: &[u8]) -> Result<Result<Frame<'_>, StreamError>, ConnectionError> {
    match parse(bytes, FRAME_BYTES)? {
        Parsed::Frame { length, frame } => {
            assert_eq!(length, bytes.len());
            Ok(frame)
        }
        Parsed::Incomplete(bytes) => panic!("{bytes}"),
    }
}

fn written(write: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::new();
    write(&mut out);
    out
}

#[test]
fn what_is_written_is_read() {
    let data = written(|out| {
        put_data_head(out, 5, 3, true);
        out.extend_from_slice(b"abc");
    });
    let wanted = Frame::Data {
        stream: 5,
        data: b"abc",
        flow_bytes: 3,
        is_end: true,
    };
    assert_eq!(read(&data), Ok(Ok(wanted)));
    let reset = written(|out| put_reset(out, 7, Code::CANCEL));
    let wanted = Frame::Reset {
        stream: 7,
        code: Code::CANCEL,
    };
    assert_eq!(read(&reset), Ok(Ok(wanted)));
    let go_away = GoAway {
        last_stream: 9,
        code: Code::NO_ERROR,
    };
    let wanted = Frame::GoAway {
        code: Code::NO_ERROR,
    };
    assert_eq!(
        read(&written(|out| put_go_away(out, go_away))),
        Ok(Ok(wanted))
    );
    let payload = *b"12345678";
    assert_eq!(
        read(&written(|out| put_ping(out, payload, false))),
        Ok(Ok(Frame::Ping(payload)))
    );
    assert_eq!(
        read(&written(|out| put_ping(out, payload, true))),
        Ok(Ok(Frame::Pong(payload)))
    );
    let wanted = Frame::WindowUpdate {
        stream: 0,
        bytes: 1,
    };
    assert_eq!(
        read(&written(|out| put_window_update(out, 0, 1))),
        Ok(Ok(wanted))
    );
    assert_eq!(read(&written(put_settings_ack)), Ok(Ok(Frame::SettingsAck)));
}

#[test]
fn settings_come_in_their_order_without_those_that_are_unknown() {
    let all = [
        Setting::HeaderTableSize(1),
        Setting::EnablePush(true),
        Setting::MaxConcurrentStreams(2),
        Setting::InitialWindowSize(3),
        Setting::MaxFrameSize(16_384),
        Setting::InitialWindowSize(4),
        Setting::MaxHeaderListSize(5),
        Setting::NoRfc7540Priorities(true),
    ];
    let mut bytes = written(|out| put_settings(out, &all)).to_vec();
    bytes.extend([0x7f, 0xff, 0, 0, 0, 1]);
    bytes[2] += 6;
    let Ok(Ok(Frame::Settings(settings))) = read(&bytes) else {
        panic!("{bytes:?}");
    };
    assert!(settings.into_iter().eq(all));
}

#[test]
fn a_block_that_is_too_long_for_a_frame_is_continued() {
    let block: Vec<u8> = (0..40_000_u32).map(|at| at as u8).collect();
    for length in [0, 1, 16_383, 16_384, 16_385, 32_768, 40_000] {
        let bytes = written(|out| {
            out.extend_from_slice(b"before");
            put_headers(out, 3, true, FRAME_BYTES, |out| {
                out.extend_from_slice(&block[..length]);
            });
        });
        let mut rest = &bytes[6..];
        let mut read = Vec::new();
        let mut is_over = false;
        while !rest.is_empty() {
            assert!(!is_over);
            let Ok(Parsed::Frame {
                length,
                frame: Ok(frame),
            }) = parse(rest, FRAME_BYTES)
            else {
                panic!("{length}");
            };
            let (part, is_whole) = match frame {
                Frame::Headers {
                    stream: 3,
                    block,
                    is_end: true,
                    is_whole,
                } if read.is_empty() => (block, is_whole),
                Frame::Continuation {
                    stream: 3,
                    block,
                    is_whole,
                } => (block, is_whole),
                frame => panic!("{frame:?}"),
            };
            read.extend_from_slice(part);
            is_over = is_whole;
            rest = &rest[length..];
        }
        assert!(is_over && read == block[..length], "{length}");
    }
}

#[test]
fn padding_and_priority_are_taken_away() {
    let padded = frame(0, 8, 1, b"\x03abc\0\0\0");
    let wanted = Frame::Data {
        stream: 1,
        data: b"abc",
        flow_bytes: 7,
        is_end: false,
    };
    assert_eq!(read(&padded), Ok(Ok(wanted)));
    let both = frame(1, 0x2d, 1, b"\x02\0\0\0\x03\x10block\0\0");
    let wanted = Frame::Headers {
        stream: 1,
        block: b"block",
        is_end: true,
        is_whole: true,
    };
    assert_eq!(read(&both), Ok(Ok(wanted)));
    // All of it may be padding.
    assert!(matches!(
        read(&frame(0, 8, 1, b"\x02\0\0")),
        Ok(Ok(Frame::Data { data: b"", .. }))
    ));
}

#[test]
fn what_a_client_may_not_send_has_its_code() {
    let (protocol, size, flow) = (
        Code::PROTOCOL_ERROR,
        Code::FRAME_SIZE_ERROR,
        Code::FLOW_CONTROL_ERROR,
    );
    let connection = [
        (0, 0, 0, &b"a"[..], protocol),
        (0, 8, 1, b"", size),
        (0, 8, 1, b"\x01", protocol),
        (0, 8, 1, b"\x03ab", protocol),
        (1, 4, 0, b"", protocol),
        (1, 8, 1, b"\x05ab", protocol),
        (1, 0x20, 1, b"\0\0\0\0", size),
        (1, 0x20, 1, b"\0\0\0\x01\0", protocol),
        (2, 0, 0, b"\0\0\0\x01\0", protocol),
        (3, 0, 0, b"\0\0\0\0", protocol),
        (3, 0, 1, b"\0\0\0", size),
        (4, 0, 1, b"", protocol),
        (4, 1, 0, b"\0\x01\0\0\0\0", size),
        (4, 0, 0, b"\0\x01\0\0\0", size),
        (4, 0, 0, b"\0\x02\0\0\0\x02", protocol),
        (4, 0, 0, b"\0\x04\x80\0\0\0", flow),
        (4, 0, 0, b"\0\x05\0\0\x3f\xff", protocol),
        (4, 0, 0, b"\0\x05\x01\0\0\0", protocol),
        (4, 0, 0, b"\0\x09\0\0\0\x02", protocol),
        (5, 4, 1, b"\0\0\0\x02", protocol),
        (6, 0, 1, b"12345678", protocol),
        (6, 0, 0, b"1234567", size),
        (7, 0, 1, b"\0\0\0\0\0\0\0\0", protocol),
        (7, 0, 0, b"\0\0\0\0\0\0\0", size),
        (8, 0, 0, b"\0\0\0", size),
        (8, 0, 0, b"\0\0\0\0", protocol),
        (9, 0, 0, b"", protocol),
        (16, 0, 1, b"\0\0\0\x01", protocol),
        (16, 0, 0, b"\0\0\0", size),
        (16, 0, 0, b"\0\0\0\0u=1", protocol),
    ];
    for (kind, flags, stream, payload, code) in connection {
        let error = read(&frame(kind, flags, stream, payload)).unwrap_err();
        assert_eq!(error.code, code, "{kind} {flags} {stream} {error}");
    }
    for (kind, payload, code) in [
        (2, &b"\0\0\0\x05"[..], size),
        (2, b"\0\0\0\x01\0", protocol),
        (8, b"\x80\0\0\0", protocol),
    ] {
        let error = read(&frame(kind, 0, 1, payload)).unwrap().unwrap_err();
        assert_eq!((error.stream, error.code), (1, code), "{kind} {error}");
    }
    // Its length alone is enough.
    let error = parse(b"\0\x40\x01\x77\0\0\0\0\0", FRAME_BYTES).unwrap_err();
    assert_eq!(error.code, size);
    assert!(matches!(
        read(&frame(0x77, 0xff, 9, b"?")),
        Ok(Ok(Frame::Unknown))
    ));
}

proptest! {
    /// Wherever a frame is cut, it is waited for; the stream's highest bit says nothing.
    #[test]
    fn a_frame_that_is_cut_is_waited_for(
        kind in 0..20_u8, flags in any::<u8>(), stream in any::<u32>(),
        payload in prop::collection::vec(any::<u8>(), 0..60), at in any::<prop::sample::Index>(),
    ) {
        let bytes = frame(kind, flags, stream, &payload);
        let at = at.index(bytes.len());
        let wanted = if at < 9 { 9 } else { bytes.len() };
        prop_assert_eq!(parse(&bytes[..at], 60), Ok(Parsed::Incomplete(wanted)));
        let other = frame(kind, flags, stream ^ 1 << 31, &payload);
        prop_assert_eq!(parse(&bytes, 60), parse(&other, 60));
        // What follows does not matter.
        let followed = [&bytes[..], b"more"].concat();
        prop_assert_eq!(parse(&bytes, 60), parse(&followed, 60));
    }
}
