//! `mcsp upload`: a session, its parts in parallel, completion; interrupted anywhere, it goes on where it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use futures::StreamExt as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mcsp_api::events::MediaType;
use mcsp_api::rest::{CreateUploadRequest, UploadMetadata, UploadSession, UploadStatus};
use mcsp_runtime::{Entropy as _, SystemEntropy, hex_lower};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::args::UploadArgs;
use crate::error::CliError;
use crate::follow::{self, Until};
use crate::parts::{self, Part};
use crate::session::{Session, write_private};
use crate::show;

/// File name endings that mean sound alone.
const AUDIO_ENDINGS: [&str; 9] = [
    "aac", "aif", "aiff", "flac", "m4a", "mp3", "oga", "opus", "wav",
];
/// Unfinished uploads that are remembered at most; the oldest are forgotten first.
const REMEMBERED_MAX: usize = 100;
/// The first wait after a failure; doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// An upload that was begun, by file and server.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Begun {
    idempotency_key: String,
    upload_id: Option<String>,
    begun_s: u64,
}

/// What this user began, in a file beside the session.
#[derive(Debug)]
struct Memory {
    path: PathBuf,
    by_key: BTreeMap<String, Begun>,
}

impl Memory {
    fn open(folder: &Path) -> Self {
        let path = folder.join("uploads.json");
        let kept = fs::read(&path).ok();
        let by_key = kept
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Self { path, by_key }
    }

    fn save(&mut self) -> Result<(), CliError> {
        while self.by_key.len() > REMEMBERED_MAX {
            let oldest = self.by_key.iter().min_by_key(|(_, begun)| begun.begun_s);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            self.by_key.remove(&key);
        }
        let json = serde_json::to_vec_pretty(&self.by_key).unwrap_or_default();
        write_private(&self.path, &json)
    }
}

fn file_error(path: &Path) -> impl Fn(std::io::Error) -> CliError + '_ {
    |source| CliError::File {
        path: path.to_owned(),
        source,
    }
}

fn since_epoch_s() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs())
}

/// Names the file as it is now at this server: another size or time of change is another upload.
fn memory_key(path: &Path, meta: &fs::Metadata, server: &str) -> String {
    let modified = meta
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let modified_ms = modified.map_or(0, |elapsed| elapsed.as_millis());
    format!("{server}|{}|{}|{modified_ms}", path.display(), meta.len())
}

fn media_type_of(path: &Path, options: &UploadArgs) -> MediaType {
    let ending = path
        .extension()
        .map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    let by_name = match ending {
        Some(ending) if AUDIO_ENDINGS.contains(&ending.as_str()) => MediaType::Audio,
        _ => MediaType::Video,
    };
    options.media_type.map_or(by_name, MediaType::from)
}

fn request_for(path: &Path, size_bytes: u64, options: &UploadArgs) -> CreateUploadRequest {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let stem = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    CreateUploadRequest {
        file_name: name,
        size_bytes,
        media_type: media_type_of(path, options),
        residency: options.residency.map(Into::into),
        metadata: UploadMetadata {
            title: options.title.clone().unwrap_or(stem),
            description: options.description.clone(),
            tags: options.tags.clone(),
            category: String::new(),
            language: options.language.clone(),
            visibility: options.visibility.into(),
        },
    }
}

/// Waits longer after each failure, and gives up when nothing has moved for too long.
struct Patience {
    limit: Duration,
    moved: Instant,
    wait: Duration,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            moved: Instant::now(),
            wait: BACKOFF_MIN,
        }
    }

    fn something_moved(&mut self) {
        self.moved = Instant::now();
        self.wait = BACKOFF_MIN;
    }

    /// Waits after `error`, or gives it back when it will not get better.
    async fn after(&mut self, error: CliError) -> Result<(), CliError> {
        if !error.is_retryable() {
            return Err(error);
        }
        if self.moved.elapsed() > self.limit {
            return Err(CliError::Stalled {
                patience_s: self.limit.as_secs(),
                last: error.to_string(),
            });
        }
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(BACKOFF_MAX);
        Ok(())
    }
}

/// The session to fill: the one that was begun for this file, if it still wants parts, or a new one.
async fn session_for(
    session: &mut Session,
    memory: &mut Memory,
    key: &str,
    request: &CreateUploadRequest,
    patience: &mut Patience,
) -> Result<UploadSession, CliError> {
    if let Some(upload_id) = memory
        .by_key
        .get(key)
        .and_then(|begun| begun.upload_id.clone())
    {
        match ask(session, &upload_id, patience).await {
            Ok(upload)
                if !matches!(
                    upload.status,
                    UploadStatus::Cancelled | UploadStatus::Expired
                ) =>
            {
                return Ok(upload);
            }
            Ok(_) => {
                memory.by_key.remove(key);
            }
            Err(error) if error.status() == Some(404) => {
                memory.by_key.remove(key);
            }
            Err(error) => return Err(error),
        }
    }
    if !memory.by_key.contains_key(key) {
        let mut random = [0; 16];
        SystemEntropy.fill(&mut random);
        let begun = Begun {
            idempotency_key: hex_lower(&random),
            upload_id: None,
            begun_s: since_epoch_s(),
        };
        memory.by_key.insert(key.to_owned(), begun);
        // Kept before it is sent, so that a request whose answer was lost is found again.
        memory.save()?;
    }
    let idempotency_key = memory
        .by_key
        .get(key)
        .map(|begun| begun.idempotency_key.clone());
    let upload: UploadSession = loop {
        let created = session
            .call(
                Method::POST,
                "/uploads/session",
                Some(request),
                idempotency_key.as_deref(),
            )
            .await;
        match created {
            Ok(upload) => break upload,
            Err(error) => patience.after(error).await?,
        }
    };
    if let Some(begun) = memory.by_key.get_mut(key) {
        begun.upload_id = Some(upload.upload_id.clone());
    }
    memory.save()?;
    patience.something_moved();
    Ok(upload)
}

/// Where the upload stands at the server, with fresh URLs.
async fn ask(
    session: &mut Session,
    upload_id: &str,
    patience: &mut Patience,
) -> Result<UploadSession, CliError> {
    loop {
        let path = format!("/uploads/session/{upload_id}");
        match session.call::<(), _>(Method::GET, &path, None, None).await {
            Ok(upload) => return Ok(upload),
            Err(error) => patience.after(error).await?,
        }
    }
}

/// The parts that the server still wants.
fn missing(upload: &UploadSession) -> Vec<Part> {
    let mut offset = 0;
    let mut parts = Vec::new();
    for part in &upload.parts {
        if let (false, Some(url)) = (part.received, &part.url) {
            parts.push(Part {
                offset,
                size_bytes: part.size_bytes,
                url: url.clone(),
            });
        }
        offset += part.size_bytes;
    }
    parts
}

fn progress_bar(size_bytes: u64, shown: bool) -> ProgressBar {
    let bar = ProgressBar::new(size_bytes);
    if !shown {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let template =
        "{prefix:>18} {bar:30.yellow/dim} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    // The template is a constant; a bar without it still shows what is going on.
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style).with_prefix("upload")
}

/// Sends parts until the server has them all.
async fn fill(
    session: &mut Session,
    file: &Path,
    mut upload: UploadSession,
    options: &UploadArgs,
    bar: &ProgressBar,
    patience: &mut Patience,
) -> Result<UploadSession, CliError> {
    loop {
        let received: u64 = upload
            .parts
            .iter()
            .filter(|part| part.received)
            .map(|part| part.size_bytes)
            .sum();
        bar.set_position(received);
        let wanted = missing(&upload);
        if wanted.is_empty() || upload.status != UploadStatus::Open {
            return Ok(upload);
        }
        let http = session.http().clone();
        let sends = wanted
            .iter()
            .map(|part| parts::send(&http, file, part, bar));
        let mut sends =
            futures::stream::iter(sends).buffer_unordered(usize::from(options.parallel));
        let mut failure = None;
        while let Some(sent) = sends.next().await {
            match sent {
                Ok(()) => patience.something_moved(),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        drop(sends);
        match failure {
            // Its URL has run out: the next look at the session brings fresh ones.
            Some(error) if error.status() == Some(403) => {
                patience
                    .after(CliError::Unreachable {
                        server: "the storage".to_owned(),
                        reason: error.to_string(),
                    })
                    .await?;
            }
            Some(error) => patience.after(error).await?,
            None => {}
        }
        upload = ask(session, &upload.upload_id, patience).await?;
    }
}

/// Uploads, completes, and follows what becomes of it.
pub(crate) async fn run(
    session: &mut Session,
    options: &UploadArgs,
    as_json: bool,
) -> Result<(), CliError> {
    let path = fs::canonicalize(&options.file).map_err(file_error(&options.file))?;
    let meta = fs::metadata(&path).map_err(file_error(&path))?;
    if !meta.is_file() {
        return Err(CliError::Usage(format!("{} is not a file", path.display())));
    }
    let mut memory = Memory::open(session.folder());
    let key = memory_key(&path, &meta, session.server().as_str());
    let limit = Duration::from_secs(options.patience_s);
    let mut patience = Patience::new(limit);
    let request = request_for(&path, meta.len(), options);
    let upload = session_for(session, &mut memory, &key, &request, &mut patience).await?;

    let bar = progress_bar(meta.len(), !as_json);
    let upload = fill(session, &path, upload, options, &bar, &mut patience).await?;
    bar.finish();
    let completed: UploadSession = loop {
        let complete = format!("/uploads/session/{}/complete", upload.upload_id);
        match session
            .call::<(), _>(Method::POST, &complete, None, None)
            .await
        {
            Ok(upload) => break upload,
            Err(error) => patience.after(error).await?,
        }
    };
    let uploaded_at = Instant::now();
    if options.no_wait {
        memory.by_key.remove(&key);
        memory.save()?;
        if as_json {
            return show::json(&completed);
        }
        println!("uploaded: {}", completed.content_id);
        return Ok(());
    }
    let until = if options.wait_all {
        Until::Complete
    } else {
        Until::Playable
    };
    let followed = follow::run(session, &completed.content_id, until, limit, as_json).await;
    // Remembered while the end is not known, so that the same command goes on following.
    if matches!(followed, Ok(_) | Err(CliError::NotPlayable { .. })) {
        memory.by_key.remove(&key);
        memory.save()?;
    }
    follow::tell(&followed?, uploaded_at.elapsed(), as_json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_api::Residency;
    use mcsp_api::rest::UploadPart;

    #[test]
    fn only_parts_that_are_missing_are_sent_each_from_its_own_place() {
        let part = |part_number, size_bytes, received| UploadPart {
            part_number,
            size_bytes,
            received,
            url: (!received).then(|| format!("http://pop/{part_number}")),
        };
        let upload = UploadSession {
            upload_id: "up".to_owned(),
            content_id: "c".to_owned(),
            residency: Residency::Global,
            status: UploadStatus::Open,
            size_bytes: 25,
            part_size_bytes: 10,
            parts: vec![part(1, 10, false), part(2, 10, true), part(3, 5, false)],
            urls_expire_in_s: 900,
        };
        let places: Vec<_> = missing(&upload)
            .into_iter()
            .map(|part| (part.url, part.offset, part.size_bytes))
            .collect();
        assert_eq!(
            places,
            [
                ("http://pop/1".to_owned(), 0, 10),
                ("http://pop/3".to_owned(), 20, 5)
            ]
        );
    }
}
