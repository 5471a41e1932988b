//! `multipart/form-data` (RFC 7578), with the oddities that hide a field from one reader and show it to another as flags.

use super::{BodyError, Fields};

/// What rules see beside fields.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    /// Uploads.
    pub files: Vec<File>,
    /// (part's name, header line).
    pub part_headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Oddities.
    pub flags: Flags,
}

/// An uploaded file, without its content.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct File {
    /// The field's name.
    pub name: Vec<u8>,
    /// The name it has at the client.
    pub file_name: Vec<u8>,
    /// Bytes.
    pub size: usize,
}

/// `MULTIPART_…` variables of the same names.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags {
    pub boundary_quoted: bool,
    pub boundary_whitespace: bool,
    pub crlf_lf_lines: bool,
    pub data_after: bool,
    pub data_before: bool,
    pub header_folding: bool,
    pub invalid_header_folding: bool,
    pub invalid_part: bool,
    pub invalid_quoting: bool,
    pub lf_line: bool,
    pub missing_semicolon: bool,
    pub unmatched_boundary: bool,
}

impl Flags {
    /// `MULTIPART_STRICT_ERROR`: any oddity but those that old, honest clients show.
    pub(crate) fn strict_error(&self) -> bool {
        self.boundary_quoted
            || self.boundary_whitespace
            || self.data_after
            || self.data_before
            || self.header_folding
            || self.invalid_header_folding
            || self.invalid_part
            || self.invalid_quoting
            || self.lf_line
            || self.missing_semicolon
    }
}

/// Bounds of a form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Most parts.
    pub parts_max: usize,
    /// Most header lines in a part.
    pub headers_max: usize,
}

fn error(message: &'static str) -> BodyError {
    BodyError {
        processor: "Multipart",
        message,
        is_bound: false,
    }
}

fn beyond(message: &'static str) -> BodyError {
    BodyError {
        is_bound: true,
        ..error(message)
    }
}

/// Reads a form.
///
/// # Errors
/// No or a bad boundary, a broken part header, a form without end, or more parts than allowed. What came before the error has
/// been handed over.
pub(crate) fn parse(
    content_type: &[u8],
    body: &[u8],
    bounds: Bounds,
    form: &mut Form,
    fields: Fields<'_>,
) -> Result<(), BodyError> {
    let boundary = boundary(content_type, &mut form.flags)?;
    let mut lines = Lines { rest: body };
    let mut part: Option<Part> = None;
    let mut parts = 0;
    let mut ended = false;
    let (mut crlf, mut lf) = (false, false);
    while let Some((line, ending)) = lines.next() {
        match ending {
            Ending::CrLf => crlf = true,
            Ending::Lf => lf = true,
            Ending::None => {}
        }
        match delimiter(line, &boundary) {
            Delimiter::None => {
                if line.starts_with(b"--")
                    && memchr::memmem::find(line, &boundary).is_some()
                    && part.is_some()
                {
                    form.flags.unmatched_boundary = true;
                }
                match &mut part {
                    Some(part) => part.push(line, ending),
                    None if ended => form.flags.data_after |= !line.is_empty(),
                    None => form.flags.data_before = true,
                }
            }
            found => {
                if ended {
                    form.flags.data_after = true;
                    break;
                }
                if let Some(part) = part.take() {
                    part.finish(form, fields)?;
                }
                ended = matches!(found, Delimiter::Last);
                if !ended {
                    parts += 1;
                    if parts > bounds.parts_max {
                        return Err(beyond("too many parts"));
                    }
                    part = Some(headers(
                        &mut lines,
                        bounds,
                        &mut form.flags,
                        &mut form.part_headers,
                    )?);
                }
            }
        }
    }
    form.flags.lf_line = lf;
    form.flags.crlf_lf_lines = crlf && lf;
    if let Some(part) = part.take() {
        part.finish(form, fields)?;
    }
    if ended {
        Ok(())
    } else {
        Err(error("the final boundary is missing"))
    }
}

fn boundary(content_type: &[u8], flags: &mut Flags) -> Result<Vec<u8>, BodyError> {
    let lower = content_type.to_ascii_lowercase();
    let at = memchr::memmem::find(&lower, b"boundary").ok_or(error("the boundary is missing"))?;
    let before = content_type[..at].trim_ascii_end();
    if !before.ends_with(b";") {
        flags.missing_semicolon = true;
    }
    let rest = &content_type[at + 8..];
    let value = rest
        .trim_ascii_start()
        .strip_prefix(b"=")
        .ok_or(error("the boundary has no value"))?;
    if rest.first() != Some(&b'=') {
        flags.boundary_whitespace = true;
    }
    let trimmed = value.trim_ascii_start();
    flags.boundary_whitespace |= trimmed.len() != value.len();
    let found = match trimmed.strip_prefix(b"\"") {
        Some(quoted) => {
            flags.boundary_quoted = true;
            let end =
                memchr::memchr(b'"', quoted).ok_or(error("the boundary's quote has no end"))?;
            &quoted[..end]
        }
        None => {
            let end = trimmed
                .iter()
                .position(|b| matches!(b, b';' | b','))
                .unwrap_or(trimmed.len());
            trimmed[..end].trim_ascii_end()
        }
    };
    if memchr::memmem::find(&lower[at + 8..], b"boundary=").is_some() {
        return Err(error("two boundaries"));
    }
    let allowed =
        |b: &u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? #$!%&*^{}|~`@<>[]".contains(b);
    if found.is_empty() || found.len() > 70 || !found.iter().all(allowed) {
        return Err(error("the boundary is not valid"));
    }
    Ok(found.to_vec())
}

enum Delimiter {
    None,
    Next,
    Last,
}

fn delimiter(line: &[u8], boundary: &[u8]) -> Delimiter {
    match line
        .strip_prefix(b"--")
        .and_then(|rest| rest.strip_prefix(boundary))
    {
        Some(rest) if rest.trim_ascii().is_empty() => Delimiter::Next,
        Some(rest) if rest.starts_with(b"--") && rest[2..].trim_ascii().is_empty() => {
            Delimiter::Last
        }
        _ => Delimiter::None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    CrLf,
    Lf,
    None,
}

struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<(&'a [u8], Ending)> {
        if self.rest.is_empty() {
            return None;
        }
        let Some(at) = memchr::memchr(b'\n', self.rest) else {
            return Some((std::mem::take(&mut self.rest), Ending::None));
        };
        let line = &self.rest[..at];
        self.rest = &self.rest[at + 1..];
        Some(match line.strip_suffix(b"\r") {
            Some(line) => (line, Ending::CrLf),
            None => (line, Ending::Lf),
        })
    }
}

/// A part whose content is being read. A line's ending belongs to the content only if another line follows.
#[derive(Default)]
struct Part {
    name: Option<Vec<u8>>,
    file_name: Option<Vec<u8>>,
    /// It has a `filename` with something in it. Without one, or with `filename*` alone (RFC 7578 section 4.2 has none), readers
    /// differ on whether it is a file, and its content is a field's as well.
    is_surely_file: bool,
    value: Vec<u8>,
    size: usize,
    pending: &'static [u8],
}

impl Part {
    fn push(&mut self, line: &[u8], ending: Ending) {
        self.size += self.pending.len() + line.len();
        if !self.is_surely_file {
            self.value.extend_from_slice(self.pending);
            self.value.extend_from_slice(line);
        }
        self.pending = match ending {
            Ending::CrLf => b"\r\n",
            Ending::Lf => b"\n",
            Ending::None => b"",
        };
    }

    fn finish(self, form: &mut Form, fields: Fields<'_>) -> Result<(), BodyError> {
        let Some(name) = self.name else {
            form.flags.invalid_part = true;
            return Ok(());
        };
        if let Some(file_name) = self.file_name {
            form.files.push(File {
                name: name.clone(),
                file_name,
                size: self.size,
            });
        }
        if self.is_surely_file || fields(&name, &self.value) {
            Ok(())
        } else {
            Err(beyond("too many arguments"))
        }
    }
}

fn headers(
    lines: &mut Lines<'_>,
    bounds: Bounds,
    flags: &mut Flags,
    out: &mut Vec<(Vec<u8>, Vec<u8>)>,
) -> Result<Part, BodyError> {
    let mut collected: Vec<Vec<u8>> = Vec::new();
    loop {
        let (line, _) = lines.next().ok_or(error("part headers without end"))?;
        // Readers differ on a carriage return too many: taking it off shows what the lenient ones see.
        let line = match line.iter().rposition(|b| *b != b'\r') {
            Some(last) => &line[..=last],
            None => &[],
        };
        if line.is_empty() {
            break;
        }
        if let [b' ' | b'\t', ..] = line {
            flags.header_folding = true;
            match collected.last_mut() {
                Some(last) => {
                    last.push(b' ');
                    last.extend_from_slice(line.trim_ascii_start());
                }
                None => flags.invalid_header_folding = true,
            }
            continue;
        }
        if collected.len() >= bounds.headers_max {
            return Err(error("too many part headers"));
        }
        collected.push(line.to_vec());
    }
    let mut part = Part::default();
    let mut disposition = None;
    for line in &collected {
        let colon = memchr::memchr(b':', line);
        let name = colon.map(|at| line[..at].trim_ascii());
        if name.is_some_and(|name| name.eq_ignore_ascii_case(b"content-disposition")) {
            // Readers differ on which of two counts, and so on whether it is a file.
            flags.invalid_part |= disposition.is_some();
            disposition = colon.map(|at| &line[at + 1..]);
        }
    }
    if let Some(value) = disposition {
        content_disposition(value, &mut part, flags);
    }
    let key = part.name.clone().unwrap_or_default();
    let broken = collected
        .iter()
        .any(|line| memchr::memchr(b':', line).is_none_or(|at| at == 0));
    out.extend(collected.into_iter().map(|line| (key.clone(), line)));
    if broken {
        return Err(error(
            "Multipart: Invalid part header (no name or no colon)",
        ));
    }
    Ok(part)
}

fn content_disposition(value: &[u8], part: &mut Part, flags: &mut Flags) {
    let mut rest = value.trim_ascii();
    let kind = rest.iter().position(|b| *b == b';').unwrap_or(rest.len());
    if !rest[..kind].trim_ascii().eq_ignore_ascii_case(b"form-data") {
        flags.invalid_part = true;
    }
    rest = &rest[kind..];
    while let Some(after) = rest.strip_prefix(b";") {
        let after = after.trim_ascii_start();
        if after.is_empty() {
            return;
        }
        let Some(equals) = after.iter().position(|b| *b == b'=') else {
            flags.invalid_part = true;
            return;
        };
        let name = after[..equals].trim_ascii_end();
        let (text, remaining) = parameter(after[equals + 1..].trim_ascii_start(), flags);
        if name.eq_ignore_ascii_case(b"name") {
            flags.invalid_part |= part.name.replace(text).is_some();
        } else if name.eq_ignore_ascii_case(b"filename") {
            part.is_surely_file = !text.is_empty();
            flags.invalid_part |= part.file_name.replace(text).is_some();
        } else if name.eq_ignore_ascii_case(b"filename*") && part.file_name.is_none() {
            part.file_name = Some(text);
        }
        rest = remaining.trim_ascii_start();
        if !rest.is_empty() && !rest.starts_with(b";") {
            flags.invalid_part = true;
            flags.missing_semicolon = true;
            return;
        }
    }
}

/// A token or a quoted string, and what follows it.
fn parameter<'a>(text: &'a [u8], flags: &mut Flags) -> (Vec<u8>, &'a [u8]) {
    let Some((quote @ (b'"' | b'\''), quoted)) = text.split_first() else {
        let end = text.iter().position(|b| *b == b';').unwrap_or(text.len());
        return (text[..end].trim_ascii_end().to_vec(), &text[end..]);
    };
    if *quote == b'\'' {
        flags.invalid_quoting = true;
    }
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&byte) = quoted.get(at) {
        if byte == *quote {
            return (out, &quoted[at + 1..]);
        }
        if byte == b'\\' && matches!(quoted.get(at + 1), Some(b'"' | b'\\' | b'\'')) {
            at += 1;
        }
        out.extend(quoted.get(at));
        at += 1;
    }
    flags.invalid_quoting = true;
    (out, &[])
}
