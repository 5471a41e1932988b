//! From the last byte to the first picture: the stages as they finish.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use mcsp_api::rest::{Content, ContentStatus};

use crate::error::CliError;
use crate::session::Session;
use crate::show;

/// How often the item is looked at.
const POLL: Duration = Duration::from_millis(400);

/// When to stop following.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// The first rendition can be played.
    Playable,
    /// No further rendition will come.
    Complete,
}

/// One line a stage.
struct Stages {
    lines: MultiProgress,
    bars: BTreeMap<String, ProgressBar>,
    style: ProgressStyle,
}

impl Stages {
    fn new(shown: bool) -> Self {
        let lines = MultiProgress::new();
        if !shown {
            lines.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        let style =
            ProgressStyle::with_template("{prefix:>18} {bar:30.yellow/dim} {pos:>3} %  {msg}");
        Self {
            lines,
            bars: BTreeMap::new(),
            // The template is a constant; a bar without it still shows what is going on.
            style: style.unwrap_or_else(|_| ProgressStyle::default_bar()),
        }
    }

    fn update(&mut self, content: &Content) {
        for stage in &content.stages {
            let (lines, style) = (&self.lines, &self.style);
            let bar = self.bars.entry(stage.stage.clone()).or_insert_with(|| {
                let bar = lines.add(ProgressBar::new(100)).with_style(style.clone());
                bar.with_prefix(stage.stage.clone())
            });
            if bar.is_finished() {
                continue;
            }
            bar.set_position(u64::from(stage.percent));
            bar.set_message(stage.note.clone());
            match stage.state.as_str() {
                "finished" => bar.finish(),
                "failed" => bar.abandon(),
                _ => {}
            }
        }
    }

    fn finish(&self) {
        for bar in self.bars.values().filter(|bar| !bar.is_finished()) {
            bar.abandon();
        }
    }
}

fn outcome(content: &Content, until: Until) -> Result<bool, CliError> {
    let not_playable = |state| {
        Err(CliError::NotPlayable {
            content_id: content.content_id.clone(),
            state,
            reason: content
                .status_reason
                .clone()
                .unwrap_or_else(|| "no reason was given".to_owned()),
        })
    };
    match content.status {
        ContentStatus::Published => Ok(until == Until::Playable || content.complete),
        ContentStatus::Blocked => not_playable("was refused"),
        ContentStatus::Failed => not_playable("failed"),
        ContentStatus::Removed | ContentStatus::Deleted => not_playable("was removed"),
        // Held for a person: nothing to wait for at a terminal.
        ContentStatus::PendingModeration | ContentStatus::UnderReview => Ok(true),
        ContentStatus::Draft | ContentStatus::Processing => Ok(false),
    }
}

/// Follows an item; looks past a server that is away for at most `patience`.
pub(crate) async fn run(
    session: &mut Session,
    content_id: &str,
    until: Until,
    patience: Duration,
    as_json: bool,
) -> Result<Content, CliError> {
    let mut stages = Stages::new(!as_json);
    let mut moved = Instant::now();
    let mut last_seen = String::new();
    loop {
        match session.content(content_id).await {
            Ok(content) => {
                stages.update(&content);
                let done = outcome(&content, until);
                if !matches!(done, Ok(false)) {
                    stages.finish();
                    done?;
                    return Ok(content);
                }
                let seen = format!(
                    "{:?}{:?}{:?}",
                    content.status, content.stages, content.renditions
                );
                if seen != last_seen {
                    last_seen = seen;
                    moved = Instant::now();
                }
            }
            // The record may be a moment behind the upload, and the server may be away.
            Err(error) if error.is_retryable() || error.status() == Some(404) => {}
            Err(error) => return Err(error),
        }
        if moved.elapsed() > patience {
            return Err(CliError::Stalled {
                patience_s: patience.as_secs(),
                last: "the pipeline told nothing new".to_owned(),
            });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Tells how it ended.
pub(crate) fn tell(content: &Content, took: Duration, as_json: bool) -> Result<(), CliError> {
    if as_json {
        return show::json(content);
    }
    let seconds = took.as_secs_f64();
    match content.status {
        ContentStatus::Published => {
            println!("playable after {seconds:.1} s: {}", content.content_id)
        }
        _ => println!(
            "{} waits for review before it is published",
            content.content_id
        ),
    }
    Ok(())
}
