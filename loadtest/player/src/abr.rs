//! Which rendition is fetched next. Pure: what was measured goes in, an index comes out.

use mcsp_loadtest_scenario::Abr;

/// Half-lives of the two means of throughput, s of transfer; the smaller mean counts (hls.js: `abrEwmaFastVoD`, `abrEwmaSlowVoD`).
const FAST_HALF_LIFE_S: f64 = 3.0;
const SLOW_HALF_LIFE_S: f64 = 9.0;
/// Before anything was measured, bits per second (hls.js: `abrEwmaDefaultEstimate`).
const DEFAULT_BPS: f64 = 500_000.0;
/// Transfers shorter than this are taken for this long, s: caches answer faster than a clock's step.
const TRANSFER_S_MIN: f64 = 0.05;

/// Throughput as players measure it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Throughput {
    fast: Mean,
    slow: Mean,
}

/// An exponentially weighted mean that corrects for its beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    fn add(&mut self, value: f64, weight_s: f64, half_life_s: f64) {
        let kept = 0.5_f64.powf(weight_s / half_life_s);
        self.sum = value * (1.0 - kept) + kept * self.sum;
        self.weight = 1.0 - kept + kept * self.weight;
    }

    fn value(self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

impl Throughput {
    /// A body of `bytes` took `us`, from the request to its last byte.
    pub fn add(&mut self, bytes: u64, us: u64) {
        let took_s = (us as f64 / 1e6).max(TRANSFER_S_MIN);
        let bps = bytes as f64 * 8.0 / took_s;
        self.fast.add(bps, took_s, FAST_HALF_LIFE_S);
        self.slow.add(bps, took_s, SLOW_HALF_LIFE_S);
    }

    /// Bits per second.
    #[must_use]
    pub fn bps(&self) -> f64 {
        match (self.fast.value(), self.slow.value()) {
            (Some(fast), Some(slow)) => fast.min(slow),
            _ => DEFAULT_BPS,
        }
    }
}

/// What a choice depends on.
#[derive(Debug, Clone, Copy)]
pub struct Situation {
    /// Measured, bits per second.
    pub throughput_bps: f64,
    /// What of it may be taken.
    pub share: f64,
    /// Media that is there, s.
    pub buffer_s: f64,
    /// How long a segment is, s; 0: nobody knows yet.
    pub segment_s: f64,
    /// The most that is there when a choice is made, s: the buffer less one segment.
    pub buffer_max_s: f64,
}

/// The index of the rendition to fetch; `bitrates` in bits per second, rising. 0 when there is none.
#[must_use]
pub fn choose(abr: Abr, bitrates: &[u64], now: &Situation) -> usize {
    let top = bitrates.len().saturating_sub(1);
    match abr {
        Abr::Lowest => 0,
        Abr::Highest => top,
        Abr::Throughput => by_throughput(bitrates, now),
        Abr::Buffer => by_buffer(bitrates, now),
        Abr::Hybrid => {
            let safe = by_throughput(bitrates, now);
            safe.max(by_buffer(bitrates, now).min(by_reach(bitrates, now)))
        }
    }
}

/// The highest of which a segment is there before the buffer is empty (dash.js: the rule of insufficient buffers). Buffers of two
/// or three segments say too little for BOLA to be left alone with them.
fn by_reach(bitrates: &[u64], now: &Situation) -> usize {
    let segments = now.buffer_s / now.segment_s.max(1.0);
    let bears = now.throughput_bps * now.share * segments;
    let fitting = bitrates.iter().rposition(|rate| *rate as f64 <= bears);
    fitting.unwrap_or(0)
}

/// The highest that the throughput bears.
fn by_throughput(bitrates: &[u64], now: &Situation) -> usize {
    let bears = now.throughput_bps * now.share;
    let fitting = bitrates.iter().rposition(|rate| *rate as f64 <= bears);
    fitting.unwrap_or(0)
}

/// BOLA (Spiteri, Urgaonkar, Sitaraman: "BOLA: Near-Optimal Bitrate Adaptation for Online Videos", INFOCOM 2016): the best of
/// (V · (utility + γp) − buffer) / bitrate, with V such that the top one is fetched until the buffer is full.
fn by_buffer(bitrates: &[u64], now: &Situation) -> usize {
    /// With γp at least 1 an empty buffer always asks for the lowest.
    const GAMMA_P: f64 = 1.0;
    let lowest = bitrates.first().copied().unwrap_or(1).max(1) as f64;
    let utility = |rate: u64| (rate as f64 / lowest).max(1.0).ln();
    let top = bitrates.last().map_or(0.0, |rate| utility(*rate));
    let v = now.buffer_max_s / (top + GAMMA_P);
    let score = |rate: u64| (v * (utility(rate) + GAMMA_P) - now.buffer_s) / (rate.max(1) as f64);
    let mut best = (0, f64::NEG_INFINITY);
    for (index, rate) in bitrates.iter().enumerate() {
        let score = score(*rate);
        if score > best.1 || (score <= 0.0 && score >= best.1) {
            best = (index, score);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ladder() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec(1_000_u64..50_000_000, 1..8).prop_map(|mut rates| {
            rates.sort_unstable();
            rates.dedup();
            rates
        })
    }

    fn at(throughput_bps: f64, buffer_s: f64) -> Situation {
        Situation {
            throughput_bps,
            share: 0.8,
            buffer_s,
            segment_s: 4.0,
            buffer_max_s: 10.0,
        }
    }

    proptest! {
        #[test]
        fn more_throughput_or_buffer_never_chooses_less(
            rates in ladder(), bps in 0.0_f64..6e7, more in 0.0_f64..6e7, buffer in 0.0_f64..10.0, further in 0.0_f64..10.0,
        ) {
            for abr in [Abr::Throughput, Abr::Buffer, Abr::Lowest, Abr::Highest, Abr::Hybrid] {
                let chosen = choose(abr, &rates, &at(bps, buffer));
                prop_assert!(chosen < rates.len());
                prop_assert!(choose(abr, &rates, &at(bps + more, buffer)) >= chosen);
            }
            let fuller = (buffer + further).min(10.0);
            let low = choose(Abr::Buffer, &rates, &at(0.0, buffer));
            prop_assert!(choose(Abr::Buffer, &rates, &at(0.0, fuller)) >= low);
        }

        #[test]
        fn what_throughput_chooses_it_bears(rates in ladder(), bps in 0.0_f64..6e7) {
            let chosen = choose(Abr::Throughput, &rates, &at(bps, 0.0));
            prop_assert!(chosen == 0 || rates[chosen] as f64 <= bps * 0.8);
            prop_assert!(rates.get(chosen + 1).is_none_or(|next| *next as f64 > bps * 0.8));
        }

        #[test]
        fn an_empty_buffer_asks_for_the_lowest_and_a_full_one_for_the_highest(rates in ladder()) {
            prop_assert_eq!(choose(Abr::Buffer, &rates, &at(0.0, 0.0)), 0);
            prop_assert_eq!(choose(Abr::Buffer, &rates, &at(0.0, 10.0)), rates.len() - 1);
        }

        #[test]
        fn a_steady_link_is_measured_as_it_is(kbit_s in 10_u64..100_000, count in 1_usize..20) {
            let mut throughput = Throughput::default();
            for _ in 0..count {
                throughput.add(kbit_s * 1_000 / 8, 1_000_000);
            }
            prop_assert!((throughput.bps() / (kbit_s as f64 * 1e3) - 1.0).abs() < 1e-3);
        }
    }
}
