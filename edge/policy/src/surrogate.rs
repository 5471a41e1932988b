//! `Surrogate-Control` (W3C Note "Edge Architecture Specification", section 2.3): what older origins say to the cache
//! in front of them. Newer ones use [`crate::targeted`].
//!
//! A directive may be aimed at one device by name (`max-age=60;mcsp-edge`); this one answers to [`DEVICE`] and makes itself
//! known by [`CAPABILITY`] in requests.

use http::{HeaderMap, HeaderName};

use crate::cache_control::ResponseDirectives;
use crate::fields::{Members, delta_seconds, members};

/// `Surrogate-Control`.
pub static SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");
/// `Surrogate-Capability`, which requests to an origin carry.
pub static SURROGATE_CAPABILITY: HeaderName = HeaderName::from_static("surrogate-capability");
/// The name that directives aimed at this project's edges bear.
pub const DEVICE: &str = "mcsp-edge";
/// The member to append to `Surrogate-Capability`.
pub const CAPABILITY: &str = "mcsp-edge=\"Surrogate/1.0\"";

/// Reads all lines; `None` when no directive in them is known and meant for this device. `max-age=60+30` is a lifetime
/// of 60 s and 30 s more while it is validated.
#[must_use]
pub(crate) fn parse(headers: &HeaderMap) -> Option<ResponseDirectives> {
    let (mut general, mut aimed) = (ResponseDirectives::default(), ResponseDirectives::default());
    for member in members(headers, &SURROGATE_CONTROL) {
        let mut parts = Members::separated(member, b';');
        let (Some(directive), device) = (parts.next(), parts.next()) else {
            continue;
        };
        match device {
            None => add(&mut general, directive),
            Some(name) if name.eq_ignore_ascii_case(DEVICE.as_bytes()) => {
                add(&mut aimed, directive);
            }
            Some(_) => {}
        }
    }
    // What is aimed at this device goes before what is said to all.
    let nothing = ResponseDirectives::default();
    [aimed, general]
        .into_iter()
        .find(|directives| *directives != nothing)
}

fn add(directives: &mut ResponseDirectives, directive: &[u8]) {
    if directive.eq_ignore_ascii_case(b"no-store") {
        directives.no_store = true;
    }
    let Some((name, value)) = directive.split_at_checked(b"max-age=".len()) else {
        return;
    };
    if name.eq_ignore_ascii_case(b"max-age=") {
        let mut parts = value.splitn(2, |&byte| byte == b'+');
        // What is no number is no lifetime, as in Cache-Control.
        let lifetime_s = parts.next().and_then(delta_seconds).unwrap_or(0);
        directives.max_age_s.get_or_insert(lifetime_s);
        let extra_s = parts.next().and_then(delta_seconds);
        directives.stale_while_revalidate_s = directives.stale_while_revalidate_s.or(extra_s);
    }
}
