//! The program as its callers see it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod command_line;
mod origin;
mod process;

use std::path::Path;
use std::process::Command;

/// Five seconds of a test picture with a tone, 854x480.
fn clip(dir: &Path) -> String {
    let path = dir.join("clip.mp4").to_str().unwrap().to_owned();
    let picture = ["-f", "lavfi", "-i", "testsrc2=s=854x480:r=25:d=5"];
    let sound = ["-f", "lavfi", "-i", "sine=d=5"];
    let codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"];
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin"])
        .args([&picture[..], &sound, &codecs].concat())
        .arg(&path)
        .status()
        .expect("FFmpeg's tools are installed");
    assert!(made.success());
    path
}
