//! Clips, passes and players' views of the result.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mcsp_media_package::{
    DASH_MANIFEST, HLS_MASTER, HLS_MEDIA, RenditionInfo, compose_dash, compose_hls_master,
    compose_hls_media, split_mezzanine,
};
use mcsp_media_probe::Probe;
use mcsp_media_sandbox::Launcher;
use mcsp_media_transcode::{
    Ladder, PassError, PassResult, TranscodePolicy, Transcoder, mezzanine_path,
};

/// A folder with a source, a work folder and a published folder.
pub(crate) struct Studio {
    dir: tempfile::TempDir,
    pub(crate) transcoder: Transcoder,
}

impl Studio {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        let launcher = Launcher::binary(env!("CARGO_BIN_EXE_mcsp-decode-child").into());
        Self {
            dir,
            transcoder: Transcoder::new(launcher, TranscodePolicy::default()),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.path("work")
    }

    /// Makes a file with the `ffmpeg` tool.
    pub(crate) fn make(&self, name: &str, arguments: &[&str]) -> PathBuf {
        let path = self.path(name);
        tool(
            "ffmpeg",
            &[
                &["-v", "error", "-nostdin", "-y"],
                arguments,
                &[path.to_str().unwrap()],
            ]
            .concat(),
        );
        path
    }

    pub(crate) async fn probe(&self, source: &Path) -> Probe {
        self.transcoder.probe(source).await.unwrap()
    }

    pub(crate) async fn lowest(&self, source: &Path) -> Result<PassResult, PassError> {
        let probe = self.probe(source).await;
        self.transcoder
            .run_lowest(source, &self.work(), &probe, |_| {})
            .await
    }

    /// Both passes.
    pub(crate) async fn all(&self, source: &Path) -> Vec<RenditionInfo> {
        let probe = self.probe(source).await;
        let rest = Ladder::for_source(&probe).rest();
        let mut all = self
            .transcoder
            .run_lowest(source, &self.work(), &probe, |_| {})
            .await
            .unwrap()
            .renditions;
        all.extend(
            self.transcoder
                .run_rungs(source, &self.work(), &probe, rest, |_| {})
                .await
                .unwrap()
                .renditions,
        );
        all
    }

    /// Packages renditions as a viewer gets them; returns the folder.
    pub(crate) fn publish(&self, renditions: &[RenditionInfo]) -> PathBuf {
        let root = self.path("published");
        for info in renditions {
            let folder = root.join(&info.id);
            fs::create_dir_all(&folder).unwrap();
            split_mezzanine(&mezzanine_path(&self.work(), &info.id), info, &folder).unwrap();
            fs::write(folder.join(HLS_MEDIA), compose_hls_media(info).unwrap()).unwrap();
        }
        fs::write(
            root.join(HLS_MASTER),
            compose_hls_master(renditions).unwrap(),
        )
        .unwrap();
        fs::write(root.join(DASH_MANIFEST), compose_dash(renditions).unwrap()).unwrap();
        root
    }
}

pub(crate) fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .expect("FFmpeg's tools are installed");
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.stderr.is_empty(),
        "{program} {arguments:?} complains: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Presentation times of all frames of one kind, seconds, as decoded.
pub(crate) fn frame_times(path: &Path, kind: &str) -> Vec<f64> {
    let path = path.to_str().unwrap();
    let text = tool(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            kind,
            "-show_entries",
            "frame=best_effort_timestamp_time",
            "-of",
            "csv=p=0",
            "-allowed_extensions",
            "ALL",
            path,
        ],
    );
    let mut times: Vec<f64> = text
        .lines()
        .filter_map(|line| line.trim_end_matches(',').parse().ok())
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

/// As [`frame_times`], for files that are no playlists.
pub(crate) fn file_frame_times(path: &Path, kind: &str) -> Vec<f64> {
    let path = path.to_str().unwrap();
    let entries = "frame=best_effort_timestamp_time";
    let text = tool(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            kind,
            "-show_entries",
            entries,
            "-of",
            "csv=p=0",
            path,
        ],
    );
    text.lines()
        .filter_map(|line| line.trim_end_matches(',').parse().ok())
        .collect()
}

pub(crate) fn ids(renditions: &[RenditionInfo]) -> Vec<&str> {
    renditions.iter().map(|info| info.id.as_str()).collect()
}

/// One `stream=...` entry of a file; a playlist repeats it for its program.
pub(crate) fn entry(path: &Path, stream: &str, name: &str) -> String {
    let entries = format!("stream={name}");
    let path = path.to_str().unwrap();
    let text = tool(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            stream,
            "-show_entries",
            &entries,
            "-of",
            "csv=p=0",
            path,
        ],
    );
    text.lines().next().unwrap_or_default().to_string()
}
