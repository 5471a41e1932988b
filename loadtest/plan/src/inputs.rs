//! What a plan is made of.

use thiserror::Error;

use crate::figure::{Figure, Source};
use crate::measured::MeasuredCosts;
use crate::scale::{Row, rows};

/// Which of the two stated scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Year {
    /// The first year's.
    One,
    /// The third year's.
    Three,
}

impl Year {
    /// 1 or 3.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Three => 3,
        }
    }
}

/// An input that cannot be used.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No such input.
    #[error("{name}: no such input; expected one of {known}")]
    Unknown {
        /// What was given.
        name: String,
        /// All names.
        known: String,
    },
    /// Out of range, or no number.
    #[error("{name} = {value}: expected {least} to {most}")]
    Range {
        /// Which input.
        name: &'static str,
        /// What was given.
        value: String,
        /// The least.
        least: f64,
        /// The most.
        most: f64,
    },
    /// More PoPs lost than there are.
    #[error("{name} = {lost}: expected less than the {pops} PoPs that there are")]
    AllLost {
        /// Which input.
        name: &'static str,
        /// What was given.
        lost: f64,
        /// How many there are.
        pops: f64,
    },
}

/// What a plan is made of; every figure can be given.
#[derive(Debug, Clone, PartialEq)]
pub struct Inputs {
    year: Year,
    figures: Vec<Figure>,
}

impl Inputs {
    /// The stated scale of a year; what nobody has stated is assumed, and says so.
    #[must_use]
    pub fn of_year(year: Year) -> Self {
        let figure = |(name, unit, one, three, least, most, source): Row| Figure {
            name,
            value: if year == Year::One { one } else { three },
            unit,
            source,
            least,
            most,
        };
        Self {
            year,
            figures: rows().into_iter().map(figure).collect(),
        }
    }

    /// Puts what was measured in the place of what was assumed.
    #[must_use]
    pub fn with_measured(mut self, costs: &MeasuredCosts) -> Self {
        if let (Some(value), Some(figure)) = (costs.media_core_s_gb, self.find("media_core_s_gb")) {
            figure.value = value;
            figure.source = Source::Measured(costs.source.clone());
        }
        self
    }

    /// Sets an input by its name, as flags do.
    ///
    /// # Errors
    /// An unknown name; a value that is out of range.
    pub fn set(&mut self, name: &str, value: f64) -> Result<(), PlanError> {
        let known = self
            .figures
            .iter()
            .map(|figure| figure.name)
            .collect::<Vec<_>>()
            .join(", ");
        let figure = self.find(name).ok_or_else(|| PlanError::Unknown {
            name: name.to_owned(),
            known,
        })?;
        if !(figure.least..=figure.most).contains(&value) {
            return Err(PlanError::Range {
                name: figure.name,
                value: value.to_string(),
                least: figure.least,
                most: figure.most,
            });
        }
        figure.value = value;
        figure.source = Source::Given;
        Ok(())
    }

    /// Which year's scale it began with.
    #[must_use]
    pub fn year(&self) -> Year {
        self.year
    }

    /// All inputs.
    #[must_use]
    pub fn figures(&self) -> &[Figure] {
        &self.figures
    }

    /// An input's value; 0 of one that does not exist.
    #[must_use]
    pub fn get(&self, name: &str) -> f64 {
        self.figures
            .iter()
            .find(|figure| figure.name == name)
            .map_or(0.0, |figure| figure.value)
    }

    fn find(&mut self, name: &str) -> Option<&mut Figure> {
        self.figures.iter_mut().find(|figure| figure.name == name)
    }
}
