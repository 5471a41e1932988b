//! Reading a body, complete or in flight.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora_cache::CacheKey;
use pingora_cache::storage::{HandleHit, Storage};
use pingora_cache::trace::SpanHandle;
use pingora_error::{Error, ErrorType, Result};
use tokio::sync::watch;

use crate::legacy::fill::{Fill, FillState, Progress};
use crate::legacy::object::Object;

/// Reads one body for one request, whole or from a byte to a byte.
#[derive(Debug)]
pub struct BodyReader {
    source: Source,
    position: u64,
    end: u64,
    wait: Duration,
    begun: bool,
}

#[derive(Debug)]
enum Source {
    Object(Arc<Object>),
    Fill(Arc<Fill>, watch::Receiver<Progress>),
}

impl BodyReader {
    pub(crate) fn of_object(object: Arc<Object>) -> Self {
        Self::new(Source::Object(object), Duration::ZERO)
    }

    /// `wait` bounds the wait for each next byte.
    pub(crate) fn of_fill(fill: Arc<Fill>, wait: Duration) -> Self {
        let progress = fill.watch();
        Self::new(Source::Fill(fill, progress), wait)
    }

    fn new(source: Source, wait: Duration) -> Self {
        Self {
            source,
            position: 0,
            end: u64::MAX,
            wait,
            begun: false,
        }
    }

    /// Is this another request's fill, not a complete object?
    #[must_use]
    pub fn is_fill(&self) -> bool {
        matches!(self.source, Source::Fill(..))
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        let piece = match &mut self.source {
            Source::Object(object) => {
                // Between the lookup and here a purge may have come: what was purged is not served.
                if !self.begun && object.is_purged() {
                    return Error::e_explain(
                        ErrorType::new("CachePurged"),
                        "purged since it was looked up",
                    );
                }
                object.body.slice_at(self.position, self.end)
            }
            Source::Fill(fill, progress) => {
                if self.position >= self.end {
                    return Ok(None);
                }
                next_of_fill(fill, progress, self.position, self.end, self.wait).await?
            }
        };
        self.begun = true;
        if let Some(piece) = &piece {
            self.position += piece.len() as u64;
        }
        Ok(piece)
    }
}

async fn next_of_fill(
    fill: &Fill,
    progress: &mut watch::Receiver<Progress>,
    position: u64,
    end: u64,
    wait: Duration,
) -> Result<Option<Bytes>> {
    loop {
        let seen = *progress.borrow_and_update();
        if seen.bytes > position {
            return Ok(fill.slice_at(position, end));
        }
        match seen.state {
            FillState::Complete => return Ok(None),
            FillState::Failed(failure) => {
                return Error::e_explain(ErrorType::new("CacheFillFailed"), failure.to_string());
            }
            FillState::Open => {}
        }
        match tokio::time::timeout(wait, progress.changed()).await {
            Ok(Ok(())) => {}
            // The sender lives in the fill that this reader holds, so it cannot be gone; if it were, that is no end.
            Ok(Err(_)) => {
                return Error::e_explain(ErrorType::new("CacheFillFailed"), "the fill is gone");
            }
            Err(_) => {
                return Error::e_explain(
                    ErrorType::new("CacheFillStalled"),
                    format!("no byte of the fill came for {} ms", wait.as_millis()),
                );
            }
        }
    }
}

#[async_trait]
impl HandleHit for BodyReader {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        self.next().await
    }

    async fn finish(
        self: Box<Self>,
        _storage: &'static (dyn Storage + Sync),
        _key: &CacheKey,
        _trace: &SpanHandle,
    ) -> Result<()> {
        Ok(())
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn seek(&mut self, start: usize, end: Option<usize>) -> Result<()> {
        let start = start as u64;
        if let Source::Object(object) = &self.source
            && start >= object.body.len()
        {
            return Error::e_explain(
                ErrorType::InternalError,
                format!("seek to {start} in a body of {} bytes", object.body.len()),
            );
        }
        self.position = start;
        self.end = end.map_or(u64::MAX, |end| end as u64);
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn Any + Send + Sync) {
        self
    }
}
