//! Positions and distances on the globe.

use serde::{Deserialize, Serialize};

/// Mean radius of the Earth (IUGG), kilometres.
const EARTH_RADIUS_KM: f64 = 6371.0088;

/// A point on the globe.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
}

impl Position {
    /// The great-circle distance by the haversine formula, kilometres; 0 to about 20 015.
    #[must_use]
    pub fn distance_km(self, other: Self) -> f64 {
        let (lat_a, lat_b) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half_lat = (lat_b - lat_a) / 2.0;
        let half_lon = (other.longitude - self.longitude).to_radians() / 2.0;
        let h = half_lat.sin().powi(2) + lat_a.cos() * lat_b.cos() * half_lon.sin().powi(2);
        2.0 * EARTH_RADIUS_KM * h.clamp(0.0, 1.0).sqrt().asin()
    }
}
