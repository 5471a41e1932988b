//! The S3 operations that the endpoint has, each over one call of the engine.

use async_trait::async_trait;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    DeleteObjectInput, DeleteObjectOutput, EncodingType, GetObjectInput, GetObjectOutput,
    HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input,
    ListObjectsV2Output, ListPartsInput, ListPartsOutput, Object, Part, PutObjectInput,
    PutObjectOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use super::config::EndpointConfig;
use super::mapping::{
    check_conditions, content_length, content_md5, incoming, key_error, outgoing, part_number,
    precondition, signed, strong, timestamp, upload_error,
};
use crate::engine::{PartRequest, PutRequest};
use crate::{FileEngine, LIST_PAGE_MAX, ObjectStore, PartMeta};

/// Escaped in listings that ask for `encoding-type=url`.
const KEY_ESCAPES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');
/// S3's own limit of a page of parts.
const PARTS_PAGE_MAX: usize = 1000;
/// What S3 says of an object that came without a media type.
const CONTENT_TYPE_DEFAULT: &str = "application/octet-stream";

/// The engine as `s3s` wants it.
#[derive(Debug, Clone)]
pub(super) struct Operations {
    pub(super) engine: FileEngine,
    pub(super) config: EndpointConfig,
}

#[async_trait]
impl S3 for Operations {
    async fn head_bucket(
        &self,
        req: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.engine
            .check_bucket(&req.input.bucket)
            .await
            .map_err(key_error)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn put_object(
        &self,
        req: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let input = req.input;
        let request = PutRequest {
            bucket: input.bucket,
            key: input.key,
            content_type: input
                .content_type
                .unwrap_or_else(|| CONTENT_TYPE_DEFAULT.to_owned()),
            bytes_max: self.config.put_bytes_max,
            bytes_expected: content_length(input.content_length)?,
            md5: content_md5(input.content_md5.as_deref())?,
            precondition: precondition(input.if_match, input.if_none_match)?,
        };
        let meta = self
            .engine
            .put_stream(request, incoming(input.body))
            .await
            .map_err(key_error)?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(strong(&meta.etag)),
            ..PutObjectOutput::default()
        }))
    }

    async fn get_object(
        &self,
        req: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        if input.part_number.is_some() {
            return Err(s3_error!(
                NotImplemented,
                "Reading by part number is not supported"
            ));
        }
        let opened = self
            .engine
            .open_one(&input.bucket, &input.key)
            .await
            .map_err(key_error)?;
        let meta = opened.meta();
        check_conditions(&meta, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let (range, is_part) = match input.range {
            Some(range) => (range.check(meta.size_bytes)?, true),
            None => (0..meta.size_bytes, false),
        };
        let content_range = is_part.then(|| {
            format!(
                "bytes {}-{}/{}",
                range.start,
                range.end.saturating_sub(1),
                meta.size_bytes
            )
        });
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(signed(range.end - range.start)?),
            content_range,
            content_type: Some(meta.content_type.clone()),
            e_tag: Some(strong(&meta.etag)),
            last_modified: Some(timestamp(meta.modified_ms)),
            body: Some(outgoing(opened, range)),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(
        &self,
        req: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = req.input;
        let meta = self
            .engine
            .head(&input.bucket, &input.key)
            .await
            .map_err(key_error)?;
        check_conditions(&meta, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(signed(meta.size_bytes)?),
            content_type: Some(meta.content_type.clone()),
            e_tag: Some(strong(&meta.etag)),
            last_modified: Some(timestamp(meta.modified_ms)),
            ..HeadObjectOutput::default()
        }))
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = req.input;
        if input.if_match.is_some() {
            return Err(s3_error!(
                NotImplemented,
                "Conditional removal is not supported"
            ));
        }
        self.engine
            .delete(&input.bucket, &input.key)
            .await
            .map_err(key_error)?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = req.input;
        if input.delimiter.is_some() {
            return Err(s3_error!(
                NotImplemented,
                "Listing with a delimiter is not supported"
            ));
        }
        let page_max = i32::try_from(LIST_PAGE_MAX).unwrap_or(i32::MAX);
        let limit = input.max_keys.unwrap_or(page_max).clamp(0, page_max);
        let prefix = input.prefix.clone().unwrap_or_default();
        // Both mean "after this key"; a token is where the last page ended.
        let after = input
            .continuation_token
            .as_deref()
            .or(input.start_after.as_deref());
        let page = self
            .engine
            .list_page(
                &input.bucket,
                &prefix,
                after,
                usize::try_from(limit).unwrap_or_default(),
            )
            .await
            .map_err(key_error)?;
        let is_encoded = input
            .encoding_type
            .as_ref()
            .is_some_and(|it| it.as_str() == EncodingType::URL);
        let encode = |text: &str| {
            if is_encoded {
                utf8_percent_encode(text, KEY_ESCAPES).to_string()
            } else {
                text.to_owned()
            }
        };
        let mut contents = Vec::with_capacity(page.objects.len());
        for object in &page.objects {
            contents.push(Object {
                key: Some(encode(&object.key)),
                size: Some(signed(object.size_bytes)?),
                e_tag: Some(strong(&object.etag)),
                last_modified: Some(timestamp(object.modified_ms)),
                ..Object::default()
            });
        }
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(encode(&prefix)),
            max_keys: Some(limit),
            key_count: i32::try_from(contents.len()).ok(),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next,
            continuation_token: input.continuation_token.clone(),
            start_after: input.start_after.as_deref().map(encode),
            encoding_type: input.encoding_type.clone(),
            contents: Some(contents),
            ..ListObjectsV2Output::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = req.input;
        let content_type = input
            .content_type
            .as_deref()
            .unwrap_or(CONTENT_TYPE_DEFAULT);
        let upload_id = self
            .engine
            .create_multipart(&input.bucket, &input.key, content_type)
            .await
            .map_err(key_error)?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(upload_id),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(
        &self,
        req: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = req.input;
        let request = PartRequest {
            bucket: input.bucket,
            key: input.key,
            upload_id: input.upload_id,
            part_number: part_number(input.part_number)?,
            bytes_max: self.config.part_bytes_max,
            bytes_expected: content_length(input.content_length)?,
            md5: content_md5(input.content_md5.as_deref())?,
        };
        let part = self
            .engine
            .put_part_stream(request, incoming(input.body))
            .await
            .map_err(upload_error)?;
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(strong(&part.etag)),
            ..UploadPartOutput::default()
        }))
    }

    async fn list_parts(
        &self,
        req: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        let input = req.input;
        let all = self
            .engine
            .list_parts(&input.bucket, &input.key, &input.upload_id)
            .await
            .map_err(upload_error)?;
        let after = part_number(input.part_number_marker.unwrap_or(0))?;
        let limit = input
            .max_parts
            .and_then(|max| usize::try_from(max).ok())
            .unwrap_or(PARTS_PAGE_MAX)
            .clamp(1, PARTS_PAGE_MAX);
        let mut page: Vec<PartMeta> = all
            .into_iter()
            .filter(|part| part.part_number > after)
            .collect();
        let is_truncated = page.len() > limit;
        page.truncate(limit);
        let next = page.last().filter(|_| is_truncated);
        let next = next.and_then(|part| i32::try_from(part.part_number).ok());
        let mut parts = Vec::with_capacity(page.len());
        for part in &page {
            parts.push(Part {
                e_tag: Some(strong(&part.etag)),
                part_number: i32::try_from(part.part_number).ok(),
                size: Some(signed(part.size_bytes)?),
                // Kept by the engine for no one; S3 clients expect the element.
                last_modified: Some(timestamp(0)),
                ..Part::default()
            });
        }
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            is_truncated: Some(is_truncated),
            max_parts: i32::try_from(limit).ok(),
            next_part_number_marker: next,
            part_number_marker: input.part_number_marker,
            parts: Some(parts),
            ..ListPartsOutput::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = req.input;
        let listed = input
            .multipart_upload
            .and_then(|upload| upload.parts)
            .unwrap_or_default();
        let mut parts = Vec::with_capacity(listed.len());
        for part in listed {
            let (Some(number), Some(etag)) = (part.part_number, part.e_tag) else {
                return Err(s3_error!(
                    MalformedXML,
                    "A part needs its number and its ETag"
                ));
            };
            parts.push(PartMeta {
                part_number: part_number(number)?,
                etag: etag.into_value(),
                size_bytes: 0,
            });
        }
        let condition = precondition(input.if_match, input.if_none_match)?;
        let meta = self
            .engine
            .complete_if(
                &input.bucket,
                &input.key,
                &input.upload_id,
                &parts,
                condition,
            )
            .await
            .map_err(upload_error)?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(strong(&meta.etag)),
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = req.input;
        self.engine
            .abort_multipart(&input.bucket, &input.key, &input.upload_id)
            .await
            .map_err(upload_error)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}
