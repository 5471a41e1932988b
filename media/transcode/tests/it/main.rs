//! Whole passes in the confined child, over clips made by the `ffmpeg` tool on the spot, judged by `ffprobe` and `ffmpeg`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod joining;
mod playable;
mod shapes;
mod support;
