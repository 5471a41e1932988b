//! The requests of `bench hit-ratio`: a catalogue, and who is popular when. Seeded, so that every server gets the same.

use crate::random::Random;
use crate::sized::path_of;

/// Zipf's exponent.
const EXPONENT: f64 = 0.9;
/// Sizes are log-normal like those of segments and art: median, deviation of the logarithm, bounds, bytes.
const SIZE_MEDIAN: f64 = 64.0 * 1024.0;
const SIZE_DEVIATION: f64 = 1.0;
const SIZE_MIN: f64 = 2.0 * 1024.0;
const SIZE_MAX: f64 = 1024.0 * 1024.0;

/// Objects and their sizes.
#[derive(Debug, Clone)]
pub(crate) struct Catalogue {
    sizes: Vec<usize>,
    /// Of each rank, the share of requests for it and all before it.
    cumulative: Vec<f64>,
}

impl Catalogue {
    /// So many objects.
    pub(crate) fn new(objects: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let sizes = (0..objects).map(|_| size(&mut random)).collect();
        let mut sum = 0.0;
        let mut cumulative: Vec<f64> = (1..=objects)
            .map(|rank| {
                sum += (rank as f64).powf(-EXPONENT);
                sum
            })
            .collect();
        for share in &mut cumulative {
            *share /= sum;
        }
        Self { sizes, cumulative }
    }

    /// The bytes of all.
    pub(crate) fn bytes(&self) -> u64 {
        self.sizes.iter().map(|size| *size as u64).sum()
    }

    /// How many there are.
    pub(crate) fn objects(&self) -> usize {
        self.sizes.len()
    }

    fn rank(&self, random: &mut Random) -> usize {
        let share = random.unit();
        let rank = self.cumulative.partition_point(|up_to| *up_to <= share);
        rank.min(self.sizes.len() - 1)
    }
}

/// A size: log-normal within bounds, in whole KiB so that paths are few.
fn size(random: &mut Random) -> usize {
    let bytes = SIZE_MEDIAN * (SIZE_DEVIATION * random.normal()).exp();
    (bytes.clamp(SIZE_MIN, SIZE_MAX) / 1024.0) as usize * 1024
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// What for.
    pub(crate) path: String,
    /// Its bytes.
    pub(crate) bytes: usize,
    /// Is it one of a scan: asked for once and never again?
    pub(crate) is_scan: bool,
}

/// A part of the trace.
#[derive(Debug, Clone)]
pub(crate) struct Phase {
    /// Its name in tables.
    pub(crate) name: &'static str,
    /// Its requests.
    pub(crate) asks: Vec<Ask>,
    /// Those before this one are not counted: the cache fills.
    pub(crate) counted_from: usize,
}

/// The phases, one after another: the cache fills and settles; what is popular changes; a scan runs beside the viewers.
pub(crate) fn phases(catalogue: &Catalogue, requests: usize, seed: u64) -> Vec<Phase> {
    let mut random = Random::new(seed);
    let mut ranked: Vec<usize> = (0..catalogue.objects()).collect();
    random.shuffle(&mut ranked);
    let ask = |object: usize| Ask {
        path: format!("/c/{}", path_of(catalogue.sizes[object], object)),
        bytes: catalogue.sizes[object],
        is_scan: false,
    };
    let settled = (0..2 * requests)
        .map(|_| ask(ranked[catalogue.rank(&mut random)]))
        .collect();
    let steady = Phase {
        name: "Zipf 0.9, settled",
        asks: settled,
        counted_from: requests,
    };
    // What was least popular is now what everybody wants.
    ranked.reverse();
    let shift = Phase {
        name: "after the shift",
        asks: (0..requests)
            .map(|_| ask(ranked[catalogue.rank(&mut random)]))
            .collect(),
        counted_from: 0,
    };
    let mut scan = Vec::new();
    for scanned in 0..requests {
        scan.push(ask(ranked[catalogue.rank(&mut random)]));
        let bytes = size(&mut random);
        scan.push(Ask {
            path: format!("/scan/{}", path_of(bytes, scanned)),
            bytes,
            is_scan: true,
        });
    }
    let scan = Phase {
        name: "viewers beside a scan",
        asks: scan,
        counted_from: 0,
    };
    vec![steady, shift, scan]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_trace_and_another_another() {
        let catalogue = Catalogue::new(500, 1);
        let trace = |seed| phases(&catalogue, 200, seed)[1].asks.clone();
        assert_eq!(trace(7), trace(7));
        assert_ne!(trace(7), trace(8));
    }

    #[test]
    fn the_popular_are_as_popular_as_zipf_says() {
        let catalogue = Catalogue::new(1000, 1);
        let asks = &phases(&catalogue, 20_000, 3)[0].asks;
        let mut counts = std::collections::HashMap::new();
        for ask in asks {
            *counts.entry(&ask.path).or_insert(0_u32) += 1;
        }
        let mut counts: Vec<u32> = counts.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        // Of rank 1 and rank 10 by 10^0.9 = 7.9.
        let ratio = f64::from(counts[0]) / f64::from(counts[9]);
        assert!((5.5..11.0).contains(&ratio), "{ratio}");
    }

    #[test]
    fn sizes_are_within_their_bounds() {
        let catalogue = Catalogue::new(2000, 1);
        let mean = catalogue.bytes() / 2000;
        assert!((64 << 10..160 << 10).contains(&mean), "{mean}");
        assert!(catalogue.sizes.iter().all(|size| *size <= 1 << 20));
    }
}
