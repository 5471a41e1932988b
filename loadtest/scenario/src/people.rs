//! Who each user is.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::places::{Device, Place, one};
use crate::random::Random;
use crate::scenario::Scenario;
use crate::schedule::Start;
use crate::settings::{HttpVersion, ManifestChoice, Protocol};

/// The stream of [`Random`] that says who a user is.
const WHO: u64 = 1;
/// The stream that a user draws its own decisions from.
const OWN: u64 = 2;

/// What kinds of users come, by weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    /// Who play.
    pub players: f64,
    /// Who upload.
    pub creators: f64,
    /// Who call the API.
    pub api_users: f64,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            players: one(),
            creators: 0.0,
            api_users: 0.0,
        }
    }
}

/// What a user does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserKind {
    /// Plays.
    Player,
    /// Uploads.
    Creator,
    /// Calls the API.
    ApiUser,
}

/// One user. It depends on the scenario and on the user's number only.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// Its number in the run.
    pub index: u64,
    /// Its intended start, µs after the run's start.
    pub at_us: u64,
    /// What it does.
    pub kind: UserKind,
    /// Which account it signs in as, from 0.
    pub account: u32,
    /// The index of its device in [`Cast::devices`].
    pub device: usize,
    /// The index of its place in `geography`; none: the system picks its address.
    pub place: Option<usize>,
    /// The address that it connects from.
    pub source: Option<IpAddr>,
    /// The HTTP version that it speaks.
    pub version: HttpVersion,
    /// Whether a player asks for DASH; else HLS.
    pub is_dash: bool,
    /// 64 even bits: with [`crate::Popularity::pick`], what it plays.
    pub content_draw: u64,
    seed: u64,
}

impl User {
    /// What the user draws its own decisions from: think times, jitter, seeks.
    #[must_use]
    pub fn random(&self) -> Random {
        Random::new(self.seed, OWN, self.index)
    }
}

/// Says who each user is.
#[derive(Debug, Clone)]
pub struct Cast {
    seed: u64,
    mix: [f64; 3],
    devices: Vec<Device>,
    places: Vec<Place>,
    protocol: Protocol,
    manifest: ManifestChoice,
    accounts: u32,
}

impl Cast {
    /// For a scenario that has been checked.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let mix = &scenario.mix;
        let mut devices = scenario.devices.clone();
        if devices.is_empty() {
            devices.push(Device::default());
        }
        Self {
            seed: scenario.seed,
            mix: [mix.players, mix.creators, mix.api_users],
            devices,
            places: scenario.geography.clone(),
            protocol: scenario.protocol,
            manifest: scenario.player.manifest,
            accounts: scenario.accounts.count.max(1),
        }
    }

    /// The devices; at least one.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The places; none when the system picks addresses.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Who starts then.
    #[must_use]
    pub fn user(&self, start: Start) -> User {
        let mut random = Random::new(self.seed, WHO, start.index);
        let kind = match random.weighted(self.mix) {
            1 => UserKind::Creator,
            2 => UserKind::ApiUser,
            _ => UserKind::Player,
        };
        let device = random.weighted(self.devices.iter().map(|device| device.weight));
        let place = random.weighted(self.places.iter().map(|place| place.weight));
        let is_even = random.chance(0.5);
        let version = match self.protocol {
            Protocol::H1 => HttpVersion::H1,
            Protocol::H2 => HttpVersion::H2,
            Protocol::Mixed if is_even => HttpVersion::H1,
            Protocol::Mixed => HttpVersion::H2,
        };
        let is_dash = match self.manifest {
            ManifestChoice::Hls => false,
            ManifestChoice::Dash => true,
            ManifestChoice::Mixed => random.chance(0.5),
        };
        let content_draw = random.next_u64();
        let source = self
            .places
            .get(place)
            .map(|place| place.address(&mut random));
        User {
            index: start.index,
            at_us: start.at_us,
            kind,
            account: u32::try_from(start.index % u64::from(self.accounts)).unwrap_or(0),
            device,
            place: source.map(|_| place),
            source,
            version,
            is_dash,
            content_draw,
            seed: self.seed,
        }
    }
}
