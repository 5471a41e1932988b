//! The whole pipeline with the real encoder in its confined child.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use mcsp_api::events::{ArtReady, MediaType, UploadBlocked};
use mcsp_api::{ContentId, Residency};
use mcsp_media_pipeline::ConfinedEncoder;
use mcsp_media_sandbox::Launcher;
use mcsp_media_transcode::{TranscodePolicy, Transcoder};

use crate::world::{World, eventually};

const SOUND: [&str; 4] = ["-f", "lavfi", "-i", "sine=f=440:r=48000:d=5"];
const PICTURE: [&str; 4] = ["-f", "lavfi", "-i", "testsrc2=s=854x480:r=25:d=5"];
const X264: [&str; 4] = ["-c:v", "libx264", "-preset", "ultrafast"];

/// Makes a file with the `ffmpeg` tool; returns its bytes.
fn make(dir: &Path, name: &str, arguments: &[&[&str]]) -> Vec<u8> {
    let path = dir.join(name);
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(arguments.concat())
        .arg(&path)
        .status()
        .expect("FFmpeg's tools are installed");
    assert!(made.success(), "{name}");
    std::fs::read(path).unwrap()
}

/// Writes an item's objects into a folder as a viewer would get them, and plays a manifest to its end.
async fn play(world: &World, id: &ContentId, manifest: &str) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in world.objects(Residency::Ng, id).await {
        let path = folder.path().join(&name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let output = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-nostdin",
            "-allowed_extensions",
            "ALL",
            "-i",
        ])
        .arg(folder.path().join(manifest))
        .args(["-f", "null", "-progress", "-", "-"])
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && complaints.is_empty(),
        "{manifest}: {complaints}"
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let micros = said
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("out_time_us="))
        .unwrap();
    micros.parse::<f64>().unwrap() / 1e6
}

#[tokio::test(flavor = "multi_thread")]
async fn real_files_are_published_and_play_and_others_are_refused() {
    let world = World::new("ng").await;
    let launcher = Launcher::binary(env!("CARGO_BIN_EXE_mcsp-pipeline-child").into());
    let transcoder = Transcoder::new(launcher, TranscodePolicy::default());
    let running = world
        .start(Arc::new(ConfinedEncoder::new(transcoder)))
        .await;
    let dir = world.dir.path();
    let film = make(
        dir,
        "film.mp4",
        &[&PICTURE, &SOUND, &X264, &["-c:a", "aac"]],
    );
    let silent = make(dir, "silent.mkv", &[&PICTURE, &X264]);
    let song = make(dir, "song.flac", &[&SOUND, &["-ac", "2"]]);

    let film = world.upload(Residency::Ng, &film).await;
    let silent = world.upload(Residency::Ng, &silent).await;
    let song = world.upload(Residency::Ng, &song).await;
    let text = world
        .upload(Residency::Ng, "This is text.\n".repeat(50).as_bytes())
        .await;

    let last = world.all_packaged(&film).await;
    let ids: Vec<_> = last
        .renditions
        .iter()
        .map(|rendition| &rendition.rendition_id)
        .collect();
    assert_eq!(ids, ["a128", "a64", "v360", "v480"]);
    assert_eq!(last.media_type, MediaType::Video);
    let last = world.all_packaged(&silent).await;
    assert_eq!(last.renditions.len(), 2);
    let last = world.all_packaged(&song).await;
    assert_eq!(
        (last.media_type, last.renditions.len()),
        (MediaType::Audio, 4)
    );
    for id in [&film, &silent, &song] {
        let seconds = play(&world, id, "manifest.m3u8").await;
        assert!((4.9..5.2).contains(&seconds), "{id}: {seconds} s");
    }
    eventually("both videos have thumbnails", async || {
        world.events::<ArtReady>().await.len() == 2
    })
    .await;
    for art in world.events::<ArtReady>().await {
        assert!((3..=5).contains(&art.thumbnails.len()), "{art:?}");
        let objects = world.objects(Residency::Ng, &art.content_id).await;
        let picture = &objects[&art.thumbnails[0]];
        assert!(picture.starts_with(&[0xff, 0xd8]), "a JPEG");
    }
    let blocked = world.events::<UploadBlocked>().await;
    assert_eq!((blocked.len(), &blocked[0].content_id), (1, &text));
    assert_eq!(blocked[0].code, "not-media");
    running.stop().await;
}
