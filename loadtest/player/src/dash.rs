//! DASH MPDs (ISO/IEC 23009-1): static, one period, segment templates. A reader of its own, as the crates there are bring whole
//! download tools with them.

use std::collections::HashMap;
use std::sync::Arc;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::manifest::{ManifestError, Presentation, Rendition, SEGMENTS_MAX, SegmentList, resolve};

type Attributes = HashMap<String, String>;

#[derive(Debug, Clone, Default)]
struct Template {
    attributes: Attributes,
    /// `(t, d, r)` of each `S`.
    timeline: Vec<(Option<u64>, u64, i64)>,
}

#[derive(Debug, Default)]
struct Draft {
    attributes: Attributes,
    template: Option<Template>,
}

fn fault(what: impl Into<String>) -> ManifestError {
    ManifestError(what.into())
}

fn attributes(element: &BytesStart<'_>) -> Result<Attributes, ManifestError> {
    let mut all = Attributes::new();
    for attribute in element.attributes() {
        let attribute = attribute.map_err(|error| fault(format!("is no MPD: {error}")))?;
        let key = attribute.key.local_name().as_ref().to_owned();
        let value = quick_xml::escape::unescape(&attribute.value)
            .map_err(|error| fault(format!("is no MPD: {error}")))?
            .into_owned();
        all.insert(key, value);
    }
    Ok(all)
}

/// An MPD.
pub(crate) fn parse(bytes: &[u8]) -> Result<Presentation, ManifestError> {
    let text = std::str::from_utf8(bytes).map_err(|_| fault("is no UTF-8"))?;
    let mut reader = Reader::from_str(text);
    let mut presentation = Presentation::default();
    let mut duration_s = None;
    let (mut set, mut representation) = (Draft::default(), None::<Draft>);
    let mut periods = 0;
    let mut has_ended = false;
    loop {
        let event = reader
            .read_event()
            .map_err(|error| fault(format!("is no MPD: {error}")))?;
        let (element, is_empty) = match &event {
            Event::Eof => break,
            Event::Start(element) => (element, false),
            Event::Empty(element) => (element, true),
            Event::End(element) => {
                match element.local_name().as_ref() {
                    "Representation" => {
                        if let Some(draft) = representation.take() {
                            add(&mut presentation, &set, &draft, duration_s)?;
                        }
                    }
                    "AdaptationSet" => set = Draft::default(),
                    "MPD" => has_ended = true,
                    _ => {}
                }
                continue;
            }
            _ => continue,
        };
        let attributes = attributes(element)?;
        match element.local_name().as_ref() {
            "MPD" => {
                if attributes.get("type").is_some_and(|kind| kind == "dynamic") {
                    return Err(fault("is live, which is not played"));
                }
                duration_s = attributes
                    .get("mediaPresentationDuration")
                    .and_then(|text| iso8601(text));
            }
            "Period" => periods += 1,
            "AdaptationSet" => {
                set = Draft {
                    attributes,
                    template: None,
                };
            }
            "Representation" => {
                let draft = Draft {
                    attributes,
                    template: None,
                };
                if is_empty {
                    add(&mut presentation, &set, &draft, duration_s)?;
                } else {
                    representation = Some(draft);
                }
            }
            "SegmentTemplate" => {
                let owner = representation.as_mut().unwrap_or(&mut set);
                owner.template = Some(Template {
                    attributes,
                    timeline: Vec::new(),
                });
            }
            "S" => {
                let owner = representation.as_mut().unwrap_or(&mut set);
                let number = |key: &str| attributes.get(key).and_then(|text| text.parse().ok());
                let repeat = attributes.get("r").and_then(|text| text.parse().ok());
                if let Some(template) = &mut owner.template
                    && template.timeline.len() < SEGMENTS_MAX
                {
                    let duration = number("d").ok_or_else(|| fault("has an S without d"))?;
                    template
                        .timeline
                        .push((number("t"), duration, repeat.unwrap_or(0)));
                }
            }
            "SegmentBase" | "SegmentList" | "BaseURL" => {
                return Err(fault(
                    "has segments other than by template, which are not played",
                ));
            }
            _ => {}
        }
    }
    if !has_ended || periods != 1 || presentation.main.is_empty() && presentation.audio.is_empty() {
        return Err(fault(
            "is no whole MPD of one period with something to play",
        ));
    }
    presentation.has_pictures = !presentation.main.is_empty();
    if !presentation.has_pictures {
        presentation.main = std::mem::take(&mut presentation.audio);
    }
    Ok(presentation.sorted())
}

fn add(
    presentation: &mut Presentation,
    set: &Draft,
    draft: &Draft,
    duration_s: Option<f64>,
) -> Result<(), ManifestError> {
    let get = |key: &str| {
        draft
            .attributes
            .get(key)
            .or_else(|| set.attributes.get(key))
    };
    let number = |key: &str| get(key).and_then(|text| text.parse::<u64>().ok());
    let kind = get("contentType")
        .or_else(|| get("mimeType"))
        .map_or("", String::as_str);
    let tracks = if kind.starts_with("video") {
        &mut presentation.main
    } else if kind.starts_with("audio") {
        &mut presentation.audio
    } else {
        return Ok(());
    };
    let id = get("id").cloned().unwrap_or_default();
    let bandwidth = number("bandwidth").ok_or_else(|| fault(format!("{id} has no bandwidth")))?;
    let template = draft.template.as_ref().or(set.template.as_ref());
    let template = template.ok_or_else(|| fault(format!("{id} has no SegmentTemplate")))?;
    let side = |key: &str| number(key).map_or(0, |side| u32::try_from(side).unwrap_or(u32::MAX));
    tracks.push(Rendition {
        name: id.clone(),
        peak_bps: bandwidth,
        height: side("height"),
        width: side("width"),
        audio_group: None,
        segments: Some(Arc::new(expand(template, &id, bandwidth, duration_s)?)),
    });
    Ok(())
}

fn expand(
    template: &Template,
    id: &str,
    bandwidth: u64,
    duration_s: Option<f64>,
) -> Result<SegmentList, ManifestError> {
    let number = |key: &str| {
        let text = template.attributes.get(key);
        text.and_then(|text| text.parse::<u64>().ok())
    };
    let timescale = number("timescale").unwrap_or(1).max(1);
    let us = |ticks: u64| {
        u64::try_from(u128::from(ticks) * 1_000_000 / u128::from(timescale)).unwrap_or(u64::MAX)
    };
    let media = template
        .attributes
        .get("media")
        .ok_or_else(|| fault(format!("{id}: a SegmentTemplate without media")))?;
    let init = template
        .attributes
        .get("initialization")
        .map(|name| resolve("", &fill(name, id, bandwidth, 0, 0)))
        .transpose()?;
    let end_ticks = duration_s.map(|duration| (duration * timescale as f64) as u64);
    let mut runs = template.timeline.clone();
    if runs.is_empty() {
        let duration = number("duration").filter(|duration| *duration > 0);
        let (Some(duration), Some(_)) = (duration, end_ticks) else {
            return Err(fault(format!("{id}: neither a timeline nor a duration")));
        };
        runs.push((Some(0), duration, -1));
    }
    let mut segments = Vec::new();
    let mut at = 0_u64;
    let mut index = number("startNumber").unwrap_or(1);
    for (start, duration, repeat) in runs {
        at = start.unwrap_or(at);
        let count = match u64::try_from(repeat) {
            Ok(repeat) => repeat.saturating_add(1),
            // To the end (section 5.3.9.6).
            Err(_) => end_ticks
                .unwrap_or(at)
                .saturating_sub(at)
                .div_ceil(duration.max(1)),
        };
        for _ in 0..count {
            if segments.len() == SEGMENTS_MAX {
                return Err(fault(format!("{id}: more than {SEGMENTS_MAX} segments")));
            }
            segments.push((
                resolve("", &fill(media, id, bandwidth, index, at))?,
                us(duration),
            ));
            at = at.saturating_add(duration);
            index += 1;
        }
    }
    if segments.is_empty() {
        return Err(fault(format!("{id}: no segment")));
    }
    Ok(SegmentList::new(init, segments))
}

/// Puts values in the place of `$Number$` and its like (section 5.3.9.4.4); `$Number%05d$` is padded.
fn fill(template: &str, id: &str, bandwidth: u64, number: u64, time: u64) -> String {
    let mut out = String::new();
    for (position, part) in template.split('$').enumerate() {
        if position % 2 == 0 {
            out.push_str(part);
            continue;
        }
        let (name, width) = part.split_once("%0").unwrap_or((part, "1d"));
        let width: usize = width.trim_end_matches('d').parse().unwrap_or(1).min(20);
        match name {
            "" => out.push('$'),
            "RepresentationID" => out.push_str(id),
            "Bandwidth" => out.push_str(&format!("{bandwidth:0width$}")),
            "Number" => out.push_str(&format!("{number:0width$}")),
            "Time" => out.push_str(&format!("{time:0width$}")),
            _ => {}
        }
    }
    out
}

/// An `xs:duration` of hours, minutes and seconds, s.
fn iso8601(text: &str) -> Option<f64> {
    let mut rest = text.strip_prefix("PT")?;
    let mut sum = 0.0;
    for (unit, seconds) in [('H', 3_600.0), ('M', 60.0), ('S', 1.0)] {
        if let Some((number, after)) = rest.split_once(unit) {
            sum += number.parse::<f64>().ok()? * seconds;
            rest = after;
        }
    }
    rest.is_empty().then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MPD: &str = r#"<?xml version="1.0"?><MPD type="static" mediaPresentationDuration="PT10.000S"><Period>
        <AdaptationSet contentType="video"><Representation id="v720" bandwidth="2000000" width="1280" height="720">
        <SegmentTemplate timescale="1000" startNumber="1" initialization="v720/init.mp4" media="v720/$Number$.m4s">
        <SegmentTimeline><S t="0" d="4000" r="1"/><S d="2000"/></SegmentTimeline></SegmentTemplate></Representation>
        </AdaptationSet><AdaptationSet mimeType="audio/mp4">
        <SegmentTemplate timescale="1" duration="4" initialization="$RepresentationID$/i" media="$RepresentationID$/$Number%03d$"/>
        <Representation id="a64" bandwidth="64000"/></AdaptationSet></Period></MPD>"#;

    #[test]
    fn timelines_and_durations_become_segments() {
        let read = parse(MPD.as_bytes()).expect("an MPD");
        assert!(read.has_pictures);
        let list = |rendition: &Rendition| rendition.segments.clone().expect("segments");
        let video = list(&read.main[0]);
        let names: Vec<_> = video
            .segments
            .iter()
            .map(|segment| segment.0.as_str())
            .collect();
        assert_eq!(names, ["v720/1.m4s", "v720/2.m4s", "v720/3.m4s"]);
        assert_eq!(video.segments[2].1, 2_000_000);
        let audio = list(&read.audio[0]);
        assert_eq!(audio.init.as_deref(), Some("a64/i"));
        assert_eq!(
            audio.segments.last().map(|segment| segment.0.as_str()),
            Some("a64/003")
        );
        for cut in [10, 200, MPD.len() - 3] {
            assert!(parse(&MPD.as_bytes()[..cut]).is_err(), "{cut}");
        }
    }
}
