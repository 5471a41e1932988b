//! What of each rule says that it need not be looked at, close together.
//!
//! Most rules of a phase are passed over, since no value has what they look for. A rule is large and lies anywhere in memory: to
//! fetch hundreds of them for that takes longer than to see it.

use crate::filter::FilterId;
use crate::ruleset::Rule;

/// The gates of all chains' first rules, by phase and in its order.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    phases: [Vec<Gate>; 6],
    units: Vec<u32>,
}

/// Where a rule is passed over: if no value of its units has the filter's bytes and literals.
#[derive(Debug, Clone, Copy)]
struct Gate {
    filter: FilterId,
    first: u32,
    units: u32,
}

impl Gates {
    /// Of the rules that begin the chains of each phase.
    pub(crate) fn new(phases: &[Vec<u32>; 6], rules: &[Rule]) -> Self {
        let mut gates = Self::default();
        for (gates_of, heads) in gates.phases.iter_mut().zip(phases) {
            for head in heads {
                let test = rules
                    .get(*head as usize)
                    .and_then(|rule| rule.test.as_ref());
                let gated = test.and_then(|test| Some((test.filter?, test.units.as_slice())));
                let (filter, units) = gated.unwrap_or((0, &[]));
                gates_of.push(Gate {
                    filter,
                    first: u32::try_from(gates.units.len()).unwrap_or(u32::MAX),
                    units: u32::try_from(units.len()).unwrap_or(0),
                });
                gates.units.extend_from_slice(units);
            }
        }
        gates
    }

    /// The gate of the head at a position of a phase: its filter and its units. None if it is to be looked at in any case.
    #[inline]
    pub(crate) fn get(&self, phase: u8, position: usize) -> Option<(FilterId, &[u32])> {
        let gate = self.phases.get(usize::from(phase))?.get(position)?;
        let first = gate.first as usize;
        let units = self.units.get(first..first + gate.units as usize)?;
        (!units.is_empty()).then_some((gate.filter, units))
    }
}
