//! One player's session, from its arrival to its end.

mod requests;

use std::sync::Arc;

use http::Method;
use mcsp_loadtest_measure::{PlaybackSample, SessionEnd, SessionSample};
use mcsp_loadtest_scenario::{Random, User};
use mcsp_loadtest_wire::Client;
use serde::Deserialize;
use url::Url;

use crate::abr::Throughput;
use crate::accounts::{SignIn, Who, bearer};
use crate::api::{Call, ask};
use crate::fetch::Tally;
use crate::manifest::Presentation;
use crate::playback::Playback;
use crate::retry::Loading;
use crate::tracks::Tracks;
use crate::world::World;

/// What `GET /api/v1/play/{id}` answers, as far as players need it.
#[derive(Debug, Deserialize)]
struct PlayResponse {
    media_session_id: String,
    hls_url: String,
    dash_url: String,
}

/// Nothing more will come of the session.
struct Broken;

/// Plays until the item's end, until it was watched long enough, or until `leave_us`.
pub(crate) async fn play(world: &World, user: User, leave_us: u64) {
    let mut session = Session::new(world, user);
    let clock = world.clock();
    let end = {
        let run = std::pin::pin!(session.run());
        tokio::select! {
            biased;
            end = run => end.unwrap_or(SessionEnd::Failed),
            () = clock.until(leave_us) => SessionEnd::RunOver,
        }
    };
    session.close(end);
}

struct Media {
    /// Where names start: the folder of the master manifest.
    root: Url,
    session_id: String,
    content_id: String,
    presentation: Arc<Presentation>,
    tracks: Tracks,
}

struct Session<'w> {
    world: &'w World,
    user: User,
    random: Random,
    client: Client,
    media: Option<Media>,
    playback: Playback,
    throughput: Throughput,
    tally: Tally,
    startup_us: Option<u64>,
    switches: u32,
    media_bits: u64,
    /// What the timeline knows already.
    told: PlaybackSample,
    /// CMCD's `bs` goes with the next request.
    has_starved: bool,
    watch_us: u64,
    seek_after_us: Option<u64>,
}

impl<'w> Session<'w> {
    fn new(world: &'w World, user: User) -> Self {
        let settings = &world.scenario.player;
        let mut random = user.random();
        let (least, most) = (settings.watch_min_s, settings.watch_max_s);
        let watch_us = random.between(
            least.saturating_mul(1_000_000),
            most.saturating_mul(1_000_000),
        );
        let seeks = random.chance(settings.seek_share);
        let seek_after_us = seeks.then(|| random.below(watch_us.max(1)));
        Self {
            client: world.client(&user),
            playback: Playback::new(world.clock().now_us()),
            world,
            user,
            random,
            media: None,
            throughput: Throughput::default(),
            tally: Tally::default(),
            startup_us: None,
            switches: 0,
            media_bits: 0,
            told: PlaybackSample::default(),
            has_starved: false,
            watch_us,
            seek_after_us,
        }
    }

    fn now_us(&self) -> u64 {
        self.world.clock().now_us()
    }

    async fn run(&mut self) -> Result<SessionEnd, Broken> {
        // Boxed: what starts a session is long gone when it plays.
        Box::pin(self.open()).await?;
        let buffer_us = seconds(self.world.scenario.player.buffer_s);
        let mut intended_us = self.now_us();
        loop {
            self.advance();
            if self.playback.has_ended() || self.playback.played_us() >= self.watch_us {
                return Ok(SessionEnd::Complete);
            }
            self.seek_perhaps();
            let Some(media) = &self.media else {
                return Err(Broken);
            };
            let ahead_of = |loaded_us: u64| loaded_us.saturating_sub(self.playback.head_us());
            let watch_left_us = self.watch_us.saturating_sub(self.playback.played_us());
            let wait_us = match media.tracks.neediest() {
                None => ahead_of(media.tracks.buffer().loaded_us),
                Some(index) => {
                    let track = media.tracks.all.get(index).ok_or(Broken)?;
                    let ahead_us = ahead_of(track.loaded_us);
                    let next_us = track.next_us().unwrap_or(0);
                    let over_us = ahead_us.saturating_add(next_us).saturating_sub(buffer_us);
                    if over_us == 0 || ahead_us == 0 || !self.playback.is_playing() {
                        Box::pin(self.fetch_next(index, intended_us.max(self.user.at_us))).await?;
                        intended_us = self.now_us();
                        continue;
                    }
                    over_us.min(ahead_us)
                }
            };
            intended_us = self.now_us() + wait_us.min(watch_left_us).max(1_000);
            self.world.clock().until(intended_us).await;
        }
    }

    /// Signs in, opens the media session, reads the master manifest.
    async fn open(&mut self) -> Result<(), Broken> {
        let world = self.world;
        let base = world.api(&self.user).clone();
        let content_id = world.content_id(&self.user).ok_or(Broken)?.to_owned();
        let who = Who {
            account: self.user.account,
            is_creator: false,
        };
        let at_us = self.user.at_us;
        let began_us = self.now_us();
        let authorization = bearer(world, &mut self.client, &base, who, SignIn::Any, at_us)
            .await
            .map_err(|_| Broken)?;
        let now_us = self.now_us();
        let path = format!("/api/v1/play/{content_id}");
        let call = Call {
            name: "play",
            method: Method::GET,
            path: &path,
            headers: &[("authorization", authorization.as_str())],
            body: None,
            expected: &[],
            // A token that was there makes this the user's first request.
            intended_us: if now_us == began_us { at_us } else { now_us },
        };
        let (_, opened): (_, PlayResponse) = ask(world, &mut self.client, &base, &call)
            .await
            .map_err(|_| Broken)?;
        let manifest_url = if self.user.is_dash {
            &opened.dash_url
        } else {
            &opened.hls_url
        };
        let url = Url::parse(manifest_url).map_err(|_| Broken)?;
        self.media = Some(Media {
            root: url.clone(),
            session_id: opened.media_session_id,
            content_id,
            presentation: Arc::default(),
            tracks: Tracks::new(&Presentation::default()),
        });
        let intended_us = self.now_us();
        let fetched = self.manifest(url, Loading::Master, intended_us).await?;
        let read = world.shelf.presentation(fetched.print.hash, &fetched.body);
        let presentation = self.readable(&fetched, read)?;
        if let Some(media) = &mut self.media {
            media.root = fetched.url.join(".").map_err(|_| Broken)?;
            media.tracks = Tracks::new(&presentation);
            media.presentation = presentation;
        }
        Ok(())
    }

    fn seek_perhaps(&mut self) {
        let is_due = |after_us: u64| self.playback.played_us() >= after_us;
        let Some(media) = &mut self.media else {
            return;
        };
        if self.seek_after_us.is_none_or(|after_us| !is_due(after_us)) || self.startup_us.is_none()
        {
            return;
        }
        self.seek_after_us = None;
        let list = media
            .tracks
            .all
            .first()
            .and_then(|main| main.lists.iter().flatten().next());
        let length_us: u64 = list.map_or(0, |list| list.segments.iter().map(|one| one.1).sum());
        let at_us = self.random.below(length_us.max(1));
        let mut head_us = 0;
        for track in &mut media.tracks.all {
            head_us = head_us.max(track.seek(at_us));
        }
        media.tracks.forget_bitrates();
        self.playback.seek(head_us);
    }

    /// Lets time go on to now, and tells the timeline what happened.
    fn advance(&mut self) {
        let now_us = self.now_us();
        let Some(media) = &mut self.media else {
            return;
        };
        let before_us = self.playback.head_us();
        self.playback.advance(now_us, media.tracks.buffer());
        self.media_bits += media.tracks.bits(before_us, self.playback.head_us());
        let (stalls, stalled_us) = self.playback.stalls();
        let is_new = stalls > self.told.stalls;
        self.has_starved |= is_new;
        let all = PlaybackSample {
            at_us: now_us,
            played_us: self.playback.played_us(),
            stalled_us,
            stalls,
            switches: self.switches,
            media_bits: self.media_bits,
        };
        let told = std::mem::replace(&mut self.told, all);
        let since = PlaybackSample {
            at_us: now_us,
            played_us: all.played_us - told.played_us,
            stalled_us: all.stalled_us - told.stalled_us,
            stalls: all.stalls - told.stalls,
            switches: all.switches - told.switches,
            media_bits: all.media_bits - told.media_bits,
        };
        if since
            != (PlaybackSample {
                at_us: now_us,
                ..PlaybackSample::default()
            })
        {
            self.world
                .with_recorder(|recorder| recorder.playback(&since));
        }
    }

    fn close(&mut self, end: SessionEnd) {
        self.advance();
        let (stalls, stalled_us) = self.playback.stalls();
        let sample = SessionSample {
            intended_us: self.user.at_us,
            ended_us: self.now_us(),
            startup_us: self.startup_us,
            end,
            stalls,
            stalled_us,
            played_us: self.playback.played_us(),
            switches: self.switches,
            media_bits: self.media_bits,
            wrong_bytes: self.tally.wrong_bytes,
            truncated: self.tally.truncated,
            retries: self.tally.retries,
        };
        self.world
            .with_recorder(|recorder| recorder.session(&sample));
    }
}

fn seconds(value: f64) -> u64 {
    (value * 1e6).max(0.0) as u64
}
