//! Follows an item through the pipeline, stage by stage.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use mcsp_api::rest::{Content, ContentStage, ContentStatus};

use crate::api::{Api, Call};
use crate::error::CliError;
use crate::print::Printer;
use crate::retry::RetryPolicy;
use crate::status::stage_line;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// The first rendition can be played.
    Playable,
    /// No further rendition will come.
    Complete,
}

/// How an item came to rest.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// What was waited for is there.
    Reached(Box<Content>),
    /// A person looks at it first.
    Held(Box<Content>),
}

/// Looks at the item again and again until what is waited for is there.
///
/// # Errors
/// [`CliError::Refused`] with the reason when the item will not be published, [`CliError::GaveUp`] after `limit`.
pub(crate) async fn follow(
    api: &Api,
    content_id: &str,
    until: Until,
    limit: Duration,
    pause: Duration,
    policy: &RetryPolicy,
    print: Printer,
) -> Result<Outcome, CliError> {
    let started = Instant::now();
    let call = Call::get(format!("/api/v1/content/{content_id}"));
    let mut display = Display::new(print);
    loop {
        let content: Content = policy.run(|| look(api, &call)).await?;
        display.show(&content.stages);
        if let Some(outcome) = judge(content, until)? {
            return Ok(outcome);
        }
        if started.elapsed() + pause > limit {
            return Err(CliError::GaveUp(format!(
                "{content_id} is still being processed; `mcsp status {content_id}` shows how far it is"
            )));
        }
        tokio::time::sleep(pause).await;
    }
}

/// The record may be a moment behind the upload: what is not there yet may come.
async fn look(api: &Api, call: &Call) -> Result<Content, CliError> {
    match api.call(call).await {
        Err(CliError::Problem(problem)) if problem.status == 404 => Err(CliError::Unreachable(
            format!("the item is not known yet: {}", problem.title),
        )),
        other => other,
    }
}

fn judge(content: Content, until: Until) -> Result<Option<Outcome>, CliError> {
    let reason = || {
        content
            .status_reason
            .clone()
            .unwrap_or_else(|| "no reason was given".to_owned())
    };
    match content.status {
        ContentStatus::Draft | ContentStatus::Processing => Ok(None),
        ContentStatus::Published => {
            let is_reached = match until {
                Until::Playable => !content.renditions.is_empty(),
                Until::Complete => content.complete,
            };
            Ok(is_reached.then(|| Outcome::Reached(Box::new(content))))
        }
        ContentStatus::UnderReview | ContentStatus::PendingModeration => {
            Ok(Some(Outcome::Held(Box::new(content))))
        }
        ContentStatus::Failed => Err(CliError::Refused(format!(
            "the file could not be used: {}",
            reason()
        ))),
        ContentStatus::Blocked => Err(CliError::Refused(format!(
            "the item was blocked: {}",
            reason()
        ))),
        ContentStatus::Removed | ContentStatus::Deleted => Err(CliError::Refused(format!(
            "the item was removed: {}",
            reason()
        ))),
    }
}

/// A bar for each stage on a terminal; elsewhere a line whenever a stage changes its state.
struct Display {
    print: Printer,
    bars: MultiProgress,
    shown: BTreeMap<String, Shown>,
}

struct Shown {
    bar: ProgressBar,
    state: String,
}

impl Display {
    fn new(print: Printer) -> Self {
        let target = if print.json {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        Self {
            print,
            bars: MultiProgress::with_draw_target(target),
            shown: BTreeMap::new(),
        }
    }

    fn show(&mut self, stages: &[ContentStage]) {
        for stage in stages {
            let shown = self
                .shown
                .entry(stage.stage.clone())
                .or_insert_with(|| Shown {
                    bar: self.bars.add(stage_bar(&stage.stage)),
                    state: String::new(),
                });
            shown.bar.set_position(stage.percent.min(100).into());
            shown
                .bar
                .set_message(format!("{} {}", stage.state, stage.note));
            if shown.state != stage.state {
                shown.state.clone_from(&stage.state);
                if self.bars.is_hidden() {
                    self.print.note(stage_line(stage, 10).trim_start());
                }
            }
            if matches!(stage.state.as_str(), "finished" | "failed") && !shown.bar.is_finished() {
                shown.bar.abandon();
            }
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        for shown in self.shown.values() {
            shown.bar.abandon();
        }
    }
}

fn stage_bar(stage: &str) -> ProgressBar {
    let bar = ProgressBar::new(100).with_prefix(stage.to_owned());
    // The template is a constant that parses; the default is a bar too.
    match ProgressStyle::with_template("  {prefix:10} {bar:24.green} {percent:>3} %  {wide_msg}") {
        Ok(style) => bar.with_style(style.progress_chars("━╸ ")),
        Err(_) => bar,
    }
}
