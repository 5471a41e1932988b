//! A body that is an error unless it has the length that was announced.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use crate::{ObjectBody, ObjectError};

impl ObjectBody {
    /// The bytes, for whoever passes them on: the stream ends in an error when it stands still for `idle`, or has not
    /// exactly as many bytes as [`ObjectBody::range`] says.
    #[must_use]
    pub fn into_exact(self, idle: Duration) -> BoxStream<'static, Result<Bytes, ObjectError>> {
        exact(self.stream, self.range.end - self.range.start, idle)
    }
}

/// Passes chunks on; the stream ends in an error when it stands still, stops short of `bytes`, or goes beyond. In one
/// process, and behind intermediaries that frame bodies anew, nothing else would tell a cut body from a whole one.
pub(crate) fn exact(
    body: BoxStream<'static, Result<Bytes, ObjectError>>,
    bytes: u64,
    idle: Duration,
) -> BoxStream<'static, Result<Bytes, ObjectError>> {
    stream::unfold(Some((body, bytes)), move |state| async move {
        let (mut body, left) = state?;
        let failed = |why: String| Some((Err(ObjectError::Unavailable(why)), None));
        match tokio::time::timeout(idle, body.next()).await {
            Err(_) => failed("the answer's body stands still".to_owned()),
            Ok(Some(Err(error))) => Some((Err(error), None)),
            Ok(None) if left == 0 => None,
            Ok(None) => failed(format!("the answer's body ended {left} bytes early")),
            Ok(Some(Ok(chunk))) => {
                match left.checked_sub(u64::try_from(chunk.len()).unwrap_or(u64::MAX)) {
                    Some(left) => Some((Ok(chunk), Some((body, left)))),
                    None => failed("the answer's body is longer than announced".to_owned()),
                }
            }
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    async fn read(chunks: &[&'static str], bytes: u64) -> Result<Vec<Bytes>, ObjectError> {
        let body = stream::iter(
            chunks
                .iter()
                .map(|chunk| Ok(Bytes::from(*chunk)))
                .collect::<Vec<_>>(),
        )
        .boxed();
        exact(body, bytes, Duration::from_secs(5))
            .try_collect()
            .await
    }

    #[tokio::test]
    async fn only_the_announced_length_is_whole() {
        assert_eq!(read(&["ab", "c"], 3).await.expect("whole").concat(), b"abc");
        assert!(read(&[], 0).await.expect("empty").is_empty());
        assert!(matches!(
            read(&["ab"], 3).await,
            Err(ObjectError::Unavailable(_))
        ));
        assert!(matches!(
            read(&["ab", "cd"], 3).await,
            Err(ObjectError::Unavailable(_))
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stands_still_is_given_up() {
        let body = stream::pending().boxed();
        let read: Result<Vec<Bytes>, _> =
            exact(body, 3, Duration::from_secs(30)).try_collect().await;
        assert!(
            read.expect_err("nothing came")
                .to_string()
                .contains("stands still")
        );
    }
}
