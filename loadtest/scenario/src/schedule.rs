//! When exactly each user starts.

use crate::arrivals::{Arrival, Knot};
use crate::random::Random;
use crate::scenario::Scenario;

/// The stream of [`Random`] that the first entry of `arrivals` draws from; the others follow.
const STREAM: u64 = 1 << 32;

/// A user's intended start. It does not depend on how the system or the tool fares: an open loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Start {
    /// µs after the run's start.
    pub at_us: u64,
    /// The user's number in the whole run, from 0, in order of `at_us`.
    pub index: u64,
}

/// The intended starts of one worker's users, in order. The shares of all workers are disjoint, and together they are what one
/// worker alone would have: every worker walks through the whole schedule and keeps each `worker_count`-th start.
#[derive(Debug, Clone)]
pub struct Schedule {
    streams: Vec<Stream>,
    index: u64,
    worker_index: u64,
    worker_count: u64,
}

impl Schedule {
    /// The share of worker `worker_index` (from 0) of `worker_count`; a count of 0 is taken for 1, an index that is not below
    /// the count has no share.
    #[must_use]
    pub fn new(scenario: &Scenario, worker_index: u32, worker_count: u32) -> Self {
        let streams = scenario
            .arrivals
            .iter()
            .zip(STREAM..)
            .map(|(arrival, stream)| Stream::new(arrival, scenario, stream))
            .collect();
        Self {
            streams,
            index: 0,
            worker_index: worker_index.into(),
            worker_count: u64::from(worker_count.max(1)),
        }
    }

    /// The whole schedule.
    #[must_use]
    pub fn whole(scenario: &Scenario) -> Self {
        Self::new(scenario, 0, 1)
    }

    /// How many users the rates sum to, over all workers; with random spacing, the expectation.
    #[must_use]
    pub fn users_expected(&self) -> f64 {
        self.streams.iter().map(Stream::area).sum()
    }

    /// Users per second at a moment of the run, over all workers.
    #[must_use]
    pub fn rate_per_s(&self, at_us: u64) -> f64 {
        let at_s = at_us as f64 / 1e6;
        self.streams
            .iter()
            .map(|stream| stream.rate_per_s(at_s))
            .sum()
    }

    fn next_of_all(&mut self) -> Option<Start> {
        let earliest = self
            .streams
            .iter_mut()
            .filter(|stream| stream.next_us.is_some())
            .min_by_key(|stream| stream.next_us)?;
        let at_us = earliest.next_us?;
        earliest.advance();
        let start = Start {
            at_us,
            index: self.index,
        };
        self.index += 1;
        Some(start)
    }
}

impl Iterator for Schedule {
    type Item = Start;

    fn next(&mut self) -> Option<Start> {
        if self.worker_index >= self.worker_count {
            return None;
        }
        loop {
            let start = self.next_of_all()?;
            if start.index % self.worker_count == self.worker_index {
                return Some(start);
            }
        }
    }
}

/// A stretch of time on which the rate is a straight line.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    at_s: f64,
    length_s: f64,
    rate_per_s: f64,
    slope: f64,
    /// What the rate has summed to before it.
    sum: f64,
    area: f64,
}

impl Stretch {
    /// When the rate has summed to `level`: the root of rate·x + slope·x²/2 = level − sum, in the form that does not cancel.
    fn at_level(&self, level: f64) -> f64 {
        let area = (level - self.sum).max(0.0);
        let root = (self.rate_per_s * self.rate_per_s + 2.0 * self.slope * area)
            .max(0.0)
            .sqrt();
        let divisor = self.rate_per_s + root;
        let way = if divisor > 0.0 {
            2.0 * area / divisor
        } else {
            0.0
        };
        self.at_s + way.min(self.length_s)
    }
}

/// The arrivals of one entry.
#[derive(Debug, Clone)]
struct Stream {
    stretches: Vec<Stretch>,
    current: usize,
    /// What the rate has summed to at the next arrival.
    level: f64,
    /// Present when arrivals are drawn.
    random: Option<Random>,
    next_us: Option<u64>,
}

impl Stream {
    fn new(arrival: &Arrival, scenario: &Scenario, stream: u64) -> Self {
        let mut random = arrival
            .is_random()
            .then(|| Random::new(scenario.seed, stream, 0));
        let level = random.as_mut().map_or(0.0, Random::exponential);
        let mut stream = Self {
            stretches: stretches(&arrival.knots(scenario.duration_s)),
            current: 0,
            level,
            random,
            next_us: None,
        };
        stream.find();
        stream
    }

    fn area(&self) -> f64 {
        self.stretches
            .last()
            .map_or(0.0, |last| last.sum + last.area)
    }

    fn rate_per_s(&self, at_s: f64) -> f64 {
        let after = self
            .stretches
            .partition_point(|stretch| stretch.at_s <= at_s);
        let stretch = after
            .checked_sub(1)
            .and_then(|index| self.stretches.get(index));
        stretch
            .filter(|stretch| at_s < stretch.at_s + stretch.length_s)
            .map_or(0.0, |stretch| {
                stretch.rate_per_s + stretch.slope * (at_s - stretch.at_s)
            })
    }

    fn advance(&mut self) {
        self.level += self.random.as_mut().map_or(1.0, Random::exponential);
        self.find();
    }

    /// The time of the arrival at `level`.
    fn find(&mut self) {
        while let Some(stretch) = self.stretches.get(self.current) {
            if self.level < stretch.sum + stretch.area {
                self.next_us = Some((stretch.at_level(self.level) * 1e6).floor() as u64);
                return;
            }
            self.current += 1;
        }
        self.next_us = None;
    }
}

fn stretches(knots: &[Knot]) -> Vec<Stretch> {
    let mut sum = 0.0;
    let mut stretches = Vec::new();
    for (from, to) in knots.iter().zip(knots.iter().skip(1)) {
        let length_s = to.at_s - from.at_s;
        if length_s <= 0.0 {
            continue;
        }
        let area = (from.rate_per_s + to.rate_per_s) / 2.0 * length_s;
        stretches.push(Stretch {
            at_s: from.at_s,
            length_s,
            rate_per_s: from.rate_per_s,
            slope: (to.rate_per_s - from.rate_per_s) / length_s,
            sum,
            area,
        });
        sum += area;
    }
    stretches
}
