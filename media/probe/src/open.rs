//! Opening a file with the demuxers that are taken, and no other.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Once;

use ffmpeg::format::context::Input;
use ffmpeg::util::log;
use ffmpeg_next as ffmpeg;
use mcsp_media_sandbox::JobError;

/// The containers that are taken, by FFmpeg's names. Playlists, raw streams, images, subtitles and devices are not.
pub const CONTAINERS: &[&str] = &[
    "mov", "mp4", "matroska", "webm", "avi", "mpegts", "mpeg", "flv", "asf", "mxf", "mp3", "flac",
    "ogg", "wav", "w64", "aac", "aiff", "caf",
];

/// Containers whose header says how long the streams are, rather than an estimate from the bitrate.
const EXACT_DURATION: &[&str] = &["mov", "mp4", "matroska", "webm", "avi", "wav", "flac"];

/// Does this container (FFmpeg's name list, such as `mov,mp4,m4a`) say exactly how long it is?
#[must_use]
pub fn duration_is_exact(container: &str) -> bool {
    container
        .split(',')
        .any(|name| EXACT_DURATION.contains(&name))
}

/// Opens a file for demuxing.
///
/// # Errors
/// FFmpeg's, when no demuxer on the list takes the file or its headers make no sense.
pub fn open_input(path: &Path) -> Result<Input, ffmpeg::Error> {
    static QUIET: Once = Once::new();
    // What decoders complain of is read from frames and return values; their prose goes nowhere.
    QUIET.call_once(|| {
        let _ = ffmpeg::init();
        log::set_level(log::Level::Quiet);
    });
    let mut options = ffmpeg::Dictionary::new();
    options.set("format_whitelist", &CONTAINERS.join(","));
    options.set("protocol_whitelist", "file");
    // The prefix keeps a path from being read as a URL.
    let mut url = OsString::from("file:");
    url.push(path);
    ffmpeg::format::input_with_dictionary(&url, options)
}

/// A failure of ours around FFmpeg.
pub(crate) fn failed(doing: &str, error: ffmpeg::Error) -> JobError {
    JobError::failed(format!("{doing}: {error}"))
}
