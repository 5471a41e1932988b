//! What is not media is refused with a reason; what is odd is played; an interrupted upload goes on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mcsp_api::rest::ContentStatus;
use serde_json::Value;

use crate::harness::{Creator, PUBLISH_LIMIT, Stage, clip, picture_and_sound, told};

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    std::fs::create_dir_all(folder).expect("a folder");
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("a file");
    path
}

/// Uploads what must be refused, and returns what the creator is told.
async fn refusal(creator: &Creator, file: &Path) -> String {
    let output = creator.run(&["upload", file.to_str().expect("text")]).await;
    assert!(
        !output.status.success(),
        "{} was not refused: {}",
        file.display(),
        told(&output)
    );
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn every_file_is_played_or_refused_with_a_reason() {
    let stage = Stage::start("bad-input").await;
    let creator = stage.creator("los1", "dayo").await;
    let folder = stage.scratch().to_owned();
    let good = clip(&folder, "good.mp4", &picture_and_sound(8, "640x360")).await;
    let bytes = std::fs::read(&good).expect("the clip");

    let text = write(
        &folder,
        "text.mp4",
        "This is no film.\n".repeat(500).as_bytes(),
    );
    let said = refusal(&creator, &text).await;
    assert!(said.contains("no video or sound"), "{said}");

    let empty = write(&folder, "empty.mp4", b"");
    let said = refusal(&creator, &empty).await;
    assert!(said.contains("empty") || said.contains("size"), "{said}");

    // Two thirds of a file whose index is in front: it opens, and ends too early.
    let truncated = write(&folder, "truncated.mp4", &bytes[..bytes.len() * 2 / 3]);
    let said = refusal(&creator, &truncated).await;
    assert!(said.contains("cut short"), "{said}");

    // The index is missing altogether.
    let headless = write(&folder, "headless.mp4", &bytes[bytes.len() / 2..]);
    refusal(&creator, &headless).await;

    // Random damage all over the pictures.
    let mut damaged = bytes.clone();
    let start = damaged.len() / 4;
    for at in (start..damaged.len()).step_by(97) {
        damaged[at] ^= 0xff;
    }
    let damaged = write(&folder, "damaged.mp4", &damaged);
    let said = refusal(&creator, &damaged).await;
    assert!(said.contains("damage"), "{said}");

    let silent = clip(
        &folder,
        "silent.mp4",
        "-f lavfi -i testsrc2=size=640x360:rate=25 -t 6 -c:v libx264 -preset ultrafast",
    )
    .await;
    let id = creator.upload(&silent, &["--wait-all"]).await;
    let client = creator.client().await;
    let content = client.content(&id).await.expect("its record");
    assert!(
        content.renditions.iter().all(|name| name.starts_with('v')),
        "{content:?}"
    );

    let sound = clip(
        &folder,
        "sound.m4a",
        "-f lavfi -i sine=frequency=330:sample_rate=44100 -t 12 -c:a aac -b:a 192k",
    )
    .await;
    let id = creator.upload(&sound, &["--wait-all"]).await;
    let content = client.content(&id).await.expect("its record");
    assert!(
        content.renditions.iter().all(|name| name.starts_with('a')),
        "{content:?}"
    );
    assert!(
        content.renditions.iter().any(|name| name == "a64"),
        "{content:?}"
    );
    let session = client.play(&id).await.expect("a session");
    let manifest =
        String::from_utf8(client.bytes(&session.hls_url).await.expect("a manifest")).expect("text");
    assert!(
        manifest.contains("mp4a.40.2") && !manifest.contains("RESOLUTION"),
        "{manifest}"
    );

    // Said to be a film, and has no picture.
    let no_picture = folder.join("sound-as-video.mp4");
    std::fs::copy(&sound, &no_picture).expect("a copy");
    let output = creator
        .run(&[
            "upload",
            no_picture.to_str().expect("text"),
            "--type",
            "video",
        ])
        .await;
    let told = told(&output);
    assert!(
        output.status.success() || told.contains("picture") || told.contains("video"),
        "{told}"
    );
    stage.stop().await;
}

#[tokio::test]
async fn an_upload_that_is_killed_goes_on_where_it_was() {
    let stage = Stage::start("resume").await;
    let creator = stage.creator("los1", "efe").await;
    // Noise does not compress: some tens of megabytes, several parts.
    let words = "-f lavfi -i nullsrc=size=640x360:rate=25,geq=random(1)*255:128:128 -t 8 -c:v libx264 -preset ultrafast -qp 8";
    let file = clip(stage.scratch(), "noise.mp4", words).await;
    let size = std::fs::metadata(&file).expect("the clip").len();
    assert!(
        size > 17 << 20,
        "several parts are wanted, not {size} bytes"
    );
    let path = file.to_str().expect("text");

    let mut kills = 0;
    for delay_ms in [40, 90, 160, 250] {
        let mut child = creator
            .command(&["upload", path, "--parallel", "1", "--no-wait"])
            .spawn()
            .expect("mcsp starts");
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        if child.try_wait().expect("its state").is_none() {
            child.kill().await.expect("it is killed");
            kills += 1;
        }
    }
    assert!(kills > 0, "no upload was interrupted");
    let uploaded: Value = creator.json(&["upload", path, "--no-wait"]).await;
    let id = uploaded["content_id"].as_str().expect("an id").to_owned();
    let client = creator.client().await;
    let content = client
        .wait_published(&id, PUBLISH_LIMIT)
        .await
        .expect("it is published");
    assert_eq!(content.status, ContentStatus::Published);
    stage.stop().await;
}
