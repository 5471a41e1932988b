//! JSON (RFC 8259) flattened: `{"a":{"b":[1]}}` is `json.a.b.array_0` = `1`.

use super::{BodyError, Fields};
use crate::transform::hex_pair;

/// All paths together may have so many bytes, or twice the text's where that is more. A long member's name is of the path of all
/// that is within it: without a bound a short text would fill what a request may take, and all rules be over with it.
const PATH_BYTES_MAX: usize = 256 << 10;

/// Hands over every scalar with the path to it.
///
/// # Errors
/// Text that is no JSON, nesting deeper than `depth_max`, paths longer than a text needs them, or more values than there is room for.
pub(crate) fn parse(text: &[u8], depth_max: usize, fields: Fields<'_>) -> Result<(), BodyError> {
    // RFC 8259 section 8.1: a reader may pass over a byte order mark, and many do.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut parser = Parser {
        text,
        at: 0,
        depth_left: depth_max,
        path_bytes_left: PATH_BYTES_MAX.max(text.len().saturating_mul(2)),
        path: b"json".to_vec(),
        value: Vec::new(),
        fields,
    };
    parser.blank();
    parser.value()?;
    parser.blank();
    if parser.at < text.len() {
        return Err(error("text after the document"));
    }
    Ok(())
}

struct Parser<'a, 'f> {
    text: &'a [u8],
    at: usize,
    depth_left: usize,
    path_bytes_left: usize,
    path: Vec<u8>,
    value: Vec<u8>,
    fields: Fields<'f>,
}

fn error(message: &'static str) -> BodyError {
    BodyError {
        processor: "JSON",
        message,
        is_bound: false,
    }
}

impl Parser<'_, '_> {
    fn blank(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    /// One value at the current path.
    fn value(&mut self) -> Result<(), BodyError> {
        match self.text.get(self.at) {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => {
                self.at += 1;
                self.value.clear();
                let mut value = std::mem::take(&mut self.value);
                let done = self.string(&mut value);
                self.value = value;
                done?;
                self.emit()
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                let words: [(&[u8], &[u8]); 3] =
                    [(b"true", b"true"), (b"false", b"false"), (b"null", b"")];
                let rest = &self.text[self.at..];
                let (word, value) = words
                    .iter()
                    .find(|(word, _)| rest.starts_with(word))
                    .ok_or(error("a value is expected"))?;
                self.at += word.len();
                self.value.clear();
                self.value.extend_from_slice(value);
                self.emit()
            }
        }
    }

    fn emit(&mut self) -> Result<(), BodyError> {
        self.path_bytes_left = self
            .path_bytes_left
            .checked_sub(self.path.len())
            .ok_or(error("long names around many values"))?;
        if (self.fields)(&self.path, &self.value) {
            Ok(())
        } else {
            Err(BodyError {
                is_bound: true,
                ..error("too many arguments")
            })
        }
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<(), BodyError>) -> Result<(), BodyError> {
        self.depth_left = self
            .depth_left
            .checked_sub(1)
            .ok_or(error("nested too deep"))?;
        self.at += 1;
        let length = self.path.len();
        inner(self)?;
        self.path.truncate(length);
        self.depth_left += 1;
        Ok(())
    }

    fn object(&mut self) -> Result<(), BodyError> {
        self.path.push(b'.');
        let length = self.path.len();
        self.blank();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.blank();
            if !self.take(b'"') {
                return Err(error("a member's name is expected"));
            }
            self.path.truncate(length);
            let mut path = std::mem::take(&mut self.path);
            let done = self.string(&mut path);
            self.path = path;
            done?;
            self.blank();
            if !self.take(b':') {
                return Err(error("a colon is expected"));
            }
            self.blank();
            self.value()?;
            self.blank();
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(error("a comma or the object's end is expected"));
            }
        }
    }

    fn array(&mut self) -> Result<(), BodyError> {
        let length = self.path.len();
        self.blank();
        if self.take(b']') {
            return Ok(());
        }
        for index in 0usize.. {
            self.path.truncate(length);
            self.path.extend_from_slice(b".array_");
            self.path.extend_from_slice(index.to_string().as_bytes());
            self.blank();
            self.value()?;
            self.blank();
            if self.take(b']') {
                break;
            }
            if !self.take(b',') {
                return Err(error("a comma or the array's end is expected"));
            }
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), BodyError> {
        let start = self.at;
        self.take(b'-');
        let whole = self.digits();
        if whole == 0 || (whole > 1 && self.text.get(self.at - whole) == Some(&b'0')) {
            return Err(error("not a number"));
        }
        if self.take(b'.') && self.digits() == 0 {
            return Err(error("not a number"));
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            if self.digits() == 0 {
                return Err(error("not a number"));
            }
        }
        self.value.clear();
        self.value.extend_from_slice(&self.text[start..self.at]);
        self.emit()
    }

    fn digits(&mut self) -> usize {
        let count = self.text[self.at..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
        self.at += count;
        count
    }

    /// The rest of a string after its opening quote, appended unescaped.
    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        loop {
            let rest = &self.text[self.at..];
            let plain = rest
                .iter()
                .take_while(|b| !matches!(b, b'"' | b'\\' | 0..=0x1f))
                .count();
            out.extend_from_slice(&rest[..plain]);
            self.at += plain + 1;
            match rest.get(plain) {
                Some(b'"') => return Ok(()),
                Some(b'\\') => self.escape(out)?,
                Some(_) => return Err(error("a control character in a string")),
                None => return Err(error("a string without end")),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        let letter = self.text.get(self.at).copied();
        self.at += 1;
        out.push(match letter {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let point = self.point()?;
                let letter = char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(error("an unknown escape")),
        });
        Ok(())
    }

    /// What one escape says, or two that are a pair (RFC 8259 section 7). Half a pair is no letter, and takes nothing with it that
    /// other readers see.
    fn point(&mut self) -> Result<u32, BodyError> {
        let first = self.unit()?;
        let after = self.at;
        if (0xd800..0xdc00).contains(&first) && self.text[after..].starts_with(b"\\u") {
            self.at += 2;
            let second = self.unit()?;
            if (0xdc00..0xe000).contains(&second) {
                return Ok(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
            }
            self.at = after;
        }
        Ok(first)
    }

    fn unit(&mut self) -> Result<u32, BodyError> {
        let pairs = hex_pair(self.text, self.at).zip(hex_pair(self.text, self.at + 2));
        let (high, low) = pairs.ok_or(error("four hexadecimal digits are expected"))?;
        self.at += 4;
        Ok(u32::from(u16::from_be_bytes([high, low])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(text: &str) -> Result<Vec<(String, String)>, BodyError> {
        let mut out = Vec::new();
        parse(text.as_bytes(), 8, &mut |name, value| {
            let owned = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            out.push((owned(name), owned(value)));
            out.len() < 50
        })?;
        Ok(out)
    }

    #[test]
    fn scalars_carry_their_path() {
        let pairs =
            flat(r#" {"a":{"b":[1,{"c":null}]},"d":"x\u0041\ud83d\ude00\n","e":-1.5e3,"f":true} "#)
                .unwrap();
        let shown: Vec<_> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(
            shown,
            [
                "json.a.b.array_0=1",
                "json.a.b.array_1.c=",
                "json.d=xA\u{1f600}\n",
                "json.e=-1.5e3",
                "json.f=true"
            ]
        );
        for text in ["\"x\"", "\u{feff}\"x\""] {
            assert_eq!(flat(text).unwrap(), vec![("json".into(), "x".into())]);
        }
    }

    #[test]
    fn half_a_pair_hides_nothing() {
        for (text, value) in [
            (r#""\ud800\u003cscript""#, "\u{fffd}<script"),
            (r#""\ud800\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (r#""\ude00\u0027""#, "\u{fffd}'"),
            (r#""\ud800x""#, "\u{fffd}x"),
        ] {
            assert_eq!(flat(text).unwrap(), vec![("json".into(), value.into())]);
        }
        assert!(flat(r#""\ud800\u00""#).is_err());
    }

    #[test]
    fn long_names_are_bounded_with_all_that_is_within_them() {
        let within = |length: usize, count: usize| {
            let ones = vec!["1"; count].join(",");
            let text = format!("{{\"{}\":[{ones}]}}", "n".repeat(length));
            let mut bytes = 0;
            let done = parse(text.as_bytes(), 8, &mut |name, _| {
                bytes += name.len();
                true
            });
            (done, bytes)
        };
        let (done, _) = within(200, 1000);
        assert_eq!(done, Ok(()));
        // One long value's name is no more than the text.
        assert_eq!(within(1 << 20, 1).0, Ok(()));
        let (done, bytes) = within(33_600, 1000);
        assert_eq!(done, Err(error("long names around many values")));
        assert!(bytes <= PATH_BYTES_MAX, "{bytes}");
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            "{",
            "{a:1}",
            "[1,]",
            "01",
            "1 2",
            "\"\\x\"",
            "\"\n\"",
            "{\"a\" 1}",
            "[[[[[[[[[1]]]]]]]]]",
            "tru",
        ] {
            assert!(flat(text).is_err(), "{text}");
        }
        let many = format!("[{}1]", "1,".repeat(60));
        assert!(flat(&many).is_err());
    }
}
