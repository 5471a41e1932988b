//! One picture as JPEG.

use ffmpeg::codec::Context;
use ffmpeg::format::Pixel;
use ffmpeg::software::scaling;
use ffmpeg::{Dictionary, Packet, Rational, encoder, frame};
use ffmpeg_next as ffmpeg;
use mcsp_media_sandbox::JobError;

use crate::WIDTH_MAX;

/// FFmpeg's quantiser, 2 (best) to 31: good for a still of this size.
const QUANTISER: &str = "4";

pub(crate) fn encode(picture: &frame::Video) -> Result<Vec<u8>, JobError> {
    let failed = |error: ffmpeg::Error| JobError::failed(format!("thumbnail: {error}"));
    let width = picture.width().min(WIDTH_MAX) / 2 * 2;
    let height = (u64::from(picture.height()) * u64::from(width))
        .div_ceil(u64::from(picture.width().max(1)));
    let height = u32::try_from(height).unwrap_or(2).next_multiple_of(2);
    let mut scaler = scaling::Context::get(
        picture.format(),
        picture.width(),
        picture.height(),
        Pixel::YUVJ420P,
        width,
        height,
        scaling::Flags::BICUBIC,
    )
    .map_err(failed)?;
    let mut scaled = frame::Video::empty();
    scaler.run(picture, &mut scaled).map_err(failed)?;
    scaled.set_pts(Some(0));

    let codec =
        encoder::find_by_name("mjpeg").ok_or_else(|| failed(ffmpeg::Error::EncoderNotFound))?;
    let mut video = Context::new_with_codec(codec)
        .encoder()
        .video()
        .map_err(failed)?;
    video.set_width(width);
    video.set_height(height);
    video.set_format(Pixel::YUVJ420P);
    video.set_time_base(Rational::new(1, 25));
    let mut options = Dictionary::new();
    options.set("qmin", QUANTISER);
    options.set("qmax", QUANTISER);
    let mut video = video.open_as_with(codec, options).map_err(failed)?;
    video.send_frame(&scaled).map_err(failed)?;
    video.send_eof().map_err(failed)?;
    let mut packet = Packet::empty();
    video.receive_packet(&mut packet).map_err(failed)?;
    packet
        .data()
        .map(<[u8]>::to_vec)
        .ok_or_else(|| JobError::failed("thumbnail: the encoder gave nothing"))
}
