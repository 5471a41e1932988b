//! How much there is to see in a picture.

use ffmpeg::frame;
use ffmpeg_next as ffmpeg;

/// Mean luma under which a picture is nearly black (black is 16 in video range).
const DARK_MEAN: f64 = 32.0;
/// Standard deviation of luma under which a picture is flat: a fade, a blank card.
const FLAT_DEVIATION: f64 = 8.0;

/// A picture that may become a thumbnail.
pub(crate) struct Candidate {
    /// 8-bit YUV with luma in plane 0.
    pub(crate) picture: frame::Video,
    /// When it is shown, in the stream's base.
    pub(crate) at: i64,
    mean: f64,
    deviation: f64,
}

impl Candidate {
    pub(crate) fn new(picture: frame::Video, at: i64) -> Self {
        let (mean, deviation) = luma(&picture);
        Self {
            picture,
            at,
            mean,
            deviation,
        }
    }

    /// Neither nearly black nor flat.
    pub(crate) fn is_telling(&self) -> bool {
        self.mean >= DARK_MEAN && self.deviation >= FLAT_DEVIATION
    }

    /// Contrast counts; darkness takes some of it away.
    pub(crate) fn interest(&self) -> f64 {
        self.deviation * (self.mean / DARK_MEAN).min(1.0)
    }
}

/// Mean and standard deviation of luma, over every fourth pixel of every fourth line.
fn luma(picture: &frame::Video) -> (f64, f64) {
    let (width, height, stride) = (
        picture.width() as usize,
        picture.height() as usize,
        picture.stride(0),
    );
    let (mut count, mut sum, mut squares) = (0.0_f64, 0.0, 0.0);
    for line in picture
        .data(0)
        .chunks(stride.max(1))
        .take(height)
        .step_by(4)
    {
        for value in line.iter().take(width).step_by(4) {
            let value = f64::from(*value);
            count += 1.0;
            sum += value;
            squares += value * value;
        }
    }
    if count == 0.0 {
        return (0.0, 0.0);
    }
    let mean = sum / count;
    (mean, (squares / count - mean * mean).max(0.0).sqrt())
}
