//! A live view's lists, and what needs attention.

use ratatui::text::{Line, Span};

use super::draw::Look;
use super::frame::{ChaosState, LiveFrame};
use crate::number::{Unit, count, times};
use crate::terminal::plain;

/// More workers than a terminal has lines.
const LINES_MAX: usize = 200;

/// What needs attention, the gravest first.
pub(super) fn alerts(live: &LiveFrame, look: Look) -> Vec<Line<'static>> {
    let mut alerts = Vec::new();
    let mut tell = |text: String, style| {
        alerts.push(Line::from(Span::styled(
            format!(" {} ", plain(&text)),
            style,
        )));
    };
    for finding in &live.findings {
        let text = format!("{} ({})", finding.kind.title(), times(finding.count));
        tell(text, look.bad());
    }
    for worker in live.workers.iter().take(LINES_MAX) {
        if let Some(why) = &worker.lost {
            tell(format!("Worker {} is lost: {why}", worker.name), look.bad());
        }
    }
    for chaos in &live.chaos {
        match &chaos.state {
            ChaosState::Failed(why) => tell(
                format!("{} could not be done: {why}", chaos.what),
                look.bad(),
            ),
            ChaosState::On(for_s) => tell(
                format!("Chaos: {}, {for_s} s more", chaos.what),
                look.warn(),
            ),
            ChaosState::Ahead(_) | ChaosState::Over => {}
        }
    }
    alerts
}

pub(super) fn chaos(live: &LiveFrame, look: Look) -> Vec<Line<'static>> {
    if live.chaos.is_empty() {
        return vec![Line::from(Span::styled(" none is planned", look.soft()))];
    }
    let line = |chaos: &super::frame::LiveChaos| {
        let (state, style) = match &chaos.state {
            ChaosState::Ahead(in_s) => (format!("in {in_s} s"), look.soft()),
            ChaosState::On(for_s) => (format!("{for_s} s more"), look.warn()),
            ChaosState::Over => ("over".to_owned(), look.good()),
            ChaosState::Failed(why) => (format!("failed: {why}"), look.bad()),
        };
        Line::from(vec![
            Span::raw(format!(" {:<22} ", plain(&chaos.what))),
            Span::styled(plain(&state), style),
        ])
    };
    // What is over is of less interest than what comes.
    let mut steps: Vec<_> = live.chaos.iter().collect();
    steps.sort_by_key(|chaos| chaos.state == ChaosState::Over);
    steps.into_iter().take(LINES_MAX).map(line).collect()
}

pub(super) fn findings(live: &LiveFrame, look: Look) -> Vec<Line<'static>> {
    let line = |finding: &super::frame::LiveFinding| {
        Line::from(vec![
            Span::styled(
                format!(" {} × {} ", count(finding.count), finding.kind),
                look.bad(),
            ),
            Span::raw(format!(" {}", plain(&finding.example))),
        ])
    };
    live.findings.iter().take(LINES_MAX).map(line).collect()
}

pub(super) fn workers(live: &LiveFrame, look: Look) -> Vec<Line<'static>> {
    let line = |worker: &super::frame::LiveWorker| {
        let (state, style) = match &worker.lost {
            Some(why) => (format!("lost: {why}"), look.bad()),
            None => {
                let lag = Unit::Milliseconds.show_some(worker.lag_p99_ms);
                (
                    format!("{:>6} users, {lag} late", count(worker.users)),
                    look.soft(),
                )
            }
        };
        Line::from(vec![
            Span::raw(format!(" {:<10} ", plain(&worker.name))),
            Span::styled(plain(&state), style),
        ])
    };
    // The lost and the late first: a terminal may not have room for all.
    let mut workers: Vec<_> = live.workers.iter().collect();
    let lag_us =
        |worker: &super::frame::LiveWorker| (worker.lag_p99_ms.unwrap_or(0.0) * 1e3) as u64;
    workers.sort_by_key(|worker| (worker.lost.is_none(), std::cmp::Reverse(lag_us(worker))));
    workers.into_iter().take(LINES_MAX).map(line).collect()
}
