//! The wire by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod appendix_c;
mod blocks;
mod frames;
mod noise;

use mcsp_edge_h2_wire::hpack::{Decoded, Decoder, Field, HpackError, Name, Pseudo, Value};

/// A block's fields as text.
pub(crate) fn texts(
    decoder: &mut Decoder,
    block: &[u8],
) -> Result<Vec<(String, String)>, HpackError> {
    given(decoder, block, usize::MAX).map(|(fields, _)| fields)
}

pub(crate) fn given(
    decoder: &mut Decoder,
    block: &[u8],
    list_bytes_max: usize,
) -> Result<(Vec<(String, String)>, Decoded), HpackError> {
    let mut fields = Vec::new();
    let decoded = decoder.decode(block, list_bytes_max, |field| fields.push(text(&field)))?;
    Ok((fields, decoded))
}

fn text(field: &Field) -> (String, String) {
    let name = match &field.name {
        Name::Pseudo(Pseudo::Authority) => ":authority".to_owned(),
        Name::Pseudo(Pseudo::Method) => ":method".to_owned(),
        Name::Pseudo(Pseudo::Path) => ":path".to_owned(),
        Name::Pseudo(Pseudo::Protocol) => ":protocol".to_owned(),
        Name::Pseudo(Pseudo::Scheme) => ":scheme".to_owned(),
        Name::Pseudo(Pseudo::Status) => ":status".to_owned(),
        Name::Plain(name) => name.as_str().to_owned(),
        Name::Malformed => "?".to_owned(),
    };
    let value = match &field.value {
        Value::Pseudo(value) => String::from_utf8_lossy(value).into_owned(),
        Value::Plain(value) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        Value::Malformed => "?".to_owned(),
    };
    (name, value)
}
