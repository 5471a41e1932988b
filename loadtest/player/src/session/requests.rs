//! What a session asks for, and what it does with what comes.

use std::sync::Arc;

use mcsp_loadtest_measure::{FindingKind, Outcome, RequestClass};
use url::Url;

use super::{Broken, Session, seconds};
use crate::abr::Situation;
use crate::check::{self, Expected};
use crate::cmcd::{Cmcd, CmcdMode, ObjectType};
use crate::fetch::{Fetched, Wanted, fetch, object_of, record};
use crate::manifest::{ManifestError, SegmentList};
use crate::retry::Loading;
use crate::tracks::{Track, pick};

impl Session<'_> {
    pub(super) async fn manifest(
        &mut self,
        url: Url,
        loading: Loading,
        intended_us: u64,
    ) -> Result<Fetched, Broken> {
        let headers = self.cmcd(ObjectType::Manifest, None, None, None);
        let wanted = Wanted {
            class: RequestClass::Manifest,
            url: self.tagged(url, &headers),
            headers: self.in_headers(&headers),
            intended_us,
            loading,
            keeps_body: true,
        };
        let fetched = fetch(self.world, &mut self.client, &wanted, &mut self.tally)
            .await
            .map_err(|_| Broken)?;
        record(self.world, &fetched, Outcome::Ok);
        check::manifest(self.world, &fetched);
        Ok(fetched)
    }

    /// What was read of a manifest, or that nothing could be.
    pub(super) fn readable<T>(
        &self,
        fetched: &Fetched,
        read: Result<T, ManifestError>,
    ) -> Result<T, Broken> {
        read.map_err(|error| {
            let object = object_of(&fetched.url);
            self.world
                .find(FindingKind::BadManifest, object, error.to_string());
            Broken
        })
    }

    /// The next segment of a track, and what is needed before it.
    pub(super) async fn fetch_next(
        &mut self,
        index: usize,
        intended_us: u64,
    ) -> Result<(), Broken> {
        let chosen = self.choose(index)?;
        let outcome = Box::pin(self.fetch_of(index, chosen, intended_us)).await;
        if outcome.is_err() && chosen > 0 {
            // The level below may be there, as hls.js hopes when its tries are spent.
            let now_us = self.now_us();
            return Box::pin(self.fetch_of(index, 0, now_us)).await;
        }
        outcome
    }

    fn choose(&self, index: usize) -> Result<usize, Broken> {
        let media = self.media.as_ref().ok_or(Broken)?;
        let settings = &self.world.scenario.player;
        let device = self.world.cast.devices().get(self.user.device);
        let ahead_us = media
            .tracks
            .buffer()
            .loaded_us
            .saturating_sub(self.playback.head_us());
        // A segment is asked for when there is room for it: no choice is ever made with a fuller buffer than this.
        let next_us = media.tracks.all.get(index).and_then(Track::next_us);
        let segment_s = next_us.unwrap_or(0) as f64 / 1e6;
        let room_s = settings.buffer_s - segment_s;
        let now = Situation {
            throughput_bps: self.throughput.bps(),
            share: settings.throughput_share,
            buffer_s: ahead_us as f64 / 1e6,
            segment_s,
            buffer_max_s: room_s.max(1.0),
        };
        let max_height = device.map_or(0, |device| device.max_height);
        let presentation = &media.presentation;
        Ok(pick(
            presentation,
            &media.tracks,
            index,
            settings.abr,
            max_height,
            &now,
        ))
    }

    async fn fetch_of(
        &mut self,
        index: usize,
        chosen: usize,
        intended_us: u64,
    ) -> Result<(), Broken> {
        let (list, mut intended_us) = self.list(index, chosen, intended_us).await?;
        let media = self.media.as_ref().ok_or(Broken)?;
        let track = media.tracks.all.get(index).ok_or(Broken)?;
        let number = track.next;
        let has_init = track.inits.get(chosen).copied().unwrap_or(true);
        if let Some(init) = list.init.clone().filter(|_| !has_init) {
            self.segment(index, chosen, &init, None, list.longest_us, intended_us)
                .await?;
            intended_us = self.now_us();
            let track = self
                .media
                .as_mut()
                .and_then(|media| media.tracks.all.get_mut(index));
            if let Some(slot) = track.and_then(|track| track.inits.get_mut(chosen)) {
                *slot = true;
            }
        }
        let (name, duration_us) = list.segments.get(number).cloned().ok_or(Broken)?;
        self.segment(
            index,
            chosen,
            &name,
            Some(duration_us),
            list.longest_us,
            intended_us,
        )
        .await?;
        self.advance();
        let start_us = seconds(self.world.scenario.player.start_buffer_s);
        let media = self.media.as_mut().ok_or(Broken)?;
        let track = media.tracks.all.get_mut(index).ok_or(Broken)?;
        let is_switch = track.rendition.is_some_and(|before| before != chosen);
        track.rendition = Some(chosen);
        track.loaded(&list, duration_us);
        let (is_main, loaded_us) = (track.is_main, track.loaded_us);
        if is_main {
            self.switches += u32::from(is_switch);
            let bps = media
                .presentation
                .main
                .get(chosen)
                .map_or(0, |one| one.peak_bps);
            media.tracks.note_bitrate(loaded_us, bps);
        }
        let plays = self.playback.filled(media.tracks.buffer(), start_us);
        if plays && self.startup_us.is_none() {
            let now_us = self.now_us();
            let startup_us = now_us.saturating_sub(self.user.at_us);
            self.startup_us = Some(startup_us);
            self.world
                .with_recorder(|recorder| recorder.first_frame(now_us, startup_us));
        }
        Ok(())
    }

    /// A rendition's segments; of HLS, its playlist may have to be fetched first.
    async fn list(
        &mut self,
        index: usize,
        chosen: usize,
        intended_us: u64,
    ) -> Result<(Arc<SegmentList>, u64), Broken> {
        let media = self.media.as_ref().ok_or(Broken)?;
        let track = media.tracks.all.get(index).ok_or(Broken)?;
        if let Some(list) = track.lists.get(chosen).cloned().flatten() {
            return Ok((list, intended_us));
        }
        let renditions = if track.is_main {
            &media.presentation.main
        } else {
            &media.presentation.audio
        };
        let name = renditions.get(chosen).ok_or(Broken)?.name.clone();
        let url = media.root.join(&name).map_err(|_| Broken)?;
        let fetched = self.manifest(url, Loading::Playlist, intended_us).await?;
        let read = self
            .world
            .shelf
            .list(fetched.print.hash, &name, &fetched.body);
        let list = self.readable(&fetched, read)?;
        let media = self.media.as_mut().ok_or(Broken)?;
        rebase(&mut media.root, &name, &fetched.url);
        let track = media.tracks.all.get_mut(index).ok_or(Broken)?;
        if let Some(slot) = track.lists.get_mut(chosen) {
            *slot = Some(Arc::clone(&list));
        }
        Ok((list, self.now_us()))
    }

    /// Fetches and judges one segment.
    async fn segment(
        &mut self,
        index: usize,
        chosen: usize,
        name: &str,
        duration_us: Option<u64>,
        longest_us: u64,
        intended_us: u64,
    ) -> Result<(), Broken> {
        let media = self.media.as_ref().ok_or(Broken)?;
        let is_main = index == 0;
        let (renditions, kind) = match (is_main, media.presentation.has_pictures) {
            (true, true) => (&media.presentation.main, ObjectType::Video),
            (true, false) => (&media.presentation.main, ObjectType::Audio),
            (false, _) => (&media.presentation.audio, ObjectType::Audio),
        };
        let rendition = renditions.get(chosen).ok_or(Broken)?.clone();
        let top_bps = renditions.last().map(|one| one.peak_bps);
        let url = media.root.join(name).map_err(|_| Broken)?;
        let item = media.content_id.clone();
        let kind = if duration_us.is_some() {
            kind
        } else {
            ObjectType::Init
        };
        let headers = self.cmcd(kind, duration_us, Some(rendition.peak_bps), top_bps);
        let wanted = Wanted {
            class: if duration_us.is_some() {
                RequestClass::Segment
            } else {
                RequestClass::Init
            },
            url: self.tagged(url, &headers),
            headers: self.in_headers(&headers),
            intended_us,
            loading: Loading::Segment,
            keeps_body: duration_us.is_none(),
        };
        let fetched = fetch(self.world, &mut self.client, &wanted, &mut self.tally)
            .await
            .map_err(|_| Broken)?;
        self.has_starved = false;
        let expected = Expected {
            item: &item,
            rendition: &rendition,
            duration_us,
            longest_us,
        };
        let outcome = check::segment(self.world, &fetched, &expected, &mut self.tally).await;
        record(self.world, &fetched, outcome);
        if duration_us.is_some() {
            self.throughput.add(fetched.print.bytes, fetched.took_us);
        }
        if let Some(media) = &mut self.media {
            rebase(&mut media.root, name, &fetched.url);
        }
        Ok(())
    }

    /// What CMCD says of the next request; nothing when it is not sent.
    fn cmcd(
        &self,
        object: ObjectType,
        duration_us: Option<u64>,
        bps: Option<u64>,
        top_bps: Option<u64>,
    ) -> Vec<(&'static str, String)> {
        let Some(media) = self
            .media
            .as_ref()
            .filter(|_| self.world.scenario.player.cmcd)
        else {
            return Vec::new();
        };
        let kbit_s = |bps: Option<u64>| bps.filter(|bps| *bps > 0).map(|bps| bps.div_ceil(1_000));
        let ahead_us = media
            .tracks
            .buffer()
            .loaded_us
            .saturating_sub(self.playback.head_us());
        let is_media = duration_us.is_some();
        let cmcd = Cmcd {
            bitrate_kbit_s: kbit_s(bps).filter(|_| is_media),
            buffer_ms: is_media.then_some(ahead_us / 1_000),
            is_starved: self.has_starved,
            content_id: &media.content_id,
            duration_ms: duration_us.map(|us| us / 1_000),
            throughput_kbit_s: Some((self.throughput.bps() / 1_000.0) as u64),
            next: None,
            object,
            // A segment in half of its own time keeps the buffer growing.
            requested_kbit_s: kbit_s(bps)
                .filter(|_| is_media)
                .map(|rate| rate.saturating_mul(2)),
            is_dash: self.user.is_dash,
            session_id: &media.session_id,
            is_urgent: !self.playback.is_playing(),
            top_kbit_s: kbit_s(top_bps).filter(|_| is_media),
        };
        match self.world.options.cmcd {
            CmcdMode::Headers => cmcd.headers(),
            CmcdMode::Query => vec![("CMCD", cmcd.query())],
        }
    }

    fn tagged(&self, mut url: Url, cmcd: &[(&'static str, String)]) -> Url {
        if self.world.options.cmcd == CmcdMode::Query {
            url.query_pairs_mut().extend_pairs(cmcd).finish();
        }
        url
    }

    fn in_headers<'c>(&self, cmcd: &'c [(&'static str, String)]) -> &'c [(&'static str, String)] {
        match self.world.options.cmcd {
            CmcdMode::Headers => cmcd,
            CmcdMode::Query => &[],
        }
    }
}

/// A redirect that moved the whole tree (another region, a renewed token) moves what comes after it too.
fn rebase(root: &mut Url, name: &str, came_from: &Url) {
    let Some(folder) = came_from.path().strip_suffix(name).map(str::to_owned) else {
        return;
    };
    let mut moved = came_from.clone();
    moved.set_path(&folder);
    moved.set_query(None);
    *root = moved;
}
