//! Trace context in the headers of records (W3C Trace Context).

use std::collections::BTreeMap;
use std::future::Future;

use mcsp_api::headers::TRACEPARENT;
use mcsp_runtime::Entropy;
use mcsp_telemetry::{TraceContext, current_trace, with_trace};

use crate::Record;

/// The headers of a record that is made now.
pub(crate) fn headers() -> BTreeMap<String, String> {
    current_trace()
        .map(|context| (TRACEPARENT.to_owned(), context.header_value()))
        .into_iter()
        .collect()
}

/// Does `work` in the trace in which the record was made, or in one of its own when the record tells none.
pub(crate) async fn continued<F: Future>(
    record: &Record,
    entropy: &dyn Entropy,
    work: F,
) -> F::Output {
    let context = record
        .headers
        .get(TRACEPARENT)
        .and_then(|value| TraceContext::parse(value))
        .map_or_else(
            || TraceContext::root(entropy, 0.0),
            |parent| parent.child(entropy),
        );
    with_trace(context, work).await
}
