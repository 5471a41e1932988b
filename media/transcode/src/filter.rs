//! Filter graphs with one source and one or more sinks.

use ffmpeg::{Error, Frame, filter};
use ffmpeg_next as ffmpeg;
use mcsp_media_sandbox::JobError;

/// A configured graph.
pub(crate) struct FilterGraph {
    graph: filter::Graph,
    sinks: Vec<String>,
}

/// Which kind of frames a graph takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Medium {
    Video,
    Audio,
}

impl FilterGraph {
    /// Builds a graph: `source` are the arguments of the buffer source, whose pad is `[in]`; `spec` ends in the pads
    /// `[out0]` to `[outN-1]`.
    pub(crate) fn new(
        medium: Medium,
        source: &str,
        spec: &str,
        outputs: usize,
    ) -> Result<Self, JobError> {
        let failed = |error: Error| {
            JobError::failed(format!("filter graph {spec:?} from {source:?}: {error}"))
        };
        let (buffer, sink) = match medium {
            Medium::Video => ("buffer", "buffersink"),
            Medium::Audio => ("abuffer", "abuffersink"),
        };
        let find = |name: &str| filter::find(name).ok_or(Error::FilterNotFound);
        let mut graph = filter::Graph::new();
        graph
            .add(&find(buffer).map_err(failed)?, "in", source)
            .map_err(failed)?;
        let sinks: Vec<String> = (0..outputs).map(|n| format!("out{n}")).collect();
        for name in &sinks {
            graph
                .add(&find(sink).map_err(failed)?, name, "")
                .map_err(failed)?;
        }
        let mut parser = graph.output("in", 0).map_err(failed)?;
        for name in &sinks {
            parser = parser.input(name, 0).map_err(failed)?;
        }
        parser.parse(spec).map_err(failed)?;
        graph.validate().map_err(failed)?;
        Ok(Self { graph, sinks })
    }

    /// Makes every sink give frames of exactly this many samples, except for the last one.
    pub(crate) fn set_frame_samples(&mut self, samples: u32) -> Result<(), JobError> {
        for n in 0..self.sinks.len() {
            self.sink(n)?.sink().set_frame_size(samples);
        }
        Ok(())
    }

    /// Gives a frame to the graph, which takes its contents.
    pub(crate) fn push(&mut self, frame: &Frame) -> Result<(), JobError> {
        self.source()?
            .source()
            .add(frame)
            .map_err(|error| JobError::failed(format!("filter input: {error}")))
    }

    /// Says that no frame follows.
    pub(crate) fn end(&mut self) -> Result<(), JobError> {
        self.source()?
            .source()
            .flush()
            .map_err(|error| JobError::failed(format!("filter end: {error}")))
    }

    /// Takes a frame from a sink if one is ready.
    pub(crate) fn pull(&mut self, output: usize, frame: &mut Frame) -> Result<bool, JobError> {
        match self.sink(output)?.sink().frame(frame) {
            Ok(()) => Ok(true),
            Err(error) if is_drained(error) => Ok(false),
            Err(error) => Err(JobError::failed(format!("filter output: {error}"))),
        }
    }

    fn source(&mut self) -> Result<filter::Context, JobError> {
        self.graph
            .get("in")
            .ok_or_else(|| JobError::failed("filter graph lost its source"))
    }

    fn sink(&mut self, output: usize) -> Result<filter::Context, JobError> {
        let name = self.sinks.get(output).map_or("", String::as_str);
        self.graph
            .get(name)
            .ok_or_else(|| JobError::failed("filter graph lost a sink"))
    }
}

/// Nothing more for now, or for ever: FFmpeg's `EAGAIN` and `EOF`.
pub(crate) fn is_drained(error: Error) -> bool {
    matches!(
        error,
        Error::Eof
            | Error::Other {
                errno: ffmpeg::error::EAGAIN
            }
    )
}
