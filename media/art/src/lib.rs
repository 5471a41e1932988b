//! Thumbnails from a packaged rendition.
//!
//! Pictures are taken at places spread over the whole item, moved on where the picture is nearly black or flat, and the
//! one with the most in it comes first: it is the default. Decoding happens in the confined child, by [`ThumbnailJob`].

mod candidate;
mod jpeg;
mod pick;

use std::path::{Path, PathBuf};

use mcsp_media_sandbox::{
    ChildError, ChildLimits, Confinement, Job, JobError, Launcher, Reporter, run,
};
use serde::{Deserialize, Serialize};

/// The most thumbnails an item gets.
pub const THUMBNAILS_MAX: usize = 5;
/// The fewest, when the item has as many pictures.
pub const THUMBNAILS_MIN: usize = 3;
/// Thumbnails are as wide as this, or as the rendition if it is narrower, pixels.
pub const WIDTH_MAX: u32 = 640;

/// What the job is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ThumbnailInput {
    /// A rendition's mezzanine, with a picture.
    pub path: PathBuf,
    /// An existing folder for the files.
    pub out_dir: PathBuf,
}

/// Makes thumbnails, in the confined child. The output is the files' names, the default first.
#[derive(Debug)]
pub struct ThumbnailJob;

impl Job for ThumbnailJob {
    const NAME: &'static str = "thumbnails";
    type Input = ThumbnailInput;
    type Output = Vec<String>;

    fn run(input: ThumbnailInput, reporter: &mut Reporter<'_>) -> Result<Vec<String>, JobError> {
        let candidates = pick::pick(&input.path, reporter)?;
        let mut names = Vec::with_capacity(candidates.len());
        for (number, candidate) in (1..).zip(candidates) {
            let name = format!("thumb-{number}.jpg");
            let bytes = jpeg::encode(&candidate.picture)?;
            std::fs::write(input.out_dir.join(&name), bytes).map_err(JobError::failed)?;
            names.push(name);
        }
        Ok(names)
    }
}

/// Makes the thumbnails of the rendition at `path` in a confined child: JPEG files in `out_dir`, whose names are
/// returned, the default first.
///
/// # Errors
/// [`ChildError`].
pub async fn thumbnails(
    launcher: &Launcher,
    path: &Path,
    out_dir: &Path,
    limits: ChildLimits,
    silence_ms: u64,
) -> Result<Vec<String>, ChildError> {
    let input = ThumbnailInput {
        path: path.to_path_buf(),
        out_dir: out_dir.to_path_buf(),
    };
    let confinement = Confinement {
        reads: vec![input.path.clone()],
        writes: Some(input.out_dir.clone()),
        limits,
    };
    let names = run::<ThumbnailJob>(launcher, &input, confinement, silence_ms, |_| {})
        .await?
        .output;
    let known = (1..=THUMBNAILS_MAX).map(|number| format!("thumb-{number}.jpg"));
    if names.is_empty() || !names.iter().cloned().eq(known.take(names.len())) {
        return Err(ChildError::Protocol(
            "the child names thumbnails that it was not asked for".into(),
        ));
    }
    Ok(names)
}
