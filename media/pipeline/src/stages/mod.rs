//! What all stages have in common: admission, metrics, reports, refusals, giving up.

mod art;
mod ingest;
mod lowest;
mod package;
mod rest;

use std::sync::Arc;

use async_trait::async_trait;
use mcsp_api::events::{Event, TranscodingCompleted, UploadCompleted, UploadInitiated};
use mcsp_api::{ContentId, Residency};
use mcsp_db::Tx;
use mcsp_events::consumer::{HandleError, Job};
use mcsp_events::{Record, envelope};
use tokio::time::Instant;

pub(crate) use art::Art;
pub(crate) use ingest::Ingest;
pub(crate) use lowest::Lowest;
pub(crate) use package::PackageStage;
pub(crate) use rest::Rest;

use crate::context::Context;
use crate::error::StageError;
use crate::item::Item;
use crate::metrics;
use crate::progress::StageReporter;

/// An event about one item.
pub(crate) trait ItemEvent: Event {
    fn content_id(&self) -> &ContentId;
    fn residency(&self) -> Residency;
}

macro_rules! item_event {
    ($($name:ident)*) => {$(
        impl ItemEvent for $name {
            fn content_id(&self) -> &ContentId {
                &self.content_id
            }

            fn residency(&self) -> Residency {
                self.residency
            }
        }
    )*};
}

item_event!(UploadInitiated UploadCompleted TranscodingCompleted);

/// One step from upload to published.
#[async_trait]
pub(crate) trait Stage: Send + Sync + 'static {
    /// Its consumer group.
    const GROUP: &'static str;
    /// Its name in metrics and in what the creator sees.
    const NAME: &'static str;
    /// What it waits for.
    type Event: ItemEvent;
    /// What its work hands to the transaction.
    type Effect: Send;

    /// Is the event nothing to this stage?
    fn skips(&self, _event: &Self::Event) -> bool {
        false
    }

    /// Does the work; repeating it leaves the same objects.
    async fn work(
        &self,
        context: &Context,
        item: &Item,
        event: &Self::Event,
        reporter: &StageReporter,
    ) -> Result<Self::Effect, StageError>;

    /// Puts state and outgoing event into `tx`.
    async fn apply(
        &self,
        context: &Context,
        event: &Self::Event,
        effect: Self::Effect,
        tx: &mut Tx,
    ) -> Result<(), StageError>;

    /// Concludes after the last try; by default the creator is told unless something can be played.
    async fn give_up(
        &self,
        context: &Context,
        event: &Self::Event,
        tx: &mut Tx,
    ) -> Result<(), StageError> {
        context.give_up(tx, event.content_id(), Self::NAME).await
    }
}

/// What came of a stage's work.
pub(crate) enum Outcome<E> {
    /// Nothing was to be done.
    Skipped,
    /// It was done.
    Done(E),
    /// The creator's file cannot be used.
    Refused {
        /// Machine-readable.
        code: String,
        /// What the creator reads.
        reason: String,
    },
}

/// A stage as a consumer's job.
pub(crate) struct StageJob<S> {
    stage: S,
    context: Arc<Context>,
}

impl<S: Stage> StageJob<S> {
    pub(crate) fn new(stage: S, context: Arc<Context>) -> Self {
        Self { stage, context }
    }

    fn reporter(&self, event: &S::Event) -> StageReporter {
        self.context.progress.of(event.content_id(), S::NAME)
    }

    async fn timed(&self, event: &S::Event) -> Result<Outcome<S::Effect>, StageError> {
        let item = self.context.item(event.content_id(), event.residency())?;
        let began = Instant::now();
        let reporter = self.reporter(event);
        let worked = self
            .stage
            .work(&self.context, &item, event, &reporter)
            .await;
        let seconds = began.elapsed().as_secs_f64();
        let outcome = worked.as_ref().err().map_or("done", StageError::outcome);
        metrics::job(S::NAME, outcome, seconds);
        tracing::info!(stage = S::NAME, content_id = %event.content_id(), outcome, seconds, "stage ran");
        match worked {
            Ok(effect) => Ok(Outcome::Done(effect)),
            Err(StageError::Refused { code, reason }) => {
                item.lease.discard();
                Ok(Outcome::Refused { code, reason })
            }
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl<S: Stage> Job for StageJob<S> {
    const GROUP: &'static str = S::GROUP;
    type Effect = Outcome<S::Effect>;

    fn topics(&self) -> Vec<String> {
        vec![S::Event::TOPIC.name.to_owned()]
    }

    async fn work(&self, record: &Record) -> Result<Self::Effect, HandleError> {
        let event = envelope::decode::<S::Event>(record)?.payload;
        if self.stage.skips(&event) {
            return Ok(Outcome::Skipped);
        }
        Ok(self.timed(&event).await?)
    }

    async fn apply(
        &self,
        record: &Record,
        effect: Self::Effect,
        tx: &mut Tx,
    ) -> Result<(), HandleError> {
        let event = envelope::decode::<S::Event>(record)?.payload;
        match effect {
            Outcome::Skipped => {}
            Outcome::Done(effect) => self.stage.apply(&self.context, &event, effect, tx).await?,
            Outcome::Refused { code, reason } => {
                self.context
                    .block(tx, event.content_id(), &code, &reason)
                    .await?;
                self.reporter(&event).failed(&reason);
            }
        }
        Ok(())
    }

    async fn give_up(
        &self,
        record: &Record,
        _error: &HandleError,
        tx: &mut Tx,
    ) -> Result<(), HandleError> {
        // What cannot be read, or is not ours, says nothing to anybody's creator.
        let Ok(event) = envelope::decode::<S::Event>(record) else {
            return Ok(());
        };
        let event = event.payload;
        let is_ours = self.context.admit(event.content_id(), event.residency());
        if is_ours.is_err() {
            return Ok(());
        }
        metrics::count(S::NAME, "given_up");
        self.reporter(&event).failed("given up after several tries");
        Ok(self.stage.give_up(&self.context, &event, tx).await?)
    }
}
