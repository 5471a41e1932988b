//! Bodies in content codings (RFC 9110 section 8.4.1), decoded for rules as they come: what reads like gzip to a rule reads like text
//! to the client.
//!
//! What is decoded is bounded, and so is what a decoder needs for it: the windows of gzip and deflate have 32 KiB, Brotli's at most
//! 16 MiB (its larger ones are refused), Zstandard's at most 8 MiB, as RFC 9659 has it.

use std::fmt;
use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// What Brotli decodes into at once, bytes.
const BROTLI_BUFFER_BYTES: usize = 4096;
/// The largest window of Zstandard, as a power of two (RFC 9659 section 3).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// A content coding that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    /// The zlib format, or the bare stream that some servers send under this name (RFC 9110 section 8.4.1.2).
    Deflate,
    Brotli,
    Zstandard,
}

/// A coding that is not known, or one within another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

impl Coding {
    /// The coding of a `Content-Encoding` field; none for what is not coded.
    pub(crate) fn of_field(value: &[u8]) -> Result<Option<Self>, Unreadable> {
        let mut found = None;
        for name in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let coding = match name.to_ascii_lowercase().as_slice() {
                b"" | b"identity" => continue,
                b"gzip" | b"x-gzip" => Self::Gzip,
                b"deflate" => Self::Deflate,
                b"br" => Self::Brotli,
                b"zstd" => Self::Zstandard,
                _ => return Err(Unreadable),
            };
            if found.replace(coding).is_some() {
                return Err(Unreadable);
            }
        }
        Ok(found)
    }
}

/// Why decoding has ended before the body did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// There is as much as was wanted, and more.
    Full,
    /// It is not in the coding that it says.
    Broken,
}

/// Decodes a body, piece by piece, up to a bound.
pub(crate) struct Decoder {
    stream: Stream,
    ended: Option<Ended>,
}

enum Stream {
    /// Fewer bytes than tell which of deflate's forms it is.
    Begin(Vec<u8>, Room),
    Gzip(Box<MultiGzDecoder<Room>>),
    Zlib(Box<ZlibDecoder<Room>>),
    Bare(Box<DeflateDecoder<Room>>),
    /// The first byte has not come.
    BeforeBrotli(Room),
    Brotli(Box<DecompressorWriter<Room>>),
    Zstandard(Box<zstd::stream::write::Decoder<'static, Room>>),
    /// It cannot be read.
    None(Room),
}

impl Decoder {
    /// Decodes at most `bytes_max` bytes.
    pub(crate) fn new(coding: Coding, bytes_max: usize) -> Self {
        let room = Room::new(bytes_max);
        let stream = match coding {
            Coding::Gzip => Stream::Gzip(Box::new(MultiGzDecoder::new(room))),
            Coding::Deflate => Stream::Begin(Vec::new(), room),
            Coding::Brotli => Stream::BeforeBrotli(room),
            Coding::Zstandard => zstandard(room),
        };
        Self {
            stream,
            ended: None,
        }
    }

    /// Takes a piece. Once it has ended it takes nothing more.
    ///
    /// # Errors
    /// [`Ended`], the first time.
    pub(crate) fn take(&mut self, piece: &[u8]) -> Result<(), Ended> {
        if self.ended.is_some() || piece.is_empty() {
            return Ok(());
        }
        let taken = self.stream.take(piece);
        self.ended = match taken {
            Ok(()) => None,
            Err(_) if self.room().is_full => Some(Ended::Full),
            Err(_) => Some(Ended::Broken),
        };
        self.ended.map_or(Ok(()), Err)
    }

    /// What was decoded so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.room().bytes
    }

    /// The same, when no more comes.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        std::mem::take(&mut self.room_mut().bytes)
    }

    fn room_mut(&mut self) -> &mut Room {
        match &mut self.stream {
            Stream::Begin(_, room) | Stream::BeforeBrotli(room) | Stream::None(room) => room,
            Stream::Gzip(decoder) => decoder.get_mut(),
            Stream::Zlib(decoder) => decoder.get_mut(),
            Stream::Bare(decoder) => decoder.get_mut(),
            Stream::Brotli(decoder) => decoder.get_mut(),
            Stream::Zstandard(decoder) => decoder.get_mut(),
        }
    }

    fn room(&self) -> &Room {
        match &self.stream {
            Stream::Begin(_, room) | Stream::BeforeBrotli(room) | Stream::None(room) => room,
            Stream::Gzip(decoder) => decoder.get_ref(),
            Stream::Zlib(decoder) => decoder.get_ref(),
            Stream::Bare(decoder) => decoder.get_ref(),
            Stream::Brotli(decoder) => decoder.get_ref(),
            Stream::Zstandard(decoder) => decoder.get_ref(),
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("bytes", &self.bytes().len())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Stream {
    fn take(&mut self, piece: &[u8]) -> io::Result<()> {
        match self {
            Self::Begin(begin, room) => {
                begin.extend_from_slice(piece);
                let Some(&[first, second]) = begin.first_chunk() else {
                    return Ok(());
                };
                // RFC 1950 section 2.2: the method is 8, and the two bytes are a multiple of 31.
                let is_zlib = first & 0x0f == 8 && u16::from_be_bytes([first, second]) % 31 == 0;
                let (begin, room) = (std::mem::take(begin), std::mem::take(room));
                *self = match is_zlib {
                    true => Self::Zlib(Box::new(ZlibDecoder::new(room))),
                    false => Self::Bare(Box::new(DeflateDecoder::new(room))),
                };
                self.take(&begin)
            }
            Self::BeforeBrotli(room) => {
                let room = std::mem::take(room);
                // RFC 7932 section 9.1 has no such window; others use it for windows of up to a gigabyte.
                let is_large = piece.first().is_some_and(|first| first & 0x7f == 0x11);
                *self = match is_large {
                    true => Self::None(room),
                    false => {
                        Self::Brotli(Box::new(DecompressorWriter::new(room, BROTLI_BUFFER_BYTES)))
                    }
                };
                self.take(piece)
            }
            Self::Gzip(decoder) => all(decoder.as_mut(), piece),
            Self::Zlib(decoder) => all(decoder.as_mut(), piece),
            Self::Bare(decoder) => all(decoder.as_mut(), piece),
            Self::Brotli(decoder) => all(decoder.as_mut(), piece),
            Self::Zstandard(decoder) => all(decoder.as_mut(), piece),
            Self::None(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Decodes all of a piece, and keeps nothing back that can be known of it.
fn all(decoder: &mut impl Write, piece: &[u8]) -> io::Result<()> {
    decoder.write_all(piece)?;
    decoder.flush()
}

fn zstandard(room: Room) -> Stream {
    let bytes_max = room.bytes_max;
    let Ok(mut decoder) = zstd::stream::write::Decoder::new(room) else {
        return Stream::None(Room::new(bytes_max));
    };
    match decoder.window_log_max(ZSTD_WINDOW_LOG_MAX) {
        Ok(()) => Stream::Zstandard(Box::new(decoder)),
        Err(_) => Stream::None(Room::new(bytes_max)),
    }
}

/// Takes what decoders write, up to a bound.
#[derive(Debug, Default)]
struct Room {
    bytes: Vec<u8>,
    bytes_max: usize,
    is_full: bool,
}

impl Room {
    fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            ..Self::default()
        }
    }
}

impl Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.bytes_max.saturating_sub(self.bytes.len());
        let fitting = bytes.get(..room).unwrap_or(bytes);
        self.bytes.extend_from_slice(fitting);
        if fitting.len() < bytes.len() {
            self.is_full = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {

    use flate2::Compression;
    use flate2::read::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn read(mut encoder: impl io::Read) -> Vec<u8> {
        let mut out = Vec::new();
        encoder.read_to_end(&mut out).unwrap();
        out
    }

    /// In every coding that can be made here, and its name.
    fn coded(text: &[u8]) -> Vec<(Coding, Vec<u8>)> {
        let level = Compression::fast();
        vec![
            (Coding::Gzip, read(GzEncoder::new(text, level))),
            (Coding::Deflate, read(ZlibEncoder::new(text, level))),
            (Coding::Deflate, read(DeflateEncoder::new(text, level))),
            (
                Coding::Zstandard,
                zstd::stream::encode_all(text, 3).unwrap(),
            ),
            (Coding::Brotli, stored_brotli(text)),
        ]
    }

    /// Brotli without compression: RFC 7932 section 9.2, metablocks that are stored.
    fn stored_brotli(text: &[u8]) -> Vec<u8> {
        // WBITS 16 is one zero bit; then ISLAST 0, MNIBBLES 4 (00), MLEN - 1 in 16 bits, ISUNCOMPRESSED 1, and zeros to the byte.
        let mut out = Vec::new();
        let mut bit = 1_usize;
        for part in text.chunks(0x8000) {
            let length = u32::try_from(part.len()).unwrap() - 1;
            let head = (length << 3 | 1 << 19) << bit;
            let bytes = (20 + bit).div_ceil(8);
            out.extend_from_slice(&head.to_le_bytes()[..bytes]);
            out.extend_from_slice(part);
            bit = 0;
        }
        // ISLAST and ISLASTEMPTY, after the window's bits if nothing came before.
        out.push(if bit == 0 { 0b11 } else { 0b110 });
        out
    }

    fn decode(
        coding: Coding,
        bytes: &[u8],
        pieces: usize,
        most: usize,
    ) -> (Vec<u8>, Option<Ended>) {
        let mut decoder = Decoder::new(coding, most);
        let mut ended = None;
        for piece in bytes.chunks(pieces.max(1)) {
            if let Err(fault) = decoder.take(piece) {
                ended = ended.or(Some(fault));
            }
        }
        (decoder.bytes().to_vec(), ended)
    }

    #[test]
    fn fields_name_codings() {
        let table: [(&str, Result<Option<Coding>, Unreadable>); 9] = [
            ("", Ok(None)),
            ("identity", Ok(None)),
            ("GZip", Ok(Some(Coding::Gzip))),
            ("x-gzip", Ok(Some(Coding::Gzip))),
            (" deflate ,identity", Ok(Some(Coding::Deflate))),
            ("br", Ok(Some(Coding::Brotli))),
            ("zstd", Ok(Some(Coding::Zstandard))),
            ("gzip, gzip", Err(Unreadable)),
            ("dcb", Err(Unreadable)),
        ];
        for (value, wanted) in table {
            assert_eq!(Coding::of_field(value.as_bytes()), wanted, "{value}");
        }
    }

    #[test]
    fn a_bomb_costs_what_is_wanted_of_it() {
        let bomb = vec![b'a'; 8 << 20];
        for (coding, bytes) in coded(&bomb) {
            let (decoded, ended) = decode(coding, &bytes, usize::MAX, 1000);
            assert_eq!(
                (decoded.len(), ended),
                (1000, Some(Ended::Full)),
                "{coding:?}"
            );
        }
    }

    #[test]
    fn what_is_no_such_coding_is_told_once() {
        for (coding, _) in coded(b"") {
            let mut decoder = Decoder::new(coding, 1000);
            let noise = [0x11; 64];
            assert_eq!(decoder.take(&noise), Err(Ended::Broken), "{coding:?}");
            assert_eq!(decoder.take(&noise), Ok(()), "{coding:?}");
        }
    }

    #[test]
    fn several_members_are_one_body() {
        let level = Compression::fast();
        let one = read(GzEncoder::new(&b"one "[..], level));
        let two = read(GzEncoder::new(&b"two"[..], level));
        let (decoded, ended) = decode(Coding::Gzip, &[one, two].concat(), 3, 100);
        assert_eq!((decoded.as_slice(), ended), (&b"one two"[..], None));
    }

    proptest! {
        #[test]
        fn what_was_coded_is_decoded_however_it_comes(text: Vec<u8>, pieces in 1_usize..50) {
            for (coding, bytes) in coded(&text) {
                let (decoded, ended) = decode(coding, &bytes, pieces, text.len());
                prop_assert_eq!(ended, None, "{:?}", coding);
                prop_assert_eq!(&decoded, &text, "{:?}", coding);
            }
        }

        #[test]
        fn no_bytes_panic_or_write_more_than_they_may(
            bytes: Vec<u8>, at in 0_usize..400, value: u8, pieces in 1_usize..50,
        ) {
            for (coding, mut coded) in coded(&bytes) {
                if let Some(byte) = coded.get_mut(at) {
                    *byte = value;
                }
                prop_assert!(decode(coding, &coded, pieces, 64).0.len() <= 64);
                prop_assert!(decode(coding, &bytes, pieces, 64).0.len() <= 64);
            }
        }
    }
}
