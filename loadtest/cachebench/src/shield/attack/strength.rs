//! How strong each attack is: the same each time, and said beside every figure.

use std::fmt;

use super::{Kind, bodies, flood, loris, reset};

/// In how many parts one attack's load is divided where three run together, each of which is an attacker's: so the machine has
/// about as much to do with them as with one alone, and what is seen is the node's part.
const PARTS: u32 = 3;

/// What each attacker does; nothing where it takes no part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Strength {
    /// Connections that send a byte a second.
    pub(super) slow: u32,
    /// Connections that take back what they ask for.
    pub(super) resetting: u32,
    /// Requests a second on them, all together, at the most.
    pub(super) resets_s: u32,
    /// Handshakes begun and left at once.
    pub(super) flooding: u32,
    /// Those a second, at the most.
    pub(super) floods_s: u32,
    /// Connections that post large bodies.
    pub(super) posting: u32,
    /// Those a second on them, all together, at the most.
    pub(super) bodies_s: u32,
}

impl Strength {
    /// Every attacker alone that takes part where three do.
    const FULL: Self = Self {
        slow: loris::CONNECTIONS,
        resetting: reset::CONNECTIONS,
        resets_s: reset::REQUESTS_S,
        flooding: flood::AT_ONCE,
        floods_s: flood::CONNECTIONS_S,
        ..Self::NONE
    };

    pub(super) const fn of(kind: Kind) -> Self {
        let Self {
            slow,
            resetting,
            resets_s,
            flooding,
            floods_s,
            ..
        } = Self::FULL;
        match kind {
            Kind::SlowLoris => Self { slow, ..Self::NONE },
            Kind::RapidReset => Self {
                resetting,
                resets_s,
                ..Self::NONE
            },
            Kind::ConnectionFlood => Self {
                flooding,
                floods_s,
                ..Self::NONE
            },
            Kind::HostileBodies => Self {
                posting: bodies::CONNECTIONS,
                bodies_s: bodies::REQUESTS_S,
                ..Self::NONE
            },
            Kind::Together => Self {
                slow: slow.div_ceil(PARTS),
                resetting: resetting.div_ceil(PARTS),
                resets_s: resets_s.div_ceil(PARTS),
                flooding: flooding.div_ceil(PARTS),
                floods_s: floods_s.div_ceil(PARTS),
                ..Self::NONE
            },
            Kind::TogetherFull => Self::FULL,
        }
    }

    const NONE: Self = Self {
        slow: 0,
        resetting: 0,
        resets_s: 0,
        flooding: 0,
        floods_s: 0,
        posting: 0,
        bodies_s: 0,
    };
}

/// In words, of those who take part.
impl fmt::Display for Strength {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.slow > 0 {
            parts.push(format!(
                "{} connections, a byte a second on each",
                self.slow
            ));
        }
        if self.resetting > 0 {
            parts.push(format!(
                "up to {} requests/s taken back, on {} connections",
                self.resets_s, self.resetting
            ));
        }
        if self.flooding > 0 {
            parts.push(format!(
                "up to {} handshakes/s begun and left, {} at once",
                self.floods_s, self.flooding
            ));
        }
        if self.posting > 0 {
            parts.push(format!(
                "up to {} forms/s of {} KiB that many rules look into, on {} connections",
                self.bodies_s,
                bodies::BODY_BYTES >> 10,
                self.posting
            ));
        }
        formatter.write_str(&parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_attacks_alone_does_so_in_full() {
        let strength = Strength::of;
        assert_eq!(strength(Kind::SlowLoris).slow, 1_600);
        let reset = strength(Kind::RapidReset);
        assert_eq!((reset.resetting, reset.resets_s), (32, 200_000));
        let flood = strength(Kind::ConnectionFlood);
        assert_eq!((flood.flooding, flood.floods_s), (512, 5_000));
        assert_eq!((flood.slow, flood.resetting), (0, 0));
        assert_eq!(
            strength(Kind::HostileBodies).to_string(),
            "up to 100 forms/s of 110 KiB that many rules look into, on 8 connections"
        );
    }

    #[test]
    fn together_they_are_one() {
        let (each, full) = (Strength::of(Kind::Together), Strength::FULL);
        for (third, whole) in [
            (each.slow, full.slow),
            (each.resetting, full.resetting),
            (each.resets_s, full.resets_s),
            (each.flooding, full.flooding),
            (each.floods_s, full.floods_s),
        ] {
            assert!(third * PARTS >= whole && third * PARTS < whole + PARTS);
        }
        assert_eq!(Strength::of(Kind::TogetherFull), full);
        assert_eq!(
            each.to_string(),
            "534 connections, a byte a second on each; up to 66667 requests/s taken back, on 11 connections; \
             up to 1667 handshakes/s begun and left, 171 at once"
        );
    }
}
