//! `upload`: a file in parts, in parallel, resumed where it stopped, and followed until it can be played.

mod body;
mod parts;
mod session;
mod source;
mod state;

use std::time::{Duration, Instant};

use mcsp_api::rest::{Content, UploadSession, UploadStatus};
use serde::Serialize;

use self::parts::Sender;
use self::session::Session;
use self::source::Source;
use self::state::UploadStates;
use crate::args::Upload;
use crate::context::Context;
use crate::error::CliError;
use crate::follow::{Outcome, Until, follow};
use crate::play::{page_url, parse_content_id};
use crate::print::table;

/// How often parts are looked over again when the server says that some are missing.
const ROUNDS_MAX: u32 = 3;

/// What `--json` prints: the item as the API has it, and how it came to be.
#[derive(Debug, Serialize)]
struct Uploaded {
    upload_id: String,
    page_url: String,
    /// From the file being safe until it was as wanted, seconds.
    followed_s: f64,
    #[serde(flatten)]
    content: Content,
}

/// What `--json --no-wait` prints.
#[derive(Debug, Serialize)]
struct Stored<'a> {
    upload_id: &'a str,
    content_id: &'a str,
    residency: &'static str,
    status: UploadStatus,
    size_bytes: u64,
}

pub(crate) async fn run(context: &Context, args: &Upload) -> Result<(), CliError> {
    let source = Source::open(&args.file, args.media_type).await?;
    let api = context.api()?;
    let policy = context.retry_policy(Duration::from_secs(args.patience_s));
    let states = UploadStates::new(context.dir.clone(), context.entropy.clone());
    let session = Session::open(context, &api, &policy, &states, &source, args).await?;
    let stored = store(context, &session, &source, args).await;
    let stored = stored.inspect_err(|error| hint(context, error))?;
    if args.no_wait {
        states.remove(session.key())?;
        let document = Stored {
            upload_id: &stored.upload_id,
            content_id: &stored.content_id,
            residency: stored.residency.as_str(),
            status: stored.status,
            size_bytes: stored.size_bytes,
        };
        return context.print.result(&document, || {
            table(&[
                ("content", stored.content_id.clone()),
                (
                    "status",
                    format!(
                        "stored; `mcsp status {}` shows how far it is",
                        stored.content_id
                    ),
                ),
            ])
        });
    }
    let until = if args.wait_all {
        Until::Complete
    } else {
        Until::Playable
    };
    let limit = Duration::from_secs(args.wait_max_s);
    let stored_at = Instant::now();
    let outcome = follow(
        &api,
        &stored.content_id,
        until,
        limit,
        context.poll_pause,
        &policy,
        context.print,
    )
    .await;
    // Kept while the end is not known, so that the same command goes on following.
    if matches!(outcome, Ok(_) | Err(CliError::Refused(_))) {
        states.remove(session.key())?;
    }
    let outcome = outcome?;
    let page = page_url(api.server(), &parse_content_id(&stored.content_id)?)?;
    let (content, state) = match outcome {
        Outcome::Reached(content) => (content, "can be played".to_owned()),
        Outcome::Held(content) => (
            content,
            "held: a person looks at it before it is published".to_owned(),
        ),
    };
    let uploaded = Uploaded {
        upload_id: stored.upload_id,
        page_url: page.to_string(),
        followed_s: stored_at.elapsed().as_secs_f64(),
        content: *content,
    };
    context.print.result(&uploaded, || {
        table(&[
            ("content", uploaded.content.content_id.clone()),
            ("title", uploaded.content.metadata.title.clone()),
            ("status", state),
            ("renditions", uploaded.content.renditions.join(", ")),
            ("page", uploaded.page_url.clone()),
        ])
    })
}

/// Sends what is missing and completes the upload.
async fn store(
    context: &Context,
    session: &Session<'_>,
    source: &Source,
    args: &Upload,
) -> Result<UploadSession, CliError> {
    let sender = Sender::new(context, session, source, args.parallel)?;
    for _ in 0..ROUNDS_MAX {
        if session.is_stored() {
            return Ok(session.snapshot());
        }
        sender.send_missing().await?;
        source.check_unchanged().await?;
        match session.complete().await {
            // Some parts did not stay: their URLs come with the next look at the session.
            Err(CliError::Problem(problem)) if problem.status == 409 => session.reload().await?,
            other => return other,
        }
    }
    Err(CliError::GaveUp(
        "the server goes on asking for parts that were sent".to_owned(),
    ))
}

/// What was sent is not lost.
fn hint(context: &Context, error: &CliError) {
    if error.is_retryable() || matches!(error, CliError::GaveUp(_)) {
        context
            .print
            .note("what was sent is kept; run the same command again to resume");
    }
}
