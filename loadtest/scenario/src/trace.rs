//! What a device's link carries, over time.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::text::{ScenarioError, read_bounded};

const FILE_BYTES_MAX: u64 = 16 << 20;
/// Steps of one trace.
pub(crate) const STEPS_MAX: usize = 100_000;
/// What a line of a mahimahi trace stands for, bits.
const PACKET_BITS: u64 = 1_500 * 8;

/// How a trace's file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TraceFormat {
    /// A line for each step: its time in s and its rate in kbit/s; `#` begins a comment.
    #[default]
    Steps,
    /// mahimahi's `mm-link` (Netravali et al., USENIX ATC 2015), in which most published traces are: a line for each 1500 bytes
    /// that pass, with its time in ms. Summed by second; it repeats.
    Mahimahi,
}

/// Bandwidth over time: at most one of `kbit_s`, `steps` and `file`; none of them is without bounds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trace {
    /// The same throughout, kbit/s.
    pub kbit_s: Option<u64>,
    /// `[s, kbit/s]`, the first at 0, in order; each holds until the next.
    pub steps: Option<Vec<(f64, u64)>>,
    /// A file of steps.
    pub file: Option<PathBuf>,
    /// How that is written.
    pub format: TraceFormat,
    /// When the steps begin anew, s; absent: the last one holds.
    pub period_s: Option<f64>,
}

impl Trace {
    /// Reads `file` into `steps`.
    ///
    /// # Errors
    /// A file that cannot be read, is larger than 16 MiB, or is not a trace; the line is named.
    pub fn inline_file(&mut self, folder: &Path) -> Result<(), ScenarioError> {
        let Some(file) = self.file.take() else {
            return Ok(());
        };
        let path = folder.join(file);
        let text = read_bounded(&path, FILE_BYTES_MAX)?;
        let fault = |line: usize, expected: &'static str| ScenarioError::Trace {
            path: path.clone(),
            line,
            expected,
        };
        match self.format {
            TraceFormat::Steps => {
                let steps = parse_steps(&text).map_err(|(line, expected)| fault(line, expected))?;
                self.steps = Some(steps);
            }
            TraceFormat::Mahimahi => {
                let steps =
                    parse_mahimahi(&text).map_err(|(line, expected)| fault(line, expected))?;
                self.period_s = Some(steps.len() as f64);
                self.steps = Some(steps);
            }
        }
        if let Some((_, expected)) = self.fault() {
            return Err(fault(0, expected));
        }
        self.format = TraceFormat::Steps;
        Ok(())
    }

    /// What is wrong with it: the key, and what was expected.
    pub(crate) fn fault(&self) -> Option<(&'static str, &'static str)> {
        let given = [
            self.kbit_s.is_some(),
            self.steps.is_some(),
            self.file.is_some(),
        ];
        if given.iter().filter(|is_given| **is_given).count() > 1 {
            return Some(("", "at most one of kbit_s, steps and file"));
        }
        if self
            .kbit_s
            .is_some_and(|rate| !(8..=100_000_000).contains(&rate))
        {
            return Some(("kbit_s", "8 to 100000000"));
        }
        if self
            .period_s
            .is_some_and(|period| !(1.0..=604_800.0).contains(&period))
        {
            return Some(("period_s", "1 to 604800"));
        }
        if self.period_s.is_some() && self.kbit_s.is_some() {
            return Some(("period_s", "steps or file beside it"));
        }
        let steps = self.steps.as_deref()?;
        let expected = if !(1..=STEPS_MAX).contains(&steps.len()) {
            "1 to 100000 steps"
        } else if steps.first().is_none_or(|first| first.0 != 0.0) {
            "a first step at 0 s"
        } else if !steps.is_sorted_by(|a, b| a.0 < b.0)
            || steps.iter().any(|step| !step.0.is_finite())
        {
            "steps in order of time"
        } else if steps.iter().any(|step| step.1 > 100_000_000) {
            "rates of 0 to 100000000 kbit/s"
        } else if self
            .period_s
            .is_some_and(|period| steps.last().is_some_and(|last| last.0 >= period))
        {
            "steps that begin before period_s"
        } else if self.period_s.is_some() && steps.iter().all(|step| step.1 == 0) {
            "a rate above 0 in some step"
        } else if self.period_s.is_none() && steps.last().is_none_or(|last| last.1 == 0) {
            "a rate above 0 in the last step, since it holds for ever"
        } else {
            return None;
        };
        Some(("steps", expected))
    }

    /// The form to ask; none: without bounds.
    #[must_use]
    pub fn bandwidth(&self) -> Option<Bandwidth> {
        let steps = match (&self.steps, self.kbit_s) {
            (Some(steps), _) => steps
                .iter()
                .map(|(at_s, kbit_s)| ((at_s * 1e6) as u64, kbit_s * 1_000))
                .collect(),
            (None, Some(kbit_s)) => vec![(0, kbit_s * 1_000)],
            (None, None) => return None,
        };
        if self.fault().is_some() {
            return None;
        }
        let period_us = self.period_s.map(|period_s| (period_s * 1e6) as u64);
        Some(Bandwidth::new(steps, period_us))
    }
}

/// A link's rate over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bandwidth {
    /// µs and bits per second; the first at 0, in order, and not all 0 where it repeats or holds.
    steps: Vec<(u64, u64)>,
    period_us: Option<u64>,
    /// What passes in a period, bits times 10⁶.
    period_area: u128,
}

impl Bandwidth {
    fn new(steps: Vec<(u64, u64)>, period_us: Option<u64>) -> Self {
        let ends = steps.iter().skip(1).map(|step| step.0).chain(period_us);
        let period_area = steps
            .iter()
            .zip(ends)
            .map(|(step, end)| u128::from(end.saturating_sub(step.0)) * u128::from(step.1))
            .sum();
        Self {
            steps,
            period_us,
            period_area,
        }
    }

    /// The rate at a moment, bits per second.
    #[must_use]
    pub fn bits_per_s(&self, at_us: u64) -> u64 {
        let at_us = self.period_us.map_or(at_us, |period| at_us % period.max(1));
        let after = self.steps.partition_point(|step| step.0 <= at_us);
        after
            .checked_sub(1)
            .and_then(|index| self.steps.get(index))
            .map_or(0, |step| step.1)
    }

    /// When the last of `bytes` has passed, if the first is sent at `at_us` and nothing else is; µs.
    #[must_use]
    pub fn passed_at(&self, at_us: u64, bytes: u64) -> u64 {
        let mut left = u128::from(bytes) * 8 * 1_000_000;
        let (mut base, mut within) = match self.period_us {
            Some(period) => (at_us - at_us % period.max(1), at_us % period.max(1)),
            None => (0, at_us),
        };
        // Whole periods at once: the loop below then runs through the steps three times at most.
        if let Some(period) = self.period_us.filter(|_| self.period_area > 0) {
            let periods = (left / self.period_area).saturating_sub(1);
            left -= periods * self.period_area;
            base = base.saturating_add(
                u64::try_from(periods)
                    .unwrap_or(u64::MAX)
                    .saturating_mul(period),
            );
        }
        let mut index = self
            .steps
            .partition_point(|step| step.0 <= within)
            .saturating_sub(1);
        for _ in 0..=3 * self.steps.len() + 3 {
            let rate = self.steps.get(index).map_or(0, |step| step.1);
            let end = self
                .steps
                .get(index + 1)
                .map(|step| step.0)
                .or(self.period_us);
            let area = end.map(|end| u128::from(end.saturating_sub(within)) * u128::from(rate));
            if area.is_none_or(|area| left <= area) {
                let way = left.checked_div(u128::from(rate)).unwrap_or(0);
                let is_exact = way * u128::from(rate) == left;
                let way = u64::try_from(way + u128::from(!is_exact)).unwrap_or(u64::MAX);
                return base.saturating_add(within).saturating_add(way);
            }
            left -= area.unwrap_or(0);
            within = end.unwrap_or(within);
            index += 1;
            if index >= self.steps.len() {
                base = base.saturating_add(self.period_us.unwrap_or(0));
                (within, index) = (0, 0);
            }
        }
        base.saturating_add(within)
    }
}

type LineFault = (usize, &'static str);

/// Lines with something on them, numbered from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .zip(1_usize..)
        .map(|(line, number)| (number, line.split('#').next().unwrap_or("").trim()))
        .filter(|(_, line)| !line.is_empty())
}

fn parse_steps(text: &str) -> Result<Vec<(f64, u64)>, LineFault> {
    let mut steps = Vec::new();
    for (number, line) in lines(text) {
        let mut words = line.split_whitespace();
        let at_s = words.next().and_then(|word| word.parse::<f64>().ok());
        let kbit_s = words.next().and_then(|word| word.parse::<u64>().ok());
        let (Some(at_s), Some(kbit_s), None) = (at_s, kbit_s, words.next()) else {
            return Err((number, "a time in s and a whole rate in kbit/s"));
        };
        if steps.len() == STEPS_MAX {
            return Err((number, "at most 100000 steps"));
        }
        steps.push((at_s, kbit_s));
    }
    Ok(steps)
}

fn parse_mahimahi(text: &str) -> Result<Vec<(f64, u64)>, LineFault> {
    let mut packets: Vec<u64> = Vec::new();
    for (number, line) in lines(text) {
        let at_ms: u64 = line.parse().map_err(|_| (number, "a time in whole ms"))?;
        let second = usize::try_from(at_ms / 1_000).unwrap_or(usize::MAX);
        if second >= STEPS_MAX {
            return Err((number, "a trace of at most 100000 s"));
        }
        if packets.len() <= second {
            packets.resize(second + 1, 0);
        }
        if let Some(count) = packets.get_mut(second) {
            *count += 1;
        }
    }
    let step = |(second, count): (usize, u64)| (second as f64, count * PACKET_BITS / 1_000);
    Ok(packets.into_iter().enumerate().map(step).collect())
}
