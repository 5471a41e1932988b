//! Refresh tokens, session ids, and digests of what is not to be stored.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcsp_api::RegionCode;
use mcsp_runtime::{Entropy, hex_lower};

/// The longest text that is looked at as a refresh token, bytes.
const REFRESH_BYTES_MAX: usize = 128;

/// A new refresh token: `r_{region}_` and 256 random bits. The region is there so that an edge can route the call.
pub(crate) fn new_refresh_token(region: RegionCode, entropy: &dyn Entropy) -> String {
    let mut random = [0; 32];
    entropy.fill(&mut random);
    format!("r_{region}_{}", URL_SAFE_NO_PAD.encode(random))
}

/// What is stored of a refresh token; `None` for a text that is none. The token has 256 bits of entropy, so a plain
/// digest is enough, and a look-up by it tells nothing by its time.
pub(crate) fn refresh_digest(token: &str) -> Option<String> {
    let is_token = token.starts_with("r_") && token.len() <= REFRESH_BYTES_MAX;
    is_token.then(|| digest_hex(&[token]))
}

/// The home region of a refresh token; `None` for a text that is none.
pub(crate) fn region_of_refresh_token(token: &str) -> Option<RegionCode> {
    let (region, random) = token.strip_prefix("r_")?.split_once('_')?;
    let is_random = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_token = token.len() <= REFRESH_BYTES_MAX && random.bytes().all(is_random);
    region.parse().ok().filter(|_| is_token)
}

/// A new session id: `s_{region}_` and 128 random bits.
pub(crate) fn new_session_id(region: RegionCode, entropy: &dyn Entropy) -> String {
    format!("s_{region}_{}", new_hex_id(entropy))
}

/// 128 random bits.
pub(crate) fn new_hex_id(entropy: &dyn Entropy) -> String {
    let mut random = [0; 16];
    entropy.fill(&mut random);
    hex_lower(&random)
}

/// SHA-256 of the parts, each preceded by its length so that no two lists are alike; hexadecimal.
pub(crate) fn digest_hex(parts: &[&str]) -> String {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    hex_lower(digest(&SHA256, &bytes).as_ref())
}
