//! The client addresses that a token may be bound to.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// How many bytes a prefix has in a token: its length, then the address.
pub(super) const PREFIX_BYTES: usize = 17;
/// IPv4 addresses are counted as the IPv6 addresses that stand for them, `::ffff:0:0/96` (RFC 4291 section 2.5.5.2).
const V4_BITS_AT: u8 = 96;

/// A network of client addresses, IPv4 or IPv6; one address is a network of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressPrefix {
    bits: u128,
    length: u8,
}

impl AddressPrefix {
    /// The network of `length` bits around an address: at most 32 for IPv4, 128 for IPv6; more counts as that.
    ///
    /// Mobile clients change their address within a carrier's network, so /24 and /56 bind without breaking streams.
    #[must_use]
    pub fn around(address: IpAddr, v4_length: u8, v6_length: u8) -> Self {
        let (bits, length) = match address.to_canonical() {
            IpAddr::V4(address) => (
                address.to_ipv6_mapped().to_bits(),
                V4_BITS_AT + v4_length.min(32),
            ),
            IpAddr::V6(address) => (address.to_bits(), v6_length.min(128)),
        };
        Self {
            bits: bits & mask(length),
            length,
        }
    }

    /// Is the address within? An IPv4 address is never within an IPv6 network, however short its prefix.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (bits, is_v4) = match address.to_canonical() {
            IpAddr::V4(address) => (address.to_ipv6_mapped().to_bits(), true),
            IpAddr::V6(address) => (address.to_bits(), false),
        };
        is_v4 == self.is_v4() && bits & mask(self.length) == self.bits
    }

    /// Reads `192.0.2.0/24`, `2001:db8::/32`, single addresses, and the bracketed form of RFC 9246's examples. Bits
    /// behind the prefix are left out.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = match text.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']')?,
            None => text,
        };
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse::<u8>().ok().filter(|length| *length <= most)?
            }
            Some(_) => return None,
            None => most,
        };
        // A mapped address with an IPv6 length is a network of IPv4 only from 96 bits on.
        if address.is_ipv6() && address.to_canonical().is_ipv4() {
            let length = length.checked_sub(V4_BITS_AT)?;
            return Some(Self::around(address, length, 0));
        }
        Some(Self::around(address, length, length))
    }

    fn is_v4(&self) -> bool {
        let mapped = Ipv6Addr::from_bits(self.bits).to_ipv4_mapped().is_some();
        mapped && self.length >= V4_BITS_AT
    }

    /// As RFC 9164 writes a prefix: a tag, the length, and the bytes without zeros at the end.
    pub(super) fn to_cbor(self) -> coset::cbor::value::Value {
        use coset::cbor::value::Value;
        let bytes = self.bits.to_be_bytes();
        let (tag, length, bytes) = if self.is_v4() {
            (52, self.length - V4_BITS_AT, &bytes[12..])
        } else {
            (54, self.length, &bytes[..])
        };
        let end = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        let parts = vec![Value::from(length), Value::from(&bytes[..end])];
        Value::Tag(tag, Box::new(Value::Array(parts)))
    }

    pub(super) fn to_bytes(self) -> [u8; PREFIX_BYTES] {
        let mut bytes = [self.length; PREFIX_BYTES];
        bytes[1..].copy_from_slice(&self.bits.to_be_bytes());
        bytes
    }

    /// Only the one form that [`Self::to_bytes`] writes.
    pub(super) fn from_bytes(bytes: &[u8; PREFIX_BYTES]) -> Option<Self> {
        let [length, bits @ ..] = *bytes;
        let bits = u128::from_be_bytes(bits);
        (length <= 128 && bits & mask(length) == bits).then_some(Self { bits, length })
    }
}

impl fmt::Display for AddressPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from_bits(self.bits);
        match address.to_ipv4_mapped().filter(|_| self.is_v4()) {
            Some(v4) => write!(f, "{v4}/{}", self.length - V4_BITS_AT),
            None => write!(f, "{address}/{}", self.length),
        }
    }
}

impl fmt::Debug for AddressPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn mask(length: u8) -> u128 {
    match length {
        0 => 0,
        length => u128::MAX << (128 - u32::from(length.min(128))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix(text: &str) -> AddressPrefix {
        AddressPrefix::parse(text).expect(text)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn networks_hold_their_own() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.7", "::ffff:192.0.2.7", "::192.0.2.7"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("[2001:db8::1/32]", "2001:db8::", "2001:db7::"),
            ("::/0", "2001:db8::", "192.0.2.1"),
            ("::ffff:192.0.2.0/120", "192.0.2.200", "192.0.3.1"),
        ] {
            assert!(
                prefix(network).contains(address(inside)),
                "{network} {inside}"
            );
            assert!(
                !prefix(network).contains(address(outside)),
                "{network} {outside}"
            );
        }
        for text in [
            "",
            "/",
            "192.0.2.0/33",
            "::/129",
            "192.0.2.0/",
            "192.0.2.0/+8",
            "192.0.2.0/ 8",
            "[::1",
            "::1]",
            "a.b.c.d",
            "::ffff:192.0.2.0/24",
            "192.0.2.0/24/8",
            "[[::1]]",
        ] {
            assert_eq!(AddressPrefix::parse(text), None, "{text}");
        }
        assert_eq!(prefix("192.0.2.9/24").to_string(), "192.0.2.0/24");
        assert_eq!(prefix("2001:db8::9/32").to_string(), "2001:db8::/32");
    }

    proptest! {
        #[test]
        fn an_address_is_in_every_network_around_it(
            bits in any::<u128>(), v4 in any::<u32>(), is_v4 in any::<bool>(),
            four in 0_u8..=40, six in 0_u8..=140,
        ) {
            let address = if is_v4 { IpAddr::V4(v4.into()) } else { IpAddr::V6(bits.into()) };
            let network = AddressPrefix::around(address, four, six);
            prop_assert!(network.contains(address));
            prop_assert_eq!(AddressPrefix::from_bytes(&network.to_bytes()), Some(network));
            prop_assert_eq!(AddressPrefix::parse(&network.to_string()), Some(network));
        }

        #[test]
        fn no_bytes_panic(bytes in any::<[u8; PREFIX_BYTES]>(), text in "\\PC{0,40}") {
            if let Some(network) = AddressPrefix::from_bytes(&bytes) {
                prop_assert_eq!(network.to_bytes(), bytes);
            }
            let _ = AddressPrefix::parse(&text);
        }
    }
}
