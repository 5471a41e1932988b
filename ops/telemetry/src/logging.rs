//! Logs: one JSON object a line.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use mcsp_runtime::{SharedClock, SystemClock};
use serde_json::{Map, Value};
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::redact::{REDACTED, is_secret_field};
use crate::{current_trace, redact_text};

/// RFC 3339 in UTC, always three digits of a second.
const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
/// The longest text in a field, bytes; the rest is cut.
const FIELD_BYTES_MAX: usize = 8 * 1024;

/// Why logging cannot begin.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// The level is none.
    #[error(
        "log level {level:?}: {reason}; expected for example \"info\" or \"info,mcsp_rpc=debug\""
    )]
    Level {
        /// What was given.
        level: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something else in this process began logging before.
    #[error("logging has begun already")]
    AlreadyBegun,
}

/// Begins logging: JSON lines on standard error. `level` is a level (`error`, `warn`, `info`, `debug`, `trace`) or a
/// list of directives such as `info,mcsp_rpc=debug`.
///
/// # Errors
/// When `level` cannot be read, or logging has begun already.
pub fn init_logging(service: &'static str, level: &str) -> Result<(), LoggingError> {
    let filter = EnvFilter::builder()
        .parse(level)
        .map_err(|e| LoggingError::Level {
            level: level.to_owned(),
            reason: e.to_string(),
        })?;
    let layer = JsonLogs::new(service, std::io::stderr);
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init()
        .map_err(|_| LoggingError::AlreadyBegun)
}

/// A `tracing` layer that writes each event as one JSON line: `ts` (RFC 3339), `level`, `service`, `target`,
/// `message`, the event's fields, and `trace_id` and `span_id` where a trace is current.
pub struct JsonLogs<W> {
    service: &'static str,
    clock: SharedClock,
    writer: Arc<W>,
}

impl<W> JsonLogs<W> {
    /// Logs of `service` to `writer`.
    #[must_use]
    pub fn new(service: &'static str, writer: W) -> Self {
        Self {
            service,
            clock: SystemClock::shared(),
            writer: Arc::new(writer),
        }
    }

    /// With another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }
}

impl<S, W> Layer<S> for JsonLogs<W>
where
    S: Subscriber,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let now =
            OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.clock.now_ms()) * 1_000_000)
                .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let mut line = Map::new();
        line.insert(
            "ts".to_owned(),
            now.format(TIMESTAMP).unwrap_or_default().into(),
        );
        line.insert("level".to_owned(), metadata.level().as_str().into());
        line.insert("service".to_owned(), self.service.into());
        line.insert("target".to_owned(), metadata.target().into());
        event.record(&mut Fields(&mut line));
        if let Some(trace) = current_trace() {
            line.entry("trace_id")
                .or_insert_with(|| trace.trace_id_hex().into());
            line.entry("span_id")
                .or_insert_with(|| trace.span_id_hex().into());
        }
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        // One write, so that lines of several threads do not mix. A log that cannot be written has nowhere to say so.
        let _ = self
            .writer
            .make_writer_for(metadata)
            .write_all(text.as_bytes());
    }
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn insert(&mut self, field: &Field, value: Value) {
        let name = match field.name() {
            // What the line says of itself is not for events to replace; an access log names the route's own service.
            own @ ("ts" | "level" | "target") => format!("event_{own}"),
            name => name.trim_start_matches("r#").to_owned(),
        };
        let value = if is_secret_field(&name) {
            REDACTED.into()
        } else {
            value
        };
        self.0.insert(name, value);
    }

    fn insert_text(&mut self, field: &Field, text: &str) {
        let mut end = text.len().min(FIELD_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.insert(field, redact_text(&text[..end]).into());
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert_text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert_text(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.insert_text(field, &value.to_string());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value.into());
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A writer that keeps what is logged.

    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use serde_json::Value;
    use tracing_subscriber::fmt::MakeWriter;

    #[derive(Debug, Clone, Default)]
    pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Captured {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).expect("logs are UTF-8")
        }

        pub(crate) fn lines(&self) -> Vec<Value> {
            self.text()
                .lines()
                .map(|line| serde_json::from_str(line).expect("each line is a JSON object"))
                .collect()
        }
    }

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Captured {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use mcsp_runtime::{ManualClock, SeededEntropy};

    use super::testing::Captured;
    use super::*;
    use crate::{TraceContext, with_trace};

    fn captured(work: impl FnOnce()) -> Captured {
        let captured = Captured::default();
        let logs =
            JsonLogs::new("test", captured.clone()).with_clock(ManualClock::new(1_800_000_000_120));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(logs), work);
        captured
    }

    #[test]
    fn a_line_is_an_object_with_its_fields() {
        let lines =
            captured(|| tracing::warn!(count = 3, what = "x", ok = true, "it {}", "happened"))
                .lines();
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert_eq!(line["ts"], "2027-01-15T08:00:00.120Z");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["service"], "test");
        assert_eq!(line["message"], "it happened");
        assert_eq!(
            (&line["count"], &line["what"], &line["ok"]),
            (&3.into(), &"x".into(), &true.into())
        );
        assert!(line.get("trace_id").is_none());
    }

    #[test]
    fn secrets_do_not_reach_the_log() {
        let text = captured(|| {
            tracing::info!(
                password = "hunter2",
                refresh_token = ?Some("hunter2"),
                url = "https://x/media/hunter2/ng/a",
                "Bearer hunter2"
            );
        })
        .text();
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("[redacted]"));
    }

    #[test]
    fn a_field_cannot_forge_a_line_or_the_lines_own_fields() {
        let lines =
            captured(|| tracing::info!(level = "NONE", text = "a\n{\"level\":\"ERROR\"}", "x"))
                .lines();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["level"], "INFO");
        assert_eq!(lines[0]["event_level"], "NONE");
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let lines = captured(|| tracing::info!(text = "é".repeat(FIELD_BYTES_MAX))).lines();
        assert_eq!(
            lines[0]["text"].as_str().map(str::len),
            Some(FIELD_BYTES_MAX)
        );
    }

    #[tokio::test]
    async fn lines_inside_a_trace_say_which() {
        let captured = Captured::default();
        let subscriber =
            tracing_subscriber::registry().with(JsonLogs::new("test", captured.clone()));
        let guard = tracing::subscriber::set_default(subscriber);
        let context = TraceContext::root(&*SeededEntropy::new(1), 1.0);
        with_trace(context, async { tracing::info!("inside") }).await;
        drop(guard);
        assert_eq!(captured.lines()[0]["trace_id"], context.trace_id_hex());
        assert_eq!(captured.lines()[0]["span_id"], context.span_id_hex());
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        let error = init_logging("test", "=/=")
            .expect_err("no level")
            .to_string();
        assert!(
            error.contains("=/=") && error.contains("expected"),
            "{error}"
        );
    }
}
