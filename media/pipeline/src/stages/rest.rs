//! Every other rendition, of one further decode. A rendition that fails does not hold back the others.

use async_trait::async_trait;
use mcsp_api::events::TranscodingCompleted;
use mcsp_db::Tx;
use mcsp_media_package::RenditionInfo;
use mcsp_media_probe::Probe;
use mcsp_media_transcode::Ladder;

use super::Stage;
use crate::context::Context;
use crate::encoder::Rungs;
use crate::error::StageError;
use crate::item::Item;
use crate::progress::StageReporter;
use crate::{metrics, store};

/// Makes all renditions but the lowest.
pub(crate) struct Rest;

#[async_trait]
impl Stage for Rest {
    const GROUP: &'static str = "media-rest";
    const NAME: &'static str = "renditions";
    type Event = TranscodingCompleted;
    /// The ids of what was made.
    type Effect = Vec<String>;

    fn skips(&self, event: &TranscodingCompleted) -> bool {
        !event.lowest || event.last
    }

    async fn work(
        &self,
        context: &Context,
        item: &Item,
        event: &TranscodingCompleted,
        reporter: &StageReporter,
    ) -> Result<Vec<String>, StageError> {
        let probe = context.probe(&event.content_id, item).await?;
        let wanted = Ladder::for_source(&probe).rest();
        // What an earlier try made is not made again.
        let mut made = ids_made(context, event).await?;
        made.retain(|id| wanted.ids().contains(id));
        let missing = without(&wanted, &made);
        if missing.is_empty() {
            return Ok(made);
        }
        reporter.started(&missing.ids().join(", "));
        let job = RestJob {
            context,
            item,
            event,
            probe: &probe,
            reporter,
        };
        let rungs = if made.is_empty() {
            Rungs::Rest
        } else {
            Rungs::Only(missing.clone())
        };
        match job.make(rungs).await {
            Ok(ids) => made.extend(ids),
            Err(StageError::Retry(reason)) if missing.ids().len() > 1 => {
                tracing::warn!(content_id = %event.content_id, reason, "renditions failed together, and are made one by one");
                made.extend(job.one_by_one(&missing).await?);
            }
            // The file was found good; that it is refused now is nobody's fault but ours.
            Err(StageError::Refused { code, reason }) => {
                return Err(StageError::Poison(format!("{code}: {reason}")));
            }
            Err(error) => return Err(error),
        }
        Ok(made)
    }

    async fn apply(
        &self,
        context: &Context,
        event: &TranscodingCompleted,
        made: Vec<String>,
        tx: &mut Tx,
    ) -> Result<(), StageError> {
        let note = made.join(", ");
        context.emit(tx, &completed(event, made)).await?;
        let reporter = context.progress.of(&event.content_id, Self::NAME);
        reporter.finished(&note);
        Ok(())
    }

    async fn give_up(
        &self,
        context: &Context,
        event: &TranscodingCompleted,
        tx: &mut Tx,
    ) -> Result<(), StageError> {
        let now_ms = context.clock.now_ms();
        if !store::put_given_up(tx, &event.content_id, Self::NAME, now_ms).await? {
            return Ok(());
        }
        // Those that were made are published; no other will come.
        let made = ids_made(context, event).await?;
        context.emit(tx, &completed(event, made)).await
    }
}

struct RestJob<'a> {
    context: &'a Context,
    item: &'a Item,
    event: &'a TranscodingCompleted,
    probe: &'a Probe,
    reporter: &'a StageReporter,
}

impl RestJob<'_> {
    /// Makes some renditions and notes that they are there, so that a later try need not make them.
    async fn make(&self, rungs: Rungs) -> Result<Vec<String>, StageError> {
        let Self { context, event, .. } = self;
        let encoded = self
            .item
            .encode(context, self.probe, rungs, self.reporter)
            .await?;
        metrics::encode_cpu(Rest::NAME, encoded.cpu_ms);
        let mut tx = context.db.begin().await?;
        let now_ms = context.clock.now_ms();
        store::put_renditions(&mut tx, &event.content_id, &encoded.renditions, now_ms).await?;
        tx.commit().await?;
        Ok(ids_of(&encoded.renditions))
    }

    /// Makes each rendition by itself; fails when one does, with all others made.
    async fn one_by_one(&self, missing: &Ladder) -> Result<Vec<String>, StageError> {
        let mut made = Vec::new();
        let mut failures = Vec::new();
        for rung in single_rungs(missing) {
            let id = rung.ids().join(", ");
            match self.make(Rungs::Only(rung)).await {
                Ok(ids) => made.extend(ids),
                Err(StageError::Away(reason)) => return Err(StageError::Away(reason)),
                Err(error) => failures.push(format!("{id}: {error}")),
            }
        }
        if failures.is_empty() {
            Ok(made)
        } else {
            Err(StageError::Retry(failures.join("; ")))
        }
    }
}

fn completed(event: &TranscodingCompleted, rendition_ids: Vec<String>) -> TranscodingCompleted {
    TranscodingCompleted {
        rendition_ids,
        lowest: false,
        last: true,
        ..event.clone()
    }
}

fn ids_of(renditions: &[RenditionInfo]) -> Vec<String> {
    renditions.iter().map(|info| info.id.clone()).collect()
}

/// The item's renditions beside those of the lowest pass.
async fn ids_made(
    context: &Context,
    event: &TranscodingCompleted,
) -> Result<Vec<String>, StageError> {
    let stored = store::renditions(&context.db, &event.content_id).await?;
    let ids = stored.into_iter().map(|rendition| rendition.info.id);
    Ok(ids.filter(|id| !event.rendition_ids.contains(id)).collect())
}

fn without(ladder: &Ladder, made: &[String]) -> Ladder {
    let mut left = ladder.clone();
    left.video.retain(|rung| !made.contains(&rung.id));
    left.audio.retain(|rung| !made.contains(&rung.id));
    left
}

fn single_rungs(ladder: &Ladder) -> Vec<Ladder> {
    let none = Ladder {
        video: Vec::new(),
        audio: Vec::new(),
    };
    let videos = ladder.video.iter().map(|rung| Ladder {
        video: vec![rung.clone()],
        ..none.clone()
    });
    let audios = ladder.audio.iter().map(|rung| Ladder {
        audio: vec![rung.clone()],
        ..none.clone()
    });
    videos.chain(audios).collect()
}
