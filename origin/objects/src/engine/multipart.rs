//! Multipart uploads: parts are files, and the object they make is a record that lists them, so that completing takes
//! no longer for 20 GB than for 20 MB.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::{Stream, stream};

use super::disk::{self, failed};
use super::objects::{Precondition, check_md5};
use super::record::{PartList, Record, multipart_etag, unquoted};
use super::writer::Writer;
use super::{FileEngine, Inner};
use crate::name::{check_key, is_no_bucket};
use crate::{ObjectError, ObjectMeta, PartMeta};

/// S3's own limit.
pub(crate) const PART_NUMBER_MAX: u32 = 10_000;

/// A part on its way in.
#[derive(Debug, Clone)]
pub(crate) struct PartRequest {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) upload_id: String,
    pub(crate) part_number: u32,
    pub(crate) bytes_max: u64,
    pub(crate) bytes_expected: Option<u64>,
    /// MD5 that the sender computed; another one is refused.
    pub(crate) md5: Option<[u8; 16]>,
}

impl FileEngine {
    /// Stores a part, for the folder's owner; others use a presigned URL.
    ///
    /// # Errors
    /// [`ObjectError::NotFound`] when the upload was completed or aborted, [`ObjectError::Invalid`] for a number that is
    /// not 1 to 10 000.
    pub async fn put_part(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
        part_number: u32,
        body: Bytes,
    ) -> Result<PartMeta, ObjectError> {
        let request = PartRequest {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            upload_id: upload_id.to_owned(),
            part_number,
            bytes_max: u64::MAX,
            bytes_expected: None,
            md5: None,
        };
        self.put_part_stream(request, stream::iter([Ok(body)]))
            .await
    }

    /// Stores a part, replacing one of the same number.
    pub(crate) async fn put_part_stream<S>(
        &self,
        request: PartRequest,
        body: S,
    ) -> Result<PartMeta, ObjectError>
    where
        S: Stream<Item = Result<Bytes, ObjectError>> + Send + Unpin,
    {
        if !(1..=PART_NUMBER_MAX).contains(&request.part_number) {
            return Err(ObjectError::Invalid(format!(
                "part number {}: expected 1 to {PART_NUMBER_MAX}",
                request.part_number
            )));
        }
        let upload = request.clone();
        // Refused before the body is read.
        self.run(move |inner| {
            inner
                .open_upload(&upload.bucket, &upload.key, &upload.upload_id)
                .map(drop)
        })
        .await?;
        let writer = self
            .receive(body, request.bytes_max, request.bytes_expected)
            .await?;
        check_md5(&writer, request.md5)?;
        self.run(move |inner| inner.put_part(&request, writer))
            .await
    }
}

impl Inner {
    pub(super) fn upload_dir(&self, upload_id: &str) -> Result<PathBuf, ObjectError> {
        let is_id = upload_id.len() == 32
            && upload_id
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if is_id {
            Ok(self.root.join("multipart").join(upload_id))
        } else {
            Err(no_upload())
        }
    }

    pub(super) fn part_path(dir: &Path, part_number: u32) -> PathBuf {
        dir.join(format!("{part_number:05}"))
    }

    /// The folder and record of an upload that was neither completed nor aborted.
    fn open_upload(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
    ) -> Result<(PathBuf, Record), ObjectError> {
        self.bucket_dir(bucket)?;
        let dir = self.upload_dir(upload_id)?;
        let file = File::open(dir.join("upload")).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => no_upload(),
            _ => failed("open an upload", &error),
        })?;
        let record = Record::read(&file).map_err(|error| failed("read an upload", &error))?;
        if record.bucket != bucket || record.key != key || dir.join("completed").exists() {
            return Err(no_upload());
        }
        Ok((dir, record))
    }

    pub(super) fn create_multipart(
        &self,
        bucket: &str,
        key: &str,
        content_type: &str,
    ) -> Result<String, ObjectError> {
        self.bucket_dir(bucket)?;
        check_key(key)?;
        self.check_free_space()?;
        let record = Record {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            content_type: content_type.to_owned(),
            size_bytes: 0,
            etag: String::new(),
            modified_ms: self.clock.now_ms(),
            parts: None,
        };
        let upload_id = self.new_id();
        let aside = self.temporary_path();
        let publish = || -> io::Result<()> {
            fs::create_dir(&aside)?;
            let mut writer = Writer::create(aside.join("new"))?;
            writer.seal(&record)?;
            writer.rename_to(&aside.join("upload"))?;
            disk::sync_dir(&aside)?;
            let uploads = self.root.join("multipart");
            fs::rename(&aside, uploads.join(&upload_id))?;
            disk::sync_dir(&uploads)
        };
        publish().map_err(|error| failed("begin an upload", &error))?;
        Ok(upload_id)
    }

    fn put_part(&self, request: &PartRequest, mut writer: Writer) -> Result<PartMeta, ObjectError> {
        let record = Record {
            bucket: request.bucket.clone(),
            key: request.key.clone(),
            content_type: String::new(),
            size_bytes: writer.size_bytes(),
            etag: writer.md5_hex(),
            modified_ms: self.clock.now_ms(),
            parts: None,
        };
        writer
            .seal(&record)
            .map_err(|error| failed("write a part", &error))?;
        let _alone = self.lock_key(&request.bucket, &request.key);
        // Asked again: the upload may have been completed while the body came in.
        let (dir, _) = self.open_upload(&request.bucket, &request.key, &request.upload_id)?;
        writer
            .rename_to(&Self::part_path(&dir, request.part_number))
            .and_then(|()| disk::sync_dir(&dir))
            .map_err(|error| failed("publish a part", &error))?;
        Ok(record.part_meta(request.part_number))
    }

    pub(super) fn list_parts(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
    ) -> Result<Vec<PartMeta>, ObjectError> {
        let (dir, _) = self.open_upload(bucket, key, upload_id)?;
        let read = || -> io::Result<Vec<PartMeta>> {
            let mut parts = Vec::new();
            for number in part_numbers(&dir)? {
                let record = Record::read(&File::open(Self::part_path(&dir, number))?)?;
                parts.push(record.part_meta(number));
            }
            Ok(parts)
        };
        read().map_err(|error| failed("list parts", &error))
    }

    pub(super) fn complete_multipart(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
        parts: &[PartMeta],
        precondition: &Precondition,
    ) -> Result<ObjectMeta, ObjectError> {
        let _alone = self.lock_key(bucket, key);
        if let Some(meta) = self.completed_before(bucket, key, upload_id)? {
            return Ok(meta);
        }
        let (dir, upload) = self.open_upload(bucket, key, upload_id)?;
        let list = Self::check_parts(&dir, upload_id, parts)?;
        let record = Record {
            size_bytes: list.parts.iter().map(|(_, bytes, _)| bytes).sum(),
            etag: multipart_etag(list.parts.iter().map(|(_, _, md5)| md5.as_str()))
                .ok_or_else(|| ObjectError::Unavailable("a part's record has no MD5".to_owned()))?,
            modified_ms: self.clock.now_ms(),
            parts: Some(list),
            ..upload
        };
        let mut writer = self.new_writer()?;
        writer
            .seal(&record)
            .map_err(|error| failed("write an object", &error))?;
        let kept: BTreeSet<u32> = parts.iter().map(|part| part.part_number).collect();
        let meta = self.replace(record, writer, precondition)?;
        // From here on the folder belongs to the object. A crash before the mark is repaired at the next start.
        File::create(dir.join("completed"))
            .and_then(|_| disk::sync_dir(&dir))
            .map_err(|error| failed("complete an upload", &error))?;
        for number in part_numbers(&dir).unwrap_or_default() {
            if !kept.contains(&number) {
                // A part that the object does not use goes with the object at the latest.
                let _ = fs::remove_file(Self::part_path(&dir, number));
            }
        }
        Ok(meta)
    }

    /// The object, if it is the one that this upload made.
    fn completed_before(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
    ) -> Result<Option<ObjectMeta>, ObjectError> {
        match self.open_object(bucket, key) {
            Ok((record, _)) if record.is_of_upload(upload_id) => {
                let dir = self.upload_dir(upload_id)?;
                File::create(dir.join("completed"))
                    .and_then(|_| disk::sync_dir(&dir))
                    .map_err(|error| failed("complete an upload", &error))?;
                Ok(Some(record.meta()))
            }
            Ok(_) | Err(ObjectError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The parts must rise in number, and each must be the one that is stored.
    fn check_parts(
        dir: &Path,
        upload_id: &str,
        parts: &[PartMeta],
    ) -> Result<PartList, ObjectError> {
        if parts.is_empty() {
            return Err(ObjectError::Invalid(
                "an upload needs at least one part".to_owned(),
            ));
        }
        let rises = parts
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.part_number < b.part_number));
        if !rises {
            return Err(ObjectError::Invalid("parts must rise in number".to_owned()));
        }
        let mut list = Vec::with_capacity(parts.len());
        for part in parts {
            let number = part.part_number;
            let absent =
                || ObjectError::Invalid(format!("part {number} is not stored, or is another one"));
            let file = match File::open(Self::part_path(dir, number)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(absent()),
                other => other.map_err(|error| failed("open a part", &error))?,
            };
            let record = Record::read(&file).map_err(|error| failed("read a part", &error))?;
            if record.etag != unquoted(&part.etag) {
                return Err(absent());
            }
            list.push((number, record.size_bytes, record.etag));
        }
        Ok(PartList {
            upload_id: upload_id.to_owned(),
            parts: list,
        })
    }

    pub(super) fn abort_multipart(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
    ) -> Result<(), ObjectError> {
        let _alone = self.lock_key(bucket, key);
        let dir = match self.open_upload(bucket, key, upload_id) {
            Ok((dir, _)) => dir,
            Err(error) if is_no_bucket(&error) => return Err(error),
            Err(ObjectError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.discard_dir(&dir)
            .map_err(|error| failed("abort an upload", &error))
    }
}

/// Numbers of the parts in an upload's folder, in order.
fn part_numbers(dir: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn no_upload() -> ObjectError {
    ObjectError::NotFound("such upload, or it was completed or aborted".to_owned())
}
