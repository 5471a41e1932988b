//! Which PoP a client should use: residency before nearness.

use std::cmp::Ordering;
use std::net::IpAddr;

use mcsp_api::Residency;
use mcsp_pop_config::{CountryCode, PopManifest, PopSet};

use crate::centroids::centroid;
use crate::{Place, Position};

/// A client, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Client {
    /// Its address, for PoPs that list networks of their own.
    pub address: Option<IpAddr>,
    /// Its country.
    pub country: Option<CountryCode>,
    /// Its position; without one, the middle of the country stands for it.
    pub position: Option<Position>,
}

impl Client {
    /// A client of which only the country is known, if that.
    #[must_use]
    pub fn in_country(country: Option<CountryCode>) -> Self {
        Self {
            country,
            ..Self::default()
        }
    }

    /// A client with this address, and what the geo database knows of it.
    #[must_use]
    pub fn at(address: IpAddr, place: Place) -> Self {
        Self {
            address: Some(address.to_canonical()),
            country: place.country,
            position: place.position,
        }
    }
}

/// The PoPs that may serve bytes of this residency to the client, best first: those whose footprint holds the client's
/// address (longest prefix first), then those in the client's country, then the others; within each by great-circle
/// distance. Of a client of whom nothing is known, only the configured rank counts. Unhealthy PoPs are left out, and so
/// are PoPs outside Nigeria for `NG`, whatever else holds. Ties fall to the lower rank, then to the id, so that the
/// answer is the same everywhere.
pub fn nearest<'a>(
    pops: &'a PopSet,
    client: &Client,
    residency: Residency,
    is_healthy: impl Fn(&PopManifest) -> bool,
) -> Vec<&'a PopManifest> {
    let from = client
        .position
        .or_else(|| client.country.and_then(centroid));
    let mut candidates: Vec<_> = pops
        .iter()
        .filter(|pop| residency.allows_country(Some(pop.country.as_str())))
        .filter(|pop| is_healthy(pop))
        .map(|pop| (Preference::of(pop, client, from), pop))
        .collect();
    candidates.sort_by(|(a, pop_a), (b, pop_b)| a.cmp(b).then_with(|| pop_a.id.cmp(&pop_b.id)));
    candidates.into_iter().map(|(_, pop)| pop).collect()
}

/// Smaller is better.
#[derive(Debug)]
struct Preference {
    /// 0 for a whole address, 128 or more for none.
    footprint_gap: u8,
    is_abroad: bool,
    distance_km: f64,
    rank: u32,
}

impl Preference {
    fn of(pop: &PopManifest, client: &Client, from: Option<Position>) -> Self {
        let position = Position {
            latitude: pop.latitude,
            longitude: pop.longitude,
        };
        let prefix_bits = client.address.and_then(|address| {
            let holding = pop
                .footprints
                .iter()
                .filter(|network| network.contains(&address));
            holding.map(ipnet::IpNet::prefix_len).max()
        });
        Self {
            footprint_gap: prefix_bits.map_or(u8::MAX, |bits| 128 - bits),
            is_abroad: client.country != Some(pop.country),
            distance_km: from.map_or(0.0, |from| from.distance_km(position)),
            rank: pop.fallback_rank,
        }
    }

    fn cmp(&self, other: &Self) -> Ordering {
        self.footprint_gap
            .cmp(&other.footprint_gap)
            .then(self.is_abroad.cmp(&other.is_abroad))
            .then(self.distance_km.total_cmp(&other.distance_km))
            .then(self.rank.cmp(&other.rank))
    }
}
