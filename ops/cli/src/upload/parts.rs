//! Sends the parts that are missing, some at a time.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mcsp_api::rest::UploadPart;
use reqwest::{Body, Client, StatusCode};
use url::Url;

use super::body::PartBody;
use super::session::{PartUrl, Session};
use super::source::Source;
use crate::api::{build, client_builder, problem_of, unreachable_error};
use crate::context::Context;
use crate::error::CliError;

/// A part takes at most a minute and what a link of 128 kbit/s needs.
const PART_TIMEOUT_MIN: Duration = Duration::from_secs(60);
const BYTES_PER_SECOND_MIN: u64 = 16 << 10;
/// A part is refused this often, each time with a fresh URL, before the refusal is believed.
const REFUSALS_MAX: u32 = 3;

/// Sends parts of one file to one session.
#[derive(Debug)]
pub(crate) struct Sender<'a> {
    http: Client,
    session: &'a Session<'a>,
    source: &'a Source,
    parallel: usize,
    bar: ProgressBar,
}

impl<'a> Sender<'a> {
    pub(crate) fn new(
        context: &Context,
        session: &'a Session<'a>,
        source: &'a Source,
        parallel: u8,
    ) -> Result<Self, CliError> {
        // HTTP/1.1: parts in parallel want a connection each, not one connection's window together.
        let builder = client_builder(context.settings.ca_file.as_deref())?.http1_only();
        let target = if context.print.json {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(Some(source.size_bytes), target)
            .with_prefix(source.file_name.clone());
        let template = "{prefix} {bar:32.green} {percent:>3} %  {binary_bytes} of {binary_total_bytes}  \
                        {binary_bytes_per_sec}  {eta}";
        // The template is a constant that parses; the default is a bar too.
        let bar = match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style.progress_chars("━╸ ")),
            Err(_) => bar,
        };
        Ok(Self {
            http: build(builder)?,
            session,
            source,
            parallel: usize::from(parallel),
            bar,
        })
    }

    /// Sends what the session says is missing.
    pub(crate) async fn send_missing(&self) -> Result<(), CliError> {
        let session = self.session.snapshot();
        let received: u64 = session
            .parts
            .iter()
            .filter(|part| part.received)
            .map(|part| part.size_bytes)
            .sum();
        self.bar.set_position(received);
        let starts = session.parts.iter().scan(0, |start: &mut u64, part| {
            let this = *start;
            *start += part.size_bytes;
            Some(this)
        });
        let parts: Vec<(UploadPart, u64)> = session.parts.iter().cloned().zip(starts).collect();
        let total: u64 = session.parts.iter().map(|part| part.size_bytes).sum();
        if total != self.source.size_bytes {
            return Err(CliError::Answer(
                "the parts do not make up the file".to_owned(),
            ));
        }
        let missing = parts.into_iter().filter(|(part, _)| !part.received);
        let sent = stream::iter(missing)
            .map(|(part, start)| self.send(part, start))
            .buffer_unordered(self.parallel)
            .try_collect::<()>()
            .await;
        if sent.is_ok() {
            self.bar.finish();
        } else {
            self.bar.abandon();
        }
        sent
    }

    async fn send(&self, part: UploadPart, start: u64) -> Result<(), CliError> {
        let mut retry = self.session.policy().start();
        let mut spent = None;
        let mut refusals = 0;
        loop {
            let Some(url) = self.session.url(part.part_number, spent).await? else {
                self.bar.inc(part.size_bytes);
                return Ok(());
            };
            match self.put(&part, start, &url).await {
                Ok(()) => {
                    self.bar.inc(part.size_bytes);
                    return Ok(());
                }
                // Its time may be over, its body may have been cut on the way, or the store may have forgotten
                // the upload: the session knows.
                Err(CliError::Problem(problem)) if matches!(problem.status, 400 | 403 | 404) => {
                    refusals += 1;
                    if refusals > REFUSALS_MAX {
                        return Err(CliError::Problem(problem));
                    }
                    spent = Some(url.generation);
                }
                Err(error) => retry.pause_after(error).await?,
            }
        }
    }

    async fn put(&self, part: &UploadPart, start: u64, url: &PartUrl) -> Result<(), CliError> {
        let parsed = Url::parse(&url.url)
            .map_err(|error| CliError::Answer(format!("a part's URL: {error}")))?;
        let body =
            PartBody::open(&self.source.path, start, part.size_bytes, self.bar.clone()).await;
        let body = body.map_err(|source| CliError::Read {
            path: self.source.path.clone(),
            source,
        })?;
        let timeout =
            PART_TIMEOUT_MIN + Duration::from_secs(part.size_bytes / BYTES_PER_SECOND_MIN);
        let sent = self
            .http
            .put(parsed.clone())
            .timeout(timeout)
            .body(Body::wrap(body))
            .send()
            .await;
        let response = sent.map_err(|error| unreachable_error(&parsed, &error))?;
        match response.status() {
            StatusCode::OK | StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(()),
            _ => Err(problem_of(response).await),
        }
    }
}
