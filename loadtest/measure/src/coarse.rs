//! A distribution that is small enough to have one for each second.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Bins per power of two: a bin is at most 3.2 % wide.
const BINS_LOG2: u32 = 5;
const BINS: u64 = 1 << BINS_LOG2;

/// Counts of values in bins that grow with the value, 3.2 % wide at most; only bins that hold something take room. Adding two is
/// exact.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(u16, u64)>", into = "Vec<(u16, u64)>")]
pub struct Coarse(BTreeMap<u16, u64>);

impl From<Vec<(u16, u64)>> for Coarse {
    fn from(bins: Vec<(u16, u64)>) -> Self {
        let mut coarse = Self::default();
        for (bin, count) in bins {
            *coarse.0.entry(bin).or_insert(0) += count;
        }
        coarse
    }
}

impl From<Coarse> for Vec<(u16, u64)> {
    fn from(coarse: Coarse) -> Self {
        coarse.0.into_iter().collect()
    }
}

impl Coarse {
    /// One more value.
    pub fn record(&mut self, value: u64) {
        *self.0.entry(Self::bin(value)).or_insert(0) += 1;
    }

    /// All that another one holds.
    pub fn merge(&mut self, other: &Self) {
        for (bin, count) in &other.0 {
            *self.0.entry(*bin).or_insert(0) += count;
        }
    }

    /// How many values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// The bins that hold something: lowest value, first value above, count.
    pub fn bins(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        self.0
            .iter()
            .map(|(bin, count)| (Self::low(*bin), Self::low(bin.saturating_add(1)), *count))
    }

    /// The value below or at which this share of values lies, within a bin's width; none when there are none.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        Self::quantile_of(
            self.0.iter().map(|(bin, count)| (*bin, *count)),
            self.count(),
            quantile,
        )
    }

    /// As [`Coarse::quantile`], of bins in order that hold `count` values together.
    pub(crate) fn quantile_of(
        bins: impl Iterator<Item = (u16, u64)>,
        count: u64,
        quantile: f64,
    ) -> Option<f64> {
        // As HDR histograms do: the value of the first one that reaches the rank; within the bin, by straight line.
        let rank = (quantile.clamp(0.0, 1.0) * count as f64).max(1.0);
        let mut before = 0.0;
        for (bin, count) in bins {
            let count = count as f64;
            if before + count >= rank {
                let low = Self::low(bin);
                let width = (Self::low(bin.saturating_add(1)) - low).saturating_sub(1) as f64;
                return Some(low as f64 + width * ((rank - before - 0.5).max(0.0) / count));
            }
            before += count;
        }
        None
    }

    /// How many values are above `value`; those of its own bin are not.
    #[must_use]
    pub fn above(&self, value: u64) -> u64 {
        let own = Self::bin(value);
        self.0
            .range(own.saturating_add(1)..)
            .map(|(_, count)| count)
            .sum()
    }

    fn bin(value: u64) -> u16 {
        if value < BINS {
            return value as u16;
        }
        let shift = value.ilog2() - BINS_LOG2;
        // At most (59 + 1) * 32 + 31.
        ((u64::from(shift) + 1) * BINS + (value >> shift) - BINS) as u16
    }

    fn low(bin: u16) -> u64 {
        let bin = u64::from(bin);
        if bin < BINS {
            return bin;
        }
        let shift = u32::try_from(bin / BINS - 1).unwrap_or(u32::MAX);
        let value = (BINS + bin % BINS).checked_shl(shift).unwrap_or(u64::MAX);
        // `checked_shl` does not tell of bits that were pushed out.
        if value.checked_shr(shift) == Some(BINS + bin % BINS) {
            value
        } else {
            u64::MAX
        }
    }
}
