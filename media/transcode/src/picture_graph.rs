//! The filter graph between a decoder's pictures and the encoders of a pass.

use ffmpeg::format::Pixel;
use ffmpeg::frame;
use ffmpeg::util::color::Range;
use ffmpeg_next as ffmpeg;
use mcsp_media_probe::{Hdr, Orientation};
use mcsp_media_sandbox::JobError;

use crate::VideoRung;
use crate::filter::{FilterGraph, Medium};

/// The form of pictures that a graph is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PictureForm {
    width: u32,
    height: u32,
    format: Pixel,
    full_range: bool,
    interlaced: bool,
}

impl PictureForm {
    /// The form of a decoded picture; `interlaced` when this stream had an interlaced picture, now or before.
    pub(crate) fn of(picture: &frame::Video, interlaced: bool) -> Self {
        let format = picture.format();
        let is_jpeg_format = matches!(
            format,
            Pixel::YUVJ411P | Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ440P | Pixel::YUVJ444P
        );
        Self {
            width: picture.width(),
            height: picture.height(),
            format,
            full_range: is_jpeg_format || picture.color_range() == Range::JPEG,
            interlaced,
        }
    }
}

/// What every graph of a pass has in common.
#[derive(Debug, Clone)]
pub(crate) struct GraphPlan {
    pub(crate) orientation: Orientation,
    pub(crate) hdr: Option<Hdr>,
    pub(crate) timescale: u32,
    pub(crate) rungs: Vec<VideoRung>,
}

impl GraphPlan {
    /// A graph with one sink a rung, in their order, whose pictures are upright, of square pixels, 4:2:0, 8 bits, video
    /// range and standard dynamic range.
    pub(crate) fn build(&self, form: PictureForm) -> Result<FilterGraph, JobError> {
        // A picture's own pixel aspect is in the sizes of the rungs already.
        let source = format!(
            "video_size={}x{}:pix_fmt={}:time_base=1/{}:pixel_aspect=1/1",
            form.width,
            form.height,
            form.format
                .descriptor()
                .map_or("yuv420p", |descriptor| descriptor.name()),
            self.timescale
        );
        FilterGraph::new(Medium::Video, &source, &self.spec(form), self.rungs.len())
    }

    fn spec(&self, form: PictureForm) -> String {
        let mut shared = Vec::new();
        if form.interlaced {
            shared.push("yadif=mode=send_frame:deint=interlaced".to_owned());
        }
        if self.orientation.mirrored {
            shared.push("hflip".into());
        }
        match self.orientation.clockwise_deg {
            90 => shared.push("transpose=clock".into()),
            180 => shared.push("hflip,vflip".into()),
            270 => shared.push("transpose=cclock".into()),
            _ => {}
        }
        let count = self.rungs.len();
        shared.push(if count == 1 {
            "null[s0]".into()
        } else {
            format!(
                "split={count}{}",
                (0..count).map(|n| format!("[s{n}]")).collect::<String>()
            )
        });
        let mut spec = format!("[in]{}", shared.join(","));
        for (n, rung) in self.rungs.iter().enumerate() {
            spec.push_str(&format!(
                ";[s{n}]scale={}:{}:flags=bicubic",
                rung.width, rung.height
            ));
            if form.full_range {
                // Named only where it is needed: with it, a picture of the right size would be copied for nothing.
                spec.push_str(":out_range=tv");
            }
            if let Some(hdr) = self.hdr {
                spec.push_str(&tone_map(hdr));
            }
            spec.push_str(&format!(
                ",setsar=1,format=yuv420p,settb=1/{}[out{n}]",
                self.timescale
            ));
        }
        spec
    }
}

/// High dynamic range (BT.2020 with a transfer of BT.2100) to BT.709: to linear light, Hable's curve, back.
fn tone_map(hdr: Hdr) -> String {
    let transfer = match hdr {
        Hdr::Pq => "smpte2084",
        Hdr::Hlg => "arib-std-b67",
    };
    format!(
        ",zscale=tin={transfer}:pin=bt2020:min=bt2020nc:rin=tv:t=linear:npl=100,format=gbrpf32le,\
         zscale=p=bt709,tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(id: &str, width: u32, height: u32) -> VideoRung {
        VideoRung {
            id: id.into(),
            rung: height,
            width,
            height,
            bitrate_bps: 1,
            audio_id: None,
        }
    }

    fn form(full_range: bool, interlaced: bool) -> PictureForm {
        PictureForm {
            width: 1280,
            height: 720,
            format: Pixel::YUV420P,
            full_range,
            interlaced,
        }
    }

    #[test]
    fn a_graph_has_only_the_filters_that_the_source_needs() {
        let mut plan = GraphPlan {
            orientation: Orientation::default(),
            hdr: None,
            timescale: 24_000,
            rungs: vec![rung("v480", 854, 480), rung("v720", 1280, 720)],
        };
        let plain = plan.spec(form(false, false));
        assert!(
            plain.starts_with("[in]split=2[s0][s1];[s0]scale=854:480"),
            "{plain}"
        );
        for absent in ["out_range", "yadif", "transpose", "flip", "zscale"] {
            assert!(!plain.contains(absent), "{absent} in {plain}");
        }
        plan.orientation = Orientation {
            clockwise_deg: 90,
            mirrored: true,
        };
        plan.hdr = Some(Hdr::Hlg);
        let all = plan.spec(form(true, true));
        let order = [
            "yadif",
            "hflip",
            "transpose=clock",
            "split",
            "out_range=tv",
            "tin=arib-std-b67",
            "tonemap",
        ];
        let places: Vec<usize> = order
            .iter()
            .map(|filter| all.find(filter).expect(filter))
            .collect();
        assert!(places.is_sorted(), "{all}");
        assert!(plan.build(form(true, true)).is_ok());
    }
}
