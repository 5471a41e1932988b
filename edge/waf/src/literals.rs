//! Many short literals at once, without case: which of them occur in a value.
//!
//! Rule sets have thousands of them, and an automaton of as many has megabytes of transitions, each of which waits for the one
//! before and misses the core's caches. Here a value's last bytes run through a register; three small maps tell whether any
//! literal ends with them, and only where one may is it compared.

/// Longest literal that is compared, bytes: what fits a register. Of longer ones this much of the beginning is asked for.
const LITERAL_BYTES_MAX: usize = 8;

/// Bits of the index of a map of two bytes: 8 KiB, of which text uses one.
const PAIR_BITS: u32 = 16;
/// Bits of the index of the others: 4 KiB a map. Twice that hold fewer by chance, and do not fit a core's first cache.
const HASH_BITS: u32 = 15;
/// Bits of a bucket's index.
const BUCKET_BITS: u32 = 12;
/// `2^32` by the golden ratio.
const SPREAD: u32 = 0x9e37_79b1;

/// A literal's last bytes, at most four, by which it is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    Two,
    Three,
    Four,
}

impl Tail {
    const fn of(length: usize) -> Self {
        match length {
            0..=2 => Self::Two,
            3 => Self::Three,
            _ => Self::Four,
        }
    }

    /// Where a window with these last bytes is in the map. Two bytes are their own place.
    #[inline]
    const fn place(self, window: u64) -> u32 {
        let last = window as u32;
        match self {
            Self::Two => last & 0xffff,
            Self::Three => (last & 0x00ff_ffff).wrapping_mul(SPREAD) >> (32 - HASH_BITS),
            Self::Four => last.wrapping_mul(SPREAD) >> (32 - HASH_BITS),
        }
    }

    /// The upper bits of a hash are its better ones; those of two bytes are one byte, and so are those of their bucket.
    #[inline]
    const fn bucket(self, place: u32) -> u32 {
        match self {
            Self::Two => place >> (PAIR_BITS - BUCKET_BITS),
            Self::Three | Self::Four => place >> (HASH_BITS - BUCKET_BITS),
        }
    }
}

/// A set of places.
#[derive(Debug)]
struct Map<const WORDS: usize>(Box<[u64; WORDS]>);

/// Of two bytes.
type PairMap = Map<{ 1 << (PAIR_BITS - 6) }>;
/// Of more.
type HashMap = Map<{ 1 << (HASH_BITS - 6) }>;

impl<const WORDS: usize> Map<WORDS> {
    fn new() -> Self {
        Self(Box::new([0; WORDS]))
    }

    fn insert(&mut self, place: u32) {
        self.0[(place >> 6) as usize] |= 1 << (place & 63);
    }

    /// 1 in the lowest bit if it is there; the other bits are anything.
    #[inline]
    fn bit(&self, place: u32) -> u64 {
        self.0[(place >> 6) as usize] >> (place & 63)
    }
}

/// A literal as it looks in a window: its last byte in the lowest bits.
#[derive(Debug, Clone, Copy)]
struct Entry {
    text: u64,
    mask: u64,
    length: usize,
    number: u32,
}

/// A set of literals.
#[derive(Debug)]
pub(crate) struct Literals {
    two: PairMap,
    three: HashMap,
    four: HashMap,
    /// By bucket: where its entries begin; one more for the end.
    begins: Vec<u32>,
    entries: Vec<Entry>,
}

impl Literals {
    /// A set; literals are of two bytes at least, and known by their place in the list.
    pub(crate) fn new<'a>(literals: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let (mut two, mut three, mut four) = (PairMap::new(), HashMap::new(), HashMap::new());
        let mut placed = Vec::new();
        for (number, literal) in (0u32..).zip(literals) {
            let literal = &literal[..literal.len().min(LITERAL_BYTES_MAX)];
            let text = literal.iter().fold(0, |window, byte| push(window, *byte));
            let tail = Tail::of(literal.len());
            let place = tail.place(text);
            match tail {
                Tail::Two => two.insert(place),
                Tail::Three => three.insert(place),
                Tail::Four => four.insert(place),
            }
            let entry = Entry {
                text,
                mask: u64::MAX
                    .checked_shr(64 - 8 * literal.len() as u32)
                    .unwrap_or(0),
                length: literal.len(),
                number,
            };
            placed.push((tail.bucket(place), entry));
        }
        placed.sort_by_key(|(bucket, entry)| (*bucket, entry.number));
        let begin = |bucket| placed.partition_point(|(of, _)| *of < bucket) as u32;
        Self {
            two,
            three,
            four,
            begins: (0..=1 << BUCKET_BITS).map(begin).collect(),
            entries: placed.into_iter().map(|(_, entry)| entry).collect(),
        }
    }

    /// Calls `found` for each literal that occurs, by its number; for one that occurs more than once, more than once.
    pub(crate) fn find(&self, value: &[u8], mut found: impl FnMut(u32)) {
        let mut window = 0;
        for (at, byte) in value.iter().enumerate() {
            window = push(window, *byte);
            let places = [Tail::Two, Tail::Three, Tail::Four].map(|tail| tail.place(window));
            let [two, three, four] = places;
            if (self.two.bit(two) | self.three.bit(three) | self.four.bit(four)) & 1 != 0 {
                self.compare(window, at + 1, places, &mut found);
            }
        }
    }

    /// Looks at the literals that may end here, after `read` bytes of a value.
    #[inline]
    fn compare(&self, window: u64, read: usize, places: [u32; 3], found: &mut impl FnMut(u32)) {
        let [two, three, four] = places;
        let known = [
            (Tail::Two, two, self.two.bit(two)),
            (Tail::Three, three, self.three.bit(three)),
            (Tail::Four, four, self.four.bit(four)),
        ];
        for (tail, place, bit) in known {
            if bit & 1 == 0 {
                continue;
            }
            let bucket = tail.bucket(place) as usize;
            let (begin, end) = (self.begins[bucket], self.begins[bucket + 1]);
            for entry in &self.entries[begin as usize..end as usize] {
                if window & entry.mask == entry.text && read >= entry.length {
                    found(entry.number);
                }
            }
        }
    }
}

/// The window after one more byte, its letters in lower case.
#[inline]
const fn push(window: u64, byte: u8) -> u64 {
    window << 8 | byte.to_ascii_lowercase() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(literals: &[Vec<u8>], value: &[u8]) -> Vec<bool> {
        let mut seen = vec![false; literals.len()];
        Literals::new(literals.iter().map(Vec::as_slice))
            .find(value, |number| seen[number as usize] = true);
        seen
    }

    /// Few letters, of both cases, so that much occurs; zero, which a window begins with; and bytes that only look like letters.
    fn bytes(least: usize, most: usize) -> impl Strategy<Value = Vec<u8>> {
        let byte = prop::sample::select(&b"aAbB.\0\xe1[{"[..]);
        prop::collection::vec(byte, least..most)
    }

    proptest! {
        #[test]
        fn what_occurs_is_found_and_nothing_else(
            literals in prop::collection::vec(bytes(2, LITERAL_BYTES_MAX + 1), 0..60), value in bytes(0, 60),
        ) {
            let lower = value.to_ascii_lowercase();
            let plain = |literal: &Vec<u8>| memchr::memmem::find(&lower, &literal.to_ascii_lowercase()).is_some();
            let expected: Vec<bool> = literals.iter().map(plain).collect();
            assert_eq!(found(&literals, &value), expected);
        }

        #[test]
        fn any_bytes_are_found_in_themselves(before: Vec<u8>, literal in prop::collection::vec(any::<u8>(), 2..9), after: Vec<u8>) {
            let value = [before, literal.to_ascii_uppercase(), after].concat();
            assert_eq!(found(&[literal], &value), [true]);
        }
    }

    #[test]
    fn of_a_long_literal_its_beginning_is_asked_for() {
        let long = vec![b"information_schema".to_vec()];
        assert_eq!(found(&long, b"INFORMATION"), [true]);
        assert_eq!(found(&long, b"informal"), [false]);
    }
}
