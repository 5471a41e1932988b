//! Which partition a key is in.

const FNV_OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// The partition of a key: 64-bit FNV-1a of its bytes (RFC 9923) modulo the number of partitions. It must never
/// change: records of one key would be in two partitions and lose their order. Raising a topic's number of partitions
/// moves keys for the same reason, so it is done while nothing of the topic is unread.
#[must_use]
pub fn partition_of(key: &str, partitions: u32) -> u32 {
    let hash = key.bytes().fold(FNV_OFFSET_BASIS, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
    });
    u32::try_from(hash % u64::from(partitions.max(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keys_partition_never_changes() {
        // The published vectors of FNV-1a 64 for "", "a" and "foobar".
        assert_eq!(
            partition_of("", 1024),
            0xcbf2_9ce4_8422_2325_u64 as u32 % 1024
        );
        assert_eq!(
            partition_of("a", 1000),
            (0xaf63_dc4c_8601_ec8c_u64 % 1000) as u32
        );
        assert_eq!(
            partition_of("foobar", 999),
            (0x8594_4171_f739_67e8_u64 % 999) as u32
        );
    }

    #[test]
    fn keys_spread_over_partitions() {
        let mut counts = [0_u32; 12];
        for i in 0..12_000 {
            counts[partition_of(&format!("c_ng_{i:026}"), 12) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (700..1300).contains(count)),
            "{counts:?}"
        );
    }
}
