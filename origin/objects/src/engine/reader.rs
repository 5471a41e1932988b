//! Streams a range of an object, stitched from its parts where it has parts.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use super::disk::failed;
use crate::ObjectError;

/// Held in memory for one reader.
const CHUNK_BYTES: u64 = 256 << 10;

/// Where bytes lie.
#[derive(Debug)]
pub(crate) enum Source {
    /// In a file that is open, which a replacement or removal does not disturb.
    Open(Arc<File>),
    /// In a file that is opened when its turn comes; should it be gone by then, the stream ends in an error.
    Path(PathBuf),
}

/// A run of bytes of one file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) source: Source,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// Bytes of `range` out of parts that follow each other, given as path and length.
pub(crate) fn segments(
    parts: impl Iterator<Item = (PathBuf, u64)>,
    range: &Range<u64>,
) -> VecDeque<Segment> {
    let mut part_start = 0;
    let mut segments = VecDeque::new();
    for (path, part_bytes) in parts {
        let part_end = part_start + part_bytes;
        let start = range.start.max(part_start);
        let end = range.end.min(part_end);
        if start < end {
            segments.push_back(Segment {
                source: Source::Path(path),
                offset: start - part_start,
                bytes: end - start,
            });
        }
        part_start = part_end;
    }
    segments
}

/// Reads the segments in order, a chunk at a time, off the async threads.
pub(crate) fn read(segments: VecDeque<Segment>) -> BoxStream<'static, Result<Bytes, ObjectError>> {
    stream::try_unfold(segments, |mut segments| async move {
        tokio::task::spawn_blocking(move || {
            let chunk = next_chunk(&mut segments)?;
            Ok(chunk.map(|chunk| (chunk, segments)))
        })
        .await
        .map_err(|error| ObjectError::Unavailable(format!("read: {error}")))?
    })
    .boxed()
}

fn next_chunk(segments: &mut VecDeque<Segment>) -> Result<Option<Bytes>, ObjectError> {
    let Some(segment) = segments.front_mut() else {
        return Ok(None);
    };
    let file = match &segment.source {
        Source::Open(file) => Arc::clone(file),
        Source::Path(path) => {
            let file = Arc::new(File::open(path).map_err(|error| failed("open a part", &error))?);
            segment.source = Source::Open(Arc::clone(&file));
            file
        }
    };
    let bytes = segment.bytes.min(CHUNK_BYTES);
    let mut chunk = vec![0; usize::try_from(bytes).unwrap_or_default()];
    file.read_exact_at(&mut chunk, segment.offset)
        .map_err(|error| failed("read", &error))?;
    segment.offset += bytes;
    segment.bytes -= bytes;
    if segment.bytes == 0 {
        segments.pop_front();
    }
    Ok(Some(chunk.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(range: Range<u64>) -> Vec<(String, u64, u64)> {
        let parts =
            [("a", 10), ("b", 0), ("c", 5)].map(|(name, bytes)| (PathBuf::from(name), bytes));
        segments(parts.into_iter(), &range)
            .into_iter()
            .map(|segment| match segment.source {
                Source::Path(path) => (path.display().to_string(), segment.offset, segment.bytes),
                Source::Open(_) => panic!("a part is opened in its turn"),
            })
            .collect()
    }

    #[test]
    fn a_range_takes_what_it_needs_of_each_part() {
        assert_eq!(
            runs(0..15),
            [("a".to_owned(), 0, 10), ("c".to_owned(), 0, 5)]
        );
        assert_eq!(
            runs(9..11),
            [("a".to_owned(), 9, 1), ("c".to_owned(), 0, 1)]
        );
        assert_eq!(runs(10..12), [("c".to_owned(), 0, 2)]);
        assert_eq!(runs(3..3), []);
    }
}
