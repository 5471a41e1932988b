//! A stage: what is the same for all of them.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use mcsp_api::ContentId;
use mcsp_api::events::{Event, StageProgress, UploadBlocked};
use mcsp_db::Tx;
use mcsp_events::consumer::{
    HEADER_ATTEMPTS, HEADER_ERROR, HEADER_GROUP, HEADER_SOURCE_TOPIC, HandleError, Job,
};
use mcsp_events::envelope::{self, DLQ_SUFFIX};
use mcsp_events::outbox::Outbox;
use mcsp_events::{NewRecord, Record};
use mcsp_media_package::PackageError;
use mcsp_media_sandbox::{ChildError, JobError};
use mcsp_media_transcode::PassError;
use mcsp_objects::ObjectError;
use thiserror::Error;

use crate::attempts::{Attempts, Standing};
use crate::metrics::{self, Outcome};
use crate::outgoing::Outgoing;
use crate::pipeline::Shared;

/// The code of an upload that was given up for a reason that is not the file's.
const FAILED: &str = "failed";

/// Why a stage did not get through.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum StageError {
    /// It is the file's fault; the creator is told.
    #[error("{code}: {reason}")]
    Refused {
        /// Machine-readable.
        code: String,
        /// What the creator reads.
        reason: String,
    },
    /// Another try may help; counted.
    #[error("{0}")]
    Retry(String),
    /// Something is away; not counted.
    #[error("{0}")]
    Away(String),
}

impl From<ObjectError> for StageError {
    fn from(error: ObjectError) -> Self {
        if error.is_retryable() {
            Self::Away(error.to_string())
        } else {
            Self::Retry(error.to_string())
        }
    }
}

impl From<io::Error> for StageError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Away(format!("scratch: {error}"))
            }
            _ => Self::Retry(format!("scratch: {error}")),
        }
    }
}

impl From<ChildError> for StageError {
    fn from(error: ChildError) -> Self {
        match error {
            ChildError::Job(JobError::Refused { code, reason }) => Self::Refused { code, reason },
            other => Self::Retry(other.to_string()),
        }
    }
}

impl From<PackageError> for StageError {
    fn from(error: PackageError) -> Self {
        Self::Retry(error.to_string())
    }
}

impl From<PassError> for StageError {
    fn from(error: PassError) -> Self {
        match error {
            PassError::Child(error) => error.into(),
            PassError::Output(error) => error.into(),
        }
    }
}

/// What a stage did.
#[derive(Debug)]
pub(crate) enum Done {
    /// The event is none of this stage's business.
    NotMine,
    /// These events follow.
    Events(Vec<Outgoing>),
}

/// One stage.
pub(crate) trait Stage: Send + Sync + 'static {
    /// What creators see.
    const NAME: &'static str;
    /// The consumer group.
    const GROUP: &'static str;
    /// The event it acts on.
    type Event: Event + 'static;

    /// The item of an event.
    fn content_id(event: &Self::Event) -> &ContentId;

    /// Does the work; its traces in object storage must be the same however often it is done.
    fn work(&self, event: &Self::Event) -> impl Future<Output = Result<Done, StageError>> + Send;

    /// What follows when the work is given up: by default the upload is blocked.
    fn give_up(&self, event: &Self::Event, code: &str, reason: &str) -> Vec<Outgoing> {
        vec![Outgoing::UploadBlocked(UploadBlocked {
            content_id: Self::content_id(event).clone(),
            code: code.to_owned(),
            reason: reason.to_owned(),
        })]
    }

    /// Tries before it is given up, when fewer than the configuration says.
    fn tries_max(&self) -> u32 {
        u32::MAX
    }
}

/// A stage as a job of the event log's consumer.
pub(crate) struct StageJob<S> {
    stage: S,
    shared: Arc<Shared>,
    attempts: Attempts,
}

/// What the transaction gets.
pub(crate) struct Effect {
    events: Vec<Outgoing>,
    dead_letter: Option<NewRecord>,
}

impl<S: Stage> StageJob<S> {
    pub(crate) fn new(stage: S, shared: Arc<Shared>) -> Self {
        let attempts = Attempts::new(shared.db.clone(), S::GROUP, Arc::clone(&shared.clock));
        Self {
            stage,
            shared,
            attempts,
        }
    }

    fn progress(&self, event: &S::Event, state: &str, percent: u32, note: &str) -> Outgoing {
        Outgoing::Progress(StageProgress {
            content_id: S::content_id(event).clone(),
            stage: S::NAME.to_owned(),
            state: state.to_owned(),
            percent,
            note: note.to_owned(),
        })
    }

    fn finished(&self, event: &S::Event, mut events: Vec<Outgoing>) -> Effect {
        events.push(self.progress(event, "finished", 100, ""));
        Effect {
            events,
            dead_letter: None,
        }
    }

    fn refused(&self, event: &S::Event, code: &str, reason: &str) -> Effect {
        let mut events = self.stage.give_up(event, code, reason);
        events.push(self.progress(event, "failed", 100, reason));
        Effect {
            events,
            dead_letter: None,
        }
    }

    /// After the last try: the creator is told without internals, a person finds them in the dead letter.
    fn given_up(&self, event: &S::Event, record: &Record, failures: u32, error: &str) -> Effect {
        tracing::error!(stage = S::NAME, content_id = %S::content_id(event), failures, error, "stage is given up");
        let reason = "Something went wrong on our side while working on this file. Upload it again, or ask for help.";
        let mut effect = self.refused(event, FAILED, reason);
        effect.dead_letter = Some(dead_letter(record, S::GROUP, failures, error));
        effect
    }

    async fn settle(
        &self,
        event: &S::Event,
        record: &Record,
        result: Result<Done, StageError>,
    ) -> Result<Effect, HandleError> {
        let id = envelope::event_id(record)?;
        match result {
            Ok(Done::NotMine) => Ok(Effect {
                events: Vec::new(),
                dead_letter: None,
            }),
            Ok(Done::Events(events)) => Ok(self.finished(event, events)),
            Err(StageError::Refused { code, reason }) => {
                tracing::info!(stage = S::NAME, content_id = %S::content_id(event), code, reason, "file is refused");
                Ok(self.refused(event, &code, &reason))
            }
            Err(StageError::Away(why)) => {
                self.attempts.excuse(id).await?;
                Err(HandleError::Away(why))
            }
            Err(StageError::Retry(why)) => {
                let failures = self.attempts.fail(id).await?;
                if failures < self.shared.tries.min(self.stage.tries_max()) {
                    return Err(HandleError::Retry(why));
                }
                Ok(self.given_up(event, record, failures, &why))
            }
        }
    }
}

#[async_trait]
impl<S: Stage> Job for StageJob<S> {
    const GROUP: &'static str = S::GROUP;
    type Effect = Effect;

    fn topics(&self) -> Vec<String> {
        vec![S::Event::TOPIC.name.to_owned()]
    }

    async fn work(&self, record: &Record) -> Result<Effect, HandleError> {
        let event = envelope::decode::<S::Event>(record)?.payload;
        let started = Instant::now();
        let result = match self.attempts.begin(envelope::event_id(record)?).await? {
            Standing::Go => self.stage.work(&event).await,
            Standing::Exhausted { starts } => {
                let why = format!("the process ended during the work {starts} times");
                return Ok(self.given_up(&event, record, starts, &why));
            }
        };
        metrics::stage(S::NAME, Outcome::of(&result), started.elapsed());
        self.shared.progress.flush().await;
        self.settle(&event, record, result).await
    }

    async fn apply(&self, record: &Record, effect: Effect, tx: &mut Tx) -> Result<(), HandleError> {
        for event in effect.events {
            Outbox::add(
                tx,
                event.encode(&*self.shared.clock, &*self.shared.entropy)?,
            )
            .await?;
        }
        if let Some(letter) = effect.dead_letter {
            Outbox::add(tx, letter).await?;
        }
        Ok(self
            .attempts
            .forget(envelope::event_id(record)?, tx)
            .await?)
    }
}

/// The record as a dead letter, as the consumer itself would write it.
fn dead_letter(record: &Record, group: &str, attempts: u32, error: &str) -> NewRecord {
    const ERROR_CHARS_MAX: usize = 1000;
    let mut headers = record.headers.clone();
    headers.insert(
        HEADER_ERROR.to_owned(),
        error.chars().take(ERROR_CHARS_MAX).collect(),
    );
    headers.insert(HEADER_ATTEMPTS.to_owned(), attempts.to_string());
    headers.insert(HEADER_GROUP.to_owned(), group.to_owned());
    headers.insert(
        HEADER_SOURCE_TOPIC.to_owned(),
        record.position.topic.clone(),
    );
    NewRecord {
        topic: format!("{}{DLQ_SUFFIX}", record.position.topic),
        key: record.key.clone(),
        value: record.value.clone(),
        headers,
    }
}
