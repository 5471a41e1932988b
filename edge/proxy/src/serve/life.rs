//! The policy's lifetimes in the form that the cache keeps, and back.

use mcsp_edge_cache::engine::{Entity, Lifetimes};
use mcsp_edge_policy::freshness::{Basis, Freshness};

/// [`Freshness::always_validate`].
const ALWAYS_VALIDATE: u32 = 1;
/// [`Freshness::never_stale`].
const NEVER_STALE: u32 = 2;

/// As the cache keeps it; `received_ms` is when the response came.
pub(crate) fn lifetimes_of(freshness: &Freshness, received_ms: i64) -> Lifetimes {
    let fresh_until_ms = freshness.born_ms.saturating_add(freshness.lifetime_ms);
    let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
    Lifetimes {
        received_ms,
        initial_age_ms: received_ms.saturating_sub(freshness.born_ms),
        fresh_until_ms,
        stale_while_revalidate_until_ms: fresh_until_ms
            .saturating_add(freshness.stale_while_revalidate_ms),
        stale_if_error_until_ms: fresh_until_ms.saturating_add(freshness.stale_if_error_ms),
        flags: flag(freshness.always_validate, ALWAYS_VALIDATE)
            | flag(freshness.never_stale, NEVER_STALE),
    }
}

/// As the policy judges by it. What the lifetime rested on is not kept; nothing asks for it any more.
pub(crate) fn freshness_of(lifetimes: &Lifetimes) -> Freshness {
    let born_ms = lifetimes
        .received_ms
        .saturating_sub(lifetimes.initial_age_ms);
    let fresh_until_ms = lifetimes.fresh_until_ms;
    Freshness {
        born_ms,
        lifetime_ms: fresh_until_ms.saturating_sub(born_ms),
        basis: Basis::None,
        stale_while_revalidate_ms: lifetimes
            .stale_while_revalidate_until_ms
            .saturating_sub(fresh_until_ms),
        stale_if_error_ms: lifetimes
            .stale_if_error_until_ms
            .saturating_sub(fresh_until_ms),
        always_validate: lifetimes.flags & ALWAYS_VALIDATE != 0,
        never_stale: lifetimes.flags & NEVER_STALE != 0,
    }
}

/// Those of a response that the origin has another one for since `now_ms`: nothing is left of them but the window for an
/// origin that fails.
pub(crate) fn outdated(lifetimes: &Lifetimes, now_ms: i64) -> Lifetimes {
    Lifetimes {
        fresh_until_ms: lifetimes.fresh_until_ms.min(now_ms),
        stale_while_revalidate_until_ms: lifetimes.stale_while_revalidate_until_ms.min(now_ms),
        flags: lifetimes.flags | ALWAYS_VALIDATE,
        ..*lifetimes
    }
}

/// The lifetimes in force: that of a response that a soft purge reached ended when it did. It may still be served while it
/// is revalidated, and in place of a failure, for as long from then on as its origin allowed that.
pub(crate) fn in_force(entity: &Entity, freshness: &Freshness) -> Freshness {
    match entity.expired_at_ms() {
        None => *freshness,
        Some(expired_at_ms) => ended(freshness, expired_at_ms),
    }
}

fn ended(freshness: &Freshness, expired_at_ms: i64) -> Freshness {
    Freshness {
        lifetime_ms: freshness
            .lifetime_ms
            .min(expired_at_ms.saturating_sub(freshness.born_ms)),
        ..*freshness
    }
}

#[cfg(test)]
mod tests {
    use mcsp_edge_policy::cache_control::RequestDirectives;
    use mcsp_edge_policy::freshness::Reuse;

    use super::*;

    #[test]
    fn a_soft_purge_ends_the_lifetime_and_its_windows_end_after_it() {
        let kept = Freshness {
            born_ms: 0,
            lifetime_ms: 600_000,
            basis: Basis::None,
            stale_while_revalidate_ms: 1_000,
            stale_if_error_ms: 5_000,
            always_validate: false,
            never_stale: false,
        };
        let ended = ended(&kept, 100_000);
        let judged = |now_ms| ended.judge(now_ms, &RequestDirectives::default());
        assert_eq!(judged(100_000), Reuse::StaleWhileRevalidate);
        assert_eq!(judged(100_999), Reuse::StaleWhileRevalidate);
        assert!(matches!(judged(101_001), Reuse::Validate(_)));
        assert!(ended.may_cover_failure(104_999));
        assert!(!ended.may_cover_failure(105_001) && !ended.may_cover_failure(7_200_000));
        // One that was stale before stays as stale as it was.
        assert_eq!(super::ended(&kept, 700_000), kept);
    }

    proptest::proptest! {
        #[test]
        fn what_is_kept_comes_back(
            born_ms in 0_i64..2_000_000_000_000,
            age_ms in 0_i64..1_000_000_000,
            lifetime_ms in 0_i64..1_000_000_000_000,
            grace_ms in (0_i64..1_000_000_000, 0_i64..1_000_000_000),
            flags in (proptest::bool::ANY, proptest::bool::ANY),
        ) {
            let freshness = Freshness {
                born_ms,
                lifetime_ms,
                basis: Basis::None,
                stale_while_revalidate_ms: grace_ms.0,
                stale_if_error_ms: grace_ms.1,
                always_validate: flags.0,
                never_stale: flags.1,
            };
            let kept = lifetimes_of(&freshness, born_ms + age_ms);
            proptest::prop_assert_eq!(freshness_of(&kept), freshness);
        }
    }
}
