//! A media origin over a folder, asked as edges ask it.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::BodyExt;
use mcsp_identity::{Peer, SpiffeId};
use mcsp_objects::{FileEngine, ObjectStore, SharedObjects};
use mcsp_origin_media_origin::{BUCKET_GLOBAL, BUCKET_NG, MediaOrigin, router};
use mcsp_runtime::{SystemClock, SystemEntropy};
use tempfile::TempDir;
use tower::ServiceExt;

pub(crate) const GLOBAL_ITEM: &str = "global/c_gl_01k9x3m5y8q2v7r4t6w1z0a3bc";
pub(crate) const NG_ITEM: &str = "ng/c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc";

pub(crate) struct Stage {
    _dir: TempDir,
    pub(crate) origin: MediaOrigin,
}

/// Lagos is in Nigeria, and nothing else is.
pub(crate) fn origin(objects: SharedObjects, objects_ng: Option<SharedObjects>) -> MediaOrigin {
    MediaOrigin {
        objects_ng,
        objects_global: objects,
        is_in_nigeria: Arc::new(|pop| pop == "los1"),
    }
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = FileEngine::open(dir.path(), SystemClock::shared(), SystemEntropy::shared())
            .await
            .unwrap();
        for (bucket, item) in [(BUCKET_GLOBAL, GLOBAL_ITEM), (BUCKET_NG, NG_ITEM)] {
            engine.create_bucket(bucket).await.unwrap();
            for (rest, content_type) in [
                ("manifest.m3u8", "text/plain"),
                ("manifest.mpd", "text/plain"),
                ("v360/1.m4s", "video/mp4"),
                ("v360/data", "application/x-kept"),
                ("art/1.jpg", ""),
                ("source/original", "video/mp4"),
                ("work/mezzanine.mp4", "video/mp4"),
            ] {
                engine
                    .put(bucket, &format!("{item}/{rest}"), content_type, body())
                    .await
                    .unwrap();
            }
        }
        let engine: SharedObjects = Arc::new(engine);
        Self {
            _dir: dir,
            origin: origin(engine.clone(), Some(engine)),
        }
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        ask(&self.origin, Method::GET, path, "los1", headers).await
    }
}

/// 1000 bytes that differ.
pub(crate) fn body() -> Bytes {
    (0..1000_u32)
        .map(|index| (index % 251).to_le_bytes()[0])
        .collect()
}

/// Asks as the PoP `pop` does; an empty one is nobody.
pub(crate) async fn ask(
    origin: &MediaOrigin,
    method: Method,
    path: &str,
    pop: &str,
    headers: &[(&str, &str)],
) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    if !pop.is_empty() {
        request = request.extension(Peer(SpiffeId::new("mcsp.internal", "edge", pop).unwrap()));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    router(origin.clone()).oneshot(request).await.unwrap()
}

pub(crate) async fn bytes_of(response: Response) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

pub(crate) fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}
