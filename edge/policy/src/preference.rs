//! Lists of preferences with weights: `Accept-Language`, `Accept-Encoding` (RFC 9110 sections 12.4.2, 12.5.3, 12.5.4).

use http::{HeaderMap, HeaderName};

use crate::fields::members;

/// Most members that are looked at as a set; a longer list is compared as it stands.
const PREFERENCES_MAX: usize = 24;
/// Weights are kept in thousandths.
const WEIGHT_ONE: u16 = 1_000;

/// One member of the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Preference<'a> {
    name: &'a [u8],
    weight: u16,
}

/// The members of a list, sorted by name without regard to case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preferences<'a> {
    entries: [Preference<'a>; PREFERENCES_MAX],
    count: usize,
}

impl<'a> Preferences<'a> {
    /// Reads all lines of the field; `None` when a member is not of the form `name[;q=weight]` or there are too many:
    /// such a list has no normal form but itself. Does not allocate.
    pub(crate) fn of(headers: &'a HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut entries = [Preference::default(); PREFERENCES_MAX];
        let mut count = 0;
        for member in members(headers, name) {
            *entries.get_mut(count)? = parse(member)?;
            count += 1;
        }
        entries[..count].sort_unstable_by(|one, other| {
            let folded = |entry: &Preference<'a>| entry.name.iter().map(u8::to_ascii_lowercase);
            folded(one)
                .cmp(folded(other))
                .then(one.weight.cmp(&other.weight))
        });
        Some(Self { entries, count })
    }

    fn iter(&self) -> impl Iterator<Item = &Preference<'a>> {
        self.entries[..self.count].iter()
    }

    /// `name=weight` in lower case, joined by commas.
    pub(crate) fn normal_form(&self) -> Vec<u8> {
        let mut form = Vec::new();
        for (index, entry) in self.iter().enumerate() {
            if index > 0 {
                form.push(b',');
            }
            form.extend(entry.name.iter().map(u8::to_ascii_lowercase));
            form.push(b'=');
            form.extend_from_slice(&digits(entry.weight));
        }
        form
    }

    /// Whether [`Self::normal_form`] is `form`; does not allocate.
    pub(crate) fn is_normal_form(&self, form: &[u8]) -> bool {
        let mut rest = form;
        for (index, entry) in self.iter().enumerate() {
            if index > 0 {
                let Some(after) = rest.strip_prefix(b",") else {
                    return false;
                };
                rest = after;
            }
            let Some((name, after)) = rest.split_at_checked(entry.name.len()) else {
                return false;
            };
            let Some(after) = after.strip_prefix(b"=") else {
                return false;
            };
            let Some(after) = after.strip_prefix(&digits(entry.weight)) else {
                return false;
            };
            if !name.eq_ignore_ascii_case(entry.name) {
                return false;
            }
            rest = after;
        }
        rest.is_empty()
    }

    /// Whether the member with the greatest weight is `name`, and no other weighs as much.
    pub(crate) fn sole_best_is(&self, name: &[u8]) -> bool {
        let best = self.iter().map(|entry| entry.weight).max().unwrap_or(0);
        let mut of_best = self.iter().filter(|entry| entry.weight == best);
        let is_first = of_best
            .next()
            .is_some_and(|entry| entry.name.eq_ignore_ascii_case(name));
        best > 0 && is_first && of_best.next().is_none()
    }
}

fn digits(weight: u16) -> [u8; 4] {
    [1_000, 100, 10, 1].map(|place| b'0' + u8::try_from(weight / place % 10).unwrap_or(0))
}

fn parse(member: &[u8]) -> Option<Preference<'_>> {
    let Some(semicolon) = member.iter().position(|&byte| byte == b';') else {
        return Some(Preference {
            name: member,
            weight: WEIGHT_ONE,
        });
    };
    let (name, parameter) = (
        member[..semicolon].trim_ascii_end(),
        member[semicolon + 1..].trim_ascii(),
    );
    let [b'q' | b'Q', b'=', weight @ ..] = parameter else {
        return None;
    };
    Some(Preference {
        name,
        weight: parse_weight(weight)?,
    })
}

/// `0`, `1`, or either with up to three decimals, at most 1.
fn parse_weight(value: &[u8]) -> Option<u16> {
    let (&whole, decimals) = value.split_first()?;
    if !matches!(whole, b'0' | b'1') {
        return None;
    }
    let mut weight = u16::from(whole - b'0') * WEIGHT_ONE;
    if let Some((&point, decimals)) = decimals.split_first() {
        if point != b'.' || decimals.len() > 3 || !decimals.iter().all(u8::is_ascii_digit) {
            return None;
        }
        for (decimal, place) in decimals.iter().zip([100, 10, 1]) {
            weight += u16::from(decimal - b'0') * place;
        }
    }
    (weight <= WEIGHT_ONE).then_some(weight)
}
