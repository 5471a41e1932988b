//! The upload service's own configuration.

use std::ops::RangeInclusive;

use mcsp_api::Residency;
use mcsp_api::events::MediaType;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A key whose value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("upload.{key} = {value}: expected {expected}")]
pub struct UploadConfigError {
    key: &'static str,
    value: String,
    expected: String,
}

/// `[upload]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UploadConfig {
    /// The largest video, bytes: 1 to 20 000 000 000 (default).
    pub video_bytes_max: u64,
    /// The largest sound file, bytes: 1 to 2 000 000 000 (default).
    pub audio_bytes_max: u64,
    /// How long a session may be resumed, seconds: 60 to 2 592 000; default 604 800 (7 days).
    pub session_life_s: u32,
    /// How long a part's URL is good, seconds: 30 to 3 600; default 900.
    pub url_life_s: u32,
    /// How many unfinished sessions one creator may have: 1 to 10 000; default 50.
    pub open_sessions_max: u32,
    /// How long a completion waits for the event log before it answers `PENDING_TRIGGER`, milliseconds: 0 to 5 000;
    /// default 500.
    pub trigger_wait_ms: u32,
    /// How often the reconciler looks, seconds: 1 to 3 600; default 60.
    pub reconcile_interval_s: u32,
    /// How many sessions of each kind one reconciler run takes up: 1 to 1 000; default 100.
    pub reconcile_sessions_max: u32,
    /// How long an idempotency key is remembered, seconds: 3 600 to 2 592 000; default 604 800 (7 days).
    pub idempotency_life_s: u32,
    /// The bucket of `NG` content; default `mcsp-ng`.
    pub bucket_ng: String,
    /// The bucket of `GLOBAL` content; default `mcsp-global`.
    pub bucket_global: String,
}

impl Default for UploadConfig {
    fn default() -> Self {
        Self {
            video_bytes_max: 20_000_000_000,
            audio_bytes_max: 2_000_000_000,
            session_life_s: 7 * 86_400,
            url_life_s: 900,
            open_sessions_max: 50,
            trigger_wait_ms: 500,
            reconcile_interval_s: 60,
            reconcile_sessions_max: 100,
            idempotency_life_s: 7 * 86_400,
            bucket_ng: "mcsp-ng".to_owned(),
            bucket_global: "mcsp-global".to_owned(),
        }
    }
}

impl UploadConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// The first key whose value cannot be used.
    pub fn validate(&self) -> Result<(), UploadConfigError> {
        within("video_bytes_max", self.video_bytes_max, 1..=20_000_000_000)?;
        within("audio_bytes_max", self.audio_bytes_max, 1..=2_000_000_000)?;
        within("session_life_s", self.session_life_s.into(), 60..=2_592_000)?;
        within("url_life_s", self.url_life_s.into(), 30..=3_600)?;
        within(
            "open_sessions_max",
            self.open_sessions_max.into(),
            1..=10_000,
        )?;
        within("trigger_wait_ms", self.trigger_wait_ms.into(), 0..=5_000)?;
        within(
            "reconcile_interval_s",
            self.reconcile_interval_s.into(),
            1..=3_600,
        )?;
        within(
            "reconcile_sessions_max",
            self.reconcile_sessions_max.into(),
            1..=1_000,
        )?;
        within(
            "idempotency_life_s",
            self.idempotency_life_s.into(),
            3_600..=2_592_000,
        )?;
        for (key, bucket) in [
            ("bucket_ng", &self.bucket_ng),
            ("bucket_global", &self.bucket_global),
        ] {
            let valid = (3..=63).contains(&bucket.len())
                && bucket
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if !valid {
                return Err(UploadConfigError {
                    key,
                    value: format!("{bucket:?}"),
                    expected: "a bucket name: 3 to 63 of a-z, 0-9 and -".to_owned(),
                });
            }
        }
        if self.bucket_ng == self.bucket_global {
            return Err(UploadConfigError {
                key: "bucket_ng",
                value: format!("{:?}", self.bucket_ng),
                expected: "another bucket than bucket_global".to_owned(),
            });
        }
        Ok(())
    }

    /// The largest file of a kind, bytes.
    #[must_use]
    pub fn bytes_max(&self, media_type: MediaType) -> u64 {
        match media_type {
            MediaType::Video => self.video_bytes_max,
            MediaType::Audio => self.audio_bytes_max,
        }
    }

    /// The bucket of a residency.
    #[must_use]
    pub fn bucket(&self, residency: Residency) -> &str {
        match residency {
            Residency::Ng => &self.bucket_ng,
            Residency::Global => &self.bucket_global,
        }
    }
}

fn within(
    key: &'static str,
    value: u64,
    range: RangeInclusive<u64>,
) -> Result<(), UploadConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(UploadConfigError {
        key,
        value: value.to_string(),
        expected: format!("{} to {}", range.start(), range.end()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_faults_name_the_key() {
        UploadConfig::default().validate().expect("defaults");
        let config = UploadConfig {
            url_life_s: 10,
            ..UploadConfig::default()
        };
        let error = config.validate().expect_err("too short").to_string();
        assert_eq!(error, "upload.url_life_s = 10: expected 30 to 3600");
        let same = UploadConfig {
            bucket_ng: "mcsp-global".into(),
            ..UploadConfig::default()
        };
        assert!(same.validate().is_err());
    }
}
