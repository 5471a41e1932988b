//! What the upload service hears: that the event log has its own event.

use async_trait::async_trait;
use mcsp_api::events::{Event, UploadInitiated};
use mcsp_db::Tx;
use mcsp_events::Record;
use mcsp_events::consumer::{HandleError, Handler};
use mcsp_events::envelope;

use crate::service::{SERVICE, UploadService};
use crate::session::SessionStatus;
use crate::store;

/// Turns `PENDING_TRIGGER` into `COMPLETED` when the event has reached the log; group `upload`.
#[derive(Debug, Clone)]
pub struct UploadEvents {
    service: UploadService,
}

impl UploadEvents {
    /// The consumer of `service`.
    #[must_use]
    pub fn new(service: UploadService) -> Self {
        Self { service }
    }
}

#[async_trait]
impl Handler for UploadEvents {
    const GROUP: &'static str = SERVICE;

    fn topics(&self) -> Vec<String> {
        vec![UploadInitiated::TOPIC.name.to_owned()]
    }

    async fn handle(&self, record: &Record, tx: &mut Tx) -> Result<(), HandleError> {
        let event = envelope::decode::<UploadInitiated>(record)?.payload;
        let (from, to) = (SessionStatus::PendingTrigger, SessionStatus::Completed);
        store::advance(tx.conn(), &event.upload_id, from, to, self.service.now_ms())
            .await
            .map(|_| ())
            .map_err(|error| {
                if error.is_retryable() {
                    HandleError::Away(error.to_string())
                } else {
                    HandleError::Poison(error.to_string())
                }
            })
    }
}
