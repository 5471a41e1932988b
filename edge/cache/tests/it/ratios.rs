//! Which of foyer's evictions keeps the most useful: the reasons for the memory tier's choice, by experiment.
//!
//! A catalogue of objects of different sizes with Zipf 0.9 popularity, the cache at 5 % of its bytes, as a miss stores.
//! `cargo nextest run -p mcsp-edge-cache ratios --no-capture` prints the table.

use foyer::{CacheBuilder, EvictionConfig, LfuConfig, LruConfig, S3FifoConfig, SieveConfig};
use mcsp_runtime::{Entropy, SeededEntropy};

const OBJECTS: u64 = 5_000;
const REQUESTS: usize = 80_000;
const SKEW: f64 = 0.9;

/// How popularity behaves.
#[derive(Debug, Clone, Copy)]
enum Load {
    /// It stays.
    Steady,
    /// Half-way, other objects are popular.
    Shift,
    /// Every other request is for something that is asked for once.
    Scan,
}

struct Zipf {
    cumulated: Vec<f64>,
}

impl Zipf {
    fn new() -> Self {
        let mut sum = 0.0;
        let cumulated = (1..=OBJECTS)
            .map(|rank| {
                sum += 1.0 / (rank as f64).powf(SKEW);
                sum
            })
            .collect();
        Self { cumulated }
    }

    fn draw(&self, random: &SeededEntropy) -> u64 {
        let unit = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let at = unit * self.cumulated.last().unwrap();
        self.cumulated.partition_point(|sum| *sum < at) as u64
    }
}

/// 4 to 131 units, whatever the rank.
fn size(object: u64) -> usize {
    4 + (object.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57) as usize
}

/// Shares of requests and of bytes that were hits, of requests for the catalogue.
fn run(eviction: EvictionConfig, load: Load) -> (f64, f64) {
    let total: usize = (0..OBJECTS).map(size).sum();
    let cache = CacheBuilder::new(total / 20)
        .with_shards(1)
        .with_eviction_config(eviction)
        .with_weighter(|_: &u64, weight: &usize| *weight)
        .build::<foyer::CacheProperties>();
    let zipf = Zipf::new();
    let random = SeededEntropy::new(1);
    let (mut asked, mut hits, mut bytes, mut hit_bytes) = (0usize, 0usize, 0usize, 0usize);
    for n in 0..REQUESTS {
        let mut object = zipf.draw(&random);
        if matches!(load, Load::Shift) && n >= REQUESTS / 2 {
            object = (object + OBJECTS / 3) % OBJECTS;
        }
        let weight = size(object);
        let counts = n >= REQUESTS / 4;
        let is_hit = cache.get(&object).is_some();
        if !is_hit {
            cache.insert(object, weight);
        }
        if counts {
            asked += 1;
            bytes += weight;
            hits += usize::from(is_hit);
            hit_bytes += if is_hit { weight } else { 0 };
        }
        if matches!(load, Load::Scan) {
            let once = OBJECTS + n as u64;
            cache.insert(once, size(once));
        }
    }
    (hits as f64 / asked as f64, hit_bytes as f64 / bytes as f64)
}

#[test]
fn what_the_memory_tier_uses_is_the_best_or_near_it() {
    let lfu = |window, eps| {
        EvictionConfig::from(LfuConfig {
            window_capacity_ratio: window,
            protected_capacity_ratio: 0.8,
            cmsketch_eps: eps,
            cmsketch_confidence: 0.9,
        })
    };
    let s3 = |small, ghost, threshold| {
        EvictionConfig::from(S3FifoConfig {
            small_queue_capacity_ratio: small,
            ghost_queue_capacity_ratio: ghost,
            small_to_main_freq_threshold: threshold,
        })
    };
    let candidates = [
        ("lru", EvictionConfig::from(LruConfig::default())),
        ("sieve", EvictionConfig::from(SieveConfig {})),
        ("w-tinylfu", lfu(0.1, 0.001)),
        ("s3-fifo 10/100", s3(0.1, 1.0, 1)),
        ("s3-fifo 5/50", s3(0.05, 0.5, 1)),
    ];
    let mut table = Vec::new();
    for (name, eviction) in candidates {
        let row = [Load::Steady, Load::Shift, Load::Scan].map(|load| run(eviction.clone(), load));
        let cells: Vec<String> = row
            .iter()
            .map(|(requests, bytes)| format!("{:5.1} {:5.1}", requests * 100.0, bytes * 100.0))
            .collect();
        // The table is what the test is for.
        std::io::Write::write_all(
            &mut std::io::stdout(),
            format!("{name:20} {}\n", cells.join("  |  ")).as_bytes(),
        )
        .unwrap();
        table.push(row);
    }
    let chosen = table.pop().unwrap();
    let lru = table.remove(0);
    for load in 0..3 {
        let (requests, bytes) = chosen[load];
        assert!(requests > lru[load].0 + 0.05 && bytes > lru[load].1 + 0.05);
        for other in &table {
            assert!(requests > other[load].0 - 0.01, "load {load}: {table:?}");
        }
    }
}
