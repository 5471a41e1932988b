//! Topics, the envelope, and what each event carries.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{ContentId, MediaSessionId, OrganisationId, Residency, UploadId, UserId};

/// A topic as it is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicSpec {
    /// The topic's name.
    pub name: &'static str,
    /// How many partitions; order holds within a key.
    pub partitions: u32,
    /// How long records are kept.
    pub retention_days: u32,
}

/// A payload with its topic, the version of its form, and the key that orders it.
pub trait Event: Serialize + DeserializeOwned + Send + Sync {
    /// The topic it is written to.
    const TOPIC: TopicSpec;
    /// The version of the payload's form; raised when a field changes its meaning.
    const VERSION: u32;
    /// The record's key.
    fn key(&self) -> String;
}

/// What every record's value is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<P> {
    /// Acted on once however often it is delivered.
    pub event_id: uuid::Uuid,
    /// RFC 3339, UTC.
    pub timestamp: String,
    /// Who produced it, such as `upload`.
    pub source_service: String,
    /// The version of the payload's form.
    pub version: u32,
    /// What happened.
    pub payload: P,
}

macro_rules! event {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }
     topic $topic:literal, partitions $partitions:literal, days $days:literal, version $version:literal, key $key:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }

        impl Event for $name {
            const TOPIC: TopicSpec = TopicSpec { name: $topic, partitions: $partitions, retention_days: $days };
            const VERSION: u32 = $version;
            fn key(&self) -> String {
                self.$key.to_string()
            }
        }
    };
}

/// Sound and picture, or sound alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum MediaType {
    /// Has a picture.
    Video,
    /// Sound alone.
    Audio,
}

impl MediaType {
    /// `VIDEO` or `AUDIO`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Video => "VIDEO",
            Self::Audio => "AUDIO",
        }
    }
}

/// One packaged rendition as the manifests list it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RenditionRef {
    /// Such as `v360` or `a64`.
    pub rendition_id: String,
    /// Bits a second, measured peak over segments.
    pub bandwidth_bps: u64,
    /// Pixels; 0 for sound.
    pub height: u32,
}

event! {
    /// A creator's file is whole and durable in staging.
    UploadInitiated {
        /// The item.
        content_id: ContentId,
        /// The session it was uploaded in.
        upload_id: UploadId,
        /// Who uploaded it.
        owner_id: UserId,
        /// The owner's organisation.
        organisation_id: Option<OrganisationId>,
        /// Where its bytes may be.
        residency: Residency,
        /// What the creator said it is; the probe has the last word.
        media_type: MediaType,
        /// Bytes.
        size_bytes: u64,
    }
    topic "media.upload.initiated", partitions 12, days 7, version 1, key content_id
}

event! {
    /// The file was opened and is media of the kind that was promised. Transcoding may start.
    UploadCompleted {
        /// The item.
        content_id: ContentId,
        /// Who uploaded it.
        owner_id: UserId,
        /// Where its bytes may be.
        residency: Residency,
        /// What it is.
        media_type: MediaType,
        /// Milliseconds, as the container says.
        duration_ms: u64,
    }
    topic "media.upload.completed", partitions 12, days 7, version 1, key content_id
}

event! {
    /// The file cannot be used.
    UploadBlocked {
        /// The item.
        content_id: ContentId,
        /// Machine-readable, such as `not-media`, `truncated`, `empty`, `damaged`.
        code: String,
        /// What the creator reads: what was wrong, where, what to do.
        reason: String,
    }
    topic "media.upload.blocked", partitions 12, days 30, version 1, key content_id
}

event! {
    /// A rendition was encoded and lies in `work/`.
    TranscodingCompleted {
        /// The item.
        content_id: ContentId,
        /// Where its bytes may be.
        residency: Residency,
        /// What it is.
        media_type: MediaType,
        /// The video and audio renditions that this event brings, such as `v360` and `a64`.
        rendition_ids: Vec<String>,
        /// True for the first: the pass that validated the whole file.
        lowest: bool,
        /// True when no further rendition will come.
        last: bool,
        /// Milliseconds, as decoded.
        duration_ms: u64,
    }
    topic "media.transcoding.completed", partitions 24, days 7, version 1, key content_id
}

event! {
    /// Renditions are packaged, stored and listed in the item's manifests.
    Packaged {
        /// The item.
        content_id: ContentId,
        /// Where its bytes may be.
        residency: Residency,
        /// What it is.
        media_type: MediaType,
        /// Every rendition the manifests list now.
        renditions: Vec<RenditionRef>,
        /// True when no further rendition will come.
        last: bool,
        /// Milliseconds.
        duration_ms: u64,
    }
    topic "media.drm.packaged", partitions 12, days 7, version 1, key content_id
}

event! {
    /// A stage made progress that the creator may see. Not a fact that anything else depends on.
    StageProgress {
        /// The item.
        content_id: ContentId,
        /// Such as `validate`, `transcode`, `package`, `art`.
        stage: String,
        /// `started`, `progress`, `finished`, `failed`.
        state: String,
        /// 0 to 100.
        percent: u32,
        /// For people.
        note: String,
    }
    topic "media.stage.progress", partitions 12, days 1, version 1, key content_id
}

event! {
    /// Thumbnails are stored under `art/`.
    ArtReady {
        /// The item.
        content_id: ContentId,
        /// Names under `{residency}/{content_id}/`, the first is the default.
        thumbnails: Vec<String>,
    }
    topic "media.art.ready", partitions 12, days 7, version 1, key content_id
}

event! {
    /// The item can be played. Produced once for each item.
    Published {
        /// The item.
        content_id: ContentId,
        /// Who owns it.
        owner_id: UserId,
        /// Where its bytes may be.
        residency: Residency,
        /// What it is.
        media_type: MediaType,
    }
    topic "media.published", partitions 12, days 30, version 1, key content_id
}

event! {
    /// The item changed so that what edges hold of it is out of date: a new rendition, new art, new metadata.
    ContentUpdated {
        /// The item.
        content_id: ContentId,
        /// Where its bytes may be.
        residency: Residency,
        /// What changed, such as `renditions`.
        what: String,
    }
    topic "content.updated", partitions 12, days 7, version 1, key content_id
}

event! {
    /// The item is gone: nothing of it may be served.
    ContentDeleted {
        /// The item.
        content_id: ContentId,
        /// Where its bytes may be.
        residency: Residency,
    }
    topic "content.deleted", partitions 12, days 30, version 1, key content_id
}

event! {
    /// The item waits for moderation.
    ModerationRequested {
        /// The item.
        content_id: ContentId,
        /// Where its bytes may be.
        residency: Residency,
    }
    topic "moderation.check.requested", partitions 6, days 30, version 1, key content_id
}

event! {
    /// A person approved the item.
    ModerationApproved {
        /// The item.
        content_id: ContentId,
        /// The moderator.
        decided_by: String,
    }
    topic "moderation.approved", partitions 6, days 30, version 1, key content_id
}

event! {
    /// A media session was ended before its time.
    MediaSessionRevoked {
        /// The session.
        media_session_id: MediaSessionId,
        /// After this its URLs have expired anyway, Unix seconds.
        expires_s: i64,
    }
    topic "session.media.revoked", partitions 6, days 1, version 1, key media_session_id
}

event! {
    /// A login session was ended: logout, theft of a refresh token, or an administrator's act.
    UserSessionRevoked {
        /// The session (`sid` of access tokens).
        session_id: String,
        /// After this its access tokens have expired anyway, Unix seconds.
        expires_s: i64,
    }
    topic "session.user.revoked", partitions 6, days 1, version 1, key session_id
}

event! {
    /// A region's token keys changed.
    TokenKeysRotated {
        /// The region, such as `ng-lagos`.
        region: String,
        /// The RFC 7517 JWK Set now in force.
        jwks_json: String,
    }
    topic "auth.keys.rotated", partitions 1, days 7, version 1, key region
}

/// Every topic of this release, so that a node can create them before it starts.
pub const TOPICS: [TopicSpec; 15] = [
    UploadInitiated::TOPIC,
    UploadCompleted::TOPIC,
    UploadBlocked::TOPIC,
    TranscodingCompleted::TOPIC,
    Packaged::TOPIC,
    StageProgress::TOPIC,
    ArtReady::TOPIC,
    Published::TOPIC,
    ContentUpdated::TOPIC,
    ContentDeleted::TOPIC,
    ModerationRequested::TOPIC,
    ModerationApproved::TOPIC,
    MediaSessionRevoked::TOPIC,
    UserSessionRevoked::TOPIC,
    TokenKeysRotated::TOPIC,
];
