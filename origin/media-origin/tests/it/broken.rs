//! Stores that break off, stop short, or are away: a body is whole or broken, never short and complete.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use mcsp_objects::{ListPage, ObjectBody, ObjectError, ObjectMeta, ObjectStore, PartMeta};

use crate::stage::{GLOBAL_ITEM, ask, header, origin};

/// What the store does to the body of its one object, which has 10 bytes.
#[derive(Debug, Clone, Copy)]
enum Flaw {
    BreaksOff,
    StopsShort,
    GoesOn,
    IsAway,
}

#[derive(Debug)]
struct Flawed(Flaw);

fn meta() -> ObjectMeta {
    ObjectMeta {
        key: "k".to_owned(),
        size_bytes: 10,
        etag: "\"e\"".to_owned(),
        modified_ms: 0,
        content_type: String::new(),
    }
}

fn no<T>() -> Result<T, ObjectError> {
    Err(ObjectError::Unavailable("not here".to_owned()))
}

#[async_trait]
impl ObjectStore for Flawed {
    async fn get(
        &self,
        _: &str,
        _: &str,
        _: Option<Range<u64>>,
    ) -> Result<ObjectBody, ObjectError> {
        let good = || Ok(Bytes::from_static(b"five!"));
        let chunks = match self.0 {
            Flaw::BreaksOff => vec![good(), no()],
            Flaw::StopsShort => vec![good()],
            Flaw::GoesOn => vec![good(), good(), good()],
            Flaw::IsAway => return no(),
        };
        Ok(ObjectBody {
            meta: meta(),
            range: 0..10,
            stream: stream::iter(chunks).boxed(),
        })
    }
    async fn head(&self, _: &str, _: &str) -> Result<ObjectMeta, ObjectError> {
        Ok(meta())
    }
    async fn put(&self, _: &str, _: &str, _: &str, _: Bytes) -> Result<ObjectMeta, ObjectError> {
        no()
    }
    async fn put_file(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: &Path,
    ) -> Result<ObjectMeta, ObjectError> {
        no()
    }
    async fn delete(&self, _: &str, _: &str) -> Result<(), ObjectError> {
        no()
    }
    async fn list(&self, _: &str, _: &str, _: Option<&str>) -> Result<ListPage, ObjectError> {
        no()
    }
    async fn create_multipart(&self, _: &str, _: &str, _: &str) -> Result<String, ObjectError> {
        no()
    }
    async fn list_parts(&self, _: &str, _: &str, _: &str) -> Result<Vec<PartMeta>, ObjectError> {
        no()
    }
    async fn complete_multipart(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: &[PartMeta],
    ) -> Result<ObjectMeta, ObjectError> {
        no()
    }
    async fn abort_multipart(&self, _: &str, _: &str, _: &str) -> Result<(), ObjectError> {
        no()
    }
    fn presign_part(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: &str,
        _: u32,
        _: Duration,
    ) -> Result<String, ObjectError> {
        no()
    }
}

async fn get(flaw: Flaw) -> axum::response::Response {
    let origin = origin(Arc::new(Flawed(flaw)), None);
    ask(
        &origin,
        Method::GET,
        &format!("/media/{GLOBAL_ITEM}/v360/1.m4s"),
        "lhr1",
        &[],
    )
    .await
}

#[tokio::test]
async fn a_body_that_is_not_whole_is_broken() {
    for flaw in [Flaw::BreaksOff, Flaw::StopsShort, Flaw::GoesOn] {
        let response = get(flaw).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header(&response, "content-length"), "10");
        assert!(response.into_body().collect().await.is_err(), "{flaw:?}");
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_503_and_says_when_to_come_back() {
    let response = get(Flaw::IsAway).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(header(&response, "retry-after"), "1");
    assert_eq!(header(&response, "cache-control"), "no-store");
}
