//! XML 1.0: the text of the document as one value, and every attribute's value.
//!
//! Strict on nesting and quoting. A document type that declares entities is refused, since what a reference to one comes to is only
//! seen by who resolves it; what else is quoted there, such as defaults of attributes, is of the text.

use super::BodyError;

/// What rules see of a document.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Document {
    /// All character data in document order, as `XML:/*` has it.
    pub text: Vec<u8>,
    /// Every attribute's value in document order, as `XML://@*` has them.
    pub attributes: Vec<Vec<u8>>,
}

/// Reads a document.
///
/// # Errors
/// Text that is not well-formed, nesting deeper than `depth_max`, or more than `attributes_max` attributes.
pub(crate) fn parse(
    text: &[u8],
    depth_max: usize,
    attributes_max: usize,
) -> Result<Document, BodyError> {
    let mut parser = Parser {
        rest: text,
        open: Vec::new(),
        depth_max,
        attributes_max,
        seen_root: false,
        out: Document::default(),
    };
    parser.run()?;
    Ok(parser.out)
}

struct Parser<'a> {
    rest: &'a [u8],
    open: Vec<&'a [u8]>,
    depth_max: usize,
    attributes_max: usize,
    seen_root: bool,
    out: Document,
}

fn error(message: &'static str) -> BodyError {
    BodyError {
        processor: "XML",
        message,
        is_bound: false,
    }
}

impl<'a> Parser<'a> {
    fn run(&mut self) -> Result<(), BodyError> {
        loop {
            let text = self.until_byte(b'<');
            if self.open.is_empty() {
                if !text.trim_ascii().is_empty() && text.trim_ascii() != b"\xef\xbb\xbf" {
                    return Err(error("text outside the root element"));
                }
            } else {
                unescape(text, &mut self.out.text);
            }
            if self.rest.is_empty() {
                break;
            }
            self.markup()?;
        }
        if self.seen_root && self.open.is_empty() {
            Ok(())
        } else {
            Err(error("the document has no end"))
        }
    }

    fn until_byte(&mut self, byte: u8) -> &'a [u8] {
        let at = memchr::memchr(byte, self.rest).unwrap_or(self.rest.len());
        let (before, rest) = self.rest.split_at(at);
        self.rest = rest;
        before
    }

    /// Takes text up to and with `end`.
    fn through(&mut self, end: &[u8]) -> Result<&'a [u8], BodyError> {
        let at = memchr::memmem::find(self.rest, end).ok_or(error("markup without end"))?;
        let before = &self.rest[..at];
        self.rest = &self.rest[at + end.len()..];
        Ok(before)
    }

    fn markup(&mut self) -> Result<(), BodyError> {
        for (start, end) in [(&b"<!--"[..], &b"-->"[..]), (b"<?", b"?>")] {
            if let Some(rest) = self.rest.strip_prefix(start) {
                self.rest = rest;
                return self.through(end).map(drop);
            }
        }
        if let Some(rest) = self.rest.strip_prefix(b"<![CDATA[") {
            self.rest = rest;
            let text = self.through(b"]]>")?;
            if self.open.is_empty() {
                return Err(error("text outside the root element"));
            }
            self.out.text.extend_from_slice(text);
            return Ok(());
        }
        if self.rest.starts_with(b"<!DOCTYPE") {
            return self.document_type();
        }
        if let Some(rest) = self.rest.strip_prefix(b"</") {
            self.rest = rest;
            let name = self.through(b">")?.trim_ascii_end();
            if self.open.pop() != Some(name) {
                return Err(error("an end tag that does not match"));
            }
            return Ok(());
        }
        self.start_tag()
    }

    fn document_type(&mut self) -> Result<(), BodyError> {
        if self.seen_root {
            return Err(error("a document type inside the document"));
        }
        let end = self
            .rest
            .iter()
            .position(|b| matches!(b, b'[' | b'>'))
            .ok_or(error("markup without end"))?;
        let subset = self.rest[end] == b'[';
        self.rest = &self.rest[end + 1..];
        if subset {
            self.subset()?;
            self.through(b">")?;
        }
        Ok(())
    }

    /// The rest of a document type's internal subset, through its bracket.
    fn subset(&mut self) -> Result<(), BodyError> {
        loop {
            let at = self
                .rest
                .iter()
                .position(|b| matches!(b, b'<' | b']' | b'"' | b'\''))
                .ok_or(error("markup without end"))?;
            let (found, rest) = (self.rest[at], &self.rest[at + 1..]);
            self.rest = rest;
            match found {
                b']' => return Ok(()),
                b'<' => {
                    if rest.starts_with(b"!ENTITY") {
                        return Err(error("a document type that declares entities"));
                    }
                    for (start, end) in [(&b"!--"[..], &b"-->"[..]), (b"?", b"?>")] {
                        if let Some(rest) = rest.strip_prefix(start) {
                            self.rest = rest;
                            self.through(end)?;
                        }
                    }
                }
                quote => {
                    let quoted = self.through(&[quote])?;
                    unescape(quoted, &mut self.out.text);
                    self.out.text.push(b' ');
                }
            }
        }
    }

    fn start_tag(&mut self) -> Result<(), BodyError> {
        self.rest = &self.rest[1..];
        let name = self.name()?;
        if self.open.is_empty() && self.seen_root {
            return Err(error("a second root element"));
        }
        self.seen_root = true;
        loop {
            self.rest = self.rest.trim_ascii_start();
            if let Some(rest) = self.rest.strip_prefix(b"/>") {
                self.rest = rest;
                return Ok(());
            }
            if let Some(rest) = self.rest.strip_prefix(b">") {
                self.rest = rest;
                if self.open.len() >= self.depth_max {
                    return Err(error("nested too deep"));
                }
                self.open.push(name);
                return Ok(());
            }
            self.attribute()?;
        }
    }

    fn attribute(&mut self) -> Result<(), BodyError> {
        let name = self.name()?;
        self.rest = self
            .rest
            .trim_ascii_start()
            .strip_prefix(b"=")
            .ok_or(error("an attribute without value"))?;
        self.rest = self.rest.trim_ascii_start();
        let quote = match self.rest.split_first() {
            Some((quote @ (b'"' | b'\''), rest)) => {
                self.rest = rest;
                *quote
            }
            _ => return Err(error("an attribute without quotes")),
        };
        let raw = self.through(&[quote])?;
        if raw.contains(&b'<') {
            return Err(error("'<' in an attribute"));
        }
        if name == b"xmlns" || name.starts_with(b"xmlns:") {
            return Ok(());
        }
        if self.out.attributes.len() >= self.attributes_max {
            return Err(BodyError {
                is_bound: true,
                ..error("too many attributes")
            });
        }
        let mut value = Vec::with_capacity(raw.len());
        unescape(raw, &mut value);
        self.out.attributes.push(value);
        Ok(())
    }

    fn name(&mut self) -> Result<&'a [u8], BodyError> {
        let is_name = |b: &u8| {
            b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'-' | b'.') || *b >= 0x80
        };
        let length = self.rest.iter().take_while(|b| is_name(b)).count();
        let (name, rest) = self.rest.split_at(length);
        if name
            .first()
            .is_none_or(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.'))
        {
            return Err(error("a name is expected"));
        }
        self.rest = rest;
        Ok(name)
    }
}

fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let end = 1 + reference_length(&rest[1..]);
        let is_ended = rest.get(end) == Some(&b';');
        let letter = is_ended.then(|| reference(&rest[1..end])).flatten();
        let decoded = letter.map(|letter| (letter, end + 1));
        match decoded {
            Some((letter, used)) => {
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[used..];
            }
            None => {
                out.push(b'&');
                rest = &rest[1..];
            }
        }
    }
    out.extend_from_slice(rest);
}

/// How long a reference may be: a number has as many zeros before it as it likes.
fn reference_length(text: &[u8]) -> usize {
    let is_of_it = |b: &&u8| b.is_ascii_alphanumeric() || **b == b'#';
    text.iter().take_while(is_of_it).count()
}

fn reference(name: &[u8]) -> Option<char> {
    let name = std::str::from_utf8(name).ok()?;
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let digits = name.strip_prefix('#')?;
            let point = match digits.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => digits.parse().ok()?,
            };
            char::from_u32(point)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attributes_are_collected() {
        let text = br#"<?xml version="1.0"?><!DOCTYPE a [<!ELEMENT a ANY>]>
            <a b='1&lt;' xmlns="urn:x"><c d="2"/>t&amp;<![CDATA[<u>]]><!-- no --></a>"#;
        let document = parse(text, 4, 4).unwrap();
        assert_eq!(document.text, b"t&<u>");
        assert_eq!(document.attributes, vec![b"1<".to_vec(), b"2".to_vec()]);
    }

    #[test]
    fn references_may_have_zeros_before_them() {
        let text =
            b"<a b='&#x0000000000000027;'>&#000000000000000060;&lt;&#x110000;&nothing;&# &</a>";
        let document = parse(text, 4, 4).unwrap();
        assert_eq!(document.text, b"<<&#x110000;&nothing;&# &");
        assert_eq!(document.attributes, vec![b"'".to_vec()]);
    }

    #[test]
    fn a_document_type_hides_nothing() {
        let text =
            br#"<!DOCTYPE a [<!-- ' ] --><?x ' ] ?><!ATTLIST a b CDATA "]>&#x27; or 1">]><a>t</a>"#;
        assert_eq!(parse(text, 4, 4).unwrap().text, b"]>' or 1 t");
        for text in [
            r#"<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>"#,
            r#"<!DOCTYPE a [<!ENTITY % x "]"> <!ENTITY y "z">]><a/>"#,
            r#"<!DOCTYPE a [<!ATTLIST a b CDATA "]>]><a/>"#,
            "<!DOCTYPE a [<!-- ]><a/>",
        ] {
            assert!(parse(text.as_bytes(), 4, 4).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for text in [
            "",
            "x",
            "<a>",
            "<a></b>",
            "<a b=1/>",
            "<a b/>",
            "<a/><b/>",
            "<a><a><a><a><a/></a></a></a>",
            "<a",
            "<1/>",
            "<a b='<'/>",
        ] {
            assert!(parse(text.as_bytes(), 3, 4).is_err(), "{text}");
        }
        assert!(parse(b"<a b='' c='' d=''/>", 3, 2).is_err());
    }
}
