//! Decoding one stream, and counting what is wrong with it.

use ffmpeg::codec::decoder::{Check, Opened};
use ffmpeg::codec::threading;
use ffmpeg::format::stream::Stream;
use ffmpeg::{Error, Frame, Packet, Rational};
use ffmpeg_next as ffmpeg;
use mcsp_media_sandbox::JobError;

use crate::StreamReport;
use crate::filter::is_drained;

/// A decoder and its tally.
pub(crate) struct StreamDecoder {
    decoder: Opened,
    index: usize,
    base: Rational,
    origin_ms: i64,
    report: StreamReport,
}

impl StreamDecoder {
    pub(crate) fn open(
        stream: &Stream<'_>,
        origin_ms: i64,
        threads: usize,
    ) -> Result<Self, JobError> {
        let failed = |error: Error| {
            JobError::failed(format!("decoder of stream {}: {error}", stream.index()))
        };
        let mut context =
            ffmpeg::codec::Context::from_parameters(stream.parameters()).map_err(failed)?;
        context.set_threading(threading::Config {
            kind: threading::Type::Frame,
            count: threads,
            safe: false,
        });
        let codec =
            ffmpeg::decoder::find(context.id()).ok_or_else(|| failed(Error::DecoderNotFound))?;
        let mut decoder = context.decoder();
        // Needed for trimming the priming samples that containers tell of.
        decoder.set_packet_time_base(stream.time_base());
        decoder.check(Check::CRC);
        let decoder = decoder.open_as(codec).map_err(failed)?;
        Ok(Self {
            decoder,
            index: stream.index(),
            base: stream.time_base(),
            origin_ms,
            report: StreamReport::default(),
        })
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn base(&self) -> Rational {
        self.base
    }

    pub(crate) fn report(self) -> StreamReport {
        self.report
    }

    /// Says how far the stream was shown or heard.
    pub(crate) fn reached(&mut self, end_ms: u64) {
        self.report.end_ms = self.report.end_ms.max(end_ms);
    }

    /// Gives a packet to the decoder, or the end. Afterwards [`Self::receive`] until it has no more.
    pub(crate) fn send(&mut self, packet: Option<&Packet>) -> Result<(), JobError> {
        let sent = match packet {
            Some(packet) => {
                self.report.packets += 1;
                if packet.is_corrupt() {
                    self.report.complain(self.ms(packet.pts().or(packet.dts())));
                }
                self.decoder.send_packet(packet)
            }
            None => self.decoder.send_eof(),
        };
        match sent {
            Ok(()) => Ok(()),
            Err(error) if is_drained(error) => Ok(()),
            Err(Error::Other {
                errno: ffmpeg::error::ENOMEM,
            }) => Err(JobError::failed("the decoder is out of memory")),
            Err(_) => {
                self.report
                    .complain(self.ms(packet.and_then(|packet| packet.pts().or(packet.dts()))));
                Ok(())
            }
        }
    }

    /// Takes a decoded frame if one is ready.
    pub(crate) fn receive(&mut self, frame: &mut Frame) -> Result<bool, JobError> {
        match self.decoder.receive_frame(frame) {
            Ok(()) => {
                self.report.frames += 1;
                if frame.is_corrupt() || frame.has_decode_errors() {
                    self.report.complain(self.ms(frame.timestamp()));
                }
                Ok(true)
            }
            Err(error) if is_drained(error) => Ok(false),
            Err(Error::Other {
                errno: ffmpeg::error::ENOMEM,
            }) => Err(JobError::failed("the decoder is out of memory")),
            Err(_) => {
                self.report.complain(self.report.end_ms);
                Ok(false)
            }
        }
    }

    /// A time of this stream in milliseconds from the presentation's start.
    pub(crate) fn ms(&self, time: Option<i64>) -> u64 {
        let Some(time) = time else {
            return self.report.end_ms;
        };
        u64::try_from(stream_ms(time, self.base).saturating_sub(self.origin_ms)).unwrap_or(0)
    }
}

/// A time in a stream's base, milliseconds.
pub(crate) fn stream_ms(time: i64, base: Rational) -> i64 {
    let ms = i128::from(time) * i128::from(base.numerator()) * 1000
        / i128::from(base.denominator().max(1));
    i64::try_from(ms).unwrap_or(0)
}
