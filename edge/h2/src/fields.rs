//! The fields of an answer's head.

use std::fmt::{self, Write as _};

use http::{HeaderMap, HeaderName, HeaderValue};
use mcsp_edge_h2_wire::hpack::Block;

/// What a head's fields may come as.
pub trait AnswerFields {
    /// Appends all of them to a block.
    fn append_to(&self, block: &mut Block<'_>);
}

impl AnswerFields for HeaderMap {
    fn append_to(&self, block: &mut Block<'_>) {
        for (name, value) in self {
            block.field(name, value);
        }
    }
}

#[derive(Debug)]
enum Field {
    /// A value that others have too.
    Shared(HeaderName, HeaderValue),
    /// A value of this answer alone: so many of the bytes that were written.
    Written(HeaderName, usize),
}

/// A list of fields, quicker to make and to send than a map: values of one answer alone are written into one buffer, and go
/// into no table.
#[derive(Debug, Default)]
pub struct Fields {
    list: Vec<Field>,
    written: Vec<u8>,
}

impl Fields {
    /// With room for `fields`, and for `written` bytes of values that are written.
    #[must_use]
    pub fn with_capacity(fields: usize, written: usize) -> Self {
        Self {
            list: Vec::with_capacity(fields),
            written: Vec::with_capacity(written),
        }
    }

    /// Adds a field.
    pub fn put(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.list.push(Field::Shared(name.clone(), value.clone()));
    }

    /// Adds a field whose value is formatted in place. What no field's value may hold is written as a space, and blanks at
    /// its end are left out.
    pub fn put_fmt(&mut self, name: &HeaderName, value: fmt::Arguments<'_>) {
        let before = self.written.len();
        // Appending to memory does not fail; a `Display` that does leaves its value cut, which is still a value.
        let _ = Clean(&mut self.written).write_fmt(value);
        let is_blank = |byte: Option<&u8>| byte == Some(&b' ');
        while self.written.len() > before && is_blank(self.written.last()) {
            self.written.pop();
        }
        while self.written.len() > before && is_blank(self.written.get(before)) {
            self.written.remove(before);
        }
        let length = self.written.len() - before;
        self.list.push(Field::Written(name.clone(), length));
    }

    /// Adds a field whose value is a number.
    pub fn put_u64(&mut self, name: &HeaderName, value: u64) {
        self.put_fmt(name, format_args!("{value}"));
    }
}

impl AnswerFields for Fields {
    fn append_to(&self, block: &mut Block<'_>) {
        let mut written = self.written.as_slice();
        for field in &self.list {
            match field {
                Field::Shared(name, value) => block.field(name, value),
                Field::Written(name, length) => {
                    let (text, rest) = written.split_at_checked(*length).unwrap_or_default();
                    block.written(name, text);
                    written = rest;
                }
            }
        }
    }
}

/// Writes only what a field's value may hold.
struct Clean<'w>(&'w mut Vec<u8>);

impl fmt::Write for Clean<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let before = self.0.len();
        self.0.extend_from_slice(text.as_bytes());
        for byte in self.0.iter_mut().skip(before) {
            if *byte < b' ' || *byte == 0x7f {
                *byte = b' ';
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use http::StatusCode;
    use http::header::{AGE, DATE, SERVER};
    use mcsp_edge_h2_wire::hpack::{Decoder, Encoder, Field as Decoded, Name, Value};

    use super::*;

    fn decoded(fields: &impl AnswerFields) -> Vec<(String, String)> {
        let mut out = BytesMut::new();
        let mut encoder = Encoder::new();
        let mut block = encoder.block(&mut out);
        block.status(StatusCode::OK);
        fields.append_to(&mut block);
        let mut list = Vec::new();
        let take = |field: Decoded| {
            if let (Name::Plain(name), Value::Plain(value)) = (field.name, field.value) {
                list.push((name.to_string(), value.to_str().unwrap().to_owned()));
            }
        };
        Decoder::new().decode(&out, usize::MAX, take).unwrap();
        list
    }

    #[test]
    fn shared_and_written_fields_keep_their_order() {
        let mut fields = Fields::with_capacity(4, 10);
        fields.put_u64(&AGE, 17);
        fields.put(&SERVER, &HeaderValue::from_static("mcsp"));
        fields.put_fmt(&DATE, format_args!("{} {}", "to", "day"));
        let name = HeaderName::from_static("x-of-nobody");
        fields.put_fmt(&name, format_args!(""));
        fields.put_fmt(&name, format_args!(" a\r\nb\u{7f}\t"));
        let list = decoded(&fields);
        let list: Vec<(&str, &str)> = list.iter().map(|(n, v)| (&**n, &**v)).collect();
        let wanted = [
            ("age", "17"),
            ("server", "mcsp"),
            ("date", "to day"),
            ("x-of-nobody", ""),
            ("x-of-nobody", "a  b"),
        ];
        assert_eq!(list, wanted);
    }
}
