//! Files made by the `ffmpeg` tool on the spot, described; and the ones that must be refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

use mcsp_media_probe::{Hdr, Orientation, Probe, ProbeLimits, Ratio, probe, refusal};
use mcsp_media_sandbox::JobError;

fn ffmpeg(dir: &Path, name: &str, arguments: &[&str]) -> PathBuf {
    let path = dir.join(name);
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(arguments)
        .arg(&path)
        .status()
        .expect("the ffmpeg tool is installed");
    assert!(status.success(), "ffmpeg {arguments:?}");
    path
}

fn describe(path: &Path) -> Probe {
    probe(path, &ProbeLimits::default()).unwrap()
}

fn refused(path: &Path) -> (String, String) {
    match probe(path, &ProbeLimits::default()) {
        Err(JobError::Refused { code, reason }) => (code, reason),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

const PICTURE: &[&str] = &[
    "-f",
    "lavfi",
    "-i",
    "testsrc2=size=320x180:rate=24:duration=2",
];
const SOUND: &[&str] = &[
    "-f",
    "lavfi",
    "-i",
    "sine=frequency=440:sample_rate=44100:duration=2",
];

#[test]
fn a_common_file_is_described() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = [
        PICTURE,
        SOUND,
        &[
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
        ],
    ]
    .concat();
    let found = describe(&ffmpeg(dir.path(), "a.mp4", &arguments));
    assert!(found.container.starts_with("mov,mp4"));
    assert!((2000..2100).contains(&found.duration_ms), "{found:?}");
    let video = found.video.unwrap();
    assert_eq!(
        (video.codec.as_str(), video.width, video.height),
        ("h264", 320, 180)
    );
    assert_eq!(
        (video.frame_rate, video.constant_rate),
        (Some(Ratio { num: 24, den: 1 }), true)
    );
    assert_eq!((video.bit_depth, video.hdr), (8, None));
    assert_eq!(video.orientation, Orientation::default());
    let audio = found.audio.unwrap();
    assert_eq!(
        (
            audio.codec.as_str(),
            audio.rate_hz,
            audio.channels,
            audio.lossless
        ),
        ("aac", 44_100, 1, false)
    );
}

#[test]
fn turned_deep_and_stretched_pictures_are_seen() {
    let dir = tempfile::tempdir().unwrap();
    let plain = ffmpeg(
        dir.path(),
        "plain.mp4",
        &[PICTURE, &["-c:v", "libx264", "-preset", "ultrafast"]].concat(),
    );
    let plain = plain.to_str().unwrap();
    let turned = ffmpeg(
        dir.path(),
        "turned.mp4",
        &["-i", plain, "-c", "copy", "-metadata:s:v", "rotate=90"],
    );
    let video = describe(&turned).video.unwrap();
    assert_eq!(
        (video.orientation.clockwise_deg, video.orientation.mirrored),
        // The tool writes the matrix of the counter-clockwise turn.
        (270, false)
    );
    assert_eq!(video.display_size(), (180, 320));

    let deep = [
        PICTURE,
        &[
            "-vf",
            "format=yuv420p10le",
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
            "-x265-params",
            "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc",
        ],
    ]
    .concat();
    let video = describe(&ffmpeg(dir.path(), "deep.mkv", &deep))
        .video
        .unwrap();
    assert_eq!(
        (video.bit_depth, video.hdr, video.codec.as_str()),
        (10, Some(Hdr::Pq), "hevc")
    );

    let wide = [
        PICTURE,
        &[
            "-vf",
            "setsar=4/3",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
        ],
    ]
    .concat();
    let video = describe(&ffmpeg(dir.path(), "wide.mp4", &wide))
        .video
        .unwrap();
    assert_eq!(video.display_size(), (427, 180));
}

#[test]
fn sound_alone_and_cover_art() {
    let dir = tempfile::tempdir().unwrap();
    let wav = describe(&ffmpeg(dir.path(), "a.wav", SOUND));
    assert!(wav.video.is_none() && wav.audio.unwrap().lossless);
    let cover = ffmpeg(
        dir.path(),
        "cover.png",
        &["-f", "lavfi", "-i", "testsrc2=size=64x64", "-frames:v", "1"],
    );
    let cover = cover.to_str().unwrap();
    let arguments = [
        SOUND,
        &[
            "-i",
            cover,
            "-map",
            "0",
            "-map",
            "1",
            "-c:v",
            "copy",
            "-disposition:v",
            "attached_pic",
        ],
    ]
    .concat();
    let song = describe(&ffmpeg(dir.path(), "song.mp3", &arguments));
    assert!(song.video.is_none(), "a cover is no video");
    assert_eq!(song.audio.unwrap().codec, "mp3");
}

#[test]
fn what_is_no_media_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    assert_eq!(refused(&file("empty.mp4", b"")).0, refusal::EMPTY);
    let text = "A text renamed. ".repeat(1000);
    assert_eq!(
        refused(&file("text.mp4", text.as_bytes())).0,
        refusal::NOT_MEDIA
    );
    // Formats that FFmpeg would open, and that would have it open further files.
    for (name, bytes) in [
        (
            "list.mp4",
            &b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
                [..],
        ),
        ("list2.mp4", b"ffconcat version 1.0\nfile /etc/passwd\n"),
        (
            "sub.mp4",
            b"1\n00:00:00,000 --> 00:00:01,000\nhello\n\n2\n00:00:01,000 --> 00:00:02,000\nhello\n",
        ),
    ] {
        assert_eq!(refused(&file(name, bytes)).0, refusal::NOT_MEDIA, "{name}");
    }
    let noise: Vec<u8> = (0..20_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    assert_eq!(refused(&file("noise.mp4", &noise)).0, refusal::NOT_MEDIA);
}

#[test]
fn a_file_cut_short_is_refused_wherever_it_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = [
        PICTURE,
        SOUND,
        &["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"],
    ]
    .concat();
    let late_index = ffmpeg(dir.path(), "late.mp4", &arguments);
    let early_index = ffmpeg(
        dir.path(),
        "early.mp4",
        &[&arguments[..], &["-movflags", "+faststart"]].concat(),
    );
    let mpeg4 = [PICTURE, SOUND, &["-c:v", "mpeg4", "-c:a", "pcm_s16le"]].concat();
    let avi = ffmpeg(dir.path(), "plain.avi", &mpeg4);
    let wav = ffmpeg(dir.path(), "plain.wav", SOUND);
    for path in [late_index, early_index, avi, wav] {
        assert!(probe(&path, &ProbeLimits::default()).is_ok());
        let bytes = std::fs::read(&path).unwrap();
        for tenths in [3, 5, 9] {
            std::fs::write(&path, &bytes[..bytes.len() * tenths / 10]).unwrap();
            let (code, reason) = refused(&path);
            assert_eq!(
                code,
                refusal::TRUNCATED,
                "{tenths}/10 of {}",
                path.display()
            );
            assert!(reason.contains("again"), "says what to do: {reason}");
        }
    }
}

#[test]
fn a_damaged_index_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = ffmpeg(
        dir.path(),
        "film.mp4",
        &[PICTURE, &["-c:v", "libx264", "-preset", "ultrafast"]].concat(),
    );
    let mut bytes = std::fs::read(&path).unwrap();
    let table = bytes.windows(4).position(|kind| kind == b"stts").unwrap();
    // How many entries follow.
    bytes[table + 8..table + 12].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let (code, reason) = refused(&path);
    assert_eq!(code, refusal::DAMAGED, "{reason}");
}

#[test]
fn limits_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = ffmpeg(
        dir.path(),
        "a.mkv",
        &[PICTURE, &["-c:v", "libx264", "-preset", "ultrafast"]].concat(),
    );
    let with = |change: fn(&mut ProbeLimits)| {
        let mut limits = ProbeLimits::default();
        change(&mut limits);
        match probe(&path, &limits) {
            Err(JobError::Refused { code, .. }) => code,
            other => panic!("expected a refusal, got {other:?}"),
        }
    };
    assert_eq!(
        with(|limits| limits.video_bytes_max = 100),
        refusal::TOO_LARGE
    );
    assert_eq!(
        with(|limits| limits.duration_ms_max = 1000),
        refusal::OUT_OF_LIMITS
    );
    assert_eq!(
        with(|limits| limits.side_pixels_max = 300),
        refusal::OUT_OF_LIMITS
    );
}
