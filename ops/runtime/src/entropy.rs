//! Randomness as an input.

use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::Arc;

use parking_lot::Mutex;

/// A source of random bytes.
pub trait Entropy: Send + Sync + Debug {
    /// Fills `out` with random bytes.
    fn fill(&self, out: &mut [u8]);

    /// A random number.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// A source of random bytes that many owners share.
pub type SharedEntropy = Arc<dyn Entropy>;

/// The operating system's random generator, fit for keys and tokens.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemEntropy;

impl SystemEntropy {
    /// The system's generator, ready to share.
    #[must_use]
    pub fn shared() -> SharedEntropy {
        Arc::new(Self)
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) {
        if aws_lc_rs::rand::fill(out).is_err() {
            // A process without randomness must not go on to make keys.
            std::process::abort();
        }
    }
}

/// The system's generator, drawn for many ids at once: drawing is most of what an id costs. As good as
/// [`SystemEntropy`]; but what was drawn waits in memory, so it is for ids, not for keys.
#[derive(Debug, Default, Clone, Copy)]
pub struct PooledEntropy;

/// What is drawn at once, for each thread.
const POOL_BYTES: usize = 1024;
/// What is more is drawn apart.
const POOLED_BYTES_MAX: usize = 64;

struct Pool {
    bytes: [u8; POOL_BYTES],
    used: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const {
        RefCell::new(Pool {
            bytes: [0; POOL_BYTES],
            used: POOL_BYTES,
        })
    };
}

impl PooledEntropy {
    /// The pool, ready to share.
    #[must_use]
    pub fn shared() -> SharedEntropy {
        Arc::new(Self)
    }
}

impl Entropy for PooledEntropy {
    fn fill(&self, out: &mut [u8]) {
        if out.len() > POOLED_BYTES_MAX {
            SystemEntropy.fill(out);
            return;
        }
        POOL.with_borrow_mut(|pool| {
            if POOL_BYTES - pool.used < out.len() {
                SystemEntropy.fill(&mut pool.bytes);
                pool.used = 0;
            }
            let drawn = &mut pool.bytes[pool.used..pool.used + out.len()];
            out.copy_from_slice(drawn);
            // Nothing is given twice, nor can be found later.
            drawn.fill(0);
            pool.used += out.len();
        });
    }
}

/// A deterministic generator (`SplitMix64`); for tests and simulation only.
#[derive(Debug)]
pub struct SeededEntropy {
    state: Mutex<u64>,
}

impl SeededEntropy {
    /// A generator whose output `seed` decides.
    #[must_use]
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(seed),
        })
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) {
        let mut state = self.state.lock();
        for chunk in out.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = *state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            for (byte, random) in chunk.iter_mut().zip(z.to_le_bytes()) {
                *byte = random;
            }
        }
    }
}

/// Lower-case hexadecimal, for ids and digests in logs and wire formats.
#[must_use]
pub fn hex_lower(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}
