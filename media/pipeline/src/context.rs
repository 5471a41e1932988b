//! What every stage works with.

use std::sync::Arc;

use mcsp_api::events::{Event, UploadBlocked};
use mcsp_api::{ContentId, RegionCode, Residency};
use mcsp_db::{Db, Tx};
use mcsp_events::envelope;
use mcsp_events::outbox::Outbox;
use mcsp_media_probe::Probe;
use mcsp_runtime::{SharedClock, SharedEntropy};

use crate::encoder::Encoder;
use crate::error::StageError;
use crate::item::Item;
use crate::names::ItemNames;
use crate::progress::Progress;
use crate::scratch::Scratch;
use crate::stores::Stores;
use crate::{SERVICE, metrics, store};

/// The code with which a creator is told that we failed, not the file.
const FAILED_CODE: &str = "failed";

/// What every stage works with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) region: RegionCode,
    pub(crate) db: Db,
    pub(crate) stores: Stores,
    pub(crate) encoder: Arc<dyn Encoder>,
    pub(crate) scratch: Scratch,
    pub(crate) progress: Progress,
    pub(crate) clock: SharedClock,
    pub(crate) entropy: SharedEntropy,
    /// Objects that one item sends at once.
    pub(crate) uploads_max: usize,
}

impl Context {
    /// May this worker touch the item at all? Checked before anything of it is read.
    pub(crate) fn admit(&self, id: &ContentId, residency: Residency) -> Result<(), StageError> {
        let refusal = if id.region() != self.region {
            format!("{id} is not of this worker's region {}", self.region)
        } else if self.stores.of(residency).is_none() {
            format!("{id} is {residency}, which this worker must not touch")
        } else {
            return Ok(());
        };
        metrics::residency_refused();
        Err(StageError::Poison(refusal))
    }

    /// The item's objects and its place in scratch.
    pub(crate) fn item(&self, id: &ContentId, residency: Residency) -> Result<Item, StageError> {
        self.admit(id, residency)?;
        let Some(store) = self.stores.of(residency) else {
            return Err(StageError::Poison(format!("no storage for {residency}")));
        };
        Ok(Item {
            names: ItemNames::new(residency, id),
            store: store.clone(),
            lease: self.scratch.lease(id)?,
        })
    }

    /// What the source is: as ingest found it, or found again.
    pub(crate) async fn probe(&self, id: &ContentId, item: &Item) -> Result<Probe, StageError> {
        if let Some(probe) = store::probe(&self.db, id).await? {
            return Ok(probe);
        }
        let source = item.source(self.encoder.source_bytes_max()).await?;
        Ok(self.encoder.probe(&source).await?)
    }

    /// Writes an event down in the transaction of what it tells.
    pub(crate) async fn emit<E: Event>(&self, tx: &mut Tx, event: &E) -> Result<(), StageError> {
        let record = envelope::encode(event, SERVICE, &*self.clock, &*self.entropy)
            .map_err(|error| StageError::Retry(error.to_string()))?;
        Ok(Outbox::add(tx, record).await?)
    }

    /// Tells the creator that the item cannot be used.
    pub(crate) async fn block(
        &self,
        tx: &mut Tx,
        id: &ContentId,
        code: &str,
        reason: &str,
    ) -> Result<(), StageError> {
        let event = UploadBlocked {
            content_id: id.clone(),
            code: code.to_owned(),
            reason: reason.to_owned(),
        };
        self.emit(tx, &event).await
    }

    /// Tells the creator that we failed, once, and unless something of the item can be played already.
    pub(crate) async fn give_up(
        &self,
        tx: &mut Tx,
        id: &ContentId,
        stage: &str,
    ) -> Result<(), StageError> {
        let is_first = store::put_given_up(tx, id, stage, self.clock.now_ms()).await?;
        if !is_first || store::is_any_packaged(tx, id).await? {
            return Ok(());
        }
        let reason = format!(
            "Processing failed on our side ({stage}) and was given up after several tries. The file is kept, and our \
             operators are told. Try again later, or upload another version of it."
        );
        self.block(tx, id, FAILED_CODE, &reason).await
    }
}
