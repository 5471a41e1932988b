//! Objects stored in parts: invisible until complete, complete once.

use super::{Outcome, Suite, pattern, text};
use crate::{ObjectError, ObjectMeta, PartMeta};

/// S3's smallest part that is not the last, bytes.
const PART_BYTES_MIN: usize = 5 << 20;

impl Suite<'_> {
    pub(super) async fn multipart(&self) -> Outcome {
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

    pub(super) async fn multipart_refusals(&self) -> Outcome {
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

    pub(super) async fn multipart_replaced(&self) -> Outcome {
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
}
