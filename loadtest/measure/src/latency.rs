//! Latencies, exactly enough for any quantile.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer as Reader, Serializer as _, V2DeflateSerializer};
use mcsp_loadtest_scenario::Phase;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::sample::RequestClass;

/// The longest latency, µs: an hour. Longer ones count as this.
pub(crate) const LATENCY_MAX_US: u64 = 3_600_000_000;
/// Values are kept to three significant digits.
const DIGITS: u8 = 3;
/// A serialised histogram, bytes; the largest possible one has less than half of it.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// An HDR histogram of microseconds: exact to three significant digits up to an hour. In JSON it is HdrHistogram's own V2
/// compressed form in base64, which other tools read; empty, it is an empty string. Adding two is exact.
#[derive(Debug, Clone, Default)]
pub struct Latency(Option<Histogram<u64>>);

impl Latency {
    /// One more value, µs.
    pub fn record(&mut self, us: u64) {
        if self.0.is_none() {
            self.0 = Histogram::new(DIGITS).ok();
        }
        if let Some(histogram) = &mut self.0 {
            // It grows as needed, so an error cannot be; 0 is kept as 0.
            let _ = histogram.record(us.min(LATENCY_MAX_US));
        }
    }

    /// All that another one holds.
    pub fn merge(&mut self, other: &Self) {
        match (&mut self.0, &other.0) {
            (_, None) => {}
            (None, Some(histogram)) => self.0 = Some(histogram.clone()),
            (Some(own), Some(histogram)) => {
                let _ = own.add(histogram);
            }
        }
    }

    /// How many values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// The value at or below which this share (0 to 1) of values lies, µs; none when there are none.
    #[must_use]
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        // The middle of what the bin stands for: its upper end, which the library gives, would always be too high.
        let upper = histogram.value_at_quantile(quantile.clamp(0.0, 1.0));
        Some(histogram.median_equivalent(upper))
    }

    /// The mean, µs; none when there are no values.
    #[must_use]
    pub fn mean_us(&self) -> Option<f64> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        Some(histogram.mean())
    }

    /// The values that there are, with their counts, in order.
    pub fn recorded(&self) -> impl Iterator<Item = (u64, u64)> {
        let recorded = self.0.iter().flat_map(Histogram::iter_recorded);
        recorded.map(|step| (step.value_iterated_to(), step.count_at_value()))
    }
}

/// The same values, to three digits, as often.
impl PartialEq for Latency {
    fn eq(&self, other: &Self) -> bool {
        self.recorded().eq(other.recorded())
    }
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        if let Some(histogram) = &self.0 {
            V2DeflateSerializer::new()
                .serialize(histogram, &mut bytes)
                .map_err(serde::ser::Error::custom)?;
        }
        serializer.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self::default());
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(D::Error::custom("a histogram of more than 1 MiB"));
        }
        let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
        let mut histogram: Histogram<u64> = Reader::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(D::Error::custom)?;
        if histogram.sigfig() != DIGITS || histogram.low() != 1 {
            return Err(D::Error::custom(
                "a histogram of other bounds than this tool's",
            ));
        }
        histogram.auto(true);
        Ok(Self(Some(histogram)))
    }
}

/// A histogram for each class of requests and each part of their time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Row>", into = "Vec<Row>")]
pub struct Latencies(BTreeMap<(RequestClass, Phase), Latency>);

/// As it stands in JSON.
#[derive(Serialize, Deserialize)]
struct Row {
    class: RequestClass,
    phase: Phase,
    histogram: Latency,
}

impl From<Vec<Row>> for Latencies {
    fn from(rows: Vec<Row>) -> Self {
        let mut latencies = Self::default();
        for row in rows {
            latencies
                .0
                .entry((row.class, row.phase))
                .or_default()
                .merge(&row.histogram);
        }
        latencies
    }
}

impl From<Latencies> for Vec<Row> {
    fn from(latencies: Latencies) -> Self {
        let row = |((class, phase), histogram)| Row {
            class,
            phase,
            histogram,
        };
        latencies.0.into_iter().map(row).collect()
    }
}

impl Latencies {
    /// One more value, µs.
    pub fn record(&mut self, class: &RequestClass, phase: Phase, us: u64) {
        self.0.entry((class.clone(), phase)).or_default().record(us);
    }

    /// All that another one holds.
    pub fn merge(&mut self, other: &Self) {
        for (key, histogram) in &other.0 {
            self.0.entry(key.clone()).or_default().merge(histogram);
        }
    }

    /// One class's and phase's; none when there was no such request.
    #[must_use]
    pub fn get(&self, class: &RequestClass, phase: Phase) -> Option<&Latency> {
        self.0.get(&(class.clone(), phase))
    }

    /// All requests that an SLO of this class (as in TOML; none: all) is for.
    #[must_use]
    pub fn of(&self, class: Option<&str>, phase: Phase) -> Latency {
        let mut sum = Latency::default();
        for ((own, of), histogram) in &self.0 {
            if *of == phase && own.is_of(class) {
                sum.merge(histogram);
            }
        }
        sum
    }

    /// All of them, by class, then phase.
    pub fn iter(&self) -> impl Iterator<Item = (&RequestClass, Phase, &Latency)> {
        self.0
            .iter()
            .map(|((class, phase), histogram)| (class, *phase, histogram))
    }
}
