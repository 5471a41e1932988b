//! Thumbnails of clips made on the spot. The job runs in this process; that it runs confined is the worker's test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

use mcsp_media_art::{ThumbnailInput, ThumbnailJob};
use mcsp_media_sandbox::{Job, JobError, Reporter};

fn clip(dir: &Path, source: &str) -> PathBuf {
    let path = dir.join("clip.mp4");
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", source])
        .args([
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-g",
            "50",
            "-pix_fmt",
            "yuv420p",
        ])
        .arg(&path)
        .status()
        .expect("the ffmpeg tool is installed");
    assert!(status.success());
    path
}

fn thumbnails(dir: &Path, source: &str) -> Vec<PathBuf> {
    let input = ThumbnailInput {
        path: clip(dir, source),
        out_dir: dir.to_path_buf(),
    };
    let names = ThumbnailJob::run(input, &mut Reporter::silent()).unwrap();
    names.into_iter().map(|name| dir.join(name)).collect()
}

/// Width, height and mean luma of a picture file, by FFmpeg's tool.
fn look(path: &Path) -> (u32, u32, f64) {
    let filter = format!("movie={},signalstats", path.display());
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-f", "lavfi", "-i", &filter])
        .args([
            "-show_entries",
            "frame=width,height:frame_tags=lavfi.signalstats.YAVG",
            "-of",
            "csv=p=0",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let fields: Vec<&str> = text.trim().split(',').collect();
    (
        fields[0].parse().unwrap(),
        fields[1].parse().unwrap(),
        fields[2].parse().unwrap(),
    )
}

#[test]
fn a_common_item_gets_five_of_the_right_size() {
    let dir = tempfile::tempdir().unwrap();
    let files = thumbnails(dir.path(), "testsrc2=size=854x480:rate=25:duration=12");
    assert_eq!(files.len(), 5);
    let mut contents: Vec<Vec<u8>> = files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect();
    assert!(
        contents
            .iter()
            .all(|bytes| bytes.starts_with(&[0xff, 0xd8]) && bytes.len() > 2000)
    );
    contents.dedup();
    assert_eq!(contents.len(), 5, "five different pictures");
    let (width, height, _) = look(&files[0]);
    assert_eq!((width, height), (640, 360));
}

#[test]
fn black_stretches_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    // Black but for a second in every four.
    let source =
        "testsrc2=size=320x180:rate=25:duration=20,drawbox=c=black:t=fill:enable='gt(mod(t,4),1)'";
    let files = thumbnails(dir.path(), source);
    assert!((3..=5).contains(&files.len()));
    let luma: Vec<f64> = files.iter().map(|file| look(file).2).collect();
    assert!(
        luma.iter().filter(|mean| **mean > 32.0).count() >= 3,
        "{luma:?}"
    );
    assert!(
        luma[0] > 32.0,
        "the default is a picture with something in it"
    );
}

#[test]
fn short_black_and_portrait_items() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        thumbnails(dir.path(), "testsrc2=size=320x180:rate=25:duration=0.5").len(),
        3
    );
    assert_eq!(
        thumbnails(dir.path(), "testsrc2=size=320x180:rate=25:duration=0.04").len(),
        1,
        "one picture, once"
    );
    assert!(
        !thumbnails(dir.path(), "color=black:size=320x180:rate=25:duration=12").is_empty(),
        "better black than none"
    );
    let portrait = thumbnails(dir.path(), "testsrc2=size=360x640:rate=25:duration=3");
    assert_eq!(look(&portrait[0]).0, 360, "never above the rendition");
}

#[test]
fn sound_has_no_thumbnails() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.m4a");
    let made = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-nostdin",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "sine=duration=2",
            "-c:a",
            "aac",
        ])
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    let input = ThumbnailInput {
        path,
        out_dir: dir.path().to_path_buf(),
    };
    assert!(matches!(
        ThumbnailJob::run(input, &mut Reporter::silent()),
        Err(JobError::Refused { .. })
    ));
}
