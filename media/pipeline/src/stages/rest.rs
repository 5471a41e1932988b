//! Every other rendition, of one further decode. Each joins the item as soon as it is finished, and one that fails does
//! not hold back the others.

use async_trait::async_trait;
use mcsp_api::events::TranscodingCompleted;
use mcsp_db::Tx;
use mcsp_media_package::RenditionInfo;
use mcsp_media_probe::Probe;
use mcsp_media_transcode::{FailedRung, Ladder};

use super::Stage;
use crate::context::Context;
use crate::encoder::Rungs;
use crate::error::StageError;
use crate::item::{Item, OnKept};
use crate::progress::StageReporter;
use crate::{metrics, store};

/// Makes all renditions but the lowest.
pub(crate) struct Rest;

/// What the item has beside the lowest renditions. All of it was told of when it joined.
pub(crate) struct RestMade {
    ids: Vec<String>,
    /// All that was wanted is there, so the one that came last was told of as the last.
    complete: bool,
}

#[async_trait]
impl Stage for Rest {
    const GROUP: &'static str = "media-rest";
    const NAME: &'static str = "renditions";
    type Event = TranscodingCompleted;
    type Effect = RestMade;

    fn skips(&self, event: &TranscodingCompleted) -> bool {
        !event.lowest || event.last
    }

    async fn work(
        &self,
        context: &Context,
        item: &Item,
        event: &TranscodingCompleted,
        reporter: &StageReporter,
    ) -> Result<RestMade, StageError> {
        let probe = context.probe(&event.content_id, item).await?;
        let job = RestJob {
            context,
            item,
            event,
            wanted: Ladder::for_source(&probe).rest(),
            probe: &probe,
            reporter,
        };
        // What an earlier try made is not made again.
        let missing = job.missing().await?;
        if !missing.is_empty() {
            reporter.started(&missing.ids().join(", "));
            job.make_all(missing).await?;
        }
        let missing = job.missing().await?;
        Ok(RestMade {
            ids: without(&job.wanted, &missing.ids()).ids(),
            complete: missing.is_empty(),
        })
    }

    async fn apply(
        &self,
        context: &Context,
        event: &TranscodingCompleted,
        made: RestMade,
        tx: &mut Tx,
    ) -> Result<(), StageError> {
        if !made.complete {
            // A stream turned out to be empty.
            context.emit(tx, &joins(event, Vec::new(), true)).await?;
        }
        let reporter = context.progress.of(&event.content_id, Self::NAME);
        reporter.finished(&made.ids.join(", "));
        Ok(())
    }

    /// Those that were made have joined; it is told that no other will.
    async fn give_up(
        &self,
        context: &Context,
        event: &TranscodingCompleted,
        tx: &mut Tx,
    ) -> Result<(), StageError> {
        let (id, now_ms) = (&event.content_id, context.clock.now_ms());
        if !store::put_given_up(tx, id, Self::NAME, now_ms).await? {
            return Ok(());
        }
        let made = store::rendition_ids(tx, id).await?;
        let probe = store::probe(&context.db, id).await?;
        let is_complete = probe.is_some_and(|probe| {
            let wanted = Ladder::for_source(&probe).rest();
            without(&wanted, &made).is_empty()
        });
        if is_complete {
            return Ok(());
        }
        context.emit(tx, &joins(event, Vec::new(), true)).await
    }
}

struct RestJob<'a> {
    context: &'a Context,
    item: &'a Item,
    event: &'a TranscodingCompleted,
    probe: &'a Probe,
    wanted: Ladder,
    reporter: &'a StageReporter,
}

impl RestJob<'_> {
    /// What is wanted and has not joined.
    async fn missing(&self) -> Result<Ladder, StageError> {
        let stored = store::renditions(&self.context.db, &self.event.content_id).await?;
        let made: Vec<String> = stored
            .into_iter()
            .map(|rendition| rendition.info.id)
            .collect();
        Ok(without(&self.wanted, &made))
    }

    /// Makes these renditions of one decode. When that breaks off as a whole, what is still missing is made one by one,
    /// so that the one at fault holds back no other.
    async fn make_all(&self, rungs: Ladder) -> Result<(), StageError> {
        let reason = match self.make(rungs).await {
            Ok(failed) => return all_good(&failed),
            Err(StageError::Retry(reason)) => reason,
            Err(error) => return Err(error),
        };
        let missing = self.missing().await?;
        if missing.ids().len() < 2 {
            return Err(StageError::Retry(reason));
        }
        tracing::warn!(content_id = %self.event.content_id, reason, "renditions failed together, and are made one by one");
        let mut failed = Vec::new();
        for rung in single_rungs(&missing) {
            match self.make(rung).await {
                Ok(rungs) => failed.extend(rungs),
                Err(StageError::Retry(reason)) => failed.push(reason),
                Err(error) => return Err(error),
            }
        }
        all_good(&failed)
    }

    /// Makes some renditions of one decode. Those that are made have joined; returns why the others are not.
    async fn make(&self, rungs: Ladder) -> Result<Vec<String>, StageError> {
        let names = rungs.ids().join(", ");
        let encoded = self
            .item
            .encode(
                self.context,
                self.probe,
                Rungs::Only(rungs),
                self.reporter,
                self,
            )
            .await;
        let encoded = match encoded {
            Ok(encoded) => encoded,
            // The file was found good; that it is refused now is nobody's fault but ours.
            Err(StageError::Refused { code, reason }) => {
                return Err(StageError::Poison(format!("{code}: {reason}")));
            }
            Err(StageError::Retry(reason)) => {
                return Err(StageError::Retry(format!("{names}: {reason}")));
            }
            Err(error) => return Err(error),
        };
        metrics::encode_cpu(Rest::NAME, encoded.cpu_ms);
        let of = |rung: &FailedRung| format!("{}: {}", rung.id, rung.message);
        Ok(encoded.failed.iter().map(of).collect())
    }
}

#[async_trait]
impl OnKept for RestJob<'_> {
    /// The rendition joins the item: it is noted and told of in one transaction, once. Whoever comes later, or at the
    /// same time, finds it there.
    async fn kept(&self, info: &RenditionInfo) -> Result<(), StageError> {
        let Self { context, event, .. } = self;
        let (id, now_ms) = (&event.content_id, context.clock.now_ms());
        let mut tx = context.db.begin().await?;
        store::hold_item(&mut tx, id, now_ms).await?;
        let mut made = store::rendition_ids(&mut tx, id).await?;
        let is_new = !made.contains(&info.id);
        store::put_renditions(&mut tx, id, std::slice::from_ref(info), now_ms).await?;
        if is_new {
            made.push(info.id.clone());
            let is_last = without(&self.wanted, &made).is_empty();
            let event = joins(event, vec![info.id.clone()], is_last);
            context.emit(&mut tx, &event).await?;
        }
        Ok(tx.commit().await?)
    }
}

fn all_good(failed: &[String]) -> Result<(), StageError> {
    if failed.is_empty() {
        Ok(())
    } else {
        Err(StageError::Retry(failed.join("; ")))
    }
}

fn joins(
    event: &TranscodingCompleted,
    rendition_ids: Vec<String>,
    last: bool,
) -> TranscodingCompleted {
    TranscodingCompleted {
        rendition_ids,
        lowest: false,
        last,
        ..event.clone()
    }
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
