//! One PoP.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::CountryCode;
use crate::fault::Faults;
use crate::region::is_name;

/// The most public addresses of a PoP.
const BASE_URLS_MAX: usize = 8;
/// The most networks of a PoP's footprint.
const FOOTPRINTS_MAX: usize = 10_000;
const FALLBACK_RANK_DEFAULT: u32 = 100;
const FALLBACK_RANK_MAX: u32 = 1000;

/// Who runs the machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// We do: may hold HMAC secrets of media URLs, see [`crate::PopSet::holds_signing_keys`].
    Own,
    /// A partner, such as a telco: verifies by public keys only.
    Partner,
}

/// A PoP: one or more edge nodes close to viewers.
#[derive(Debug, Clone, PartialEq)]
pub struct PopManifest {
    /// Such as `los1`: 2 to 16 characters of `a-z 0-9 -`; the file's name too.
    pub id: String,
    /// For people, 1 to 100 characters.
    pub name: String,
    /// Where the machines stand. Decides residency: `NG` bytes are only where this is `NG`.
    pub country: CountryCode,
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
    /// Who runs the machines.
    pub trust: Trust,
    /// The region whose feed the PoP follows and whose origin it asks first.
    pub region: String,
    /// How viewers reach it: 1 to 8 `https` addresses without a path, the first preferred. `http` only on loopback.
    pub base_urls: Vec<Url>,
    /// Client networks that this PoP serves before any other, such as those of the telco that hosts it; at most 10 000.
    pub footprints: Vec<IpNet>,
    /// Order among PoPs for viewers of whom nothing is known, lowest first: 0 to 1000, default 100.
    pub fallback_rank: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawManifest {
    id: String,
    name: String,
    country: String,
    latitude: f64,
    longitude: f64,
    trust: Trust,
    region: String,
    base_urls: Vec<String>,
    #[serde(default)]
    footprints: Vec<String>,
    #[serde(default = "fallback_rank_default")]
    fallback_rank: u32,
}

fn fallback_rank_default() -> u32 {
    FALLBACK_RANK_DEFAULT
}

impl RawManifest {
    /// The manifest, if all its own values can be used. `stem` is the file's name without `.toml`.
    pub(crate) fn check(self, stem: &str, faults: &mut Faults<'_>) -> Option<PopManifest> {
        if !is_name(&self.id, 16) {
            faults.value("id", &self.id, "2 to 16 characters of a-z, 0-9 and -");
        } else if self.id != stem {
            faults.value("id", &self.id, format!("the file's name, {stem:?}"));
        }
        if !(1..=100).contains(&self.name.chars().count())
            || self.name.chars().any(char::is_control)
        {
            faults.value("name", &self.name, "1 to 100 characters");
        }
        let country = self.country.parse();
        if country.is_err() {
            faults.value(
                "country",
                &self.country,
                "two upper-case letters (ISO 3166-1 alpha-2)",
            );
        }
        // NaN is in no range.
        if !(-90.0..=90.0).contains(&self.latitude) {
            faults.value("latitude", &self.latitude, "degrees north, -90 to 90");
        }
        if !(-180.0..=180.0).contains(&self.longitude) {
            faults.value("longitude", &self.longitude, "degrees east, -180 to 180");
        }
        if self.fallback_rank > FALLBACK_RANK_MAX {
            faults.value(
                "fallback_rank",
                &self.fallback_rank,
                format!("0 to {FALLBACK_RANK_MAX}"),
            );
        }
        Some(PopManifest {
            base_urls: check_base_urls(&self.base_urls, faults),
            footprints: check_footprints(&self.footprints, faults),
            country: country.ok()?,
            id: self.id,
            name: self.name,
            latitude: self.latitude,
            longitude: self.longitude,
            trust: self.trust,
            region: self.region,
            fallback_rank: self.fallback_rank,
        })
    }
}

fn check_base_urls(texts: &[String], faults: &mut Faults<'_>) -> Vec<Url> {
    if !(1..=BASE_URLS_MAX).contains(&texts.len()) {
        faults.value(
            "base_urls",
            &texts.len(),
            format!("1 to {BASE_URLS_MAX} addresses"),
        );
    }
    let mut urls = Vec::new();
    for (place, text) in texts.iter().enumerate().take(BASE_URLS_MAX) {
        match Url::parse(text) {
            Ok(url) if is_base(&url) && !urls.contains(&url) => urls.push(url),
            _ => faults.value(
                format!("base_urls[{place}]"),
                text,
                "https://host or https://host:port (http on loopback only), once, with no path, query, fragment or user",
            ),
        }
    }
    urls
}

/// Is this name or address one of this machine alone? Browsers hold such an origin for secure without a certificate.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn is_base(url: &Url) -> bool {
    (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)))
        && url.has_host()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}

fn check_footprints(texts: &[String], faults: &mut Faults<'_>) -> Vec<IpNet> {
    if texts.len() > FOOTPRINTS_MAX {
        faults.value(
            "footprints",
            &texts.len(),
            format!("at most {FOOTPRINTS_MAX} networks"),
        );
    }
    let mut networks = Vec::new();
    for (place, text) in texts.iter().enumerate().take(FOOTPRINTS_MAX) {
        match text.parse::<IpNet>() {
            // Host bits that are set point at a slip of the pen.
            Ok(network) if network == network.trunc() => networks.push(network),
            _ => faults.value(
                format!("footprints[{place}]"),
                text,
                "a network such as 197.210.0.0/16 or 2c0f:fb50::/32, no host bits set",
            ),
        }
    }
    networks
}
