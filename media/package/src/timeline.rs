//! Presentation times to decode times, durations and segments.

use crate::PackageError;

/// Segments begin at the first key frame at or after a multiple of this, milliseconds. Being absolute, the grid cuts
/// every rendition of one source at the same frames.
pub const SEGMENT_GRID_MS: u64 = 4000;

/// Says which frames begin a new step of an absolute grid: the first one at or after each multiple of the step.
#[derive(Debug, Clone)]
pub struct KeyGrid {
    step_ms: u64,
    timescale: u32,
    last: Option<u64>,
}

impl KeyGrid {
    /// A grid of `step_ms` milliseconds over times in `timescale` ticks a second.
    #[must_use]
    pub fn new(step_ms: u64, timescale: u32) -> Self {
        Self {
            step_ms: step_ms.max(1),
            timescale: timescale.max(1),
            last: None,
        }
    }

    /// Does the frame at `ticks` begin a step that no earlier frame began? Frames are asked in order of time.
    pub fn begins_step(&mut self, ticks: u64) -> bool {
        let step = self.step_of(ticks);
        let begins = self.last.is_none_or(|last| step > last);
        if begins {
            self.last = Some(step);
        }
        begins
    }

    fn step_of(&self, ticks: u64) -> u64 {
        let step =
            u128::from(ticks) * 1000 / (u128::from(self.step_ms) * u128::from(self.timescale));
        u64::try_from(step).unwrap_or(u64::MAX)
    }
}

/// A sample with its place in the decoder's timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TimedSample {
    pub(crate) data: Vec<u8>,
    pub(crate) decode_ticks: u64,
    pub(crate) duration_ticks: u32,
    /// Composition time less decode time. Composition times are presentation times plus the track's reordering delay.
    pub(crate) offset_ticks: i32,
    pub(crate) is_sync: bool,
}

/// A sample in decode order, before its decode time is known.
#[derive(Debug, Clone)]
pub(crate) struct PendingSample {
    pub(crate) data: Vec<u8>,
    pub(crate) present_ticks: u64,
    pub(crate) is_sync: bool,
}

/// Gives a closed group of samples (in decode order, the first one a sync sample) its decode times: the n-th decoded
/// sample is decoded at the n-th presentation time. So the group's decode interval is exactly its presentation interval,
/// `[first, end_ticks)`, and groups join without a gap whatever the frame rate does.
pub(crate) fn time_group(
    group: Vec<PendingSample>,
    end_ticks: u64,
    reorder_ticks: u32,
) -> Result<Vec<TimedSample>, PackageError> {
    let mut times: Vec<u64> = group.iter().map(|sample| sample.present_ticks).collect();
    times.sort_unstable();
    if let (Some(first), Some(earliest)) = (group.first(), times.first())
        && (!first.is_sync || first.present_ticks != *earliest)
    {
        return Err(PackageError::Timeline(format!(
            "a group of pictures at {earliest} does not begin with its key frame"
        )));
    }
    times.push(end_ticks);
    let mut timed = Vec::with_capacity(group.len());
    for (sample, slot) in group.into_iter().zip(times.windows(2)) {
        let &[decode_ticks, next] = slot else {
            continue;
        };
        let duration_ticks = next
            .checked_sub(decode_ticks)
            .filter(|duration| *duration > 0)
            .and_then(|duration| u32::try_from(duration).ok())
            .ok_or_else(|| {
                PackageError::Timeline(format!(
                    "a sample from {decode_ticks} to {next} has no valid duration"
                ))
            })?;
        let offset =
            i128::from(sample.present_ticks) + i128::from(reorder_ticks) - i128::from(decode_ticks);
        timed.push(TimedSample {
            data: sample.data,
            decode_ticks,
            duration_ticks,
            offset_ticks: i32::try_from(offset)
                .map_err(|_| PackageError::Timeline("a composition offset is too large".into()))?,
            is_sync: sample.is_sync,
        });
    }
    Ok(timed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn group(times: &[u64]) -> Vec<PendingSample> {
        times
            .iter()
            .enumerate()
            .map(|(at, &present_ticks)| PendingSample {
                data: vec![1],
                present_ticks,
                is_sync: at == 0,
            })
            .collect()
    }

    #[test]
    fn b_frames_get_offsets_that_the_delay_covers() {
        let timed = time_group(group(&[0, 30, 10, 20]), 40, 10).unwrap();
        let offsets: Vec<i32> = timed.iter().map(|sample| sample.offset_ticks).collect();
        assert_eq!(offsets, [10, 30, 0, 0]);
        assert!(timed.iter().all(|sample| sample.duration_ticks == 10));
    }

    #[test]
    fn twins_and_leading_frames_are_refused() {
        assert!(time_group(group(&[0, 10, 10]), 30, 0).is_err());
        assert!(time_group(group(&[10, 0, 20]), 30, 0).is_err());
        assert!(time_group(group(&[0, 10]), 10, 0).is_err());
    }

    #[test]
    fn a_grid_takes_the_first_frame_of_each_step() {
        let mut grid = KeyGrid::new(2000, 24_000);
        let keys: Vec<u64> = (0..150)
            .map(|n| n * 1001)
            .filter(|&t| grid.begins_step(t))
            .collect();
        assert_eq!(keys, [0, 48_048, 96_096, 144_144]);
    }

    proptest! {
        #[test]
        fn groups_tile_the_timeline(
            durations in proptest::collection::vec(1u64..5000, 1..60),
            start in 0u64..1_000_000_000,
            swaps in proptest::collection::vec((1usize..60, 1usize..60), 0..40),
        ) {
            let mut times = vec![start];
            for duration in &durations {
                times.push(times.last().unwrap() + duration);
            }
            let end = times.pop().unwrap();
            for (a, b) in swaps {
                if a < times.len() && b < times.len() {
                    times.swap(a, b);
                }
            }
            let timed = time_group(group(&times), end, 0).unwrap();
            let mut at = start;
            for (sample, present) in timed.iter().zip(&times) {
                prop_assert_eq!(sample.decode_ticks, at);
                prop_assert_eq!(i128::from(sample.decode_ticks) + i128::from(sample.offset_ticks), i128::from(*present));
                at += u64::from(sample.duration_ticks);
            }
            prop_assert_eq!(at, end);
        }
    }
}
