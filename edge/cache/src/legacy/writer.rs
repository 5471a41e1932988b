//! Writing a fill.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use pingora_cache::storage::streaming_write::U64WriteId;
use pingora_cache::storage::{HandleMiss, MissFinishType};
use pingora_error::{Error, ErrorType, Result};

use crate::legacy::fill::{Fill, FillFailure, FillState};
use crate::legacy::store::EdgeCache;

/// The one writer of a fill. Dropped before [`HandleMiss::finish`], it fails the fill.
#[derive(Debug)]
pub(crate) struct FillWriter {
    cache: &'static EdgeCache,
    fill: Arc<Fill>,
    tag: U64WriteId,
    over: bool,
}

impl FillWriter {
    pub(crate) fn new(cache: &'static EdgeCache, fill: Arc<Fill>) -> Self {
        let tag = U64WriteId::from(fill.id);
        Self {
            cache,
            fill,
            tag,
            over: false,
        }
    }

    fn fail(&mut self, failure: FillFailure) {
        if !self.over {
            self.over = true;
            self.cache.abandon(&self.fill, failure);
        }
    }
}

#[async_trait]
impl HandleMiss for FillWriter {
    async fn write_body(&mut self, data: Bytes, _eof: bool) -> Result<()> {
        self.fill.append(data).map_err(|failure| {
            self.fail(failure);
            Error::explain(ErrorType::new("CacheFillFailed"), failure.to_string())
        })
    }

    async fn finish(mut self: Box<Self>) -> Result<MissFinishType> {
        let got = self.fill.bytes();
        let expected = self
            .fill
            .meta
            .header
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if let Some(expected) = expected
            && expected != got
        {
            let failure = FillFailure::Length { expected, got };
            self.fail(failure);
            return Error::e_explain(ErrorType::new("CacheFillFailed"), failure.to_string());
        }
        if self.over {
            return Error::e_explain(
                ErrorType::new("CacheFillFailed"),
                "the fill has failed already",
            );
        }
        self.over = true;
        self.cache.admit(&self.fill);
        self.fill.settle(FillState::Complete);
        Ok(MissFinishType::Created(
            usize::try_from(got).unwrap_or(usize::MAX),
        ))
    }

    fn streaming_write_tag(&self) -> Option<&[u8]> {
        Some(self.tag.as_bytes())
    }
}

impl Drop for FillWriter {
    fn drop(&mut self) {
        self.fail(FillFailure::Aborted);
    }
}
