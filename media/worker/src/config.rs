//! The worker's configuration. `default.toml` documents every key.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use mcsp_api::{RegionCode, Residency};
use mcsp_identity::IdentityConfig;
use mcsp_media_pipeline::{ParallelConfig, PipelineConfig, PipelineConfigError, RetryConfig};
use mcsp_media_probe::ProbeLimits;
use mcsp_media_transcode::TranscodePolicy;
use mcsp_runtime::{ConfigError, load_config};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Every key with its default and range, as `default-config` prints it.
pub(crate) const DEFAULT_TOML: &str = include_str!("default.toml");
/// What begins the names of environment variables that override keys.
pub(crate) const ENV_PREFIX: &str = "MCSP_MEDIA_";

/// A value that cannot be used.
#[derive(Debug, Error)]
#[error("{key} = {value}: expected {expected}")]
pub(crate) struct WorkerConfigError {
    key: &'static str,
    value: String,
    expected: &'static str,
}

impl From<PipelineConfigError> for WorkerConfigError {
    fn from(error: PipelineConfigError) -> Self {
        Self {
            key: error.key,
            value: error.value,
            expected: error.expected,
        }
    }
}

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkerConfig {
    /// Absent: `{region.id}/media`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) member: Option<String>,
    pub(crate) events: String,
    pub(crate) database: String,
    #[serde(default = "default_log_level")]
    pub(crate) log_level: String,
    #[serde(default = "default_drain_ms")]
    pub(crate) drain_ms: u64,
    #[serde(default = "default_identity_check_ms")]
    pub(crate) identity_check_ms: u64,
    pub(crate) region: RegionConfig,
    pub(crate) identity: IdentityConfig,
    pub(crate) objects: ObjectsConfig,
    pub(crate) scratch: ScratchConfig,
    #[serde(default)]
    pub(crate) admin: AdminConfig,
    #[serde(default)]
    pub(crate) parallel: ParallelConfig,
    #[serde(default)]
    pub(crate) retry: RetryConfig,
    #[serde(default)]
    pub(crate) transcode: TranscodeConfig,
}

/// Where the worker is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegionConfig {
    pub(crate) id: String,
    pub(crate) code: RegionCode,
    /// ISO 3166-1 alpha-2.
    pub(crate) country: String,
}

/// Ways to items' objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectsConfig {
    pub(crate) global: BucketConfig,
    /// Only in Nigeria.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ng: Option<BucketConfig>,
}

/// One bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BucketConfig {
    pub(crate) uri: String,
    pub(crate) bucket: String,
    pub(crate) credentials_file: PathBuf,
}

/// The worker's own disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScratchConfig {
    pub(crate) dir: PathBuf,
    #[serde(default = "default_scratch_bytes_max")]
    pub(crate) bytes_max: u64,
}

/// The admin listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AdminConfig {
    pub(crate) address: SocketAddr,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 7423)),
        }
    }
}

/// Bounds of the children, and of what is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TranscodeConfig {
    pub(crate) threads: usize,
    pub(crate) memory_bytes_max: u64,
    pub(crate) cpu_s_min: u64,
    pub(crate) cpu_s_per_media_s: u64,
    pub(crate) silence_ms_max: u64,
    pub(crate) video_bytes_max: u64,
    pub(crate) audio_bytes_max: u64,
    pub(crate) duration_ms_max: u64,
    pub(crate) side_pixels_max: u32,
}

impl Default for TranscodeConfig {
    fn default() -> Self {
        let TranscodePolicy {
            limits,
            memory_bytes_max,
            cpu_s_min,
            cpu_s_per_media_s,
            silence_ms_max,
            threads,
        } = TranscodePolicy::default();
        Self {
            threads,
            memory_bytes_max,
            cpu_s_min,
            cpu_s_per_media_s,
            silence_ms_max,
            video_bytes_max: limits.video_bytes_max,
            audio_bytes_max: limits.audio_bytes_max,
            duration_ms_max: limits.duration_ms_max,
            side_pixels_max: limits.side_pixels_max,
        }
    }
}

impl TranscodeConfig {
    pub(crate) fn policy(&self) -> TranscodePolicy {
        TranscodePolicy {
            limits: ProbeLimits {
                video_bytes_max: self.video_bytes_max,
                audio_bytes_max: self.audio_bytes_max,
                duration_ms_max: self.duration_ms_max,
                side_pixels_max: self.side_pixels_max,
            },
            memory_bytes_max: self.memory_bytes_max,
            cpu_s_min: self.cpu_s_min,
            cpu_s_per_media_s: self.cpu_s_per_media_s,
            silence_ms_max: self.silence_ms_max,
            threads: self.threads,
        }
    }
}

fn default_log_level() -> String {
    "info".to_owned()
}

fn default_drain_ms() -> u64 {
    5_000
}

fn default_identity_check_ms() -> u64 {
    60_000
}

fn default_scratch_bytes_max() -> u64 {
    50_000_000_000
}

impl WorkerConfig {
    /// Reads the file, with overrides from the environment.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        load_config(path, ENV_PREFIX)
    }

    /// This worker's name in the consumer groups.
    pub(crate) fn member(&self) -> String {
        let default = || format!("{}/media", self.region.id);
        self.member.clone().unwrap_or_else(default)
    }

    pub(crate) fn pipeline(&self) -> PipelineConfig {
        PipelineConfig {
            parallel: self.parallel,
            retry: self.retry,
        }
    }

    /// Checks every value that has a range.
    pub(crate) fn validate(&self) -> Result<(), WorkerConfigError> {
        self.pipeline().validate()?;
        let country = &self.region.country;
        let is_country = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
        let expected = "two upper-case letters (ISO 3166-1 alpha-2)";
        check(is_country, "region.country", country, expected)?;
        if let Some(ng) = &self.objects.ng {
            let is_allowed = Residency::Ng.allows_country(Some(country));
            let expected = "no [objects.ng] outside Nigeria (region.country = \"NG\")";
            check(is_allowed, "objects.ng", &ng.bucket, expected)?;
            let is_other = ng.bucket != self.objects.global.bucket;
            let expected = "another bucket than objects.global's";
            check(is_other, "objects.ng.bucket", &ng.bucket, expected)?;
        }
        self.check_ranges()
    }

    fn check_ranges(&self) -> Result<(), WorkerConfigError> {
        let transcode = &self.transcode;
        let threads = transcode.threads as u64;
        let ranges: [(&'static str, u64, u64, u64, &'static str); 12] = [
            ("drain_ms", self.drain_ms, 0, 600_000, "0 to 600000"),
            (
                "identity_check_ms",
                self.identity_check_ms,
                100,
                86_400_000,
                "100 to 86400000",
            ),
            (
                "scratch.bytes_max",
                self.scratch.bytes_max,
                100_000_000,
                100_000_000_000_000,
                "100000000 to 100000000000000",
            ),
            ("transcode.threads", threads, 1, 64, "1 to 64"),
            (
                "transcode.memory_bytes_max",
                transcode.memory_bytes_max,
                1 << 30,
                1 << 40,
                "1073741824 to 1099511627776",
            ),
            (
                "transcode.cpu_s_min",
                transcode.cpu_s_min,
                10,
                86_400,
                "10 to 86400",
            ),
            (
                "transcode.cpu_s_per_media_s",
                transcode.cpu_s_per_media_s,
                1,
                3_600,
                "1 to 3600",
            ),
            (
                "transcode.silence_ms_max",
                transcode.silence_ms_max,
                1_000,
                3_600_000,
                "1000 to 3600000",
            ),
            (
                "transcode.video_bytes_max",
                transcode.video_bytes_max,
                1,
                20_000_000_000,
                "1 to 20000000000",
            ),
            (
                "transcode.audio_bytes_max",
                transcode.audio_bytes_max,
                1,
                20_000_000_000,
                "1 to 20000000000",
            ),
            (
                "transcode.duration_ms_max",
                transcode.duration_ms_max,
                1_000,
                172_800_000,
                "1000 to 172800000",
            ),
            (
                "transcode.side_pixels_max",
                u64::from(transcode.side_pixels_max),
                16,
                16_384,
                "16 to 16384",
            ),
        ];
        for (key, value, min, max, expected) in ranges {
            check(
                (min..=max).contains(&value),
                key,
                &value.to_string(),
                expected,
            )?;
        }
        Ok(())
    }
}

fn check(
    is_good: bool,
    key: &'static str,
    value: &str,
    expected: &'static str,
) -> Result<(), WorkerConfigError> {
    if is_good {
        return Ok(());
    }
    Err(WorkerConfigError {
        key,
        value: value.to_owned(),
        expected,
    })
}

#[cfg(test)]
mod tests {
    use mcsp_runtime::parse_config;

    use super::*;

    fn parse(text: &str) -> Result<WorkerConfig, ConfigError> {
        parse_config(text, "a test", "MCSP_MEDIA_NO_SUCH_")
    }

    /// Every key that has a default is in `default.toml` with that default.
    #[test]
    fn the_printed_configuration_is_complete_and_says_the_defaults() {
        let printed = parse(DEFAULT_TOML).unwrap();
        printed.validate().unwrap();
        let required: String = DEFAULT_TOML
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect::<Vec<_>>()
            .join("\n");
        let mut table: toml::Table = required.parse().unwrap();
        for key in [
            "parallel",
            "retry",
            "transcode",
            "admin",
            "log_level",
            "drain_ms",
            "identity_check_ms",
            "member",
        ] {
            assert!(table.remove(key).is_some(), "{key} is not documented");
        }
        let scratch = table.get_mut("scratch").unwrap().as_table_mut().unwrap();
        assert!(scratch.remove("bytes_max").is_some());
        let sparse = parse(&table.to_string()).unwrap();
        let member = Some(sparse.member());
        assert_eq!(WorkerConfig { member, ..sparse }, printed);
    }

    #[test]
    fn a_worker_outside_nigeria_gets_no_way_to_ng_objects() {
        let mut config = parse(DEFAULT_TOML).unwrap();
        config.region.country = "GB".to_owned();
        let error = config.validate().unwrap_err().to_string();
        assert!(
            error.contains("objects.ng") && error.contains("outside Nigeria"),
            "{error}"
        );
        config.objects.ng = None;
        config.validate().unwrap();
    }

    #[test]
    fn unknown_keys_and_values_out_of_range_are_named() {
        let unknown = format!("no_such_key = 1\n{DEFAULT_TOML}");
        let error = parse(&unknown).unwrap_err().to_string();
        assert!(error.contains("no_such_key"), "{error}");
        let mut config = parse(DEFAULT_TOML).unwrap();
        config.transcode.threads = 0;
        let error = config.validate().unwrap_err().to_string();
        assert_eq!(error, "transcode.threads = 0: expected 1 to 64");
        let mut config = parse(DEFAULT_TOML).unwrap();
        config.retry.tries = 0;
        assert!(
            config
                .validate()
                .unwrap_err()
                .to_string()
                .starts_with("retry.tries = 0")
        );
    }
}
