//! What is written is what is cut, and the timeline of the cut files has neither gap nor overlap.

use std::io::Cursor;

use mcsp_media_package::{
    EncodedSample, PackageError, TrackConfig, TrackWriter, mezzanine_parts, split_mezzanine,
};
use proptest::prelude::*;

use crate::support::{access_unit, audio, video, video_kind};

/// (decode time, [(duration, size, composition offset)]) of one segment, by a reader that knows only the standard.
fn read_segment(bytes: &[u8]) -> (u64, Vec<(u32, u32, i32)>) {
    fn child<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> &'a [u8] {
        let mut at = 0;
        while at < bytes.len() {
            let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            if &bytes[at + 4..at + 8] == kind {
                return &bytes[at + 8..at + size];
            }
            at += size;
        }
        panic!("no {} box", String::from_utf8_lossy(kind));
    }
    let u32_at =
        |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let traf = child(child(bytes, b"moof"), b"traf");
    let tfdt = child(traf, b"tfdt");
    assert_eq!(tfdt[0], 1, "tfdt version");
    let decode = u64::from_be_bytes(tfdt[4..12].try_into().unwrap());
    let trun = child(traf, b"trun");
    let fields = u32_at(trun, 0);
    assert_eq!(fields >> 24, 1, "trun version");
    let (mut at, mut samples) = (12, Vec::new());
    for _ in 0..u32_at(trun, 4) {
        let (duration, size) = (u32_at(trun, at), u32_at(trun, at + 4));
        at += 8;
        let mut offset = 0;
        if fields & 0x800 != 0 {
            offset = u32_at(trun, at + 4) as i32;
            at += 8;
        }
        samples.push((duration, size, offset));
    }
    let data_offset = u32_at(trun, 8) as usize;
    let moof_at = bytes.windows(4).position(|w| w == b"moof").unwrap() - 4;
    let mdat = child(bytes, b"mdat");
    assert_eq!(
        &bytes[moof_at + data_offset..],
        mdat,
        "the data offset points at the payload"
    );
    assert_eq!(
        samples.iter().map(|s| s.1 as usize).sum::<usize>(),
        mdat.len()
    );
    (decode, samples)
}

#[test]
fn the_parts_are_the_mezzanine_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    for (info, bytes) in [video("v360", 360, None, 260), audio("a64", 64_000, 500)] {
        let path = dir.path().join("track.mp4");
        std::fs::write(&path, &bytes).unwrap();
        let folder = dir.path().join(&info.id);
        std::fs::create_dir(&folder).unwrap();
        let parts = split_mezzanine(&path, &info, &folder).unwrap();
        assert_eq!(parts.len(), info.segments.len() + 1);
        let joined: Vec<u8> = parts
            .iter()
            .flat_map(|part| std::fs::read(folder.join(&part.name)).unwrap())
            .collect();
        assert_eq!(joined, bytes);
        assert_eq!(parts[0].name, "init.mp4");
        assert_eq!(parts[1].name, "1.m4s");
    }
}

#[test]
fn segments_are_cut_on_the_grid() {
    let (info, _) = video("v360", 360, None, 260);
    let durations: Vec<u64> = info
        .segments
        .iter()
        .map(|s| s.duration_ticks / 1000)
        .collect();
    assert_eq!(durations, [100, 100, 60]);
    let (info, _) = audio("a64", 64_000, 500);
    // The first frame at or after each 4 s begins a segment: frame 188 at 4.011 s, frame 375 at 8 s exactly.
    let durations: Vec<u64> = info
        .segments
        .iter()
        .map(|s| s.duration_ticks / 1024)
        .collect();
    assert_eq!(durations, [188, 187, 125]);
}

#[test]
fn a_damaged_mezzanine_is_refused() {
    let (info, bytes) = audio("a64", 64_000, 500);
    let refused = |bytes: Vec<u8>| {
        assert!(matches!(
            mezzanine_parts(&mut Cursor::new(bytes), &info),
            Err(PackageError::Corrupt(_))
        ));
    };
    refused(bytes[..bytes.len() - 1].to_vec());
    refused(bytes[..usize::try_from(info.init_bytes).unwrap()].to_vec());
    refused([bytes.clone(), vec![0; 8]].concat());
    refused(Vec::new());
    let mut renamed = bytes.clone();
    renamed[5] = b'x';
    refused(renamed);
    let mut other = info.clone();
    other.segments[0].size_bytes += 1;
    assert!(mezzanine_parts(&mut Cursor::new(bytes), &other).is_err());
}

#[test]
fn a_track_must_begin_at_zero_with_parameter_sets() {
    let config = TrackConfig {
        id: "v360".into(),
        track: video_kind(360, None),
        timescale: 1000,
        reorder_ticks: 0,
    };
    let unit = access_unit(true, 10, 1);
    let bare = access_unit(false, 10, 1);
    let push = |data: &[u8], present_ticks, is_sync| {
        TrackWriter::new(Vec::new(), config.clone()).push(EncodedSample {
            data,
            present_ticks,
            is_sync,
        })
    };
    assert!(push(&unit, 0, true).is_ok());
    assert!(push(&unit, 5, true).is_err());
    assert!(push(&unit, 0, false).is_err());
    assert!(push(&bare, 0, true).is_err());
    assert!(
        TrackWriter::new(Vec::new(), config.clone())
            .finish(10)
            .is_err()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Any frame rate that varies, any key frames: segments tile [0, end), and every sample's presentation time is kept.
    #[test]
    fn segments_tile_the_presentation(
        frames in proptest::collection::vec((1u64..9000, proptest::bool::weighted(0.03)), 1..400),
    ) {
        let config = TrackConfig { id: "v360".into(), track: video_kind(360, None), timescale: 10_000, reorder_ticks: 0 };
        let mut writer = TrackWriter::new(Vec::new(), config);
        let (mut at, mut presented) = (0, Vec::new());
        for (n, (duration, key)) in frames.iter().enumerate() {
            let is_sync = n == 0 || *key;
            let data = access_unit(is_sync, n % 90, 7);
            writer.push(EncodedSample { data: &data, present_ticks: at, is_sync }).unwrap();
            presented.push(at);
            at += duration;
        }
        let (info, bytes) = writer.finish(at).unwrap();
        prop_assert_eq!(info.duration_ticks(), at);
        let parts = mezzanine_parts(&mut Cursor::new(&bytes), &info).unwrap();
        let (mut decode, mut read_back) = (0, Vec::new());
        for (part, expected) in parts.iter().skip(1).zip(&info.segments) {
            let from = usize::try_from(part.offset).unwrap();
            let to = from + usize::try_from(part.size_bytes).unwrap();
            let (start, samples) = read_segment(&bytes[from..to]);
            prop_assert_eq!(start, decode);
            for (duration, _, offset) in samples {
                read_back.push(u64::try_from(i64::try_from(decode).unwrap() + i64::from(offset)).unwrap());
                decode += u64::from(duration);
            }
            prop_assert_eq!(decode - start, expected.duration_ticks);
        }
        prop_assert_eq!(decode, at);
        prop_assert_eq!(read_back, presented);
    }
}

#[test]
fn reordered_frames_keep_their_times() {
    let (info, bytes) = video("v360", 360, None, 101);
    let parts = mezzanine_parts(&mut Cursor::new(&bytes), &info).unwrap();
    let mut presented = Vec::new();
    for part in &parts[1..] {
        let from = usize::try_from(part.offset).unwrap();
        let (mut decode, samples) =
            read_segment(&bytes[from..from + usize::try_from(part.size_bytes).unwrap()]);
        for (duration, _, offset) in samples {
            presented.push(i64::try_from(decode).unwrap() + i64::from(offset));
            decode += u64::from(duration);
        }
    }
    presented.sort_unstable();
    assert_eq!(presented, (0..101).map(|n| n * 1000).collect::<Vec<i64>>());
}
