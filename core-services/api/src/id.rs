//! Ids whose home region can be read from them: `{kind}_{region}_{26 characters}`, such as
//! `c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc`.
//!
//! The last part is 48 bits of Unix milliseconds and 80 random bits in lower-case Crockford base 32, so that ids of
//! one kind and region sort by time.

use std::fmt;
use std::str::FromStr;

use mcsp_runtime::{Clock, Entropy};
use serde::{Deserialize, Serialize};
use thiserror::Error;

const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const UNIQUE_CHARS: usize = 26;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{text:?} is not a {kind} id; expected {prefix}_<region>_<26 characters of 0-9a-z without i, l, o, u>"
)]
pub struct IdError {
    kind: &'static str,
    prefix: &'static str,
    text: String,
}

/// A region's two-letter code inside ids, such as `ng` for `ng-lagos` and `gl` for `global-london`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegionCode([u8; 2]);

impl RegionCode {
    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("??")
    }
}

impl FromStr for RegionCode {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.as_bytes() {
            [a, b] if a.is_ascii_lowercase() && b.is_ascii_lowercase() => Ok(Self([*a, *b])),
            _ => Err(IdError {
                kind: "region",
                prefix: "a code of two lower-case letters, not",
                text: clip(text),
            }),
        }
    }
}

impl TryFrom<String> for RegionCode {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<RegionCode> for String {
    fn from(code: RegionCode) -> Self {
        code.as_str().to_owned()
    }
}

impl fmt::Display for RegionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Crockford base 32 of a time and 80 random bits.
fn unique_part(clock: &dyn Clock, entropy: &dyn Entropy) -> String {
    let mut random = [0; 16];
    entropy.fill(&mut random);
    let time = u128::from(clock.now_ms().unsigned_abs() & 0xffff_ffff_ffff);
    let value = (time << 80) | (u128::from_le_bytes(random) & ((1 << 80) - 1));
    (0..UNIQUE_CHARS)
        .rev()
        .map(|i| char::from(DIGITS[((value >> (5 * i)) & 31) as usize]))
        .collect()
}

/// The first 10 of the 26 digits are the time: 48 bits, behind two that are 0 in what [`unique_part`] writes.
fn made_ms(unique: &[u8]) -> i64 {
    unique.iter().take(10).fold(0, |value, digit| {
        let bits = DIGITS.iter().position(|known| known == digit);
        value << 5 | i64::try_from(bits.unwrap_or(0)).unwrap_or(0)
    })
}

/// Is it one of [`DIGITS`]?
fn is_digit(byte: u8) -> bool {
    let is_left_out = matches!(byte, b'i' | b'l' | b'o' | b'u');
    matches!(byte, b'0'..=b'9' | b'a'..=b'z') && !is_left_out
}

fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

macro_rules! id_type {
    ($(#[$meta:meta])* $name:ident, $kind:literal, $prefix:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A new id whose home is `region`.
            #[must_use]
            pub fn generate(region: RegionCode, clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
                Self(format!(concat!($prefix, "_{}_{}"), region, unique_part(clock, entropy)))
            }

            /// The home region: the only one that writes what this id names.
            #[must_use]
            pub fn region(&self) -> RegionCode {
                let bytes = self.0.as_bytes();
                let at = $prefix.len() + 1;
                RegionCode([bytes[at], bytes[at + 1]])
            }

            /// When it was made, Unix milliseconds, as its maker's clock said.
            #[must_use]
            pub fn made_ms(&self) -> i64 {
                let unique = self.0.len() - UNIQUE_CHARS;
                made_ms(&self.0.as_bytes()[unique..])
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let valid = || {
                    let rest = text.strip_prefix(concat!($prefix, "_"))?;
                    let (region, unique) = rest.split_once('_')?;
                    region.parse::<RegionCode>().ok()?;
                    (unique.len() == UNIQUE_CHARS && unique.bytes().all(is_digit)).then_some(())
                };
                valid().map(|()| Self(text.to_owned())).ok_or_else(|| IdError {
                    kind: $kind,
                    prefix: $prefix,
                    text: clip(text),
                })
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id_type!(
    /// A content item. Its region holds its record and its media.
    ContentId, "content", "c"
);
id_type!(
    /// A user, of whatever role.
    UserId, "user", "u"
);
id_type!(
    /// An organisation.
    OrganisationId, "organisation", "o"
);
id_type!(
    /// An upload session.
    UploadId, "upload", "up"
);
id_type!(
    /// A media session: one viewer, one item, revocable.
    MediaSessionId, "media session", "ms"
);

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_runtime::{ManualClock, SeededEntropy};

    #[test]
    fn an_id_tells_its_region_and_survives_text() {
        let region: RegionCode = "ng".parse().expect("a code");
        let id = ContentId::generate(
            region,
            &*ManualClock::new(1_800_000_000_000),
            &*SeededEntropy::new(1),
        );
        assert_eq!(id.region(), region);
        assert_eq!(id.as_str().parse::<ContentId>(), Ok(id.clone()));
        assert!(id.as_str().parse::<UserId>().is_err());
    }

    #[test]
    fn digits_are_those_of_crockford() {
        for byte in 0..=u8::MAX {
            assert_eq!(is_digit(byte), DIGITS.contains(&byte), "{byte}");
        }
    }

    #[test]
    fn ids_sort_by_time() {
        let region: RegionCode = "gl".parse().expect("a code");
        let entropy = SeededEntropy::new(7);
        let early = UserId::generate(region, &*ManualClock::new(1_000), &*entropy);
        let late = UserId::generate(region, &*ManualClock::new(2_000), &*entropy);
        assert!(early < late);
    }

    #[test]
    fn an_id_tells_when_it_was_made() {
        let region: RegionCode = "ng".parse().expect("a code");
        for made_ms in [0, 1, 1_795_000_000_123, (1 << 48) - 1] {
            let clock = ManualClock::new(made_ms);
            let id = MediaSessionId::generate(region, &*clock, &*SeededEntropy::new(9));
            assert_eq!(id.made_ms(), made_ms, "{id}");
        }
        let latest: MediaSessionId = "ms_gl_zzzzzzzzzzzzzzzzzzzzzzzzzz".parse().expect("an id");
        assert_eq!(latest.made_ms(), (1 << 50) - 1);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = text.parse::<ContentId>().map(|id| id.region());
            let _ = text.parse::<RegionCode>();
        }
    }
}
