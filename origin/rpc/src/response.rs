//! The answers of calls: a status as a response, and a body that may not fall silent.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;

use crate::policy::SILENCE_MAX;

/// A gRPC answer that is nothing but a status ("Trailers-Only").
pub(crate) fn status_response<B: Default>(status: Status) -> Response<B> {
    status.into_http()
}

pin_project! {
    /// A response's body that fails when it is silent for too long, and holds the call's place until it has ended.
    pub(crate) struct CallBody<B> {
        #[pin]
        inner: B,
        #[pin]
        silence: Sleep,
        permit: Option<OwnedSemaphorePermit>,
    }
}

impl<B> CallBody<B> {
    pub(crate) fn new(inner: B, permit: OwnedSemaphorePermit) -> Self {
        Self {
            inner,
            silence: sleep(SILENCE_MAX),
            permit: Some(permit),
        }
    }
}

impl<B> Body for CallBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut this = self.project();
        match this.inner.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.silence.as_mut().reset(Instant::now() + SILENCE_MAX);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.permit.take();
                Poll::Ready(Some(Err(Status::unavailable(format!(
                    "the answer broke off: {error}"
                )))))
            }
            Poll::Ready(None) => {
                this.permit.take();
                Poll::Ready(None)
            }
            Poll::Pending => match this.silence.poll(cx) {
                Poll::Ready(()) => {
                    this.permit.take();
                    Poll::Ready(Some(Err(Status::deadline_exceeded(
                        "the answer fell silent",
                    ))))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
