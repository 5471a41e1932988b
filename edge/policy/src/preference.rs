//! Lists of preferences with weights: `Accept-Language` (RFC 9110 sections 12.4.2, 12.5.4).

use http::{HeaderMap, HeaderName};

use crate::fields::members;

/// Most members that are looked at as a set; a longer list is compared as it stands.
const PREFERENCES_MAX: usize = 24;
/// Weights are kept in thousandths.
const WEIGHT_ONE: u16 = 1_000;
/// Begins a normal form.
const NORMAL_FORM: u8 = 1;

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

    /// `name` or `name;weight` in lower case, joined by commas, behind a mark that no field holds: a list that is not
    /// understood and stands for itself cannot be written as the normal form of another.
    pub(crate) fn normal_form(&self) -> Vec<u8> {
        let length: usize = self.iter().map(|entry| entry.name.len() + 6).sum();
        let mut form = Vec::with_capacity(1 + length);
        form.push(NORMAL_FORM);
        for (index, entry) in self.iter().enumerate() {
            if index > 0 {
                form.push(b',');
            }
            form.extend(entry.name.iter().map(u8::to_ascii_lowercase));
            if entry.weight != WEIGHT_ONE {
                form.push(b';');
                form.extend(entry.weight.to_string().into_bytes());
            }
        }
        form
    }

    /// The members that weigh most, but for `*`; none when all are refused.
    pub(crate) fn best(&self) -> impl Iterator<Item = &'a [u8]> {
        let best = self.iter().map(|entry| entry.weight).max().unwrap_or(0);
        self.iter()
            .filter(move |entry| best > 0 && entry.weight == best && entry.name != b"*")
            .map(|entry| entry.name)
    }
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
pub(crate) fn parse_weight(value: &[u8]) -> Option<u16> {
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
