//! The `grpc-timeout` header (gRPC over HTTP/2, "Requests").

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use crate::policy::TIMEOUT_MAX;

pub(crate) const GRPC_TIMEOUT: &str = "grpc-timeout";

/// At most 8 digits and a unit; what is malformed is as good as absent. Never longer than two minutes.
pub(crate) fn read(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    };
    Some(timeout.min(TIMEOUT_MAX))
}

/// Tells the callee how long the caller waits.
pub(crate) fn write(headers: &mut HeaderMap, timeout: Duration) {
    if let Ok(value) = HeaderValue::try_from(format!("{}m", timeout.as_millis())) {
        headers.insert(GRPC_TIMEOUT, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_TIMEOUT, HeaderValue::from_str(text).expect("a value"));
        read(&headers)
    }

    #[test]
    fn the_standards_units_are_read_and_bounded() {
        assert_eq!(read_text("1S"), Some(Duration::from_secs(1)));
        assert_eq!(read_text("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read_text("99999999H"), Some(TIMEOUT_MAX));
        for text in ["", "1", "S", "1s", "-1S", "1.5S", "123456789S", "é", "1é"] {
            let read = HeaderValue::from_str(text)
                .ok()
                .and_then(|_| read_text(text));
            assert_eq!(read, None, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut headers = HeaderMap::new();
        write(&mut headers, Duration::from_millis(5_000));
        assert_eq!(read(&headers), Some(Duration::from_secs(5)));
    }
}
