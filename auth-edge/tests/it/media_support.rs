//! Media keys, a grant, and a path that it is for.

use std::sync::Arc;

use mcsp_api::Residency;
use mcsp_api::events::MediaType;
use mcsp_api::media_path::MediaPath;
use mcsp_auth_edge::{
    MediaGrant, MediaKeyConfig, MediaKeyStore, MediaKeyring, RenditionLimits, TokenForm,
};
use mcsp_runtime::{ManualClock, SeededEntropy};

use crate::support::NOW_S;

pub(crate) const FORMS: [TokenForm; 2] = [TokenForm::Hmac, TokenForm::Ed25519];
pub(crate) const CONTENT: &str = "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc";
pub(crate) const OTHER: &str = "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bd";

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: MediaKeyStore,
    pub(crate) ring: MediaKeyring,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn world() -> World {
    let clock = ManualClock::new(NOW_S * 1000);
    let folder = tempfile::tempdir().expect("a folder");
    let store = MediaKeyStore::open(
        folder.path().join("media-keys.json"),
        "ng".parse().expect("a region"),
        MediaKeyConfig::default(),
        clock.clone(),
        SeededEntropy::new(7),
    )
    .expect("a store");
    let ring = MediaKeyring::new(clock.clone());
    ring.replace(store.published()).expect("keys");
    World {
        clock,
        store,
        ring,
        folder,
    }
}

pub(crate) fn grant() -> MediaGrant {
    MediaGrant {
        content_id: CONTENT.parse().expect("an id"),
        user_id: "u_ng_01k9x3m5y8q2v7r4t6w1z0a3bc".parse().expect("an id"),
        media_session_id: "ms_gl_7zzzzzzzzzzzzzzzzzzzzzzzzz".parse().expect("an id"),
        residency: Residency::Global,
        media_type: MediaType::Video,
        expires_s: NOW_S + 3600,
        limits: RenditionLimits {
            max_height: 1080,
            max_audio_kbps: 192,
        },
        client: None,
    }
}

pub(crate) fn path(name: &str) -> MediaPath<'_> {
    MediaPath::parse_object_name(name).expect("a path")
}
