//! Case, blanks, comments, zero bytes, and what a shell ignores.

use super::is_space;

const NO_BREAK_SPACE: u8 = 0xa0;

/// ASCII letters.
pub(super) fn lowercase(input: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(input);
    out[start..].make_ascii_lowercase();
}

/// ASCII letters.
pub(super) fn uppercase(input: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(input);
    out[start..].make_ascii_uppercase();
}

#[inline]
fn is_blank(byte: u8) -> bool {
    is_space(byte) || byte == NO_BREAK_SPACE
}

/// Every blank goes.
pub(super) fn remove_whitespace(input: &[u8], out: &mut Vec<u8>) {
    out.reserve(input.len());
    for &byte in input {
        if !is_blank(byte) {
            out.push(byte);
        }
    }
}

/// A run of blanks becomes one space.
pub(super) fn compress_whitespace(input: &[u8], out: &mut Vec<u8>) {
    let mut in_run = false;
    for &byte in input {
        let blank = is_blank(byte);
        if !blank {
            out.push(byte);
        } else if !in_run {
            out.push(b' ');
        }
        in_run = blank;
    }
}

/// Blanks at both ends go.
pub(super) fn trim(input: &[u8], out: &mut Vec<u8>) {
    let start = input
        .iter()
        .position(|b| !is_space(*b))
        .unwrap_or(input.len());
    trim_right(&input[start..], out);
}

/// Blanks at the start go.
pub(super) fn trim_left(input: &[u8], out: &mut Vec<u8>) {
    let start = input
        .iter()
        .position(|b| !is_space(*b))
        .unwrap_or(input.len());
    out.extend_from_slice(&input[start..]);
}

/// Blanks at the end go.
pub(super) fn trim_right(input: &[u8], out: &mut Vec<u8>) {
    let end = input
        .iter()
        .rposition(|b| !is_space(*b))
        .map_or(0, |last| last + 1);
    out.extend_from_slice(&input[..end]);
}

/// Zero bytes go.
pub(super) fn remove_nulls(input: &[u8], out: &mut Vec<u8>) {
    out.extend(input.iter().copied().filter(|b| *b != 0));
}

/// Zero bytes become spaces.
pub(super) fn replace_nulls(input: &[u8], out: &mut Vec<u8>) {
    out.extend(input.iter().map(|b| if *b == 0 { b' ' } else { *b }));
}

/// `/*…*/` becomes one space, an open one too.
pub(super) fn replace_comments(input: &[u8], out: &mut Vec<u8>) {
    let mut rest = input;
    while let Some(open) = memchr::memmem::find(rest, b"/*") {
        out.extend_from_slice(&rest[..open]);
        out.push(b' ');
        rest = memchr::memmem::find(&rest[open + 2..], b"*/")
            .map_or(&[], |close| &rest[open + close + 4..]);
    }
    out.extend_from_slice(rest);
}

/// Comments go: `/*…*/`, `<!--…-->`, and from `--` or `#` to the end.
pub(super) fn remove_comments(input: &[u8], out: &mut Vec<u8>) {
    let mut rest = input;
    while let Some(&byte) = rest.first() {
        let close: &[u8] = if rest.starts_with(b"/*") {
            b"*/"
        } else if rest.starts_with(b"<!--") {
            b"-->"
        } else if rest.starts_with(b"--") || byte == b'#' {
            return;
        } else {
            out.push(byte);
            rest = &rest[1..];
            continue;
        };
        rest = memchr::memmem::find(rest, close).map_or(&[], |at| &rest[at + close.len()..]);
    }
}

/// The marks of comments go, what is between them stays.
pub(super) fn remove_comments_char(input: &[u8], out: &mut Vec<u8>) {
    const MARKS: [&[u8]; 6] = [b"/*", b"*/", b"<!--", b"-->", b"--", b"#"];
    let mut rest = input;
    while let Some(&byte) = rest.first() {
        match MARKS.iter().find(|mark| rest.starts_with(mark)) {
            Some(mark) => rest = &rest[mark.len()..],
            None => {
                out.push(byte);
                rest = &rest[1..];
            }
        }
    }
}

/// What shells ignore goes, separators become one space, letters lower case.
pub(super) fn cmd_line(input: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let mut space = false;
    for &byte in input {
        match byte {
            b'"' | b'\'' | b'\\' | b'^' => {}
            b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' => {
                if !space {
                    out.push(b' ');
                    space = true;
                }
            }
            b'/' | b'(' => {
                if space && out.len() > start {
                    out.pop();
                }
                space = false;
                out.push(byte);
            }
            byte => {
                out.push(byte.to_ascii_lowercase());
                space = false;
            }
        }
    }
}
