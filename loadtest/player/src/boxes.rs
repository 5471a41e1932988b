//! As much of ISO/IEC 14496-12 as tells whether a segment is whole, and which picture an initialisation segment is for.

/// Whether top-level boxes fill the bytes exactly; fed as they come.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BoxWalk {
    header: [u8; 16],
    held: usize,
    left: u64,
    boxes: u32,
    is_broken: bool,
}

impl BoxWalk {
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_broken {
            if self.left > 0 {
                let here = usize::try_from(self.left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                self.left -= here as u64;
                bytes = bytes.get(here..).unwrap_or_default();
                continue;
            }
            if let (Some(slot), Some(byte)) = (self.header.get_mut(self.held), bytes.first()) {
                *slot = *byte;
            }
            self.held += 1;
            bytes = bytes.get(1..).unwrap_or_default();
            self.open();
        }
    }

    /// Begins a box when enough of its header is there.
    fn open(&mut self) {
        let [a, b, c, d, ..] = self.header;
        let short = u64::from(u32::from_be_bytes([a, b, c, d]));
        let header = if short == 1 { 16 } else { 8 };
        if self.held < header {
            return;
        }
        let [.., s, t, u, v, w, x, y, z] = self.header;
        let size = if short == 1 {
            u64::from_be_bytes([s, t, u, v, w, x, y, z])
        } else {
            short
        };
        self.held = 0;
        self.boxes += 1;
        match size.checked_sub(header as u64) {
            Some(left) => self.left = left,
            None => self.is_broken = true,
        }
    }

    /// None: it is. Else what is wrong.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        if self.is_broken {
            Some("a box that is smaller than its header")
        } else if self.boxes == 0 && self.held == 0 {
            Some("no box at all")
        } else if self.held > 0 || self.left > 0 {
            Some("ends within a box")
        } else {
            None
        }
    }
}

/// Width and height of the picture that an initialisation segment is for; none for sound.
pub(crate) fn picture(init: &[u8]) -> Option<(u32, u32)> {
    let moov = children(init).find(|(kind, _)| kind == b"moov")?.1;
    children(moov)
        .filter(|(kind, _)| kind == b"trak")
        .find_map(|(_, trak)| {
            let mdia = children(trak).find(|(kind, _)| kind == b"mdia")?.1;
            let minf = children(mdia).find(|(kind, _)| kind == b"minf")?.1;
            children(minf).find(|(kind, _)| kind == b"vmhd")?;
            let stbl = children(minf).find(|(kind, _)| kind == b"stbl")?.1;
            let stsd = children(stbl).find(|(kind, _)| kind == b"stsd")?.1;
            // A full box with a count, then sample entries; width and height lie 24 bytes into a visual one (section 12.1.3).
            let entry = children(stsd.get(8..)?).next()?.1;
            let (width, height) = (entry.get(24..26)?, entry.get(26..28)?);
            let number = |bytes: &[u8]| {
                bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
            };
            Some((number(width), number(height)))
        })
}

/// The boxes in `bytes`, up to the first that is none.
fn children(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let size: [u8; 4] = rest.get(..4)?.try_into().ok()?;
        let size = usize::try_from(u32::from_be_bytes(size)).ok()?;
        let kind = rest.get(4..8)?;
        let body = rest.get(8..size)?;
        rest = rest.get(size..)?;
        Some((kind, body))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_anywhere_is_seen_however_the_bytes_come() {
        let mut whole = [&[0, 0, 0, 12][..], b"moof", &[0; 4]].concat();
        whole.extend_from_slice(&[0, 0, 0, 1]);
        whole.extend_from_slice(b"mdat");
        whole.extend_from_slice(&20_u64.to_be_bytes());
        whole.extend_from_slice(&[9; 4]);
        for piece in 1..whole.len() {
            for cut in 0..=whole.len() {
                let mut walk = BoxWalk::default();
                for part in whole[..cut].chunks(piece) {
                    walk.feed(part);
                }
                let is_whole = cut == whole.len() || cut == 12;
                assert_eq!(walk.fault().is_none(), is_whole, "cut at {cut} by {piece}");
            }
        }
    }
}
