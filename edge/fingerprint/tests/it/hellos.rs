//! ClientHellos made to measure.

/// What a hello is made of.
#[derive(Debug, Clone)]
pub(crate) struct Hello {
    pub(crate) version: u16,
    pub(crate) ciphers: Vec<u16>,
    pub(crate) extensions: Vec<(u16, Vec<u8>)>,
}

fn list(bytes: &[u8], length_bytes: usize) -> Vec<u8> {
    let length = (bytes.len() as u64).to_be_bytes();
    [&length[8 - length_bytes..], bytes].concat()
}

pub(crate) fn numbers(values: &[u16]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect()
}

pub(crate) fn sni() -> (u16, Vec<u8>) {
    let name = [&[0][..], &list(b"example.com", 2)].concat();
    (0x0000, list(&name, 2))
}

pub(crate) fn alpn(protocols: &[&[u8]]) -> (u16, Vec<u8>) {
    let all: Vec<u8> = protocols
        .iter()
        .flat_map(|protocol| list(protocol, 1))
        .collect();
    (0x0010, list(&all, 2))
}

pub(crate) fn versions(values: &[u16]) -> (u16, Vec<u8>) {
    (0x002b, list(&numbers(values), 1))
}

pub(crate) fn signatures(values: &[u16]) -> (u16, Vec<u8>) {
    (0x000d, list(&numbers(values), 2))
}

/// The example of the public description: Chrome, with GREASE where Chrome has it.
pub(crate) fn chrome() -> Hello {
    let order = [
        0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012,
        0x002b, 0xff01, 0x000b, 0x000a, 0x0015,
    ];
    let mut extensions = vec![(0x1a1a, vec![])];
    extensions.extend(order.map(|kind| match kind {
        0x0000 => sni(),
        0x0010 => alpn(&[b"h2", b"http/1.1"]),
        0x000d => signatures(&[
            0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
        ]),
        0x002b => versions(&[0x7a7a, 0x0304, 0x0303]),
        kind => (kind, vec![0; 3]),
    }));
    extensions.push((0xfafa, vec![0]));
    Hello {
        version: 0x0303,
        ciphers: vec![
            0x8a8a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013,
            0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
        ],
        extensions,
    }
}

impl Hello {
    /// The handshake message.
    pub(crate) fn message(&self) -> Vec<u8> {
        let extensions: Vec<u8> = self
            .extensions
            .iter()
            .flat_map(|(kind, data)| [&kind.to_be_bytes()[..], &list(data, 2)].concat())
            .collect();
        let body = [
            &self.version.to_be_bytes()[..],
            &[7; 32],
            &list(&[9; 32], 1),
            &list(&numbers(&self.ciphers), 2),
            &list(&[0], 1),
            &list(&extensions, 2),
        ]
        .concat();
        [&[1][..], &list(&body, 3)].concat()
    }
}

/// A message in records of at most so many bytes.
pub(crate) fn records(message: &[u8], bytes_max: usize) -> Vec<u8> {
    message
        .chunks(bytes_max)
        .flat_map(|chunk| [&[22, 3, 1][..], &list(chunk, 2)].concat())
        .collect()
}
