//! Objects stored in one piece: read whole and in ranges, replaced, missed.

use bytes::Bytes;

use super::{Outcome, Suite, pattern, read_all, text};
use crate::ObjectError;

impl Suite<'_> {
    pub(super) async fn stores_and_reads(&self) -> Outcome {
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

    pub(super) async fn ranges(&self) -> Outcome {
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

    pub(super) async fn replaces(&self) -> Outcome {
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

    pub(super) async fn misses(&self) -> Outcome {
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

    pub(super) async fn files(&self) -> Outcome {
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
}
