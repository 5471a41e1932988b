//! What every store must do, whatever keeps its bytes: the suite that each engine runs in its tests.
//!
//! It needs an empty bucket, and leaves it empty when it succeeds.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use thiserror::Error;

use crate::{ObjectError, ObjectMeta, PartMeta, SharedObjects};

/// S3's smallest part that is not the last, bytes.
const PART_BYTES_MIN: usize = 5 << 20;

/// How the suite stores a part: the trait only gives URLs for that, and what carries them differs.
#[async_trait]
pub trait PartSender: Send + Sync {
    /// Stores a part of an upload; an error says why it was not taken.
    async fn send(
        &self,
        key: &str,
        upload_id: &str,
        part_number: u32,
        body: Bytes,
    ) -> Result<(), String>;
}

/// What a store does not do as it must.
#[derive(Debug, Error)]
#[error("object store contract, {case}: {reason}")]
pub struct ContractFailure {
    case: &'static str,
    reason: String,
}

/// Why one case failed.
type Outcome<T = ()> = Result<T, String>;

macro_rules! ensure {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            return Err(format!($($reason)+));
        }
    };
}

/// Runs every case against `bucket` of `store`.
///
/// # Errors
/// [`ContractFailure`] names the first case that failed.
pub async fn run(
    store: &SharedObjects,
    bucket: &str,
    parts: &dyn PartSender,
) -> Result<(), ContractFailure> {
    let suite = Suite {
        store,
        bucket,
        parts,
    };
    let named = |case: &'static str| move |reason: String| ContractFailure { case, reason };
    suite
        .stores_and_reads()
        .await
        .map_err(named("stores and reads"))?;
    suite.ranges().await.map_err(named("ranges"))?;
    suite.replaces().await.map_err(named("replaces"))?;
    suite.misses().await.map_err(named("misses"))?;
    suite.odd_names().await.map_err(named("odd names"))?;
    suite.lists().await.map_err(named("lists"))?;
    suite.files().await.map_err(named("files"))?;
    suite.multipart().await.map_err(named("multipart"))?;
    suite
        .multipart_refusals()
        .await
        .map_err(named("multipart refusals"))?;
    suite
        .multipart_replaced()
        .await
        .map_err(named("multipart replaced"))?;
    suite
        .is_empty()
        .await
        .map_err(named("leaves nothing behind"))
}

/// Reads a body to its end.
///
/// # Errors
/// The error that broke it off.
pub async fn read_all(mut body: crate::ObjectBody) -> Result<Bytes, ObjectError> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.stream.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes.freeze())
}

/// Bytes that differ from place to place, so that a stitch in the wrong place shows.
fn pattern(bytes: usize, seed: u8) -> Bytes {
    (0..bytes)
        .map(|index| (index % 251).to_le_bytes()[0].wrapping_add(seed))
        .collect()
}

fn text(error: ObjectError) -> String {
    error.to_string()
}

struct Suite<'a> {
    store: &'a SharedObjects,
    bucket: &'a str,
    parts: &'a dyn PartSender,
}

impl Suite<'_> {
    async fn put(&self, key: &str, body: &Bytes) -> Outcome<ObjectMeta> {
        self.store
            .put(self.bucket, key, "video/mp4", body.clone())
            .await
            .map_err(text)
    }

    async fn read(&self, key: &str, range: Option<std::ops::Range<u64>>) -> Outcome<Bytes> {
        let body = self
            .store
            .get(self.bucket, key, range)
            .await
            .map_err(text)?;
        read_all(body).await.map_err(text)
    }

    async fn delete(&self, key: &str) -> Outcome {
        self.store.delete(self.bucket, key).await.map_err(text)
    }

    async fn stores_and_reads(&self) -> Outcome {
        let body = pattern(300_000, 1);
        let meta = self.put("stores/one", &body).await?;
        ensure!(
            meta.size_bytes == 300_000,
            "put says {} bytes",
            meta.size_bytes
        );
        ensure!(
            meta.etag.starts_with('"') && meta.etag.ends_with('"'),
            "etag {} has no quotes",
            meta.etag
        );
        let head = self
            .store
            .head(self.bucket, "stores/one")
            .await
            .map_err(text)?;
        ensure!(
            head.key == "stores/one" && head.size_bytes == 300_000,
            "head says {head:?}"
        );
        ensure!(
            head.etag == meta.etag,
            "head's etag {} is not put's {}",
            head.etag,
            meta.etag
        );
        ensure!(
            head.content_type == "video/mp4",
            "head's content type is {}",
            head.content_type
        );
        let got = self
            .store
            .get(self.bucket, "stores/one", None)
            .await
            .map_err(text)?;
        ensure!(
            got.meta == head && got.range == (0..300_000),
            "get says {:?} {:?}",
            got.meta,
            got.range
        );
        ensure!(
            read_all(got).await.map_err(text)? == body,
            "other bytes came back"
        );
        let empty = self.put("stores/empty", &Bytes::new()).await?;
        ensure!(
            empty.size_bytes == 0,
            "an empty object has {} bytes",
            empty.size_bytes
        );
        ensure!(
            self.read("stores/empty", None).await?.is_empty(),
            "an empty object is not empty"
        );
        self.delete("stores/one").await?;
        self.delete("stores/empty").await
    }

    async fn ranges(&self) -> Outcome {
        let body = pattern(1000, 2);
        self.put("ranges", &body).await?;
        for (range, expected) in [
            (0..1, 0..1),
            (10..20, 10..20),
            (999..1000, 999..1000),
            (990..5000, 990..1000),
        ] {
            let got = self.read("ranges", Some(range.start..range.end)).await?;
            let (start, end) = (expected.start as usize, expected.end as usize);
            ensure!(
                got == body.slice(start..end),
                "range {range:?} gave {} bytes",
                got.len()
            );
        }
        for range in [1000..1001, 5..5] {
            let got = self
                .store
                .get(self.bucket, "ranges", Some(range.clone()))
                .await;
            ensure!(
                matches!(got, Err(ObjectError::Invalid(_))),
                "range {range:?} was not refused"
            );
        }
        self.delete("ranges").await
    }

    async fn replaces(&self) -> Outcome {
        let (first, second) = (pattern(700, 3), pattern(500, 4));
        let before = self.put("replaces", &first).await?;
        let reader = self
            .store
            .get(self.bucket, "replaces", None)
            .await
            .map_err(text)?;
        let after = self.put("replaces", &second).await?;
        ensure!(
            before.etag != after.etag,
            "another body has the same etag {}",
            after.etag
        );
        ensure!(
            self.read("replaces", None).await? == second,
            "the old bytes came back"
        );
        // One that began before reads what was there then, or fails; never a mixture.
        if let Ok(bytes) = read_all(reader).await {
            ensure!(bytes == first, "a reader saw a mixture");
        }
        self.delete("replaces").await?;
        let gone = self.store.head(self.bucket, "replaces").await;
        ensure!(
            matches!(gone, Err(ObjectError::NotFound(_))),
            "a deleted object is there: {gone:?}"
        );
        Ok(())
    }

    async fn misses(&self) -> Outcome {
        let get = self.store.get(self.bucket, "misses", None).await.map(drop);
        ensure!(matches!(get, Err(ObjectError::NotFound(_))), "get: {get:?}");
        let head = self.store.head(self.bucket, "misses/deeper").await;
        ensure!(
            matches!(head, Err(ObjectError::NotFound(_))),
            "head: {head:?}"
        );
        self.delete("misses").await?;
        let listed = self
            .store
            .list(self.bucket, "misses/", None)
            .await
            .map_err(text)?;
        ensure!(
            listed.objects.is_empty() && listed.next.is_none(),
            "list: {listed:?}"
        );
        let upload = self
            .store
            .list_parts(self.bucket, "misses", "0123456789abcdef0123456789abcdef")
            .await;
        ensure!(
            matches!(upload, Err(ObjectError::NotFound(_))),
            "list parts: {upload:?}"
        );
        Ok(())
    }

    async fn odd_names(&self) -> Outcome {
        let names = [
            "odd/a b+c",
            "odd/100%",
            "odd/é/ö",
            "odd//empty step",
            "odd/x=1&y=2?z#f",
            "odd/'\"<>",
            "odd",
        ];
        for name in names {
            let body = Bytes::from(format!("bytes of {name}"));
            self.put(name, &body)
                .await
                .map_err(|reason| format!("{name:?}: {reason}"))?;
        }
        for name in names {
            let got = self
                .read(name, None)
                .await
                .map_err(|reason| format!("{name:?}: {reason}"))?;
            ensure!(
                got == format!("bytes of {name}"),
                "{name:?} has other bytes"
            );
        }
        let listed = self
            .store
            .list(self.bucket, "odd", None)
            .await
            .map_err(text)?;
        let listed: Vec<&str> = listed
            .objects
            .iter()
            .map(|object| object.key.as_str())
            .collect();
        let mut expected = names;
        expected.sort_unstable();
        ensure!(listed == expected, "listed {listed:?}");
        for name in ["", "a/../b", "..", "a\nb", &"x".repeat(2000)] {
            let refused = self
                .store
                .put(self.bucket, name, "text/plain", Bytes::new())
                .await;
            ensure!(
                matches!(refused, Err(ObjectError::Invalid(_))),
                "{name:?}: {refused:?}"
            );
        }
        for name in names {
            self.delete(name).await?;
        }
        Ok(())
    }

    async fn lists(&self) -> Outcome {
        let names = [
            "list/a", "list/a-b", "list/a/x", "list/a/y", "list/b", "list/c/z",
        ];
        for name in names {
            self.put(name, &Bytes::from_static(b"x")).await?;
        }
        let keys = |page: crate::ListPage| {
            page.objects
                .into_iter()
                .map(|it| it.key)
                .collect::<Vec<_>>()
        };
        for (prefix, after, expected) in [
            ("list/", None, &names[..]),
            ("list/a", None, &names[..4]),
            ("list/a/", None, &names[2..4]),
            ("list/", Some("list/a/x"), &names[3..]),
            ("list/", Some("list/zzz"), &[]),
        ] {
            let page = self
                .store
                .list(self.bucket, prefix, after)
                .await
                .map_err(text)?;
            let got = keys(page);
            ensure!(
                got == expected,
                "prefix {prefix:?} after {after:?}: {got:?}"
            );
        }
        let page = self
            .store
            .list(self.bucket, "list/b", None)
            .await
            .map_err(text)?;
        let head = self.store.head(self.bucket, "list/b").await.map_err(text)?;
        let listed = page.objects.first().ok_or("nothing listed")?;
        ensure!(
            listed.etag == head.etag && listed.size_bytes == 1,
            "{listed:?} is not {head:?}"
        );
        for name in names {
            self.delete(name).await?;
        }
        Ok(())
    }

    async fn files(&self) -> Outcome {
        // The larger one takes more than one part where a client uploads in parts.
        for (key, bytes) in [("files/small", 1000), ("files/large", (33 << 20) + 7)] {
            let body = pattern(bytes, 5);
            let path =
                std::env::temp_dir().join(format!("mcsp-contract-{}-{bytes}", std::process::id()));
            tokio::fs::write(&path, &body)
                .await
                .map_err(|error| error.to_string())?;
            let stored = self
                .store
                .put_file(self.bucket, key, "video/mp4", &path)
                .await;
            let _ = tokio::fs::remove_file(&path).await;
            let meta = stored.map_err(text)?;
            ensure!(
                meta.size_bytes == body.len() as u64,
                "{key}: {} bytes",
                meta.size_bytes
            );
            ensure!(
                self.read(key, None).await? == body,
                "{key}: other bytes came back"
            );
            self.delete(key).await?;
        }
        Ok(())
    }

    async fn begin(&self, key: &str) -> Outcome<String> {
        self.store
            .create_multipart(self.bucket, key, "video/mp4")
            .await
            .map_err(text)
    }

    async fn stored_parts(&self, key: &str, upload_id: &str) -> Outcome<Vec<PartMeta>> {
        self.store
            .list_parts(self.bucket, key, upload_id)
            .await
            .map_err(text)
    }

    async fn complete(
        &self,
        key: &str,
        upload_id: &str,
        parts: &[PartMeta],
    ) -> Result<ObjectMeta, ObjectError> {
        self.store
            .complete_multipart(self.bucket, key, upload_id, parts)
            .await
    }

    async fn multipart(&self) -> Outcome {
        let key = "multi/whole";
        let upload_id = self.begin(key).await?;
        ensure!(
            self.stored_parts(key, &upload_id).await?.is_empty(),
            "a new upload has parts"
        );
        let (first, last) = (pattern(PART_BYTES_MIN, 6), pattern(1234, 7));
        // Out of order, a number left out, and one part sent twice.
        self.parts.send(key, &upload_id, 4, last.clone()).await?;
        self.parts.send(key, &upload_id, 2, last.clone()).await?;
        self.parts.send(key, &upload_id, 2, first.clone()).await?;
        let invisible = self.store.head(self.bucket, key).await;
        ensure!(
            matches!(invisible, Err(ObjectError::NotFound(_))),
            "visible too early: {invisible:?}"
        );
        let parts = self.stored_parts(key, &upload_id).await?;
        let numbers: Vec<(u32, u64)> = parts
            .iter()
            .map(|part| (part.part_number, part.size_bytes))
            .collect();
        ensure!(
            numbers == [(2, first.len() as u64), (4, 1234)],
            "parts {numbers:?}"
        );
        let meta = self.complete(key, &upload_id, &parts).await.map_err(text)?;
        ensure!(
            meta.size_bytes == (first.len() + last.len()) as u64,
            "{} bytes",
            meta.size_bytes
        );
        ensure!(meta.etag.ends_with("-2\""), "etag {}", meta.etag);
        ensure!(
            meta.content_type == "video/mp4",
            "content type {}",
            meta.content_type
        );
        let whole = [first.clone(), last].concat();
        ensure!(
            self.read(key, None).await? == whole,
            "other bytes came back"
        );
        let seam = first.len();
        let across = self
            .read(key, Some(seam as u64 - 10..seam as u64 + 10))
            .await?;
        ensure!(
            across == whole[seam - 10..seam + 10],
            "the range across the seam is wrong"
        );
        let again = self.complete(key, &upload_id, &parts).await.map_err(text)?;
        ensure!(again == meta, "completed again: {again:?} is not {meta:?}");
        let listed = self
            .store
            .list(self.bucket, "multi/", None)
            .await
            .map_err(text)?;
        ensure!(listed.objects.len() == 1, "listed {listed:?}");
        self.delete(key).await
    }

    async fn multipart_refusals(&self) -> Outcome {
        let key = "multi/refused";
        let upload_id = self.begin(key).await?;
        self.parts.send(key, &upload_id, 1, pattern(10, 8)).await?;
        let parts = self.stored_parts(key, &upload_id).await?;
        let stored = parts.first().cloned().ok_or("no part is listed")?;
        let other = PartMeta {
            etag: "\"00000000000000000000000000000000\"".to_owned(),
            ..stored.clone()
        };
        let absent = PartMeta {
            part_number: 2,
            ..stored.clone()
        };
        for wrong in [vec![other], vec![stored.clone(), absent], vec![]] {
            let refused = self.complete(key, &upload_id, &wrong).await;
            ensure!(
                matches!(refused, Err(ObjectError::Invalid(_))),
                "parts {wrong:?}: {refused:?}"
            );
        }
        let invisible = self.store.head(self.bucket, key).await;
        ensure!(
            matches!(invisible, Err(ObjectError::NotFound(_))),
            "a refused upload is visible"
        );
        let elsewhere = self.complete("multi/other", &upload_id, &parts).await;
        ensure!(
            matches!(elsewhere, Err(ObjectError::NotFound(_))),
            "under another key: {elsewhere:?}"
        );
        self.store
            .abort_multipart(self.bucket, key, &upload_id)
            .await
            .map_err(text)?;
        self.store
            .abort_multipart(self.bucket, key, &upload_id)
            .await
            .map_err(text)?;
        let late = self.parts.send(key, &upload_id, 2, pattern(10, 9)).await;
        ensure!(late.is_err(), "an aborted upload took a part");
        let late = self.complete(key, &upload_id, &parts).await;
        ensure!(
            matches!(late, Err(ObjectError::NotFound(_))),
            "an aborted upload was completed: {late:?}"
        );
        Ok(())
    }

    async fn multipart_replaced(&self) -> Outcome {
        let key = "multi/replaced";
        for seed in [10, 11] {
            let upload_id = self.begin(key).await?;
            let body = pattern(2000, seed);
            self.parts.send(key, &upload_id, 1, body.clone()).await?;
            let parts = self.stored_parts(key, &upload_id).await?;
            self.complete(key, &upload_id, &parts).await.map_err(text)?;
            ensure!(
                self.read(key, None).await? == body,
                "upload {seed}: other bytes came back"
            );
        }
        let body = pattern(100, 12);
        self.put(key, &body).await?;
        ensure!(
            self.read(key, None).await? == body,
            "an upload cannot be replaced by a put"
        );
        self.delete(key).await
    }

    async fn is_empty(&self) -> Outcome {
        let left = self.store.list(self.bucket, "", None).await.map_err(text)?;
        ensure!(left.objects.is_empty(), "{:?}", left.objects);
        Ok(())
    }
}
