//! The tracks of a session: what of each is there, and what comes next.

use std::collections::VecDeque;
use std::sync::Arc;

use mcsp_loadtest_scenario::Abr;

use crate::abr::{Situation, choose};
use crate::manifest::{Presentation, SegmentList};
use crate::playback::Buffer;

/// Pictures, or the sound beside them.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) is_main: bool,
    /// The rendition that was fetched last.
    pub(crate) rendition: Option<usize>,
    /// The segment that comes next.
    pub(crate) next: usize,
    /// Up to which moment of the media it is there, µs.
    pub(crate) loaded_us: u64,
    /// Whether its last segment is there.
    pub(crate) is_all: bool,
    /// Segments of each rendition, as far as they are known.
    pub(crate) lists: Vec<Option<Arc<SegmentList>>>,
    /// Renditions whose initialisation segment is there.
    pub(crate) inits: Vec<bool>,
}

impl Track {
    fn new(is_main: bool, presentation: &Presentation) -> Self {
        let renditions = if is_main {
            &presentation.main
        } else {
            &presentation.audio
        };
        Self {
            is_main,
            rendition: None,
            next: 0,
            loaded_us: 0,
            is_all: false,
            lists: renditions.iter().map(|one| one.segments.clone()).collect(),
            inits: vec![false; renditions.len()],
        }
    }

    /// The duration of the segment that comes next, as far as it is known, µs.
    pub(crate) fn next_us(&self) -> Option<u64> {
        let index = self.rendition.unwrap_or(0);
        let list = self.lists.get(index)?.as_ref()?;
        list.segments.get(self.next).map(|segment| segment.1)
    }

    /// A segment of a rendition with this list is there.
    pub(crate) fn loaded(&mut self, list: &SegmentList, duration_us: u64) {
        self.loaded_us += duration_us;
        self.next += 1;
        self.is_all = self.next >= list.segments.len();
    }

    /// Goes to the segment in which `at_us` lies; where that begins.
    pub(crate) fn seek(&mut self, at_us: u64) -> u64 {
        let list = self.lists.iter().flatten().next();
        let (mut begin_us, mut index) = (0_u64, 0);
        for (_, duration_us) in list.iter().flat_map(|list| &list.segments) {
            if begin_us + duration_us > at_us {
                break;
            }
            begin_us += duration_us;
            index += 1;
        }
        self.next = index;
        self.loaded_us = begin_us;
        self.is_all = list.is_some_and(|list| index >= list.segments.len());
        begin_us
    }
}

/// All tracks of a session.
#[derive(Debug)]
pub(crate) struct Tracks {
    pub(crate) all: Vec<Track>,
    /// Of the main track: until when which bitrate plays, µs and bits per second.
    bitrates: VecDeque<(u64, u64)>,
}

impl Tracks {
    pub(crate) fn new(presentation: &Presentation) -> Self {
        let mut all = vec![Track::new(true, presentation)];
        // Sound of its own, unless each variant has its sound in it.
        if presentation.has_pictures && !presentation.audio.is_empty() {
            all.push(Track::new(false, presentation));
        }
        Self {
            all,
            bitrates: VecDeque::new(),
        }
    }

    pub(crate) fn buffer(&self) -> Buffer {
        // A track that is all there does not hold the others up.
        let waiting = self.all.iter().filter(|track| !track.is_all);
        let least = waiting.map(|track| track.loaded_us).min();
        let most = self.all.iter().map(|track| track.loaded_us).max();
        Buffer {
            loaded_us: least.or(most).unwrap_or(0),
            is_all: least.is_none(),
        }
    }

    /// The track of which least is there.
    pub(crate) fn neediest(&self) -> Option<usize> {
        let tracks = self.all.iter().enumerate();
        tracks
            .filter(|(_, track)| !track.is_all)
            .min_by_key(|(_, track)| track.loaded_us)
            .map(|(index, _)| index)
    }

    pub(crate) fn note_bitrate(&mut self, until_us: u64, bps: u64) {
        self.bitrates.push_back((until_us, bps));
    }

    pub(crate) fn forget_bitrates(&mut self) {
        self.bitrates.clear();
    }

    /// Bits of the media from one moment of it to another.
    pub(crate) fn bits(&mut self, from_us: u64, to_us: u64) -> u64 {
        let mut at_us = from_us;
        let mut bits = 0_u128;
        while at_us < to_us {
            let Some((until_us, bps)) = self.bitrates.front().copied() else {
                break;
            };
            let end_us = until_us.min(to_us);
            bits += u128::from(end_us.saturating_sub(at_us)) * u128::from(bps);
            at_us = at_us.max(end_us);
            if until_us <= to_us {
                self.bitrates.pop_front();
            }
        }
        u64::try_from(bits / 1_000_000).unwrap_or(u64::MAX)
    }
}

/// Which rendition of a track is fetched next.
pub(crate) fn pick(
    presentation: &Presentation,
    tracks: &Tracks,
    track: usize,
    abr: Abr,
    max_height: u32,
    now: &Situation,
) -> usize {
    let main = &presentation.main;
    let shown = |height: u32| max_height == 0 || height <= max_height;
    // The lowest is there for every screen.
    let count = main.iter().filter(|one| shown(one.height)).count().max(1);
    if tracks.all.get(track).is_none_or(|track| track.is_main) {
        let bitrates: Vec<u64> = main.iter().take(count).map(|one| one.peak_bps).collect();
        return choose(abr, &bitrates, now);
    }
    let chosen = tracks
        .all
        .first()
        .and_then(|main| main.rendition)
        .unwrap_or(0);
    let audio = &presentation.audio;
    let group = main.get(chosen).and_then(|one| one.audio_group.as_ref());
    let of_group = group.and_then(|group| {
        let has_it = |one: &crate::manifest::Rendition| one.audio_group.as_ref() == Some(group);
        audio.iter().position(has_it)
    });
    // DASH says nothing of the kind: better sound goes with better pictures.
    of_group.unwrap_or(chosen * audio.len() / main.len().max(1))
}
