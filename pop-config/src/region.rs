//! Regions: where origins are.

use mcsp_api::RegionCode;
use serde::Deserialize;

use crate::CountryCode;
use crate::fault::Faults;

/// A region with its origin. The home of users and content whose ids bear its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionConfig {
    /// Such as `ng-lagos`: 2 to 32 characters of `a-z 0-9 -`.
    pub id: String,
    /// The code inside ids, such as `ng`.
    pub code: RegionCode,
    /// Where the origin stands.
    pub country: CountryCode,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRegions {
    #[serde(default)]
    region: Vec<RawRegion>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRegion {
    id: String,
    code: String,
    country: String,
}

impl RawRegions {
    pub(crate) fn check(self, faults: &mut Faults<'_>) -> Vec<RegionConfig> {
        if self.region.is_empty() {
            faults.whole("there is no [[region]]; expected at least one");
        }
        let mut regions: Vec<RegionConfig> = Vec::with_capacity(self.region.len());
        for (place, raw) in self.region.into_iter().enumerate() {
            let key = |name: &str| format!("region[{place}].{name}");
            if !is_name(&raw.id, 32) {
                faults.value(key("id"), &raw.id, "2 to 32 characters of a-z, 0-9 and -");
            } else if regions.iter().any(|region| region.id == raw.id) {
                faults.value(key("id"), &raw.id, "an id that no other region has");
            }
            let code = raw.code.parse::<RegionCode>();
            if code.is_err() {
                faults.value(key("code"), &raw.code, "two lower-case letters");
            } else if regions.iter().any(|region| Ok(region.code) == code) {
                faults.value(key("code"), &raw.code, "a code that no other region has");
            }
            let country = raw.country.parse::<CountryCode>();
            if country.is_err() {
                faults.value(
                    key("country"),
                    &raw.country,
                    "two upper-case letters (ISO 3166-1 alpha-2)",
                );
            }
            if let (Ok(code), Ok(country)) = (code, country) {
                regions.push(RegionConfig {
                    id: raw.id,
                    code,
                    country,
                });
            }
        }
        regions
    }
}

/// A name that is safe in host names, paths, certificates and metrics.
pub(crate) fn is_name(text: &str, chars_max: usize) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (2..=chars_max).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}
