//! Under what a limit's state is kept: 128 bits that say which rule, of what kind, and of whom.

use std::net::IpAddr;

use twox_hash::XxHash3_128;

use crate::class::RuleId;

/// A name of any length, as a number: of a user, a token, an account. The same on every node. Two names with one number
/// would share a limit, which gains nobody anything: who can choose a name could have chosen the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub(crate) u128);

impl Fingerprint {
    /// The number of a name.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        Self(XxHash3_128::oneshot(name))
    }

    /// The number of an account's name: spaces around it and the case of its letters make it no other account.
    #[must_use]
    pub fn of_account(name: &str) -> Self {
        Self::of(name.trim().to_lowercase().as_bytes())
    }
}

/// The part of an address by which clients are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Network {
    V4(u32),
    /// The upper half, with the bits beyond the prefix zero.
    V6(u64),
}

impl Network {
    /// The network of an address; an IPv4 address in IPv6 form (RFC 4291 section 2.5.5.2) is an IPv4 address. `prefix` is
    /// at most 64.
    pub(crate) fn of(address: IpAddr, prefix: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => {
                let upper = u64::try_from(address.to_bits() >> 64).unwrap_or(0);
                Self::V6(masked(upper, prefix))
            }
        }
    }

    /// The wider IPv6 network that it is in; IPv4 has none.
    pub(crate) fn aggregate(self, prefix: u8) -> Option<Self> {
        match self {
            Self::V4(_) => None,
            Self::V6(upper) => Some(Self::V6(masked(upper, prefix))),
        }
    }

    /// As one number, different for every network.
    pub(crate) fn number(self) -> u128 {
        match self {
            Self::V4(bits) => u128::from(bits),
            Self::V6(bits) => 1 << 64 | u128::from(bits),
        }
    }
}

fn masked(upper: u64, prefix: u8) -> u64 {
    let beyond = 64_u32.saturating_sub(u32::from(prefix));
    upper.checked_shr(beyond).map_or(0, |kept| kept << beyond)
}

/// The key of one limit's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key(pub(crate) u128);

/// What the rule's number leaves.
const OWNER_BITS: u32 = 120;

impl Key {
    fn new(rule: RuleId, owner: u128) -> Self {
        let owner = owner & ((1 << OWNER_BITS) - 1);
        // No key is zero, which stands for a free place.
        Self(u128::from(rule.0) << OWNER_BITS | owner.max(1))
    }

    pub(crate) fn of_network(rule: RuleId, network: Network) -> Self {
        Self::new(rule, network.number())
    }

    pub(crate) fn of_name(rule: RuleId, name: Fingerprint) -> Self {
        Self::new(rule, name.0)
    }

    pub(crate) fn of_pop(rule: RuleId) -> Self {
        Self::new(rule, 1)
    }

    pub(crate) fn rule(self) -> RuleId {
        RuleId(u8::try_from(self.0 >> OWNER_BITS).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::{Class, Scope};

    fn network(address: &str) -> Network {
        Network::of(address.parse().unwrap(), 64)
    }

    #[test]
    fn addresses_of_one_customer_are_one() {
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        let wider = |address: &str| network(address).aggregate(48);
        assert_eq!(wider("2001:db8:1:2::1"), wider("2001:db8:1:3::1"));
        assert_ne!(wider("2001:db8:1::1"), wider("2001:db8:2::1"));
        assert_eq!(wider("192.0.2.1"), None);
        assert_eq!(masked(u64::MAX, 0), 0);
        assert_eq!(masked(u64::MAX, 64), u64::MAX);
        assert_ne!(network("0.0.0.5").number(), Network::V6(5).number());
    }

    #[test]
    fn a_key_is_of_one_rule() {
        let rules = [Scope::Address, Scope::Aggregate].map(|scope| RuleId::new(Class::Web, scope));
        let [address, aggregate] = rules.map(|rule| Key::of_network(rule, network("2001:db8::1")));
        assert_ne!(address, aggregate);
        assert_eq!(aggregate.rule(), rules[1]);
        assert_ne!(Key::of_network(RuleId(0), Network::V4(0)).0, 0);
    }

    #[test]
    fn an_account_has_one_name() {
        assert_eq!(
            Fingerprint::of_account(" Ada@Example.NG "),
            Fingerprint::of_account("ada@example.ng")
        );
        assert_ne!(Fingerprint::of(b"a"), Fingerprint::of(b"b"));
    }
}
