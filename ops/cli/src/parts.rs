//! Sending one part: a range of the file to a presigned URL.

use std::io::SeekFrom;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use indicatif::ProgressBar;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Body, Client};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use crate::api::problem_of;
use crate::error::CliError;

/// How the file is read.
const READ_BYTES: usize = 64 * 1024;
/// A part that takes longer is begun again: 64 MiB at 40 kB/s.
const PART_TIMEOUT: Duration = Duration::from_secs(1800);

/// Where a part is in the file, and where it goes.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) offset: u64,
    pub(crate) size_bytes: u64,
    pub(crate) url: String,
}

/// Sends it, moving the bar; the caller puts the bar right after a failure.
pub(crate) async fn send(
    http: &Client,
    file: &Path,
    part: &Part,
    bar: &ProgressBar,
) -> Result<(), CliError> {
    let file_error = |source| CliError::File {
        path: file.to_owned(),
        source,
    };
    let mut open = File::open(file).await.map_err(file_error)?;
    open.seek(SeekFrom::Start(part.offset))
        .await
        .map_err(file_error)?;
    let shown = bar.clone();
    let chunks =
        ReaderStream::with_capacity(open.take(part.size_bytes), READ_BYTES).map(move |chunk| {
            if let Ok(chunk) = &chunk {
                shown.inc(Bytes::len(chunk) as u64);
            }
            chunk
        });
    let answer = http
        .put(&part.url)
        .header(CONTENT_LENGTH, part.size_bytes)
        .body(Body::wrap_stream(chunks))
        .timeout(PART_TIMEOUT)
        .send()
        .await;
    match answer {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => {
            let status = answer.status().as_u16();
            let body = answer.bytes().await.unwrap_or_default();
            Err(CliError::Refused(Box::new(problem_of(status, &body, None))))
        }
        Err(error) => Err(CliError::Unreachable {
            server: "the storage".to_owned(),
            reason: error.without_url().to_string(),
        }),
    }
}
