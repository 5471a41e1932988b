//! A run's summary for a terminal.

use mcsp_loadtest_measure::{Phase, Results, SloVerdict, VerdictKind, hit_ratio};

use crate::number::{Unit, clock, count, date, plural, span, times};
use crate::recorded::Recorded;
use crate::steps::ratio;
use crate::terminal::{Cell, Paint, Terminal};
use crate::words::{bound, headline, margin, measure_name, other_reasons, verdict_word};

/// Objects of each kind of finding that are shown.
const EXAMPLES: usize = 2;
/// Columns from which on SLOs are named by what they measure too.
const WIDE: usize = 110;

/// The verdict, the SLOs, what was found, and what was measured, in lines of at most `width` columns (20 at least); `colour` adds
/// ANSI colours. Names that come from outside cannot steer the terminal.
#[must_use]
pub fn text_summary(recorded: &Recorded, width: usize, colour: bool) -> String {
    let terminal = Terminal {
        width: width.max(20),
        colour,
    };
    let results = &recorded.results;
    let mut text = head(recorded, terminal);
    for part in [
        slos(results, terminal),
        found(results, terminal),
        chaos(results, terminal),
        numbers(results, terminal),
    ] {
        if !part.is_empty() {
            text.push('\n');
            text.push_str(&part);
        }
    }
    text
}

fn head(recorded: &Recorded, terminal: Terminal) -> String {
    let results = &recorded.results;
    let kind = results.verdict.kind;
    let (sign, paint) = match kind {
        VerdictKind::Pass => ("✓", Paint::Good),
        VerdictKind::Fail => ("✕", Paint::Bad),
        VerdictKind::ToolOverloaded | VerdictKind::Incomplete => ("!", Paint::Warn),
    };
    let word = format!("{sign} {}", verdict_word(kind).to_uppercase());
    let mut text = terminal.table(&[vec![
        Cell::new(word).painted(paint),
        Cell::new(&results.scenario.name).painted(Paint::Bold),
    ]]);
    text.push_str(&terminal.wrap(&headline(results), 2, Paint::Plain));
    for reason in other_reasons(results) {
        text.push_str(&terminal.wrap(&format!("- {reason}"), 2, paint));
    }
    let facts = format!(
        "{}, {}, {}, mcsp-load {}, against {}",
        date(results.started_unix_ms),
        span(results.took_us as f64 / 1e6),
        plural(u64::from(results.workers.expected), "worker"),
        recorded.tool_version,
        recorded.target_hosts.join(", ")
    );
    text.push_str(&terminal.wrap(&facts, 2, Paint::Soft));
    text
}

fn slos(results: &Results, terminal: Terminal) -> String {
    if results.slo.is_empty() {
        return String::new();
    }
    let mut rows = vec![heads_of("SLO")];
    rows.extend(results.slo.iter().map(|verdict| slo(verdict, terminal)));
    terminal.table(&rows)
}

fn heads_of(first: &str) -> Vec<Cell> {
    ["", first, "measured", "asked", "margin"]
        .iter()
        .map(|head| Cell::new(head).painted(Paint::Soft))
        .collect()
}

fn slo(verdict: &SloVerdict, terminal: Terminal) -> Vec<Cell> {
    let name = &verdict.slo.name;
    let name = if terminal.width < WIDE {
        name.clone()
    } else {
        format!("{name}: {}", measure_name(&verdict.slo))
    };
    let paint = if verdict.met { Paint::Good } else { Paint::Bad };
    vec![
        sign(verdict.met),
        Cell::new(name),
        Cell::number(Unit::of(verdict.slo.metric).show_some(verdict.measured)).painted(Paint::Bold),
        Cell::new(bound(&verdict.slo)),
        Cell::new(margin(verdict)).painted(paint),
    ]
}

fn sign(is_met: bool) -> Cell {
    if is_met {
        Cell::new("✓").painted(Paint::Good)
    } else {
        Cell::new("✕").painted(Paint::Bad)
    }
}

fn found(results: &Results, terminal: Terminal) -> String {
    let mut text = String::new();
    for (kind, of_kind) in results.seen.findings.iter() {
        let title = format!("{}, {}", kind.title(), times(of_kind.count));
        text.push_str(&terminal.table(&[vec![sign(false), Cell::new(title).painted(Paint::Bold)]]));
        let mut objects: Vec<_> = of_kind.objects.iter().collect();
        objects.sort_by_key(|(_, entry)| entry.first_us);
        for (object, entry) in objects.iter().take(EXAMPLES) {
            let at = clock(entry.first_us as f64 / 1e6);
            let line = format!("{at} {object}: {}", entry.detail);
            text.push_str(&terminal.wrap(&line, 5, Paint::Plain));
        }
        if objects.len() > EXAMPLES {
            let more = format!("and {} more", objects.len() - EXAMPLES);
            text.push_str(&terminal.wrap(&more, 5, Paint::Soft));
        }
    }
    text
}

fn chaos(results: &Results, terminal: Terminal) -> String {
    let mut rows = Vec::new();
    for record in &results.chaos {
        let lasted_s = record.until_us.saturating_sub(record.from_us) as f64 / 1e6;
        let step = format!(
            "{} {} at {} for {}",
            record.action.name(),
            record.target,
            clock(record.from_us as f64 / 1e6),
            span(lasted_s)
        );
        rows.push(match &record.error {
            Some(error) => vec![sign(false), Cell::new(format!("{step}: {error}"))],
            None => vec![Cell::new(""), Cell::new(step).painted(Paint::Bold)],
        });
        rows.extend(
            record
                .must_hold
                .iter()
                .map(|verdict| slo(verdict, terminal)),
        );
    }
    if rows.is_empty() {
        return String::new();
    }
    rows.insert(0, heads_of("what had to hold"));
    terminal.table(&rows)
}

fn numbers(results: &Results, terminal: Terminal) -> String {
    let seen = &results.seen;
    let sessions = &seen.sessions;
    let counts = seen.counts_of(None);
    let ms = |us: Option<u64>| Unit::Milliseconds.show_some(us.map(|us| us as f64 / 1e3));
    let startup = |quantile| ms(sessions.startup.quantile_us(quantile));
    let share = |part, whole| Unit::Ratio.show_some(ratio(part, whole));
    let mut rows = vec![
        row(
            "sessions",
            &[
                count(sessions.sessions),
                format!("{} failed", share(sessions.failed, sessions.sessions)),
                format!(
                    "{} without a stall",
                    share(sessions.without_stall, sessions.started)
                ),
            ],
        ),
        row(
            "start-up",
            &[
                format!("{} median", startup(0.5)),
                format!("{} p95", startup(0.95)),
                format!("{} p99", startup(0.99)),
            ],
        ),
        row(
            "playing",
            &[
                format!(
                    "{} rebuffered",
                    Unit::Ratio.show_some(sessions.rebuffer_ratio())
                ),
                format!(
                    "{} on average",
                    Unit::KbitS.show_some(sessions.bitrate_kbit_s())
                ),
                format!("{} quality switches", count(sessions.switches)),
            ],
        ),
        row(
            "requests",
            &[
                count(counts.requests),
                format!("{} failed", share(counts.errors, counts.requests)),
                format!("{} in bodies", Unit::Bytes.show(counts.bytes as f64)),
            ],
        ),
        row("hit ratio", &[Unit::Ratio.show_some(hit_ratio(&counts))]),
    ];
    for (class, phase, latency) in seen.latencies.iter() {
        if phase == Phase::LastByte && latency.count() > 0 {
            rows.push(row(
                &class.to_string(),
                &[
                    format!("{} median", ms(latency.quantile_us(0.5))),
                    format!("{} p99", ms(latency.quantile_us(0.99))),
                    format!(
                        "{} slowest of {}",
                        ms(latency.quantile_us(1.0)),
                        count(latency.count())
                    ),
                ],
            ));
        }
    }
    rows.push(row(
        "tool’s lag",
        &[format!("{} p99", ms(seen.lag.quantile_us(0.99)))],
    ));
    terminal.table(&rows)
}

fn row(name: &str, values: &[String]) -> Vec<Cell> {
    let mut row = vec![Cell::new(name).painted(Paint::Soft)];
    row.extend(values.iter().map(Cell::new));
    row
}
