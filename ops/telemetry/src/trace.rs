//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>, level 1).

use std::future::Future;

use http::HeaderMap;
use mcsp_runtime::{Entropy, hex_lower};

/// The header's name.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// `00-` trace id, `-` span id, `-` flags.
const VERSION_00_CHARS: usize = 55;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// Where in which trace a piece of work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The whole trace; never all zeros.
    pub trace_id: [u8; 16],
    /// This piece of work; never all zeros.
    pub span_id: [u8; 8],
    /// Is the trace recorded? Decided where it begins, kept from then on.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads a `traceparent` header's value strictly (section 3.2): lower-case hexadecimal, no all-zero id, version
    /// `ff` refused, later versions read as far as version 00 goes.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let bytes = value.as_bytes();
        let version = hex_byte(bytes, 0)?;
        let well_formed = match version {
            0xff => false,
            0 => bytes.len() == VERSION_00_CHARS,
            _ => bytes.len() == VERSION_00_CHARS || bytes.get(VERSION_00_CHARS) == Some(&b'-'),
        };
        let dashes = [2, 35, 52].iter().all(|at| bytes.get(*at) == Some(&b'-'));
        if !well_formed || !dashes {
            return None;
        }
        let trace_id = hex_array::<16>(bytes, 3)?;
        let span_id = hex_array::<8>(bytes, 36)?;
        let flags = hex_byte(bytes, 53)?;
        if trace_id == [0; 16] || span_id == [0; 8] {
            return None;
        }
        Some(Self {
            trace_id,
            span_id,
            sampled: flags & 1 == 1,
        })
    }

    /// The `traceparent` header's value, version 00.
    #[must_use]
    pub fn header_value(&self) -> String {
        format!(
            "00-{}-{}-{:02x}",
            hex_lower(&self.trace_id),
            hex_lower(&self.span_id),
            u8::from(self.sampled)
        )
    }

    /// The first piece of work of a new trace; of all traces, the share `sample_ratio` (0 to 1) is sampled.
    #[must_use]
    pub fn root(entropy: &dyn Entropy, sample_ratio: f64) -> Self {
        // One draw for both ids: drawing is most of the work.
        let mut drawn = [0; 24];
        entropy.fill(&mut drawn);
        let (mut trace_id, mut span_id) = ([0; 16], [0; 8]);
        trace_id.copy_from_slice(&drawn[..16]);
        span_id.copy_from_slice(&drawn[16..]);
        if trace_id == [0; 16] {
            trace_id[15] = 1;
        }
        if span_id == [0; 8] {
            span_id[7] = 1;
        }
        let [.., a, b, c, d] = trace_id;
        // The id is random, so its last bits are as good as another draw, and every node would decide alike.
        let draw = f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0);
        Self {
            trace_id,
            span_id,
            sampled: draw < sample_ratio,
        }
    }

    /// A piece of work inside this one.
    #[must_use]
    pub fn child(&self, entropy: &dyn Entropy) -> Self {
        Self {
            span_id: fresh_span_id(entropy),
            ..*self
        }
    }

    /// The trace id as logs and problems write it: 32 hexadecimal characters.
    #[must_use]
    pub fn trace_id_hex(&self) -> String {
        hex_lower(&self.trace_id)
    }

    /// The span id as logs write it: 16 hexadecimal characters.
    #[must_use]
    pub fn span_id_hex(&self) -> String {
        hex_lower(&self.span_id)
    }
}

/// The context that a request brought; `None` when there is none, more than one, or a malformed one (section 3.3).
#[must_use]
pub fn trace_from_headers(headers: &HeaderMap) -> Option<TraceContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => TraceContext::parse(value.to_str().ok()?),
        _ => None,
    }
}

/// The trace context of the work that is going on in this task, if any.
#[must_use]
pub fn current_trace() -> Option<TraceContext> {
    CURRENT.try_with(|context| *context).ok()
}

/// Runs `work` inside the trace context `context`.
pub async fn with_trace<F: Future>(context: TraceContext, work: F) -> F::Output {
    CURRENT.scope(context, work).await
}

/// Runs a synchronous piece of work inside `context`.
pub(crate) fn within<R>(context: TraceContext, work: impl FnOnce() -> R) -> R {
    CURRENT.sync_scope(context, work)
}

fn fresh_span_id(entropy: &dyn Entropy) -> [u8; 8] {
    let mut span_id = [0; 8];
    entropy.fill(&mut span_id);
    if span_id == [0; 8] {
        span_id[7] = 1;
    }
    span_id
}

fn hex_array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    let mut out = [0; N];
    for (index, byte) in out.iter_mut().enumerate() {
        *byte = hex_byte(bytes, at + 2 * index)?;
    }
    Some(out)
}

fn hex_byte(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    Some(digit(*bytes.get(at)?)? << 4 | digit(*bytes.get(at + 1)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_runtime::SeededEntropy;

    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_standards_example_is_read_and_written() {
        let context = TraceContext::parse(EXAMPLE).expect("the standard's own example");
        assert!(context.sampled);
        assert_eq!(context.trace_id_hex(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span_id_hex(), "b7ad6b7169203331");
        assert_eq!(context.header_value(), EXAMPLE);
        let unsampled = EXAMPLE.replace("-01", "-00");
        assert_eq!(
            TraceContext::parse(&unsampled).map(|c| c.sampled),
            Some(false)
        );
        // Bit 0 alone says "sampled".
        assert_eq!(
            TraceContext::parse(&EXAMPLE.replace("-01", "-fe")).map(|c| c.sampled),
            Some(false)
        );
    }

    #[test]
    fn later_versions_are_read_as_far_as_version_00_goes() {
        assert!(TraceContext::parse(&EXAMPLE.replacen("00", "cc", 1)).is_some());
        assert!(
            TraceContext::parse(&format!(
                "{}-what-the-future-brings",
                EXAMPLE.replacen("00", "cc", 1)
            ))
            .is_some()
        );
        assert!(TraceContext::parse(&format!("{}.x", EXAMPLE.replacen("00", "cc", 1))).is_none());
    }

    #[test]
    fn malformed_values_are_no_context() {
        for value in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
            " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::parse(value), None, "{value:?}");
        }
    }

    #[test]
    fn two_headers_are_no_context() {
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, EXAMPLE.parse().expect("a value"));
        assert!(trace_from_headers(&headers).is_some());
        headers.append(TRACEPARENT, EXAMPLE.parse().expect("a value"));
        assert!(trace_from_headers(&headers).is_none());
    }

    #[test]
    fn the_ratio_decides_what_share_of_roots_is_sampled() {
        let entropy = SeededEntropy::new(3);
        let sampled = |ratio: f64| {
            (0..1000)
                .filter(|_| TraceContext::root(&*entropy, ratio).sampled)
                .count()
        };
        assert_eq!(sampled(0.0), 0);
        assert_eq!(sampled(1.0), 1000);
        let some = sampled(0.25);
        assert!((200..300).contains(&some), "{some} of 1000 at 0.25");
    }

    #[test]
    fn a_child_keeps_the_trace_and_its_sampling() {
        let entropy = SeededEntropy::new(4);
        let root = TraceContext::root(&*entropy, 1.0);
        let child = root.child(&*entropy);
        assert_eq!((child.trace_id, child.sampled), (root.trace_id, true));
        assert_ne!(child.span_id, root.span_id);
    }

    #[tokio::test]
    async fn the_context_is_the_tasks_own() {
        assert_eq!(current_trace(), None);
        let context = TraceContext::root(&*SeededEntropy::new(5), 0.0);
        with_trace(context, async {
            assert_eq!(current_trace(), Some(context));
        })
        .await;
        assert_eq!(current_trace(), None);
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(seed in 0_u64..10_000, ratio in 0.0_f64..1.0) {
            let context = TraceContext::root(&*SeededEntropy::new(seed), ratio);
            assert_eq!(TraceContext::parse(&context.header_value()), Some(context));
        }

        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = TraceContext::parse(&text);
        }
    }
}
