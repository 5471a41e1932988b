//! Variables whose values are worked out when a rule asks.

use std::sync::Arc;

use super::vars::TxValue;
use super::{Matched, Transaction};
use crate::lang::variables::Variable;
use crate::ruleset::{Member, RuleSet, Which};

/// A worked-out value with its name.
pub(super) struct Found {
    pub(super) name: Option<Box<[u8]>>,
    pub(super) value: Vec<u8>,
}

impl Transaction {
    /// The values of a member that is not stored.
    pub(super) fn dynamic(&self, set: &RuleSet, member: &Member) -> Vec<Found> {
        let plain = |value: Vec<u8>| vec![Found { name: None, value }];
        match member.variable {
            Variable::Tx => self.tx_members(set, &member.which),
            variable if variable.is_persistent() => {
                self.persistent_members(variable, &member.which)
            }
            Variable::MatchedVar => self
                .latest_match()
                .map(|m| plain(m.value.to_vec()))
                .unwrap_or_default(),
            Variable::MatchedVarName => self
                .latest_match()
                .map(|m| plain(full_name(m)))
                .unwrap_or_default(),
            Variable::MatchedVars => self.matches_before(&member.which, |m| m.value.to_vec()),
            Variable::MatchedVarsNames => self.matches_before(&member.which, full_name),
            Variable::Duration => plain((self.spent_us() / 1000).to_string().into_bytes()),
            Variable::HighestSeverity => plain(self.highest_severity.to_string().into_bytes()),
            variable => plain(self.calendar(variable).into_bytes()),
        }
    }

    fn latest_match(&self) -> Option<&Matched> {
        self.matched.last().or_else(|| self.matched_before.last())
    }

    /// Within a chain, what the rule before matched.
    fn matches_before(&self, which: &Which, value: impl Fn(&Matched) -> Vec<u8>) -> Vec<Found> {
        let named = self
            .matched_before
            .iter()
            .map(|matched| (full_name(matched), matched));
        let chosen = named.filter(|(name, _)| selects(which, name));
        chosen
            .map(|(name, matched)| Found {
                name: Some(name.into()),
                value: value(matched),
            })
            .collect()
    }

    fn tx_members(&self, set: &RuleSet, which: &Which) -> Vec<Found> {
        if let Which::Slot(slot) = which {
            let value = self
                .vars
                .slot(*slot)
                .map(|value| value.bytes().into_owned());
            let name = set.names.list.get(*slot as usize).cloned();
            return value
                .map(|value| Found { name, value })
                .into_iter()
                .collect();
        }
        let found = |(name, value): (&[u8], &TxValue)| Found {
            name: Some(name.into()),
            value: value.bytes().into_owned(),
        };
        let known = match which {
            Which::Pattern(pattern) => {
                let mut known = set.patterned.iter();
                known.find(|(known, _)| Arc::ptr_eq(known, pattern))
            }
            _ => None,
        };
        let Some((_, slots)) = known else {
            let all = self.vars.all(&set.names);
            return all
                .filter(|(name, _)| selects(which, name))
                .map(found)
                .collect();
        };
        let fixed = slots.iter().filter_map(|slot| {
            let name = set.names.list.get(*slot as usize)?;
            Some((name.as_ref(), self.vars.slot(*slot)?))
        });
        let computed = self.vars.computed();
        fixed
            .chain(computed.filter(|(name, _)| selects(which, name)))
            .map(found)
            .collect()
    }

    fn persistent_members(&self, collection: Variable, which: &Which) -> Vec<Found> {
        let Some((_, key)) = self.opened.iter().find(|(opened, _)| *opened == collection) else {
            return Vec::new();
        };
        let all = self
            .environment
            .collections
            .all(collection, key, self.client.now_ms);
        let chosen = all.into_iter().filter(|(name, _)| selects(which, name));
        chosen
            .map(|(name, value)| Found {
                name: Some(name),
                value: value.to_vec(),
            })
            .collect()
    }

    fn calendar(&self, variable: Variable) -> String {
        let seconds = self.client.now_ms.div_euclid(1000);
        let days = seconds.div_euclid(86_400);
        let of_day = seconds.rem_euclid(86_400);
        let (year, month, day) = civil(days);
        match variable {
            Variable::TimeEpoch => seconds.to_string(),
            Variable::TimeSec => (of_day % 60).to_string(),
            Variable::TimeMin => (of_day / 60 % 60).to_string(),
            Variable::TimeHour => (of_day / 3600).to_string(),
            Variable::TimeDay => day.to_string(),
            Variable::TimeMon => (month - 1).to_string(),
            Variable::TimeYear => year.to_string(),
            Variable::TimeWday => (days + 4).rem_euclid(7).to_string(),
            _ => format!(
                "{:02}:{:02}:{:02}",
                of_day / 3600,
                of_day / 60 % 60,
                of_day % 60
            ),
        }
    }
}

/// `COLLECTION:name`, or the plain variable's name.
pub(super) fn full_name(matched: &Matched) -> Vec<u8> {
    let mut out = matched.variable.name().as_bytes().to_vec();
    if let Some(name) = &matched.name {
        out.push(b':');
        out.extend_from_slice(name);
    }
    out
}

/// Whether a name is one of those meant.
pub(super) fn selects(which: &Which, name: &[u8]) -> bool {
    match which {
        Which::All => true,
        Which::Key(key) => name.eq_ignore_ascii_case(key),
        Which::Pattern(pattern) => pattern.is_match(name),
        Which::Slot(_) => false,
    }
}

/// Year, month and day of a day since 1970-01-01, in the proleptic Gregorian calendar (H. Hinnant, "chrono-compatible
/// low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(-1), (1969, 12, 31));
    }
}
