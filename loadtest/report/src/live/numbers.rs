//! A live view's numbers.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::draw::Look;
use super::frame::LiveFrame;
use crate::number::{Unit, count};
use crate::terminal::plain;

/// Columns of a number's name.
const NAME: usize = 12;

pub(super) fn players(live: &LiveFrame, look: Look) -> Vec<Line<'static>> {
    let ms = |value| Unit::Milliseconds.show_some(value);
    let mut lines = vec![
        line(
            "users",
            count(live.users),
            format!("{} arrive", Unit::PerS.show(live.arrivals_per_s)),
            look,
            look.bold(),
        ),
        line(
            "start-up",
            ms(live.startup_p50_ms),
            format!("p95 {}", ms(live.startup_p95_ms)),
            look,
            look.bold(),
        ),
        line(
            "rebuffering",
            Unit::Ratio.show_some(live.rebuffer_ratio),
            "of the time".to_owned(),
            look,
            look.bold(),
        ),
        line(
            "bitrate",
            Unit::KbitS.show_some(live.bitrate_kbit_s),
            "mean".to_owned(),
            look,
            look.bold(),
        ),
    ];
    if live.missed > 0 {
        let users = "users".to_owned();
        lines.push(line(
            "no room for",
            count(live.missed),
            users,
            look,
            look.bad(),
        ));
    }
    lines
}

pub(super) fn requests(live: &LiveFrame, look: Look) -> Vec<Line<'static>> {
    let ms = |value| Unit::Milliseconds.show_some(value);
    let errors = if live.errors > 0 {
        look.bad()
    } else {
        look.good()
    };
    vec![
        line(
            "requests",
            Unit::PerS.show(live.requests_per_s),
            format!("{} in all", count(live.requests)),
            look,
            look.bold(),
        ),
        line(
            "errors",
            Unit::PerS.show(live.errors_per_s),
            format!("{} in all", count(live.errors)),
            look,
            errors,
        ),
        line(
            "latency",
            ms(live.latency_p50_ms),
            format!("p99 {}", ms(live.latency_p99_ms)),
            look,
            look.bold(),
        ),
        line(
            "hits",
            Unit::Ratio.show_some(live.hit_ratio),
            "of media".to_owned(),
            look,
            look.bold(),
        ),
        line(
            "bandwidth",
            Unit::BitS.show(live.bit_s),
            "in bodies".to_owned(),
            look,
            look.bold(),
        ),
    ]
}

fn line(name: &str, value: String, note: String, look: Look, style: Style) -> Line<'static> {
    Line::from(vec![
        Span::styled(format!(" {name:<NAME$}"), look.soft()),
        Span::styled(format!("{:>11}", plain(&value)), style),
        Span::raw(format!("  {}", plain(&note))),
    ])
}
