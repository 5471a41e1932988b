//! An item as the service holds it, and how it looks from outside.

use mcsp_api::events::{MediaType, RenditionRef};
use mcsp_api::rest::{Content, ContentStage, ContentStatus, UploadMetadata};
use mcsp_api::{ContentId, OrganisationId, Residency, UserId};

use crate::lifecycle::Facts;

/// An item's record.
#[derive(Debug, Clone, PartialEq)]
pub struct ContentRecord {
    /// The item.
    pub content_id: ContentId,
    /// Who owns it.
    pub owner_id: UserId,
    /// The owner's organisation when it was uploaded.
    pub organisation_id: Option<OrganisationId>,
    /// Where its bytes may be.
    pub residency: Residency,
    /// What it is; the pipeline has the last word.
    pub media_type: MediaType,
    /// What the creator says of it.
    pub metadata: UploadMetadata,
    /// Its life.
    pub facts: Facts,
    /// Why it was blocked or failed, for its owner.
    pub status_reason: Option<String>,
    /// Milliseconds; 0 until known.
    pub duration_ms: u64,
    /// What can be played, the lowest first.
    pub renditions: Vec<RenditionRef>,
    /// True when no further rendition will come.
    pub complete: bool,
    /// Names under the item; the first is the default.
    pub thumbnails: Vec<String>,
    /// Unix milliseconds.
    pub created_ms: i64,
}

impl ContentRecord {
    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> ContentStatus {
        self.facts.status()
    }

    /// Takes in what the packager lists. A list that comes late or twice takes nothing away: what was packaged stays.
    /// True when something changed.
    pub fn merge_renditions(
        &mut self,
        listed: &[RenditionRef],
        last: bool,
        duration_ms: u64,
    ) -> bool {
        let before = (self.renditions.clone(), self.complete, self.duration_ms);
        for rendition in listed {
            match self
                .renditions
                .iter_mut()
                .find(|r| r.rendition_id == rendition.rendition_id)
            {
                Some(known) => *known = rendition.clone(),
                None => self.renditions.push(rendition.clone()),
            }
        }
        self.renditions.sort_by(|a, b| {
            (a.bandwidth_bps, &a.rendition_id).cmp(&(b.bandwidth_bps, &b.rendition_id))
        });
        self.complete |= last;
        if duration_ms > 0 {
            self.duration_ms = duration_ms;
        }
        before != (self.renditions.clone(), self.complete, self.duration_ms)
    }

    /// Forgets what was said of the item, which nobody may read any more; ids and facts stay.
    pub fn erase(&mut self) {
        let visibility = self.metadata.visibility;
        self.metadata = UploadMetadata {
            visibility,
            ..UploadMetadata::default()
        };
        self.status_reason = None;
        self.renditions.clear();
        self.thumbnails.clear();
    }

    /// The item as everybody sees it.
    #[must_use]
    pub fn to_public(&self) -> Content {
        Content {
            content_id: self.content_id.to_string(),
            owner_id: self.owner_id.to_string(),
            residency: self.residency,
            media_type: self.media_type,
            status: self.status(),
            status_reason: None,
            metadata: self.metadata.clone(),
            duration_ms: self.duration_ms,
            renditions: self
                .renditions
                .iter()
                .map(|r| r.rendition_id.clone())
                .collect(),
            complete: self.complete,
            thumbnails: self.thumbnails.clone(),
            stages: Vec::new(),
            created_ms: self.created_ms,
            published_ms: self.facts.published_ms,
        }
    }

    /// The item as its owner sees it.
    #[must_use]
    pub fn to_owner(&self, stages: Vec<ContentStage>) -> Content {
        Content {
            status_reason: self.status_reason.clone(),
            stages,
            ..self.to_public()
        }
    }
}
