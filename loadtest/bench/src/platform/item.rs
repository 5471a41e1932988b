//! What can be played.

use std::fmt::Write as _;
use std::sync::Arc;

/// One quality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// The folder of its files.
    pub name: &'static str,
    /// Lines; 0: sound only.
    pub height: u32,
    /// What its segments need at most, bits per second; they need a tenth less.
    pub bps: u64,
    /// The end of each segment, the same for all of them.
    tail: Arc<[u8]>,
}

/// An item as HLS and DASH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// From the lowest to the highest.
    pub rungs: Vec<Rung>,
    /// Of each segment, s.
    pub segment_s: u64,
    /// How many there are.
    pub segments: u64,
}

/// Three rungs of 40, 125 and 250 kbit/s, a minute in segments of a second.
impl Default for Item {
    fn default() -> Self {
        Self::new(
            &[
                ("v360", 360, 40_000),
                ("v720", 720, 125_000),
                ("v1080", 1_080, 250_000),
            ],
            1,
            60,
        )
    }
}

fn boxed(kind: &[u8], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).unwrap_or(u32::MAX);
    [&size.to_be_bytes()[..], kind, body].concat()
}

impl Item {
    /// Of rungs with name, height and bits per second.
    #[must_use]
    pub fn new(rungs: &[(&'static str, u32, u64)], segment_s: u64, segments: u64) -> Self {
        let rung = |&(name, height, bps): &(&'static str, u32, u64)| {
            let bytes = usize::try_from(bps / 8 * segment_s * 9 / 10).unwrap_or(usize::MAX);
            let data = vec![0x5a; bytes.saturating_sub(40)];
            Rung {
                name,
                height,
                bps,
                tail: boxed(b"mdat", &data).into(),
            }
        };
        Self {
            rungs: rungs.iter().map(rung).collect(),
            segment_s,
            segments,
        }
    }

    pub(crate) fn master(&self) -> String {
        let mut out = "#EXTM3U\n#EXT-X-VERSION:7\n".to_owned();
        for rung in &self.rungs {
            let (bps, height) = (rung.bps, rung.height);
            // Writing to a string cannot fail.
            let _ = if height > 0 {
                let width = height * 16 / 9;
                writeln!(
                    out,
                    "#EXT-X-STREAM-INF:BANDWIDTH={bps},RESOLUTION={width}x{height}"
                )
            } else {
                writeln!(
                    out,
                    "#EXT-X-STREAM-INF:BANDWIDTH={bps},CODECS=\"mp4a.40.2\""
                )
            };
            let _ = writeln!(out, "{}/media.m3u8", rung.name);
        }
        out
    }

    pub(crate) fn playlist(&self) -> String {
        let (seconds, count) = (self.segment_s, self.segments);
        let mut out = format!(
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{seconds}\n#EXT-X-MAP:URI=\"init.mp4\"\n"
        );
        for number in 1..=count {
            let _ = writeln!(out, "#EXTINF:{seconds}.000,\n{number}.m4s");
        }
        out + "#EXT-X-ENDLIST\n"
    }

    pub(crate) fn mpd(&self) -> String {
        let (seconds, count) = (self.segment_s, self.segments);
        let mut out = format!(
            "<MPD type=\"static\" mediaPresentationDuration=\"PT{}S\"><Period><AdaptationSet contentType=\"video\">",
            seconds * count
        );
        for rung in &self.rungs {
            let (name, bps, height) = (rung.name, rung.bps, rung.height);
            let width = height * 16 / 9;
            let _ = write!(
                out,
                "<Representation id=\"{name}\" bandwidth=\"{bps}\" width=\"{width}\" height=\"{height}\">\
                 <SegmentTemplate timescale=\"1\" initialization=\"{name}/init.mp4\" media=\"{name}/$Number$.m4s\">\
                 <SegmentTimeline><S t=\"0\" d=\"{seconds}\" r=\"{}\"/></SegmentTimeline></SegmentTemplate></Representation>",
                count.saturating_sub(1)
            );
        }
        out + "</AdaptationSet></Period></MPD>"
    }

    pub(crate) fn rung(&self, name: &str) -> Option<usize> {
        self.rungs.iter().position(|rung| rung.name == name)
    }
}

impl Rung {
    /// An initialisation segment with as much in it as players read.
    pub(crate) fn init(&self) -> Vec<u8> {
        let Some((width, height)) = u16::try_from(self.height * 16 / 9)
            .ok()
            .zip(u16::try_from(self.height).ok())
            .filter(|(_, height)| *height > 0)
        else {
            return [
                boxed(b"ftyp", b"iso6"),
                boxed(b"moov", &boxed(b"trak", &[])),
            ]
            .concat();
        };
        let entry = [
            &[0; 24][..],
            &width.to_be_bytes(),
            &height.to_be_bytes(),
            &[0; 50],
        ]
        .concat();
        let stsd = [&[0, 0, 0, 0, 0, 0, 0, 1][..], &boxed(b"avc1", &entry)].concat();
        let stbl = boxed(b"stbl", &boxed(b"stsd", &stsd));
        let minf = boxed(b"minf", &[boxed(b"vmhd", &[0; 12]), stbl].concat());
        let trak = boxed(b"trak", &boxed(b"mdia", &minf));
        [boxed(b"ftyp", b"iso6"), boxed(b"moov", &trak)].concat()
    }

    /// The beginning of a segment, that no other of any rung has, and the rest.
    pub(crate) fn segment(&self, number: u64) -> (Vec<u8>, &[u8]) {
        let own = [number.to_be_bytes(), self.bps.to_be_bytes()].concat();
        (boxed(b"moof", &own), &self.tail)
    }
}
