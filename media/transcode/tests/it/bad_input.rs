//! Damaged files are played as far as the share allows, or refused with the place.

use std::fs;
use std::path::Path;

use mcsp_media_probe::refusal;
use mcsp_media_sandbox::{ChildError, JobError};
use mcsp_media_transcode::{PassError, PassResult};

use crate::support::{Studio, frame_times};

fn clip(studio: &Studio, name: &str) -> std::path::PathBuf {
    studio.make(
        name,
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=640x360:rate=25:duration=20",
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=440:duration=20",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-g",
            "50",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
        ],
    )
}

/// Overwrites `times` places of 40 bytes, spread over the middle of the file.
fn damage(path: &Path, times: usize) {
    let mut bytes = fs::read(path).unwrap();
    let (from, to) = (bytes.len() / 10, bytes.len() * 8 / 10);
    for n in 0..times {
        let at = from + (to - from) * n / times;
        for (m, byte) in bytes[at..at + 40].iter_mut().enumerate() {
            *byte ^= (n * 31 + m * 17 + 85) as u8;
        }
    }
    fs::write(path, bytes).unwrap();
}

fn refusal_of(result: Result<PassResult, PassError>) -> (String, String) {
    match result {
        Err(PassError::Child(ChildError::Job(JobError::Refused { code, reason }))) => {
            (code, reason)
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn a_few_bitstream_errors_are_played_over() {
    let studio = Studio::new();
    let source = clip(&studio, "a.mp4");
    damage(&source, 2);
    let result = studio.lowest(&source).await.unwrap();
    let video = result.report.video.as_ref().unwrap();
    assert!(
        video.damaged > 0,
        "the damage was seen: {:?}",
        result.report
    );
    assert!(video.first_damage_ms.is_some());
    let root = studio.publish(&result.renditions);
    assert!(frame_times(&root.join("v360/index.m3u8"), "v").len() > 490);
}

#[tokio::test]
async fn many_bitstream_errors_are_refused_with_the_place() {
    let studio = Studio::new();
    let source = clip(&studio, "a.mp4");
    damage(&source, 300);
    let (code, reason) = refusal_of(studio.lowest(&source).await);
    assert_eq!(code, refusal::DAMAGED);
    assert!(reason.contains(" s: "), "says where: {reason}");
}

#[tokio::test]
async fn a_file_that_ends_early_is_refused() {
    let studio = Studio::new();
    let source = clip(&studio, "a.mkv");
    let bytes = fs::read(&source).unwrap();
    fs::write(&source, &bytes[..bytes.len() * 6 / 10]).unwrap();
    let (code, reason) = refusal_of(studio.lowest(&source).await);
    assert_eq!(code, refusal::TRUNCATED);
    assert!(reason.contains("its header says 20.0"), "{reason}");
}

#[tokio::test]
async fn what_is_refused_leaves_nothing_usable() {
    let studio = Studio::new();
    let text = studio.path("text.mp4");
    fs::write(&text, "no media ".repeat(500)).unwrap();
    match studio.transcoder.probe(&text).await {
        Err(ChildError::Job(JobError::Refused { code, .. })) => {
            assert_eq!(code, refusal::NOT_MEDIA);
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
    // A child whose description and file do not agree is not believed.
    let source = clip(&studio, "a.mp4");
    let made = studio.lowest(&source).await.unwrap().renditions;
    let mezzanine = studio.work().join("v360.mp4");
    let bytes = fs::read(&mezzanine).unwrap();
    fs::write(&mezzanine, &bytes[..bytes.len() - 1]).unwrap();
    assert!(mcsp_media_transcode::read_rendition(&studio.work(), &made[0].id).is_err());
    assert!(mcsp_media_transcode::read_rendition(&studio.work(), "../work/v360").is_err());
}
