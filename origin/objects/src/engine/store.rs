//! The engine as an [`ObjectStore`], for the folder's owner.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::io::ReaderStream;

use super::FileEngine;
use super::disk::failed;
use super::objects::{Precondition, PutRequest};
use crate::{
    LIST_PAGE_MAX, ListPage, ObjectBody, ObjectError, ObjectMeta, ObjectStore, PartMeta, clip_range,
};

fn put_request(bucket: &str, key: &str, content_type: &str, bytes_expected: u64) -> PutRequest {
    PutRequest {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        content_type: content_type.to_owned(),
        bytes_max: u64::MAX,
        bytes_expected: Some(bytes_expected),
        ..PutRequest::default()
    }
}

#[async_trait]
impl ObjectStore for FileEngine {
    async fn put(
        &self,
        bucket: &str,
        key: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<ObjectMeta, ObjectError> {
        let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let body = stream::iter([Ok(body)]);
        self.put_stream(put_request(bucket, key, content_type, bytes), body)
            .await
    }

    async fn put_file(
        &self,
        bucket: &str,
        key: &str,
        content_type: &str,
        path: &Path,
    ) -> Result<ObjectMeta, ObjectError> {
        let file = tokio::fs::File::open(path)
            .await
            .map_err(|error| failed("open a file to store", &error))?;
        let bytes = file
            .metadata()
            .await
            .map_err(|error| failed("open a file to store", &error))?
            .len();
        let body = ReaderStream::with_capacity(file, 256 << 10)
            .map_err(|error| failed("read a file to store", &error))
            .boxed();
        self.put_stream(put_request(bucket, key, content_type, bytes), body)
            .await
    }

    async fn get(
        &self,
        bucket: &str,
        key: &str,
        range: Option<Range<u64>>,
    ) -> Result<ObjectBody, ObjectError> {
        let opened = self.open_one(bucket, key).await?;
        let range = clip_range(range, opened.meta().size_bytes)?;
        Ok(opened.into_body(range))
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMeta, ObjectError> {
        Ok(self.open_one(bucket, key).await?.meta())
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<(), ObjectError> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.run(move |inner| inner.delete(&bucket, &key)).await
    }

    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<ListPage, ObjectError> {
        self.list_page(bucket, prefix, after, LIST_PAGE_MAX).await
    }

    async fn create_multipart(
        &self,
        bucket: &str,
        key: &str,
        content_type: &str,
    ) -> Result<String, ObjectError> {
        let (bucket, key, content_type) =
            (bucket.to_owned(), key.to_owned(), content_type.to_owned());
        self.run(move |inner| inner.create_multipart(&bucket, &key, &content_type))
            .await
    }

    async fn list_parts(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
    ) -> Result<Vec<PartMeta>, ObjectError> {
        let (bucket, key, upload_id) = (bucket.to_owned(), key.to_owned(), upload_id.to_owned());
        self.run(move |inner| inner.list_parts(&bucket, &key, &upload_id))
            .await
    }

    async fn complete_multipart(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
        parts: &[PartMeta],
    ) -> Result<ObjectMeta, ObjectError> {
        self.complete_if(bucket, key, upload_id, parts, Precondition::default())
            .await
    }

    async fn abort_multipart(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
    ) -> Result<(), ObjectError> {
        let (bucket, key, upload_id) = (bucket.to_owned(), key.to_owned(), upload_id.to_owned());
        self.run(move |inner| inner.abort_multipart(&bucket, &key, &upload_id))
            .await
    }

    fn presign_part(
        &self,
        _public_base: &str,
        _bucket: &str,
        _key: &str,
        _upload_id: &str,
        _part_number: u32,
        _life: Duration,
    ) -> Result<String, ObjectError> {
        Err(ObjectError::Invalid(
            "the folder has no URLs; sign with a client of its S3 endpoint".to_owned(),
        ))
    }
}

impl FileEngine {
    /// [`ObjectStore::complete_multipart`] under a condition.
    pub(crate) async fn complete_if(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
        parts: &[PartMeta],
        precondition: Precondition,
    ) -> Result<ObjectMeta, ObjectError> {
        let (bucket, key, upload_id) = (bucket.to_owned(), key.to_owned(), upload_id.to_owned());
        let parts = parts.to_vec();
        self.run(move |inner| {
            inner.complete_multipart(&bucket, &key, &upload_id, &parts, &precondition)
        })
        .await
    }

    /// Is there a bucket of this name?
    pub(crate) async fn check_bucket(&self, bucket: &str) -> Result<(), ObjectError> {
        let bucket = bucket.to_owned();
        self.run(move |inner| inner.bucket_dir(&bucket).map(drop))
            .await
    }
}
