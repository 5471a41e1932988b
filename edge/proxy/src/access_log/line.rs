//! One line: a JSON object, in the form that the node's other logs have.

use std::cell::RefCell;
use std::fmt::Write as _;

use mcsp_edge_policy::date::civil_from_days;
use mcsp_telemetry::redact_path;

/// The longest text in a field, bytes; the rest is cut.
const TEXT_BYTES_MAX: usize = 8 << 10;
/// Paths that are shorter, and have none of the marks below, cannot hold what must be taken out.
const PLAIN_PATH_BYTES_MAX: usize = 96;

/// A line under construction.
#[derive(Debug)]
pub(super) struct Line {
    text: String,
}

impl Line {
    /// Begins a line of `target` at `now_ms`.
    pub(super) fn new(mut text: String, target: &str, now_ms: i64) -> Self {
        text.clear();
        text.push_str("{\"ts\":\"");
        push_timestamp(&mut text, now_ms);
        text.push_str("\",\"level\":\"INFO\",\"service\":\"mcsp-edge\",\"target\":\"");
        text.push_str(target);
        text.push_str("\",\"message\":\"request\"");
        Self { text }
    }

    fn name(&mut self, name: &str) {
        self.text.push_str(",\"");
        self.text.push_str(name);
        self.text.push_str("\":");
    }

    /// A field whose value needs no escapes.
    pub(super) fn word(&mut self, name: &str, value: &str) {
        self.name(name);
        self.text.push('"');
        self.text.push_str(value);
        self.text.push('"');
    }

    /// A field of any text.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.text.push('"');
        push_escaped(&mut self.text, cut(value));
        self.text.push('"');
    }

    /// A field of two texts, one right after the other.
    pub(super) fn joined(&mut self, name: &str, first: &str, second: &str) {
        self.name(name);
        self.text.push('"');
        push_escaped(&mut self.text, cut(first));
        push_escaped(&mut self.text, cut(second));
        self.text.push('"');
    }

    /// A request's path, without what must not be logged.
    pub(super) fn path(&mut self, path: &str) {
        let is_plain = path.len() < PLAIN_PATH_BYTES_MAX
            && !path.contains("/media/")
            && !path.bytes().any(|byte| matches!(byte, b' ' | b'='));
        if is_plain {
            self.text("path", path);
        } else {
            self.text("path", &redact_path(path));
        }
    }

    pub(super) fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        push_decimal(&mut self.text, value, 1);
    }

    /// A number in thousandths: 1500 is written as 1.500.
    pub(super) fn thousandths(&mut self, name: &str, value: u64) {
        self.name(name);
        push_decimal(&mut self.text, value / 1000, 1);
        self.text.push('.');
        push_decimal(&mut self.text, value % 1000, 3);
    }

    pub(super) fn flag(&mut self, name: &str, value: bool) {
        self.name(name);
        self.text.push_str(if value { "true" } else { "false" });
    }

    pub(super) fn hex(&mut self, name: &str, bytes: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.name(name);
        self.text.push('"');
        for byte in bytes {
            for half in [byte >> 4, byte & 15] {
                self.text.push(char::from(DIGITS[usize::from(half)]));
            }
        }
        self.text.push('"');
    }

    /// The whole line.
    pub(super) fn end(mut self) -> String {
        self.text.push_str("}\n");
        self.text
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// RFC 8259 section 7.
fn push_escaped(out: &mut String, text: &str) {
    if !text
        .bytes()
        .any(|byte| byte < 0x20 || matches!(byte, b'"' | b'\\'))
    {
        out.push_str(text);
        return;
    }
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if u32::from(control) < 0x20 => {
                // Writing to a string does not fail, here and below.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
}

/// A number with at least so many digits, at most 20. What `format!` does at a fraction of its cost.
fn push_decimal(out: &mut String, mut number: u64, digits_min: usize) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    while number > 0 || start > digits.len() - digits_min {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.push_str(std::str::from_utf8(&digits[start..]).unwrap_or_default());
}

thread_local! {
    /// A second of Unix time, and how it is written.
    static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
}

/// RFC 3339, UTC, three digits of a second.
fn push_timestamp(out: &mut String, now_ms: i64) {
    let second = now_ms.div_euclid(1000);
    SECOND.with_borrow_mut(|(known, text)| {
        if *known != second {
            *known = second;
            text.clear();
            push_second(text, second);
        }
        out.push_str(text);
    });
    out.push('.');
    push_decimal(out, now_ms.rem_euclid(1000).unsigned_abs(), 3);
    out.push('Z');
}

fn push_second(out: &mut String, second: i64) {
    let rest = second.rem_euclid(86_400);
    let (year, month, day) = civil_from_days(second.div_euclid(86_400));
    let _ = write!(
        out,
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339_has_them() {
        for (now_ms, wanted) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_800_000_000_120, "2027-01-15T08:00:00.120Z"),
            (1_709_164_799_999, "2024-02-28T23:59:59.999Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
        ] {
            let mut text = String::new();
            push_timestamp(&mut text, now_ms);
            assert_eq!(text, wanted);
        }
    }

    #[test]
    fn numbers_are_written_in_full() {
        for (number, digits_min, wanted) in [
            (0, 1, "0"),
            (7, 3, "007"),
            (1000, 3, "1000"),
            (u64::MAX, 1, "18446744073709551615"),
            (5, 20, "00000000000000000005"),
        ] {
            let mut text = String::new();
            push_decimal(&mut text, number, digits_min);
            assert_eq!(text, wanted);
        }
        let mut line = Line::new(String::new(), "access", 0);
        line.thousandths("a", 1_500);
        line.thousandths("b", 7);
        assert!(line.end().contains(r#""a":1.500,"b":0.007"#));
    }

    #[test]
    fn a_path_cannot_forge_a_line_and_loses_its_token() {
        let mut line = Line::new(String::new(), "access", 0);
        line.path("/a\"},\n{\"b");
        let token = "x".repeat(40);
        line.text("media", &redact_path(&format!("/media/{token}/global/c/x")));
        line.hex("id", &[0x0a, 0xff]);
        let text = line.end();
        assert!(text.contains(r#""path":"/a\"},\u000a{\"b""#), "{text}");
        assert!(
            text.contains(r#""id":"0aff""#) && !text.contains(&token),
            "{text}"
        );
        assert_eq!(text.matches('\n').count(), 1);
    }
}
