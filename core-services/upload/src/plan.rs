//! How a file is cut into parts. Pure.

use mcsp_objects::PartMeta;

const MIB: u64 = 1024 * 1024;
/// The sizes a part may have, bytes. S3 wants at least 5 MiB for all but the last.
const PART_SIZES: [u64; 4] = [8 * MIB, 16 * MIB, 32 * MIB, 64 * MIB];
/// So few parts that one answer can carry a URL for each (about 700 bytes).
const PARTS_PREFERRED_MAX: u64 = 1_000;

/// A file's parts: all of one size but the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartPlan {
    /// The whole, bytes; at least 1.
    pub(crate) size_bytes: u64,
    /// Each part but the last, bytes.
    pub(crate) part_size_bytes: u64,
}

impl PartPlan {
    /// The smallest part size with which a file has at most 1 000 parts; 64 MiB for the largest.
    #[must_use]
    pub(crate) fn for_size(size_bytes: u64) -> Self {
        let part_size_bytes = PART_SIZES
            .into_iter()
            .find(|part| size_bytes.div_ceil(*part) <= PARTS_PREFERRED_MAX)
            .unwrap_or(64 * MIB);
        Self {
            size_bytes,
            part_size_bytes,
        }
    }

    /// How many parts there are.
    #[must_use]
    pub(crate) fn part_count(&self) -> u32 {
        u32::try_from(self.size_bytes.div_ceil(self.part_size_bytes)).unwrap_or(u32::MAX)
    }

    /// A part's size, bytes; 0 for a number that is none of the plan's.
    #[must_use]
    pub(crate) fn part_bytes(&self, part_number: u32) -> u64 {
        let Some(before) = u64::from(part_number).checked_sub(1) else {
            return 0;
        };
        self.size_bytes
            .saturating_sub(before.saturating_mul(self.part_size_bytes))
            .min(self.part_size_bytes)
    }

    /// The stored parts that are as planned, by number. A part of another size is not received: the client was cut off
    /// or sent something else, and has to send it again.
    #[must_use]
    pub(crate) fn received(&self, stored: &[PartMeta]) -> Vec<PartMeta> {
        let mut received: Vec<PartMeta> = stored
            .iter()
            .filter(|part| {
                part.size_bytes > 0 && part.size_bytes == self.part_bytes(part.part_number)
            })
            .cloned()
            .collect();
        received.sort_by_key(|part| part.part_number);
        received.dedup_by_key(|part| part.part_number);
        received
    }

    /// The numbers of the parts that are not among `received`, which is sorted.
    #[must_use]
    pub(crate) fn missing(&self, received: &[PartMeta]) -> Vec<u32> {
        (1..=self.part_count())
            .filter(|number| {
                received
                    .binary_search_by_key(number, |part| part.part_number)
                    .is_err()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_add_up_to_the_file(size_bytes in 1_u64..=20_000_000_000) {
            let plan = PartPlan::for_size(size_bytes);
            prop_assert!((1..=10_000).contains(&plan.part_count()));
            prop_assert!((8 * MIB..=64 * MIB).contains(&plan.part_size_bytes));
            let sum: u64 = (1..=plan.part_count()).map(|n| plan.part_bytes(n)).sum();
            prop_assert_eq!(sum, size_bytes);
            prop_assert!((1..=plan.part_count()).all(|n| plan.part_bytes(n) > 0));
            prop_assert_eq!(plan.part_bytes(plan.part_count() + 1), 0);
        }

        #[test]
        fn received_and_missing_are_all_parts(size_bytes in 1_u64..400_000_000, present in prop::collection::vec(any::<bool>(), 60)) {
            let plan = PartPlan::for_size(size_bytes);
            let stored: Vec<PartMeta> = (1..=plan.part_count())
                .zip(&present)
                .filter(|(_, present)| **present)
                .map(|(part_number, _)| PartMeta { part_number, etag: "\"e\"".into(), size_bytes: plan.part_bytes(part_number) })
                .collect();
            let received = plan.received(&stored);
            prop_assert_eq!(&received, &stored);
            prop_assert_eq!(plan.missing(&received).len() + received.len(), plan.part_count() as usize);
        }
    }

    #[test]
    fn a_part_of_another_size_is_missing() {
        let plan = PartPlan::for_size(20 * MIB);
        let part = |part_number, size_bytes| PartMeta {
            part_number,
            etag: "\"e\"".into(),
            size_bytes,
        };
        let received = plan.received(&[
            part(2, 8 * MIB),
            part(1, 8 * MIB - 1),
            part(3, 4 * MIB),
            part(4, 8 * MIB),
            part(0, 0),
        ]);
        assert_eq!(
            received.iter().map(|p| p.part_number).collect::<Vec<_>>(),
            [2, 3]
        );
        assert_eq!(plan.missing(&received), [1]);
    }

    #[test]
    fn sizes_step_up() {
        assert_eq!(PartPlan::for_size(1).part_size_bytes, 8 * MIB);
        assert_eq!(PartPlan::for_size(8_000 * MIB).part_size_bytes, 8 * MIB);
        assert_eq!(
            PartPlan::for_size(8_000 * MIB + 1).part_size_bytes,
            16 * MIB
        );
        assert_eq!(PartPlan::for_size(20_000_000_000).part_size_bytes, 32 * MIB);
    }
}
