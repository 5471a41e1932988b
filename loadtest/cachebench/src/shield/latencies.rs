//! Latencies of one window.

/// Latencies in nanoseconds, in order of size.
#[derive(Debug, Clone, Default)]
pub(super) struct Latencies(Vec<u64>);

impl Latencies {
    pub(super) fn of(mut ns: Vec<u64>) -> Self {
        ns.sort_unstable();
        Self(ns)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The one that a share of them does not pass, µs; 0 of none.
    pub(super) fn us(&self, share: f64) -> f64 {
        let at = (self.0.len() as f64 * share).ceil() as usize;
        let found = self.0.get(at.saturating_sub(1));
        found.map_or(0.0, |ns| *ns as f64 / 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_them() {
        let latencies = Latencies::of((1..=200).rev().map(|us| us * 1_000).collect());
        assert_eq!(latencies.us(0.5), 100.0);
        assert_eq!(latencies.us(0.99), 198.0);
        assert_eq!(latencies.us(1.0), 200.0);
        assert_eq!(Latencies::default().us(0.99), 0.0);
    }
}
