//! Sets of byte values: what a value contains, and what a transformation or a pattern can care about.

/// A set of the 256 byte values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByteSet([u64; 4]);

impl ByteSet {
    /// All byte values.
    pub const ALL: Self = Self([u64::MAX; 4]);
    /// None.
    pub const EMPTY: Self = Self([0; 4]);

    /// The byte values that occur in `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        // Four sets that do not wait for one another.
        let [mut one, mut two, mut three, mut four] = [Self::EMPTY; 4];
        let (fours, rest) = bytes.as_chunks::<4>();
        for [a, b, c, d] in fours {
            one.insert(*a);
            two.insert(*b);
            three.insert(*c);
            four.insert(*d);
        }
        for byte in rest {
            one.insert(*byte);
        }
        one.extend(&two);
        three.extend(&four);
        one.extend(&three);
        one
    }

    /// The byte values that occur in a value with these, once its ASCII letters are in lower case.
    #[must_use]
    pub fn lowered(&self) -> Self {
        // `A` to `Z` are 0x41 to 0x5a, and what is for `a` stands 32 bits higher in the same word.
        const UPPER: u64 = 0x07ff_fffe;
        let mut lowered = *self;
        lowered.0[1] = self.0[1] & !UPPER | (self.0[1] & UPPER) << 32;
        lowered
    }

    /// The same, known while compiling.
    #[must_use]
    pub const fn literal(bytes: &[u8]) -> Self {
        let mut set = [0u64; 4];
        let mut i = 0;
        while i < bytes.len() {
            set[(bytes[i] >> 6) as usize] |= 1 << (bytes[i] & 63);
            i += 1;
        }
        Self(set)
    }

    /// With a range of values, inclusive.
    #[must_use]
    pub const fn with_range(mut self, first: u8, last: u8) -> Self {
        let mut byte = first;
        loop {
            self.0[(byte >> 6) as usize] |= 1 << (byte & 63);
            if byte == last {
                return self;
            }
            byte += 1;
        }
    }

    /// Adds one value.
    #[inline]
    pub fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    /// Whether a value is in the set.
    #[must_use]
    #[inline]
    pub fn contains(&self, byte: u8) -> bool {
        self.has(byte)
    }

    /// The same, known while compiling.
    #[must_use]
    #[inline]
    pub const fn has(&self, byte: u8) -> bool {
        self.0[(byte >> 6) as usize] & (1 << (byte & 63)) != 0
    }

    /// Whether the sets share a value.
    #[must_use]
    #[inline]
    pub fn meets(&self, other: &Self) -> bool {
        (self.0[0] & other.0[0])
            | (self.0[1] & other.0[1])
            | (self.0[2] & other.0[2])
            | (self.0[3] & other.0[3])
            != 0
    }

    /// Whether every value of `other` is in this set.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.0
            .iter()
            .zip(other.0)
            .all(|(mine, theirs)| theirs & !mine == 0)
    }

    /// All values but these.
    #[must_use]
    pub fn complement(&self) -> Self {
        Self(self.0.map(|word| !word))
    }

    /// Adds all of `other`.
    #[inline]
    pub fn extend(&mut self, other: &Self) {
        self.0[0] |= other.0[0];
        self.0[1] |= other.0[1];
        self.0[2] |= other.0[2];
        self.0[3] |= other.0[3];
    }

    /// How many values are in the set.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.0[0].count_ones()
            + self.0[1].count_ones()
            + self.0[2].count_ones()
            + self.0[3].count_ones()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// The set as 32 bytes, to compare and to hash.
    #[must_use]
    pub fn to_bits(self) -> [u8; 32] {
        let mut out = [0; 32];
        for (chunk, word) in out.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_set_has_what_is_there_and_nothing_else(value: Vec<u8>) {
            let set = ByteSet::of(&value);
            let lowered = ByteSet::of(&value.to_ascii_lowercase());
            for byte in 0..=u8::MAX {
                assert_eq!(set.contains(byte), value.contains(&byte), "{byte}");
            }
            assert_eq!(set.lowered(), lowered);
        }
    }
}
