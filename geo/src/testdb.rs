//! A small writer of databases in MaxMind's format (MaxMind DB 2.0), so that tests and demonstrations need no download.
//!
//! Writes what [`crate::GeoDb`] and [`crate::AsnDb`] read: a binary search tree over address bits, a data section of
//! `country.iso_code` and `location` or of `autonomous_system_number`, and the metadata. Record sizes 24 and 28; IPv4 alone, or IPv6 with IPv4 under `::/96`.

use std::collections::HashMap;
use std::path::Path;
use std::{fs, io};

use ipnet::IpNet;
use thiserror::Error;

use crate::{CountryCode, Position};

const METADATA_MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
const DATA_SEPARATOR_BYTES: usize = 16;
const NODES_MAX: usize = 4_000_000;

/// Why a database was not written.
#[derive(Debug, Error)]
pub enum TestDbError {
    /// Not a network, not a country, or an IPv6 network for an IPv4 database.
    #[error("test database: {0}")]
    Entry(String),
    /// More nodes than the record size can number.
    #[error("test database is too large")]
    TooLarge,
    /// The file cannot be written.
    #[error("test database: {0}")]
    Io(#[from] io::Error),
}

/// Bits of a record in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordSize {
    /// Three bytes a record.
    Bits24,
    /// Three and a half.
    Bits28,
}

/// Writes a database of countries, IPv6 with 28-bit records. Where networks overlap, the longer prefix counts.
///
/// # Errors
/// [`TestDbError`] with the entry that cannot be used.
pub fn write_test_db(path: impl AsRef<Path>, entries: &[(&str, &str)]) -> Result<(), TestDbError> {
    let mut database = TestDb::new(RecordSize::Bits28, 6);
    for (network, country) in entries {
        database.insert(network, country, None)?;
    }
    fs::write(path, database.to_bytes()?)?;
    Ok(())
}

/// A database in the making.
#[derive(Debug)]
pub struct TestDb {
    record_size: RecordSize,
    ip_version: u16,
    entries: Vec<(IpNet, Entry)>,
}

/// What is known of a network.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Place(CountryCode, Option<Position>),
    System(u32),
}

#[derive(Debug, Clone, Copy)]
enum Record {
    Empty,
    Node(usize),
    /// An offset into the data section.
    Data(usize),
}

impl TestDb {
    /// An empty database; `ip_version` is 4 or, for any other value, 6.
    #[must_use]
    pub fn new(record_size: RecordSize, ip_version: u16) -> Self {
        Self {
            record_size,
            ip_version: if ip_version == 4 { 4 } else { 6 },
            entries: Vec::new(),
        }
    }

    /// Adds a network, such as `197.210.0.0/16`, with its country and, as databases of cities have it, its position.
    ///
    /// # Errors
    /// [`TestDbError::Entry`].
    pub fn insert(
        &mut self,
        network: &str,
        country: &str,
        position: Option<Position>,
    ) -> Result<(), TestDbError> {
        let net = self.network(network)?;
        let country = country
            .parse()
            .map_err(|error| TestDbError::Entry(format!("{network}: {error}")))?;
        self.entries.push((net, Entry::Place(country, position)));
        Ok(())
    }

    /// Adds a network with its autonomous system.
    ///
    /// # Errors
    /// [`TestDbError::Entry`].
    pub fn insert_system(&mut self, network: &str, asn: u32) -> Result<(), TestDbError> {
        let net = self.network(network)?;
        self.entries.push((net, Entry::System(asn)));
        Ok(())
    }

    fn network(&self, network: &str) -> Result<IpNet, TestDbError> {
        let net: IpNet = network.parse().map_err(|_| {
            TestDbError::Entry(format!("{network:?} is not a network such as 10.0.0.0/8"))
        })?;
        if self.ip_version == 4 && matches!(net, IpNet::V6(_)) {
            return Err(TestDbError::Entry(format!(
                "{network} is IPv6, the database is IPv4"
            )));
        }
        Ok(net)
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// [`TestDbError::TooLarge`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, TestDbError> {
        let mut data = Vec::new();
        let nodes = self.build_tree(&mut data)?;
        let mut out = Vec::new();
        for node in &nodes {
            let [left, right] = node.map(|record| number_of(record, nodes.len()));
            self.write_node(&mut out, left, right)?;
        }
        out.extend_from_slice(&[0; DATA_SEPARATOR_BYTES]);
        out.extend_from_slice(&data);
        out.extend_from_slice(METADATA_MARKER);
        self.write_metadata(&mut out, nodes.len());
        Ok(out)
    }

    fn build_tree(&self, data: &mut Vec<u8>) -> Result<Vec<[Record; 2]>, TestDbError> {
        let mut nodes = vec![[Record::Empty; 2]];
        let mut offsets = HashMap::new();
        let mut entries: Vec<_> = self.entries.iter().collect();
        // Shorter prefixes first, so that longer ones split what is there. The sort keeps the order of equals: the last
        // entry for a network wins.
        entries.sort_by_key(|(network, ..)| path_of(*network, self.ip_version).1);
        for (network, entry) in entries {
            let mut record = Vec::new();
            match entry {
                Entry::Place(country, position) => encode_record(&mut record, *country, *position),
                Entry::System(asn) => encode_system(&mut record, *asn),
            }
            // Networks that have the same said of them share it.
            let offset = *offsets.entry(record).or_insert_with_key(|record| {
                let offset = data.len();
                data.extend_from_slice(record);
                offset
            });
            let (bits, length) = path_of(*network, self.ip_version);
            insert(&mut nodes, bits, length, Record::Data(offset))?;
        }
        Ok(nodes)
    }

    fn write_node(&self, out: &mut Vec<u8>, left: usize, right: usize) -> Result<(), TestDbError> {
        let bits = match self.record_size {
            RecordSize::Bits24 => 24,
            RecordSize::Bits28 => 28,
        };
        let fit = |value: usize| u32::try_from(value).ok().filter(|value| value >> bits == 0);
        let (Some(left), Some(right)) = (fit(left), fit(right)) else {
            return Err(TestDbError::TooLarge);
        };
        out.extend_from_slice(&left.to_be_bytes()[1..]);
        if self.record_size == RecordSize::Bits28 {
            // The middle byte holds the top four bits of both.
            out.push((left.to_be_bytes()[0] << 4) | right.to_be_bytes()[0]);
        }
        out.extend_from_slice(&right.to_be_bytes()[1..]);
        Ok(())
    }

    fn write_metadata(&self, out: &mut Vec<u8>, node_count: usize) {
        let record_size = match self.record_size {
            RecordSize::Bits24 => 24,
            RecordSize::Bits28 => 28,
        };
        map(out, 9);
        text(out, "binary_format_major_version");
        number(out, U16, 2);
        text(out, "binary_format_minor_version");
        number(out, U16, 0);
        text(out, "build_epoch");
        number(out, U64, 1_800_000_000);
        text(out, "database_type");
        text(out, "MCSP-Test-City");
        text(out, "description");
        map(out, 1);
        text(out, "en");
        text(out, "Made for tests");
        text(out, "ip_version");
        number(out, U16, u64::from(self.ip_version));
        text(out, "languages");
        control(out, ARRAY, 0);
        text(out, "node_count");
        number(out, U32, node_count as u64);
        text(out, "record_size");
        number(out, U16, record_size);
    }
}

/// The address as the tree's path from its root: bits from the top of the number, and how many of them count.
fn path_of(network: IpNet, ip_version: u16) -> (u128, u8) {
    match network {
        IpNet::V4(v4) if ip_version == 4 => {
            (u128::from(u32::from(v4.network())) << 96, v4.prefix_len())
        }
        IpNet::V4(v4) => (u128::from(u32::from(v4.network())), v4.prefix_len() + 96),
        IpNet::V6(v6) => (u128::from(v6.network()), v6.prefix_len()),
    }
}

fn insert(
    nodes: &mut Vec<[Record; 2]>,
    bits: u128,
    length: u8,
    record: Record,
) -> Result<(), TestDbError> {
    let side = |depth: u8| usize::from(bits >> (127 - u32::from(depth)) & 1 == 1);
    if length == 0 {
        if let Some(root) = nodes.first_mut() {
            *root = [record; 2];
        }
        return Ok(());
    }
    let mut node = 0;
    for depth in 0..length - 1 {
        let next = nodes.len();
        node = match nodes[node][side(depth)] {
            Record::Node(child) => child,
            // A shorter prefix ends here: both halves of it go on, one of them towards the new entry.
            other => {
                if next >= NODES_MAX {
                    return Err(TestDbError::TooLarge);
                }
                nodes.push([other; 2]);
                nodes[node][side(depth)] = Record::Node(next);
                next
            }
        };
    }
    nodes[node][side(length - 1)] = record;
    Ok(())
}

fn number_of(record: Record, node_count: usize) -> usize {
    match record {
        Record::Node(index) => index,
        Record::Empty => node_count,
        Record::Data(offset) => node_count + DATA_SEPARATOR_BYTES + offset,
    }
}

fn encode_record(out: &mut Vec<u8>, country: CountryCode, position: Option<Position>) {
    map(out, if position.is_some() { 2 } else { 1 });
    text(out, "country");
    map(out, 1);
    text(out, "iso_code");
    text(out, country.as_str());
    if let Some(position) = position {
        text(out, "location");
        map(out, 2);
        for (name, value) in [
            ("latitude", position.latitude),
            ("longitude", position.longitude),
        ] {
            text(out, name);
            control(out, DOUBLE, 8);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

fn encode_system(out: &mut Vec<u8>, asn: u32) {
    map(out, 1);
    text(out, "autonomous_system_number");
    number(out, U32, asn.into());
}

// Types of the format's data section.
const TEXT: u8 = 2;
const DOUBLE: u8 = 3;
const U16: u8 = 5;
const U32: u8 = 6;
const MAP: u8 = 7;
const U64: u8 = 9;
const ARRAY: u8 = 11;

/// The control byte or bytes: type and size. Sizes here stay under 29, where one byte is enough.
fn control(out: &mut Vec<u8>, kind: u8, size: usize) {
    debug_assert!(size < 29);
    let size = (size & 0x1f) as u8;
    if kind <= MAP {
        out.push(kind << 5 | size);
    } else {
        out.extend_from_slice(&[size, kind - MAP]);
    }
}

fn map(out: &mut Vec<u8>, pairs: usize) {
    control(out, MAP, pairs);
}

fn text(out: &mut Vec<u8>, text: &str) {
    control(out, TEXT, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// Leading zero bytes are left out.
fn number(out: &mut Vec<u8>, kind: u8, value: u64) {
    let bytes = value.to_be_bytes();
    let significant = &bytes[(value.leading_zeros() / 8) as usize..];
    control(out, kind, significant.len());
    out.extend_from_slice(significant);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_laid_out_as_the_format_says() {
        let node = |record_size, left, right| {
            let mut out = Vec::new();
            TestDb::new(record_size, 6)
                .write_node(&mut out, left, right)
                .map(|()| out)
        };
        let wide = node(RecordSize::Bits28, 0x0abc_def1, 0x0123_4567).expect("fits");
        assert_eq!(wide, [0xbc, 0xde, 0xf1, 0xa1, 0x23, 0x45, 0x67]);
        let narrow = node(RecordSize::Bits24, 0x00bc_def1, 0x0023_4567).expect("fits");
        assert_eq!(narrow, [0xbc, 0xde, 0xf1, 0x23, 0x45, 0x67]);
        assert!(node(RecordSize::Bits24, 0x0100_0000, 0).is_err());
        assert!(node(RecordSize::Bits28, 0, 0x1000_0000).is_err());
    }
}
