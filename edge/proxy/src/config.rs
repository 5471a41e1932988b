//! What an operator may set.

use std::fmt::Display;

use mcsp_edge_fetch::{PeerTimeouts, PoolPolicy};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A value that cannot be used.
#[derive(Debug, Error)]
#[error("{key} = {value}: expected {expected}")]
pub struct ProxyConfigError {
    key: String,
    value: String,
    expected: String,
}

impl ProxyConfigError {
    pub(crate) fn new(
        key: impl Into<String>,
        value: impl Display,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            key: key.into(),
            value: value.to_string(),
            expected: expected.into(),
        }
    }
}

/// The proxy's part of the node's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProxyConfig {
    /// Origins.
    pub upstream: UpstreamConfig,
    /// Bounds on requests.
    pub limits: LimitsConfig,
    /// For how long what the feed told stays good.
    pub trust: TrustConfig,
    /// Further addresses under which viewers reach this node, such as `http://127.0.0.1:8080`, beside the `base_urls`
    /// of the PoP's manifest. Default none; at most 16.
    pub public_bases: Vec<String>,
    /// `Strict-Transport-Security: max-age` on TLS answers (RFC 6797), seconds; 0 sends none. Default 31536000.
    pub hsts_max_age_s: u32,
    /// How long a request waits for another's fetch of the same object, ms. Then two of those who wait ask in turn; a request
    /// that has waited for them too is told that the origin did not answer in time. Default 10000; 100 to 120000.
    pub collapse_wait_ms: u64,
    /// How long a media object may be served past its life while its origin is away (RFC 5861), where the origin does
    /// not say, seconds. Default 86400; 0 to 604800.
    pub stale_if_error_s: u32,
    /// How long a request waits for the origin where what is held is past its life and may stand in for an origin that fails
    /// (RFC 5861 section 4), ms. The origin is asked on, and its answer is for those who come next. Default 2000; 10 to 120000.
    pub stale_wait_ms: u64,
    /// Of the traces that begin here, the share that is sampled. Default 0.05; 0 to 1.
    pub trace_sample_ratio: f64,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            upstream: UpstreamConfig::default(),
            limits: LimitsConfig::default(),
            trust: TrustConfig::default(),
            public_bases: Vec::new(),
            hsts_max_age_s: 31_536_000,
            collapse_wait_ms: 10_000,
            stale_if_error_s: 86_400,
            stale_wait_ms: 2_000,
            trace_sample_ratio: 0.05,
        }
    }
}

/// Where a region's origins are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionUpstream {
    /// The region's id, as in the PoP configuration, such as `ng-lagos`. Required.
    pub id: String,
    /// `host:port` of each origin that speaks the REST and media interfaces over mTLS, 1 to 64. Required.
    pub origin: Vec<String>,
    /// The name their certificates are checked against. Required.
    pub origin_server_name: String,
    /// `host:port` of each object storage endpoint, at most 64. Default none: storage requests are answered 503.
    #[serde(default)]
    pub storage: Vec<String>,
    /// The name their certificates are checked against; required when `storage` is not empty.
    #[serde(default)]
    pub storage_server_name: String,
}

/// Origins and how they are asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamConfig {
    /// The regions this node can reach: at least the PoP's home region, or none on a node with plain routes only.
    pub region: Vec<RegionUpstream>,
    /// TCP and TLS, ms. Default 2000; 10 to 60000.
    pub connect_timeout_ms: u64,
    /// Between two reads of an answer, ms. Default 30000; 100 to 600000.
    pub read_timeout_ms: u64,
    /// Between two writes of a request, ms. Default 30000; 100 to 600000.
    pub write_timeout_ms: u64,
    /// How long an idle connection is kept, ms. Default 60000; 100 to 3600000.
    pub idle_timeout_ms: u64,
    /// Idle connections kept for each worker thread. Default 128; 1 to 10000.
    pub idle_connections_max: usize,
    /// How many addresses one request may try. Default 3; 1 to 10.
    pub tries_max: usize,
    /// Failures in a row after which an address is left alone. Default 3; 1 to 100.
    pub failures_max: u32,
    /// For how long, ms. Default 2000; 10 to 600000.
    pub unhealthy_ms: u64,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            region: Vec::new(),
            connect_timeout_ms: 2_000,
            read_timeout_ms: 30_000,
            write_timeout_ms: 30_000,
            idle_timeout_ms: 60_000,
            idle_connections_max: 128,
            tries_max: 3,
            failures_max: 3,
            unhealthy_ms: 2_000,
        }
    }
}

/// Bounds on requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// The largest body of an API call, bytes. Default 1 MiB; 1 KiB to 64 MiB.
    pub api_body_bytes_max: u64,
    /// The largest part of an upload, bytes. Default 128 MiB; 5 MiB to 5 GiB.
    pub storage_body_bytes_max: u64,
    /// Between two reads of a request, ms. Default 30000; 100 to 600000.
    pub client_read_timeout_ms: u64,
    /// Between two writes of an answer, ms. Default 30000; 100 to 600000.
    pub client_write_timeout_ms: u64,
    /// What a client must send at least of a request's body that is routed, bytes a second, once it has had
    /// `client_read_timeout_ms`. Default 256; 0 to 1048576.
    pub client_body_bytes_s_min: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            api_body_bytes_max: 1 << 20,
            storage_body_bytes_max: 128 << 20,
            client_read_timeout_ms: 30_000,
            client_write_timeout_ms: 30_000,
            client_body_bytes_s_min: 256,
        }
    }
}

/// For how long what the feed told stays good while the feed is away.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrustConfig {
    /// After this long without a word of the feed, each cached object is revalidated before it is served, ms. Default
    /// 10000; 1000 to 600000.
    pub revalidate_after_ms: u64,
    /// How long a request waits for that where the object is within its life, ms: an origin that has said nothing by then counts
    /// as one that is away, in whose place the object may be served. The origin is asked on, and what it says counts for those
    /// who come next. More than three round trips to the origin, so that one that is far away and well is heard. Default 500;
    /// 10 to 60000.
    pub verify_wait_ms: u64,
    /// After this long, API calls with a token are answered 503, ms. Default 300000; 1000 to 3600000.
    pub tokens_until_ms: u64,
    /// After this long, media is answered 503: signed URLs live for an hour, and which sessions were ended since is
    /// not known. Default 3600000; 1000 to 86400000.
    pub media_until_ms: u64,
}

impl Default for TrustConfig {
    fn default() -> Self {
        Self {
            revalidate_after_ms: 10_000,
            verify_wait_ms: 500,
            tokens_until_ms: 300_000,
            media_until_ms: 3_600_000,
        }
    }
}

fn between(key: &str, value: u64, low: u64, high: u64) -> Result<(), ProxyConfigError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(ProxyConfigError::new(
        key,
        value,
        format!("{low} to {high}"),
    ))
}

impl ProxyConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// Names the first key whose value cannot be used, the value, and what was expected.
    pub fn validate(&self) -> Result<(), ProxyConfigError> {
        self.upstream.validate()?;
        let limits = &self.limits;
        between(
            "limits.api_body_bytes_max",
            limits.api_body_bytes_max,
            1 << 10,
            64 << 20,
        )?;
        between(
            "limits.storage_body_bytes_max",
            limits.storage_body_bytes_max,
            5 << 20,
            5 << 30,
        )?;
        between(
            "limits.client_read_timeout_ms",
            limits.client_read_timeout_ms,
            100,
            600_000,
        )?;
        between(
            "limits.client_write_timeout_ms",
            limits.client_write_timeout_ms,
            100,
            600_000,
        )?;
        between(
            "limits.client_body_bytes_s_min",
            u64::from(limits.client_body_bytes_s_min),
            0,
            1 << 20,
        )?;
        let trust = &self.trust;
        between(
            "trust.revalidate_after_ms",
            trust.revalidate_after_ms,
            1_000,
            600_000,
        )?;
        between("trust.verify_wait_ms", trust.verify_wait_ms, 10, 60_000)?;
        between(
            "trust.tokens_until_ms",
            trust.tokens_until_ms,
            1_000,
            3_600_000,
        )?;
        between(
            "trust.media_until_ms",
            trust.media_until_ms,
            1_000,
            86_400_000,
        )?;
        between("collapse_wait_ms", self.collapse_wait_ms, 100, 120_000)?;
        between("stale_wait_ms", self.stale_wait_ms, 10, 120_000)?;
        between(
            "stale_if_error_s",
            u64::from(self.stale_if_error_s),
            0,
            604_800,
        )?;
        if !(0.0..=1.0).contains(&self.trace_sample_ratio) {
            return Err(ProxyConfigError::new(
                "trace_sample_ratio",
                self.trace_sample_ratio,
                "0 to 1",
            ));
        }
        between(
            "public_bases (entries)",
            self.public_bases.len() as u64,
            0,
            16,
        )?;
        for base in &self.public_bases {
            if !is_base(base) {
                let expected =
                    "http:// or https:// with a host, perhaps a port, and nothing after it";
                return Err(ProxyConfigError::new("public_bases", base, expected));
            }
        }
        Ok(())
    }
}

fn is_base(base: &str) -> bool {
    base.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.path() == "/"
            && uri.query().is_none()
    }) && !base.ends_with('/')
}

impl UpstreamConfig {
    /// When an address is left alone.
    pub(crate) fn pool_policy(&self) -> PoolPolicy {
        PoolPolicy {
            failures_max: self.failures_max,
            unhealthy_ms: self.unhealthy_ms,
            ..PoolPolicy::default()
        }
    }

    /// How long a connection is waited for.
    pub(crate) fn peer_timeouts(&self) -> PeerTimeouts {
        PeerTimeouts {
            connect_ms: self.connect_timeout_ms,
            read_ms: self.read_timeout_ms,
            write_ms: self.write_timeout_ms,
            idle_ms: self.idle_timeout_ms,
        }
    }

    fn validate(&self) -> Result<(), ProxyConfigError> {
        between(
            "upstream.connect_timeout_ms",
            self.connect_timeout_ms,
            10,
            60_000,
        )?;
        between(
            "upstream.read_timeout_ms",
            self.read_timeout_ms,
            100,
            600_000,
        )?;
        between(
            "upstream.write_timeout_ms",
            self.write_timeout_ms,
            100,
            600_000,
        )?;
        between(
            "upstream.idle_timeout_ms",
            self.idle_timeout_ms,
            100,
            3_600_000,
        )?;
        between(
            "upstream.idle_connections_max",
            self.idle_connections_max as u64,
            1,
            10_000,
        )?;
        between("upstream.tries_max", self.tries_max as u64, 1, 10)?;
        between(
            "upstream.failures_max",
            u64::from(self.failures_max),
            1,
            100,
        )?;
        between("upstream.unhealthy_ms", self.unhealthy_ms, 10, 600_000)?;
        for region in &self.region {
            let key = |name: &str| format!("upstream.region {:?} {name}", region.id);
            if !(1..=64).contains(&region.origin.len()) {
                return Err(ProxyConfigError::new(
                    key("origin"),
                    region.origin.len(),
                    "1 to 64 addresses",
                ));
            }
            if region.storage.len() > 64 {
                return Err(ProxyConfigError::new(
                    key("storage"),
                    region.storage.len(),
                    "at most 64 addresses",
                ));
            }
            // An upstream without a name is not verified at all.
            if region.origin_server_name.is_empty() {
                return Err(ProxyConfigError::new(
                    key("origin_server_name"),
                    "\"\"",
                    "a host name",
                ));
            }
            if !region.storage.is_empty() && region.storage_server_name.is_empty() {
                return Err(ProxyConfigError::new(
                    key("storage_server_name"),
                    "\"\"",
                    "a host name",
                ));
            }
        }
        Ok(())
    }
}
