//! Objects: put, open, delete, list.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;

use super::disk::{self, failed};
use super::listing::{self, Query};
use super::reader::{self, Segment, Source};
use super::record::{Record, unquoted};
use super::writer::Writer;
use super::{FileEngine, Inner};
use crate::name::{check_key, record_path};
use crate::{ListPage, ObjectBody, ObjectError, ObjectMeta};

/// What must hold of the object that is there for a write to happen (RFC 9110 section 13.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Precondition {
    /// It has this validator.
    pub(crate) if_match: Option<String>,
    /// There is none.
    pub(crate) if_absent: bool,
}

/// What is written, and how much of it is taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct PutRequest {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) content_type: String,
    pub(crate) bytes_max: u64,
    pub(crate) bytes_expected: Option<u64>,
    /// MD5 that the sender computed; another one is refused.
    pub(crate) md5: Option<[u8; 16]>,
    pub(crate) precondition: Precondition,
}

impl FileEngine {
    /// Stores a stream as an object.
    pub(crate) async fn put_stream<S>(
        &self,
        request: PutRequest,
        body: S,
    ) -> Result<ObjectMeta, ObjectError>
    where
        S: Stream<Item = Result<Bytes, ObjectError>> + Send + Unpin,
    {
        let (bucket, key) = (request.bucket.clone(), request.key.clone());
        // Refused before the body is read.
        self.run(move |inner| {
            inner.bucket_dir(&bucket)?;
            check_key(&key)
        })
        .await?;
        let writer = self
            .receive(body, request.bytes_max, request.bytes_expected)
            .await?;
        check_md5(&writer, request.md5)?;
        self.run(move |inner| inner.put(&request, writer)).await
    }

    /// Opens an object. What happens to its name afterwards does not change what is read.
    pub(crate) async fn open_one(&self, bucket: &str, key: &str) -> Result<Opened, ObjectError> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.run(move |inner| {
            let (record, file) = inner.open_object(&bucket, &key)?;
            let parts_dir = match &record.parts {
                Some(parts) => Some(inner.upload_dir(&parts.upload_id)?),
                None => None,
            };
            Ok(Opened {
                record,
                file,
                parts_dir,
            })
        })
        .await
    }

    /// A page of at most `limit` objects.
    pub(crate) async fn list_page(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListPage, ObjectError> {
        let (bucket, prefix, after) = (
            bucket.to_owned(),
            prefix.to_owned(),
            after.map(str::to_owned),
        );
        self.run(move |inner| inner.list(&bucket, &prefix, after.as_deref(), limit))
            .await
    }
}

/// An object that is open for reading.
#[derive(Debug)]
pub(crate) struct Opened {
    record: Record,
    file: File,
    parts_dir: Option<PathBuf>,
}

impl Opened {
    pub(crate) fn meta(&self) -> ObjectMeta {
        self.record.meta()
    }

    /// The bytes of `range`, which must lie within the object.
    pub(crate) fn into_body(self, range: Range<u64>) -> ObjectBody {
        let meta = self.meta();
        let bytes = range.end - range.start;
        let segments = match (self.record.parts, self.parts_dir) {
            (Some(list), Some(dir)) => {
                let path_of = |number| Inner::part_path(&dir, number);
                let parts = list
                    .parts
                    .iter()
                    .map(|(number, bytes, _)| (path_of(*number), *bytes));
                reader::segments(parts, &range)
            }
            _ if bytes == 0 => VecDeque::new(),
            _ => VecDeque::from([Segment {
                source: Source::Open(Arc::new(self.file)),
                offset: range.start,
                bytes,
            }]),
        };
        ObjectBody {
            meta,
            range,
            stream: reader::read(segments),
        }
    }
}

/// Refuses bytes that changed on their way here.
pub(super) fn check_md5(writer: &Writer, expected: Option<[u8; 16]>) -> Result<(), ObjectError> {
    match expected {
        Some(expected) if expected != writer.md5() => Err(ObjectError::Invalid(
            "the body does not have the announced MD5".to_owned(),
        )),
        _ => Ok(()),
    }
}

impl Inner {
    fn put(&self, request: &PutRequest, mut writer: Writer) -> Result<ObjectMeta, ObjectError> {
        let record = Record {
            bucket: request.bucket.clone(),
            key: request.key.clone(),
            content_type: request.content_type.clone(),
            size_bytes: writer.size_bytes(),
            etag: writer.md5_hex(),
            modified_ms: self.clock.now_ms(),
            parts: None,
        };
        writer
            .seal(&record)
            .map_err(|error| failed("write an object", &error))?;
        let _alone = self.lock_key(&request.bucket, &request.key);
        self.replace(record, writer, &request.precondition)
    }

    /// Publishes a sealed object over what was there, whose parts then go. The caller holds the key's lock.
    pub(super) fn replace(
        &self,
        record: Record,
        writer: Writer,
        precondition: &Precondition,
    ) -> Result<ObjectMeta, ObjectError> {
        let root = self.bucket_dir(&record.bucket)?;
        let target = root.join(record_path(&record.key)?);
        let previous = Self::previous(&target)?;
        precondition.check(&previous)?;
        self.publish(writer, &root, &target)
            .map_err(|error| failed("publish an object", &error))?;
        if let Previous::Whole(previous) = previous {
            self.discard_parts_of(&previous);
        }
        Ok(record.meta())
    }

    /// What a write or removal meets at `path`. A damaged object may be replaced and removed like any other.
    fn previous(path: &Path) -> Result<Previous, ObjectError> {
        let read = File::open(path).and_then(|file| Record::read(&file));
        match read {
            Ok(record) => Ok(Previous::Whole(record)),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(Previous::Absent),
                io::ErrorKind::InvalidData => {
                    tracing::warn!(path = %path.display(), %error, "a damaged object is replaced or removed");
                    Ok(Previous::Damaged)
                }
                _ => Err(failed("open an object", &error)),
            },
        }
    }

    pub(super) fn open_object(
        &self,
        bucket: &str,
        key: &str,
    ) -> Result<(Record, File), ObjectError> {
        let path = self.bucket_dir(bucket)?.join(record_path(key)?);
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                ObjectError::NotFound(format!("object {bucket}/{key}"))
            }
            _ => failed("open an object", &error),
        })?;
        let record =
            Record::read(&file).map_err(|error| failed("read an object's record", &error))?;
        if record.bucket != bucket || record.key != key {
            return Err(ObjectError::Unavailable(format!(
                "object {bucket}/{key}: its file is that of {}/{}",
                record.bucket, record.key
            )));
        }
        Ok((record, file))
    }

    pub(super) fn delete(&self, bucket: &str, key: &str) -> Result<(), ObjectError> {
        let root = self.bucket_dir(bucket)?;
        let path = root.join(record_path(key)?);
        let _alone = self.lock_key(bucket, key);
        let previous = Self::previous(&path)?;
        if matches!(previous, Previous::Absent) {
            return Ok(());
        }
        let remove = || -> io::Result<()> {
            let _shared = self.folders.read();
            fs::remove_file(&path)?;
            path.parent().map_or(Ok(()), disk::sync_dir)
        };
        remove().map_err(|error| failed("delete an object", &error))?;
        if let Previous::Whole(record) = previous {
            self.discard_parts_of(&record);
        }
        if let Some(parent) = path.parent().filter(|parent| disk::is_empty_dir(parent)) {
            let _alone = self.folders.write();
            disk::remove_empty_dirs(&root, parent);
        }
        Ok(())
    }

    /// Parts that no record leads to any more. A failure costs room until the next start, nothing else.
    fn discard_parts_of(&self, record: &Record) {
        let Some(parts) = &record.parts else { return };
        let discarded = self.upload_dir(&parts.upload_id).and_then(|dir| {
            self.discard_dir(&dir)
                .map_err(|error| failed("remove parts", &error))
        });
        if let Err(error) = discarded {
            tracing::warn!(%error, upload_id = parts.upload_id, "parts of a removed object stay until the next start");
        }
    }

    fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListPage, ObjectError> {
        let root = self.bucket_dir(bucket)?;
        let query = Query {
            prefix,
            after,
            limit: limit.saturating_add(1),
        };
        let mut keys = listing::keys(&root, query).map_err(|error| failed("list", &error))?;
        let has_more = keys.len() > limit;
        keys.truncate(limit);
        let next = keys.last().filter(|_| has_more).cloned();
        let mut objects = Vec::with_capacity(keys.len());
        for key in keys {
            match self.open_object(bucket, &key) {
                Ok((record, _)) => objects.push(record.meta()),
                // Deleted since it was listed.
                Err(ObjectError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ListPage { objects, next })
    }
}

/// What is there before a write.
#[derive(Debug)]
enum Previous {
    Absent,
    Damaged,
    Whole(Record),
}

impl Precondition {
    fn check(&self, previous: &Previous) -> Result<(), ObjectError> {
        if self.if_absent && !matches!(previous, Previous::Absent) {
            return Err(ObjectError::Conflict(
                "the object is there already".to_owned(),
            ));
        }
        match (&self.if_match, previous) {
            (Some(wanted), Previous::Whole(previous)) if unquoted(wanted) == previous.etag => {
                Ok(())
            }
            (Some(_), _) => Err(ObjectError::Conflict("the object has changed".to_owned())),
            (None, _) => Ok(()),
        }
    }
}
