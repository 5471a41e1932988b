//! Where an upload's bytes may be, and which region therefore is its home.

use mcsp_api::rest::CreateUploadRequest;
use mcsp_api::{ContentId, Residency, UserId};
use mcsp_audit::AuditEntry;
use mcsp_geo::residency::Decision;
use mcsp_pop_config::{CountryCode, RegionConfig};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A residency decision with what it was taken for. Goes between regions as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HomeDecision {
    /// The item; its id's region is its home.
    pub(crate) content_id: ContentId,
    /// Who uploads it.
    pub(crate) creator_id: UserId,
    /// The engine's decision.
    pub(crate) decision: Decision,
}

impl HomeDecision {
    /// The immutable record of the decision: content, user, organisation, decision, time, engine version, rule. No
    /// title and no file name: the record of an `NG` item may be outside Nigeria.
    pub(crate) fn audit_entry(&self, action: &str, request: &CreateUploadRequest) -> AuditEntry {
        AuditEntry {
            actor: self.creator_id.to_string(),
            action: action.to_owned(),
            object: self.content_id.to_string(),
            detail: json!({
                "content_id": self.content_id,
                "user_id": self.creator_id,
                "organisation_id": self.decision.organisation_id,
                "decision": self.decision.residency,
                "decided_ms": self.decision.decided_ms,
                "engine_version": self.decision.engine_version,
                "rule_id": self.decision.rule_id.as_str(),
                "creator_choice": self.decision.creator_choice,
                "media_type": request.media_type,
                "size_bytes": request.size_bytes,
            }),
            trace_id: mcsp_telemetry::current_trace().map(|trace| trace.trace_id_hex()),
        }
    }
}

/// The region that is home to content of this residency when it is uploaded in `here`.
pub(crate) fn home_of<'a>(
    residency: Residency,
    here: &'a RegionConfig,
    regions: &'a [RegionConfig],
) -> Option<&'a RegionConfig> {
    match residency {
        Residency::Global => Some(here),
        Residency::Ng if here.country == CountryCode::NIGERIA => Some(here),
        Residency::Ng => regions
            .iter()
            .find(|region| region.country == CountryCode::NIGERIA),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(id: &str, code: &str, country: &str) -> RegionConfig {
        RegionConfig {
            id: id.into(),
            code: code.parse().expect("a code"),
            country: country.parse().expect("a country"),
        }
    }

    #[test]
    fn nigerian_content_is_at_home_in_nigeria() {
        let all = [
            region("global-london", "gl", "GB"),
            region("ng-lagos", "ng", "NG"),
        ];
        let home =
            |residency, here: usize| home_of(residency, &all[here], &all).map(|r| r.id.as_str());
        assert_eq!(home(Residency::Ng, 0), Some("ng-lagos"));
        assert_eq!(home(Residency::Ng, 1), Some("ng-lagos"));
        assert_eq!(home(Residency::Global, 0), Some("global-london"));
        assert_eq!(home(Residency::Global, 1), Some("ng-lagos"));
        assert_eq!(home_of(Residency::Ng, &all[0], &all[..1]), None);
    }
}
