//! Each call of [`ObjectStore`] as one S3 action.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::header::{CONTENT_TYPE, RANGE};
use http::{HeaderMap, Method};
use rusty_s3::S3Action;
use rusty_s3::actions::{
    CompleteMultipartUploadResponse, CreateMultipartUpload, ListObjectsV2, ListParts,
};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::S3Client;
use super::answer::document_time_ms;
use super::documents::{complete_document, digest_headers, header_value};
use crate::engine::{PART_NUMBER_MAX, multipart_etag, unquoted};
use crate::name::check_key;
use crate::{ListPage, ObjectBody, ObjectError, ObjectMeta, ObjectStore, PartMeta};

/// Files up to this size go in one PUT; larger ones in parts, each held in memory while it is sent.
const FILE_PART_BYTES: u64 = 16 << 20;
/// Parts of one file in flight.
const FILE_PARTS_AT_ONCE: usize = 2;

pub(super) fn part_number(number: u32) -> Result<u16, ObjectError> {
    u16::try_from(number)
        .ok()
        .filter(|_| (1..=PART_NUMBER_MAX).contains(&number))
        .ok_or_else(|| {
            ObjectError::Invalid(format!(
                "part number {number}: expected 1 to {PART_NUMBER_MAX}"
            ))
        })
}

#[async_trait]
impl ObjectStore for S3Client {
    async fn put(
        &self,
        bucket: &str,
        key: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<ObjectMeta, ObjectError> {
        check_key(key)?;
        let mut headers = digest_headers(&body)?;
        headers.insert(CONTENT_TYPE, header_value(content_type)?);
        let size_bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let target = self.bucket(&self.endpoint, bucket)?;
        let mut action = target.put_object(self.credentials(), key);
        action.headers_mut().insert("content-type", content_type);
        let subject = format!("object {bucket}/{key}");
        let answer = self
            .call(&action, Method::PUT, headers, body, &subject)
            .await?;
        let etag = answer.etag()?;
        answer.drain().await;
        Ok(ObjectMeta {
            key: key.to_owned(),
            size_bytes,
            etag,
            modified_ms: self.signing.clock.now_ms(),
            content_type: content_type.to_owned(),
        })
    }

    async fn put_file(
        &self,
        bucket: &str,
        key: &str,
        content_type: &str,
        path: &Path,
    ) -> Result<ObjectMeta, ObjectError> {
        let size_bytes = tokio::fs::metadata(path)
            .await
            .map_err(|error| file_error(&error))?
            .len();
        if size_bytes <= FILE_PART_BYTES {
            let body = read_part(path, 0..size_bytes).await?;
            return self.put(bucket, key, content_type, body).await;
        }
        let upload_id = self.create_multipart(bucket, key, content_type).await?;
        let stored = self
            .put_parts(bucket, key, &upload_id, path, size_bytes)
            .await;
        let completed = match stored {
            Ok(parts) => {
                self.complete_multipart(bucket, key, &upload_id, &parts)
                    .await
            }
            Err(error) => Err(error),
        };
        if completed.is_err() {
            // The first error is the one to tell.
            let _ = self.abort_multipart(bucket, key, &upload_id).await;
        }
        completed
    }

    async fn get(
        &self,
        bucket: &str,
        key: &str,
        range: Option<Range<u64>>,
    ) -> Result<ObjectBody, ObjectError> {
        check_key(key)?;
        let mut headers = HeaderMap::new();
        if let Some(range) = &range {
            if range.start >= range.end {
                return Err(ObjectError::Invalid(format!(
                    "range {}..{} is empty",
                    range.start, range.end
                )));
            }
            headers.insert(
                RANGE,
                header_value(&format!("bytes={}-{}", range.start, range.end - 1))?,
            );
        }
        let target = self.bucket(&self.endpoint, bucket)?;
        let action = target.get_object(self.credentials(), key);
        let subject = format!("object {bucket}/{key}");
        let answer = self
            .call(&action, Method::GET, headers, Bytes::new(), &subject)
            .await?;
        let body = answer.into_body(key)?;
        // An S3 that does not know ranges sends everything.
        if range.is_some_and(|range| range.start != body.range.start || range.end < body.range.end)
        {
            return Err(ObjectError::Unavailable(format!(
                "{subject}: another range came than was asked for"
            )));
        }
        Ok(body)
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMeta, ObjectError> {
        check_key(key)?;
        let target = self.bucket(&self.endpoint, bucket)?;
        let action = target.head_object(self.credentials(), key);
        let subject = format!("object {bucket}/{key}");
        let answer = self
            .call(
                &action,
                Method::HEAD,
                HeaderMap::new(),
                Bytes::new(),
                &subject,
            )
            .await?;
        answer.meta(key, answer.content_length()?)
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<(), ObjectError> {
        check_key(key)?;
        let target = self.bucket(&self.endpoint, bucket)?;
        let action = target.delete_object(self.credentials(), key);
        let subject = format!("object {bucket}/{key}");
        let answer = self
            .call(
                &action,
                Method::DELETE,
                HeaderMap::new(),
                Bytes::new(),
                &subject,
            )
            .await?;
        answer.drain().await;
        Ok(())
    }

    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<ListPage, ObjectError> {
        let target = self.bucket(&self.endpoint, bucket)?;
        let mut action = target.list_objects_v2(self.credentials());
        if !prefix.is_empty() {
            action.with_prefix(prefix);
        }
        if let Some(after) = after {
            action.with_start_after(after);
        }
        let answer = self
            .call(
                &action,
                Method::GET,
                HeaderMap::new(),
                Bytes::new(),
                &format!("bucket {bucket}"),
            )
            .await?;
        let document = answer.document().await?;
        let listed =
            ListObjectsV2::parse_response(&document).map_err(|error| bad_document(&error))?;
        let is_truncated = listed.next_continuation_token.is_some();
        let mut objects = Vec::with_capacity(listed.contents.len());
        for entry in listed.contents {
            let modified_ms = entry.last_modified.as_deref().and_then(document_time_ms);
            let (Some(size_bytes), Some(etag), Some(modified_ms)) =
                (entry.size, entry.etag, modified_ms)
            else {
                return Err(bad_document(&"an entry is incomplete"));
            };
            objects.push(ObjectMeta {
                key: entry.key,
                size_bytes,
                etag,
                modified_ms,
                content_type: String::new(),
            });
        }
        let next = objects
            .last()
            .filter(|_| is_truncated)
            .map(|last| last.key.clone());
        Ok(ListPage { objects, next })
    }

    async fn create_multipart(
        &self,
        bucket: &str,
        key: &str,
        content_type: &str,
    ) -> Result<String, ObjectError> {
        check_key(key)?;
        let target = self.bucket(&self.endpoint, bucket)?;
        let mut action = target.create_multipart_upload(self.credentials(), key);
        action.headers_mut().insert("content-type", content_type);
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, header_value(content_type)?)]);
        let subject = format!("object {bucket}/{key}");
        let answer = self
            .call(&action, Method::POST, headers, Bytes::new(), &subject)
            .await?;
        let document = answer.document().await?;
        let created = CreateMultipartUpload::parse_response(&document)
            .map_err(|error| bad_document(&error))?;
        Ok(created.upload_id().to_owned())
    }

    async fn list_parts(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
    ) -> Result<Vec<PartMeta>, ObjectError> {
        check_key(key)?;
        let target = self.bucket(&self.endpoint, bucket)?;
        let mut parts: Vec<PartMeta> = Vec::new();
        let mut after = None;
        // Each page holds at least one part, and part numbers end at PART_NUMBER_MAX.
        for _ in 0..PART_NUMBER_MAX {
            let mut action = target.list_parts(self.credentials(), key, upload_id);
            if let Some(after) = after {
                action.set_part_number_marker(after);
            }
            let subject = format!("upload of {bucket}/{key}");
            let answer = self
                .call(
                    &action,
                    Method::GET,
                    HeaderMap::new(),
                    Bytes::new(),
                    &subject,
                )
                .await?;
            let document = answer.document().await?;
            let page =
                ListParts::parse_response(&document).map_err(|error| bad_document(&error))?;
            parts.extend(page.parts.into_iter().map(|part| PartMeta {
                part_number: u32::from(part.number),
                etag: part.etag,
                size_bytes: part.size,
            }));
            after = page.next_part_number_marker;
            if after.is_none() {
                return Ok(parts);
            }
        }
        Err(bad_document(&"the list of parts does not end"))
    }

    async fn complete_multipart(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
        parts: &[PartMeta],
    ) -> Result<ObjectMeta, ObjectError> {
        check_key(key)?;
        let target = self.bucket(&self.endpoint, bucket)?;
        let action = target.complete_multipart_upload(
            self.credentials(),
            key,
            upload_id,
            std::iter::empty::<&str>(),
        );
        let body = Bytes::from(complete_document(parts)?);
        let subject = format!("upload of {bucket}/{key}");
        let answer = self
            .call(&action, Method::POST, HeaderMap::new(), body, &subject)
            .await;
        match answer {
            Ok(answer) => {
                // S3 may begin a success and then say that it failed, so the document decides.
                let document = answer.document().await?;
                CompleteMultipartUploadResponse::parse(&document)
                    .map_err(|error| bad_document(&error))?;
                self.head(bucket, key).await
            }
            // Some forget an upload once it is completed. If the object is there and made of these parts, it was.
            Err(ObjectError::NotFound(what)) => match self.head(bucket, key).await {
                Ok(meta) if multipart_etag_of(parts).as_deref() == Some(unquoted(&meta.etag)) => {
                    Ok(meta)
                }
                _ => Err(ObjectError::NotFound(what)),
            },
            Err(error) => Err(error),
        }
    }

    async fn abort_multipart(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
    ) -> Result<(), ObjectError> {
        check_key(key)?;
        let target = self.bucket(&self.endpoint, bucket)?;
        let action = target.abort_multipart_upload(self.credentials(), key, upload_id);
        let subject = format!("upload of {bucket}/{key}");
        let answer = self
            .call(
                &action,
                Method::DELETE,
                HeaderMap::new(),
                Bytes::new(),
                &subject,
            )
            .await;
        match answer {
            Ok(answer) => answer.drain().await,
            Err(ObjectError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn presign_part(
        &self,
        public_base: &str,
        bucket: &str,
        key: &str,
        upload_id: &str,
        part_number: u32,
        life: Duration,
    ) -> Result<String, ObjectError> {
        self.presign(public_base, bucket, key, upload_id, part_number, life)
    }
}

impl S3Client {
    async fn put_part(
        &self,
        (bucket, key, upload_id): (&str, &str, &str),
        number: u32,
        body: Bytes,
    ) -> Result<PartMeta, ObjectError> {
        let headers = digest_headers(&body)?;
        let size_bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let target = self.bucket(&self.endpoint, bucket)?;
        let action = target.upload_part(self.credentials(), key, part_number(number)?, upload_id);
        let subject = format!("part {number} of {bucket}/{key}");
        let answer = self
            .call(&action, Method::PUT, headers, body, &subject)
            .await?;
        let etag = answer.etag()?;
        answer.drain().await;
        Ok(PartMeta {
            part_number: number,
            etag,
            size_bytes,
        })
    }

    async fn put_parts(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
        path: &Path,
        size_bytes: u64,
    ) -> Result<Vec<PartMeta>, ObjectError> {
        let part_bytes = size_bytes
            .div_ceil(u64::from(PART_NUMBER_MAX))
            .max(FILE_PART_BYTES);
        let count = u32::try_from(size_bytes.div_ceil(part_bytes)).unwrap_or(u32::MAX);
        stream::iter(0..count)
            .map(|index| async move {
                let start = u64::from(index) * part_bytes;
                let body = read_part(path, start..(start + part_bytes).min(size_bytes)).await?;
                self.put_part((bucket, key, upload_id), index + 1, body)
                    .await
            })
            .buffered(FILE_PARTS_AT_ONCE)
            .try_collect()
            .await
    }
}

async fn read_part(path: &Path, range: Range<u64>) -> Result<Bytes, ObjectError> {
    let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or_default()];
    let mut file = File::open(path).await.map_err(|error| file_error(&error))?;
    file.seek(std::io::SeekFrom::Start(range.start))
        .await
        .map_err(|error| file_error(&error))?;
    file.read_exact(&mut bytes)
        .await
        .map_err(|error| file_error(&error))?;
    Ok(bytes.into())
}

fn multipart_etag_of(parts: &[PartMeta]) -> Option<String> {
    multipart_etag(parts.iter().map(|part| part.etag.as_str()))
}

fn bad_document(error: &dyn std::fmt::Display) -> ObjectError {
    ObjectError::Unavailable(format!("the answer's document cannot be used: {error}"))
}

fn file_error(error: &std::io::Error) -> ObjectError {
    ObjectError::Unavailable(format!("the file to store: {error}"))
}
