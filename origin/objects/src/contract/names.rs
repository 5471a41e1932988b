//! Names: which can be stored, and in which order they are listed.

use bytes::Bytes;

use super::{Outcome, Suite, text};
use crate::ObjectError;

impl Suite<'_> {
    pub(super) async fn odd_names(&self) -> Outcome {
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

    pub(super) async fn lists(&self) -> Outcome {
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
}
