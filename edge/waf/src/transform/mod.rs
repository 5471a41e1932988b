//! Transformations: what a rule does to a value before it looks.
//!
//! Each appends its result to a buffer that it is lent, and names the bytes without which it changes nothing.

mod decode;
mod encode;
mod path;
mod text;

use crate::bytemap::ByteSet;

macro_rules! transformations {
    ($($kind:ident $run:path, $touches:expr, [$($name:literal),+];)*) => {
        /// A transformation of the language.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs)] // Each is documented by the language under its own name.
        pub enum Transformation { $($kind,)* }

        impl Transformation {
            /// How many there are.
            pub const COUNT: usize = [$(Self::$kind),*].len();
            /// All of them.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$kind),*];

            /// The transformation of a name, in any case.
            #[must_use]
            pub fn by_name(name: &str) -> Option<Self> {
                $(if [$($name),+].iter().any(|known| known.eq_ignore_ascii_case(name)) { return Some(Self::$kind); })*
                None
            }

            /// Appends the transformed `input` to `out`.
            pub fn apply(self, input: &[u8], out: &mut Vec<u8>) {
                match self { $(Self::$kind => $run(input, out),)* }
            }

            /// A value with none of these bytes is not changed.
            #[must_use]
            #[inline]
            pub fn touches(self) -> &'static ByteSet {
                static TOUCHES: [ByteSet; Transformation::COUNT] = [$($touches),*];
                &TOUCHES[self as usize]
            }

            /// Whether [`Self::touches`] says anything: some make something of every value, an empty one too.
            #[must_use]
            #[inline]
            pub fn may_leave(self) -> bool {
                static MAY_LEAVE: [bool; Transformation::COUNT] = [$($touches.len() < 256),*];
                MAY_LEAVE[self as usize]
            }
        }
    };
}

const UPPER: ByteSet = ByteSet::EMPTY.with_range(b'A', b'Z');
const SPACE: ByteSet = ByteSet::literal(b" \t\n\x0b\x0c\r\xa0");
const BACKSLASH: ByteSet = ByteSet::literal(b"\\");

transformations! {
    Base64Decode encode::base64_decode, ByteSet::ALL, ["base64Decode"];
    Base64DecodeExt encode::base64_decode_ext, ByteSet::ALL, ["base64DecodeExt"];
    Base64Encode encode::base64_encode, ByteSet::ALL, ["base64Encode"];
    CmdLine text::cmd_line, ByteSet::literal(b"\"'\\^,;\t\r\n (/").with_range(b'A', b'Z'), ["cmdLine"];
    CompressWhitespace text::compress_whitespace, SPACE, ["compressWhitespace"];
    CssDecode decode::css, BACKSLASH, ["cssDecode"];
    EscapeSeqDecode decode::escape_sequences, BACKSLASH, ["escapeSeqDecode"];
    HexDecode encode::hex_decode, ByteSet::ALL, ["hexDecode"];
    HexEncode encode::hex_encode, ByteSet::ALL, ["hexEncode"];
    HtmlEntityDecode decode::html_entities, ByteSet::literal(b"&"), ["htmlEntityDecode"];
    JsDecode decode::js, BACKSLASH, ["jsDecode"];
    Length encode::length, ByteSet::ALL, ["length"];
    Lowercase text::lowercase, UPPER, ["lowercase"];
    Md5 encode::md5, ByteSet::ALL, ["md5"];
    NormalizePath path::normalize, ByteSet::literal(b"/."), ["normalizePath", "normalisePath"];
    NormalizePathWin path::normalize_win, ByteSet::literal(b"/.\\"), ["normalizePathWin", "normalisePathWin"];
    RemoveComments text::remove_comments, ByteSet::literal(b"/-#"), ["removeComments"];
    RemoveCommentsChar text::remove_comments_char, ByteSet::literal(b"*-#"), ["removeCommentsChar"];
    RemoveNulls text::remove_nulls, ByteSet::literal(b"\0"), ["removeNulls"];
    RemoveWhitespace text::remove_whitespace, SPACE, ["removeWhitespace"];
    ReplaceComments text::replace_comments, ByteSet::literal(b"/"), ["replaceComments"];
    ReplaceNulls text::replace_nulls, ByteSet::literal(b"\0"), ["replaceNulls"];
    Sha1 encode::sha1, ByteSet::ALL, ["sha1"];
    SqlHexDecode decode::sql_hex, ByteSet::literal(b"xX"), ["sqlHexDecode"];
    Trim text::trim, SPACE, ["trim"];
    TrimLeft text::trim_left, SPACE, ["trimLeft"];
    TrimRight text::trim_right, SPACE, ["trimRight"];
    Uppercase text::uppercase, ByteSet::EMPTY.with_range(b'a', b'z'), ["uppercase"];
    UrlDecode decode::url, ByteSet::literal(b"%+"), ["urlDecode"];
    UrlDecodeUni decode::url_unicode, ByteSet::literal(b"%+"), ["urlDecodeUni"];
    UrlEncode encode::url_encode, ByteSet::ALL, ["urlEncode"];
    Utf8ToUnicode encode::utf8_to_unicode, ByteSet::EMPTY.with_range(0x80, 0xff), ["utf8toUnicode"];
}

/// C's `isspace` in the plain locale.
#[inline]
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// The value of a hexadecimal digit.
pub(crate) fn hex_value(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// The value of two hexadecimal digits at `at`.
pub(crate) fn hex_pair(input: &[u8], at: usize) -> Option<u8> {
    let high = hex_value(*input.get(at)?)?;
    let low = hex_value(*input.get(at + 1)?)?;
    Some(high << 4 | low)
}

#[cfg(test)]
mod tests;
