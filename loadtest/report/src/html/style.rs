//! The page's style sheet.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Colours are by Okabe and Ito, for people who see some colours alike, darkened until they stand out from white by 3 to 1 and
/// more; text stands out by 4.5 to 1.
pub(super) const STYLE: &str = include_str!("style.css");

/// What a Content-Security-Policy names the style sheet by: `sha256-…`.
pub(super) fn hash() -> String {
    let digest = digest(&SHA256, STYLE.as_bytes());
    format!("sha256-{}", STANDARD.encode(digest))
}
