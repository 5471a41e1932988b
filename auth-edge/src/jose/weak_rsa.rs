//! RSA moduli whose primes a faulty generator made (CVE-2017-15361, "ROCA": Nemec et al., CCS 2017).

/// Primes by which such a modulus leaves a power of 65 537, each with the remainders that it can leave.
const PRIMES: [u64; 17] = [
    11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157,
];
const GENERATOR: u64 = 65_537;

/// Does the modulus (big-endian) bear the mark of that generator? A sound one does with a chance below 10⁻⁸.
pub(super) fn bears_roca_mark(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|prime| {
        let remainder = modulus
            .iter()
            .fold(0_u64, |rest, byte| (rest * 256 + u64::from(*byte)) % prime);
        is_power_of_generator(remainder, *prime)
    })
}

fn is_power_of_generator(remainder: u64, prime: u64) -> bool {
    let mut power = 1;
    for _ in 0..prime {
        if power == remainder {
            return true;
        }
        power = power * GENERATOR % prime;
    }
    false
}
