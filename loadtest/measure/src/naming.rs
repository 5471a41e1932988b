//! What exactly is wrong with a segment or a manifest: rules for players, pure.

use crate::finding::FindingKind;

/// What is tolerated of an answer's age beyond its freshness, s: clocks and the way here.
const AGE_GRACE_S: u64 = 5;
/// A live playlist that has not grown for this many target durations stands still. RFC 8216, 6.2.2 asks for one and a half.
const STILL_DURATIONS: u64 = 3;

/// A segment that came, beside what should have come. `D` is a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObservedSegment<'a, D> {
    /// Bytes of the body.
    pub received_bytes: u64,
    /// Its length by `Content-Length`, `Content-Range` or the manifest.
    pub declared_bytes: Option<u64>,
    /// The reference's length.
    pub reference_bytes: Option<u64>,
    /// The body's digest.
    pub digest: Option<&'a D>,
    /// The reference's digest.
    pub reference: Option<&'a D>,
    /// The height that was asked for, lines.
    pub asked_height: Option<u32>,
    /// The height that the initialisation segment says, lines.
    pub coded_height: Option<u32>,
    /// The greatest height that the session may have, lines.
    pub height_max: Option<u32>,
}

/// What is wrong with a segment; none: nothing. `whose` names the object whose reference a digest is, so that another rendition's
/// bytes are called that.
pub fn name_segment<D: PartialEq>(
    segment: &ObservedSegment<'_, D>,
    whose: impl FnOnce(&D) -> Option<String>,
) -> Option<(FindingKind, String)> {
    let received = segment.received_bytes;
    if let Some(declared) = segment
        .declared_bytes
        .filter(|declared| received < *declared)
    {
        let detail = format!("{received} bytes of {declared} came");
        return Some((FindingKind::TruncatedSegment, detail));
    }
    if let Some((digest, reference)) = segment.digest.zip(segment.reference)
        && digest != reference
    {
        if let Some(other) = whose(digest) {
            return Some((
                FindingKind::WrongQuality,
                format!("it has the bytes of {other}"),
            ));
        }
        return Some(match segment.reference_bytes {
            Some(whole) if received < whole => {
                let detail =
                    format!("{received} bytes came as if they were all; the reference has {whole}");
                (FindingKind::TruncatedSegment, detail)
            }
            whole => {
                let whole = whole.map_or(String::new(), |whole| format!(", of {whole} bytes"));
                (
                    FindingKind::WrongBytes,
                    format!("its {received} bytes are not the reference's{whole}"),
                )
            }
        });
    }
    let coded = segment.coded_height?;
    let asked = segment.asked_height.filter(|asked| *asked != coded);
    if let Some(asked) = asked {
        return Some((
            FindingKind::WrongQuality,
            format!("{coded} lines, and {asked} were asked for"),
        ));
    }
    let most = segment.height_max.filter(|most| coded > *most)?;
    Some((
        FindingKind::WrongQuality,
        format!("{coded} lines, and the session may have {most}"),
    ))
}

/// What is wrong with an answer's age: `Age` (RFC 9111, 5.1) beside how long it may be used, which is its max-age and what
/// `stale-while-revalidate` (RFC 5861) adds, both s.
#[must_use]
pub fn name_manifest_age(age_s: u64, usable_s: u64) -> Option<(FindingKind, String)> {
    let is_old = age_s > usable_s.saturating_add(AGE_GRACE_S);
    is_old.then(|| {
        let detail = format!("it is {age_s} s old, and may be used for {usable_s} s");
        (FindingKind::StaleManifest, detail)
    })
}

/// A manifest as a player read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ObservedManifest {
    /// When it came, µs after the run's start.
    pub at_us: u64,
    /// Whether it is complete: `EXT-X-ENDLIST`, or a static MPD.
    pub is_complete: bool,
    /// The number of the segment after its last one.
    pub end_sequence: u64,
    /// Renditions that it names (a master playlist, an MPD).
    pub renditions: u32,
    /// The longest segment, µs; 0: unknown.
    pub target_duration_us: u64,
    /// The same at the origin, at the same time or before, when it was asked.
    pub reference_end_sequence: Option<u64>,
}

/// Watches one manifest over time, for one player.
#[derive(Debug, Clone, Default)]
pub struct ManifestWatch {
    /// The last one, and when it was first as long as it is.
    last: Option<(ObservedManifest, u64)>,
}

impl ManifestWatch {
    /// Takes the next one, and says what is wrong with it: nothing may be taken back, and what is not complete must grow.
    pub fn observe(&mut self, now: ObservedManifest) -> Option<(FindingKind, String)> {
        let stale = |detail| Some((FindingKind::StaleManifest, detail));
        let behind = now
            .reference_end_sequence
            .filter(|reference| now.end_sequence < *reference);
        let Some((last, grown_us)) = self.last else {
            self.last = Some((now, now.at_us));
            return behind.and_then(|reference| stale(behind_of(&now, reference)));
        };
        let has_grown = now.end_sequence > last.end_sequence || now.is_complete;
        let grown_us = if has_grown { now.at_us } else { grown_us };
        if now.end_sequence < last.end_sequence {
            return stale(format!(
                "it ends at segment {}, and ended at {} before",
                now.end_sequence, last.end_sequence
            ));
        }
        if last.is_complete && !now.is_complete {
            return stale("it is open again, and was complete before".to_owned());
        }
        if now.renditions < last.renditions {
            return stale(format!(
                "it names {} renditions, and named {} before",
                now.renditions, last.renditions
            ));
        }
        self.last = Some((now, grown_us));
        let still_us = now.at_us.saturating_sub(grown_us);
        let bound_us = now.target_duration_us.saturating_mul(STILL_DURATIONS);
        if !now.is_complete && bound_us > 0 && still_us > bound_us {
            return stale(format!(
                "it has not grown for {:.1} s",
                still_us as f64 / 1e6
            ));
        }
        behind.and_then(|reference| stale(behind_of(&now, reference)))
    }
}

fn behind_of(now: &ObservedManifest, reference: u64) -> String {
    format!(
        "it ends at segment {}, the origin's at {reference}",
        now.end_sequence
    )
}
