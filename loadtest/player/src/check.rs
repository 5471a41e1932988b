//! Is what came what should have come?

use std::time::Duration;

use http::HeaderMap;
use mcsp_loadtest_measure::{Against, FindingKind, Outcome};
use mcsp_loadtest_scenario::ByteCheck;
use mcsp_loadtest_wire::{Framing, Request};
use twox_hash::XxHash3_128;
use url::Url;

use crate::boxes;
use crate::fetch::{Fetched, Tally, object_of};
use crate::manifest::Rendition;
use crate::references::{Judgement, Print};
use crate::world::World;

/// How much more than its declared peak a segment may need.
const PEAK_SLACK: f64 = 1.25;
/// And what a segment may be larger than that, bytes.
const PEAK_SLACK_BYTES: f64 = 8_192.0;
/// How long after its life a manifest may still be on its way, s.
const STALE_SLACK_S: u64 = 5;
/// The life of a manifest that does not say, s.
const LIFE_S: u64 = 30;

/// How long the origin may take to give what it has.
const ORIGIN_PATIENCE: Duration = Duration::from_secs(30);

/// What a segment should be.
pub(crate) struct Expected<'a> {
    pub(crate) item: &'a str,
    pub(crate) rendition: &'a Rendition,
    /// None for an initialisation segment.
    pub(crate) duration_us: Option<u64>,
    pub(crate) longest_us: u64,
}

/// Judges a segment; how it is to be recorded.
pub(crate) async fn segment(
    world: &World,
    fetched: &Fetched,
    expected: &Expected<'_>,
    tally: &mut Tally,
) -> Outcome {
    let object = object_of(&fetched.url);
    let is_fragmented_mp4 = [".m4s", ".mp4", ".m4a", ".m4v", ".cmfv", ".cmfa"]
        .iter()
        .any(|end| object.ends_with(end));
    if let Some(fault) = fetched.boxes_fault.filter(|_| is_fragmented_mp4) {
        tally.truncated += 1;
        let detail = format!("{} bytes: {fault}", fetched.print.bytes);
        world.find(FindingKind::TruncatedSegment, object, detail);
        return Outcome::Truncated;
    }
    if let Some(detail) = quality_fault(fetched, expected) {
        world.find(FindingKind::WrongQuality, object, detail);
        return Outcome::WrongBytes;
    }
    let bytes = fetched.print.bytes;
    let checked = |against| world.with_recorder(|recorder| recorder.checked(against, bytes));
    if world.scenario.player.check == ByteCheck::Length {
        checked(Against::Length);
        return Outcome::Ok;
    }
    if let Some(origin) = world.checks_origin()
        && !world.references.knows_origin(&object)
        && let Some(print) = ask_origin(world, origin, &object).await
    {
        world.references.of_origin(&object, print);
    }
    // Renditions may begin alike; what an initialisation segment is for was seen already.
    let item = expected.duration_us.map(|_| expected.item);
    let (judgement, against) = world.references.judge(item, &object, fetched.print);
    checked(against);
    match judgement {
        Judgement::Right => Outcome::Ok,
        Judgement::Wrong => {
            tally.wrong_bytes += 1;
            let detail = format!(
                "{} bytes of hash {:032x} are not those of {}",
                fetched.print.bytes,
                fetched.print.hash,
                if against == Against::Origin {
                    "the origin"
                } else {
                    "the other users"
                }
            );
            world.find(FindingKind::WrongBytes, object, detail);
            Outcome::WrongBytes
        }
        Judgement::OfAnother(other) => {
            world.find(
                FindingKind::WrongQuality,
                object,
                format!("has the bytes of {other}"),
            );
            Outcome::WrongBytes
        }
    }
}

/// What contradicts the manifest.
fn quality_fault(fetched: &Fetched, expected: &Expected<'_>) -> Option<String> {
    let rendition = expected.rendition;
    let Some(duration_us) = expected.duration_us else {
        let (width, height) = boxes::picture(&fetched.body)?;
        let is_other =
            rendition.height > 0 && (rendition.width, rendition.height) != (width, height);
        return is_other.then(|| {
            let (w, h) = (rendition.width, rendition.height);
            format!("is for {width}x{height}, and the manifest says {w}x{h}")
        });
    };
    // A short last segment is no demand on a network, and manifests do not count it as one.
    if rendition.peak_bps == 0 || duration_us * 2 < expected.longest_us {
        return None;
    }
    let declared = rendition.peak_bps as f64 / 8.0 * duration_us as f64 / 1e6;
    let is_above = fetched.print.bytes as f64 > declared * PEAK_SLACK + PEAK_SLACK_BYTES;
    is_above.then(|| {
        let bps = fetched.print.bytes.saturating_mul(8_000_000) / duration_us.max(1);
        format!(
            "needs {bps} bit/s, and the manifest says {} at most",
            rendition.peak_bps
        )
    })
}

/// What the origin has; none when it does not say.
async fn ask_origin(world: &World, origin: &Url, object: &str) -> Option<Print> {
    let url = origin.join(object).ok()?;
    let mut client = world.origin.lock().await;
    // Another user may have asked meanwhile.
    if world.references.knows_origin(object) {
        return None;
    }
    let mut hasher = XxHash3_128::new();
    let request = Request {
        deadline: Some(tokio::time::Instant::now() + ORIGIN_PATIENCE),
        ..Request::get(&url, &[])
    };
    let answer = client
        .send(&request, &mut |part| hasher.write(part))
        .await
        .ok()?;
    (answer.status == 200 && answer.framing != Framing::Close).then(|| Print {
        bytes: answer.body_bytes,
        hash: hasher.finish_128(),
    })
}

/// A manifest's age: by what its answer says, and by newer ones that were seen.
pub(crate) fn manifest(world: &World, fetched: &Fetched) {
    let object = object_of(&fetched.url);
    let life_s = life_s(&fetched.headers);
    let limit_s = life_s + STALE_SLACK_S;
    let age_s = fetched
        .headers
        .get("age")
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if let Some(age_s) = age_s.filter(|age_s| *age_s > limit_s) {
        let detail = format!("is {age_s} s old, and may be {life_s} s old");
        world.find(FindingKind::StaleManifest, object, detail);
        return;
    }
    let now_us = world.clock().now_us();
    let newer_us = world
        .references
        .manifest_age_us(&object, fetched.print.hash, now_us);
    if let Some(newer_s) = newer_us
        .map(|us| us / 1_000_000)
        .filter(|age_s| *age_s > limit_s)
    {
        let detail =
            format!("a newer one has been out for {newer_s} s, and this one may be {life_s} s old");
        world.find(FindingKind::StaleManifest, object, detail);
    }
}

/// For how long an answer may be used, s: fresh, and stale where it says so (RFC 9111, RFC 5861).
fn life_s(headers: &HeaderMap) -> u64 {
    let value = headers.get("cache-control");
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let directive = |name: &str| {
        text.split(',')
            .filter_map(|directive| directive.trim().split_once('='))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| value.trim_matches('"').parse::<u64>().ok())
    };
    let fresh = directive("s-maxage").or_else(|| directive("max-age"));
    let stale = directive("stale-while-revalidate").max(directive("stale-if-error"));
    fresh.unwrap_or(LIFE_S).saturating_add(stale.unwrap_or(0))
}
