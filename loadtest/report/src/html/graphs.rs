//! The run over time, as its users saw it.

use mcsp_loadtest_measure::{CacheSource, Outcome, RequestClass, hit_ratio};

use super::Page;
use super::figure::{Drawn, Figure, Telling, Value};
use super::tag::section as wrap;
use crate::number::Unit;
use crate::steps::{Step, last_byte, quantile_ms, ratio};

fn value<'a>(name: &str, of: impl Fn(&Step) -> Option<f64> + 'a) -> Value<'a> {
    (name.to_owned(), Box::new(of))
}

pub(super) fn section(page: &Page<'_>) -> String {
    let mut body = String::new();
    let key = key(page);
    if !key.is_empty() {
        body.push_str(&key);
    }
    body.push_str("<div class=\"figures\">\n");
    body.push_str(&players(page));
    body.push_str(&load(page));
    body.push_str(&answers(page));
    body.push_str("</div>\n");
    wrap("time", "Over time", &body)
}

/// What the shaded parts are, when there are any.
fn key(page: &Page<'_>) -> String {
    use crate::svg::MarkKind;
    let has = |of: fn(MarkKind) -> bool| page.marks.iter().any(|mark| of(mark.kind));
    let mut parts = Vec::new();
    if has(|kind| kind == MarkKind::WarmUp) {
        parts.push("the warm-up, which totals leave out");
    }
    if has(|kind| kind == MarkKind::Drain) {
        parts.push("the end, when no more users arrive");
    }
    let mut sentences = Vec::new();
    if !parts.is_empty() {
        sentences.push(format!("Grey: {}.", parts.join(", and ")));
    }
    if has(|kind| matches!(kind, MarkKind::Chaos(_))) {
        sentences.push("Numbered: chaos steps, while they are on.".to_owned());
    }
    if sentences.is_empty() {
        return String::new();
    }
    format!("<p class=\"note\">{}</p>\n", sentences.join(" "))
}

/// Lines from 0 up.
const LINES: Figure<'static> = Figure {
    id: "",
    title: "",
    what: "",
    unit: Unit::Count,
    drawn: Drawn::Lines,
    high: None,
    telling: Telling::Highest,
    nothing: "",
};

fn players(page: &Page<'_>) -> String {
    let startup = Figure {
        id: "g-startup",
        title: "Start-up time",
        what: "From a player’s arrival to its first frame.",
        unit: Unit::Milliseconds,
        nothing: "No player showed a frame.",
        ..LINES
    };
    let rebuffer = Figure {
        id: "g-rebuffer",
        title: "Rebuffer ratio",
        what: "Time stalled over time stalled and played.",
        unit: Unit::Ratio,
        nothing: "Nothing was played.",
        ..LINES
    };
    let bitrate = Figure {
        id: "g-bitrate",
        title: "Mean bitrate",
        what: "Of what was played at that time.",
        unit: Unit::KbitS,
        telling: Telling::Lowest,
        nothing: "Nothing was played.",
        ..LINES
    };
    let of_startup = |quantile| move |step: &Step| quantile_ms(&step.bucket.startup, quantile);
    [
        startup.of_steps(
            page,
            &[
                value("p50", of_startup(0.5)),
                value("p95", of_startup(0.95)),
            ],
        ),
        rebuffer.of_steps(
            page,
            &[value("rebuffer ratio", |step| {
                let bucket = &step.bucket;
                ratio(bucket.stalled_us, bucket.stalled_us + bucket.played_us)
            })],
        ),
        bitrate.of_steps(
            page,
            &[value("bitrate", |step| {
                ratio(step.bucket.media_bits, step.bucket.played_us).map(|mbit_s| mbit_s * 1e3)
            })],
        ),
    ]
    .concat()
}

fn load(page: &Page<'_>) -> String {
    let users = Figure {
        id: "g-users",
        title: "Users",
        what: "Players, creators and API users that are there.",
        nothing: "Nobody came.",
        ..LINES
    };
    let arrivals = Figure {
        id: "g-arrivals",
        title: "Arrivals",
        what: "Users that came, and those that the tool had no room for.",
        unit: Unit::PerS,
        nothing: "Nobody came.",
        ..LINES
    };
    let requests = Figure {
        id: "g-requests",
        title: "Requests",
        what: "Requests of all kinds that ended.",
        unit: Unit::PerS,
        nothing: "No request was made.",
        ..LINES
    };
    let has_missed = page.steps.list.iter().any(|step| step.bucket.missed > 0);
    let mut arrived = vec![value("arrived", |step| {
        Some(step.per_s(step.bucket.arrivals))
    })];
    if has_missed {
        arrived.push(value("no room", |step| {
            Some(step.per_s(step.bucket.missed))
        }));
    }
    [
        users.of_steps(page, &[value("users", |step| Some(step.users as f64))]),
        arrivals.of_steps(page, &arrived),
        requests.of_steps(
            page,
            &[value("requests", |step| {
                Some(step.per_s(step.bucket.counts_of(None).requests))
            })],
        ),
    ]
    .concat()
}

fn answers(page: &Page<'_>) -> String {
    let errors = Figure {
        id: "g-errors",
        title: "Errors",
        what: "Requests that failed, by how.",
        unit: Unit::PerS,
        nothing: "No request failed.",
        ..LINES
    };
    let hits = Figure {
        id: "g-hits",
        title: "Hit ratio",
        what: "Media answers that no origin had to give, by number.",
        unit: Unit::Ratio,
        high: Some(1.0),
        telling: Telling::Lowest,
        nothing: "No answer said where it came from.",
        ..LINES
    };
    let sources = Figure {
        id: "g-sources",
        title: "Where the bytes came from",
        what: "Media bits per second, by what the answers say of themselves.",
        unit: Unit::BitS,
        drawn: Drawn::Layers,
        nothing: "No media came.",
        ..LINES
    };
    let total = page.total();
    let failed: Vec<Value<'_>> = total
        .outcomes
        .iter()
        .filter(|(outcome, count)| outcome.is_error() && **count > 0)
        .map(|(outcome, _)| failed(*outcome))
        .take(crate::svg::SERIES_MAX)
        .collect();
    let layers: Vec<Value<'_>> = CacheSource::ALL
        .into_iter()
        .enumerate()
        .filter(|(index, _)| {
            total
                .source_bytes
                .get(*index)
                .is_some_and(|bytes| *bytes > 0)
        })
        .map(|(index, source)| {
            value(source.name(), move |step| {
                let counts = step.bucket.counts_of(None);
                let bytes = counts.source_bytes.get(index).copied()?;
                Some(step.per_s(bytes) * 8.0)
            })
        })
        .collect();
    [
        errors.of_steps(page, &failed),
        hits.of_steps(
            page,
            &[value("hit ratio", |step| {
                hit_ratio(&step.bucket.counts_of(None))
            })],
        ),
        sources.of_steps(page, &layers),
    ]
    .concat()
}

/// How media requests got slower, and how late the tool was meanwhile.
pub(super) fn slowness(page: &Page<'_>) -> String {
    let media = Figure {
        id: "g-media",
        title: "Media over time",
        what: "Time to the last byte of manifests and segments.",
        unit: Unit::Milliseconds,
        nothing: "No media came.",
        ..LINES
    };
    let lag = Figure {
        id: "g-lag",
        title: "The tool’s own lag",
        what: "How late the tool started users: if it is late, it measures itself.",
        unit: Unit::Milliseconds,
        nothing: "Nobody came.",
        ..LINES
    };
    let of_media = |quantile| {
        move |step: &Step| quantile_ms(&last_byte(&step.bucket, RequestClass::is_media), quantile)
    };
    let of_lag = |quantile| move |step: &Step| quantile_ms(&step.bucket.lag, quantile);
    [
        media.of_steps(
            page,
            &[
                value("p50", of_media(0.5)),
                value("p90", of_media(0.9)),
                value("p99", of_media(0.99)),
            ],
        ),
        lag.of_steps(
            page,
            &[value("p50", of_lag(0.5)), value("p99", of_lag(0.99))],
        ),
    ]
    .concat()
}

fn failed<'a>(outcome: Outcome) -> Value<'a> {
    let name = match outcome {
        Outcome::Status => "wrong status",
        Outcome::Connect => "no connection",
        Outcome::Tls => "no TLS session",
        Outcome::Timeout => "too late",
        Outcome::Reset => "broken connection",
        Outcome::Truncated => "truncated",
        Outcome::WrongBytes => "wrong bytes",
        Outcome::Protocol => "not as HTTP has it",
        Outcome::Ok | Outcome::Abandoned | Outcome::CutOff => outcome.name(),
    };
    value(name, move |step| {
        let counts = step.bucket.counts_of(None);
        let count = counts.outcomes.get(&outcome).copied().unwrap_or(0);
        Some(step.per_s(count))
    })
}
