//! What is played, and how often.

use serde::{Deserialize, Serialize};

/// An item that suddenly everybody plays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Viral {
    /// Which, as an index into the items, from 0.
    #[serde(default)]
    pub item: usize,
    /// The share of plays that go to it, beside what it has anyway.
    pub share: f64,
    /// From when on, s after the start.
    #[serde(default)]
    pub from_s: u64,
    /// For how long, s; absent: to the end.
    #[serde(default)]
    pub for_s: Option<u64>,
}

/// What is played, and how often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Content {
    /// The items, the most popular first; none: whoever runs the scenario gives them.
    pub ids: Vec<String>,
    /// How steeply popularity falls: item n is played in proportion to 1/nˢ. 0 is evenly.
    pub zipf_s: f64,
    /// An item that everybody plays for a while.
    pub viral: Option<Viral>,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            ids: Vec::new(),
            zipf_s: 0.9,
            viral: None,
        }
    }
}

/// Zipf's law over a number of items, with an item that is played more for a while.
#[derive(Debug, Clone)]
pub struct Popularity {
    /// What the items' weights sum to, up to and with each.
    sums: Vec<f64>,
    viral: Option<Viral>,
}

impl Popularity {
    /// Over `items` items, at most 1 000 000 of them.
    #[must_use]
    pub fn new(content: &Content, items: usize) -> Self {
        let mut sum = 0.0;
        let sums = (1..=items.min(1_000_000))
            .map(|rank| {
                sum += libm::pow(rank as f64, -content.zipf_s);
                sum
            })
            .collect();
        Self {
            sums,
            viral: content.viral.clone(),
        }
    }

    /// The item that a user with this draw plays at a moment of the run, µs after the start; none when there are none.
    #[must_use]
    pub fn pick(&self, at_us: u64, draw: u64) -> Option<usize> {
        let total = *self.sums.last()?;
        let mut unit = (draw >> 11) as f64 / (1_u64 << 53) as f64;
        if let Some(viral) = &self.viral {
            let from_us = viral.from_s.saturating_mul(1_000_000);
            let until_us = viral.for_s.map_or(u64::MAX, |for_s| {
                from_us.saturating_add(for_s.saturating_mul(1_000_000))
            });
            if (from_us..until_us).contains(&at_us) && viral.item < self.sums.len() {
                if unit < viral.share {
                    return Some(viral.item);
                }
                // What is left of the draw is even again.
                unit = (unit - viral.share) / (1.0 - viral.share);
            }
        }
        let level = unit * total;
        let item = self.sums.partition_point(|sum| *sum <= level);
        Some(item.min(self.sums.len() - 1))
    }

    /// The share of plays that item `item` has when nothing is viral.
    #[must_use]
    pub fn share(&self, item: usize) -> f64 {
        let (Some(upto), Some(total)) = (self.sums.get(item), self.sums.last()) else {
            return 0.0;
        };
        let before = item
            .checked_sub(1)
            .and_then(|before| self.sums.get(before))
            .copied()
            .unwrap_or(0.0);
        (upto - before) / total
    }
}
