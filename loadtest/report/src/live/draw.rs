//! What a live view looks like.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, LineGauge, Paragraph, Sparkline, SparklineBar};

use super::frame::{LiveFrame, Stage};
use super::lists::{alerts, chaos, findings, workers};
use super::numbers::{players, requests};
use crate::number::{Unit, clock};
use crate::terminal::plain;

/// Columns from which on numbers and lists stand beside one another.
const WIDE: u16 = 72;
/// Lines that the numbers of players or of requests need.
const NUMBERS: u16 = 5;

/// Styles with colours, or without.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    colour: bool,
}

impl Look {
    fn coloured(self, colour: Color, else_: Modifier) -> Style {
        if self.colour {
            Style::new().fg(colour)
        } else {
            Style::new().add_modifier(else_)
        }
    }

    pub(super) fn good(self) -> Style {
        self.coloured(Color::Green, Modifier::empty())
    }

    pub(super) fn bad(self) -> Style {
        self.coloured(Color::Red, Modifier::REVERSED)
            .add_modifier(Modifier::BOLD)
    }

    pub(super) fn warn(self) -> Style {
        self.coloured(Color::Yellow, Modifier::BOLD)
    }

    pub(super) fn soft(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    fn bar(self) -> Style {
        self.coloured(Color::Cyan, Modifier::empty())
    }
}

/// Draws a run at one moment over the whole frame. Any size will do: what there is no room for is left out, the least important
/// first. `colour` uses the terminal's colours; without, what is bad is shown in reverse.
pub fn draw(frame: &mut Frame<'_>, live: &LiveFrame, colour: bool) {
    let look = Look { colour };
    let area = frame.area();
    let [head, gauge, body] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Fill(1),
    ])
    .areas(area);
    draw_head(frame, head, live, look);
    draw_gauge(frame, gauge, live, look);
    if area.width >= WIDE && body.height >= NUMBERS + 2 {
        draw_wide(frame, body, live, look);
    } else {
        draw_narrow(frame, body, live, look);
    }
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, live: &LiveFrame, look: Look) {
    let stage = match live.stage {
        Stage::Running => look.good(),
        Stage::Preparing | Stage::WarmUp | Stage::Draining => look.warn(),
    };
    let help = "q stops ";
    let [left, right] = Layout::horizontal([
        Constraint::Fill(1),
        Constraint::Length(if area.width >= 40 { 8 } else { 0 }),
    ])
    .areas(area);
    let line = Line::from(vec![
        Span::styled(format!(" {} ", plain(&live.scenario)), look.bold()),
        Span::styled(live.stage.name(), stage),
    ]);
    frame.render_widget(Paragraph::new(line), left);
    frame.render_widget(Paragraph::new(help).style(look.soft()), right);
}

fn draw_gauge(frame: &mut Frame<'_>, area: Rect, live: &LiveFrame, look: Look) {
    let label = format!(" {} / {}", clock(live.elapsed_s), clock(live.duration_s));
    let gauge = LineGauge::default()
        .ratio(live.progress())
        .label(label)
        .filled_symbol("━")
        .unfilled_symbol("─")
        .filled_style(look.bar())
        .unfilled_style(look.soft());
    frame.render_widget(gauge, area);
}

fn draw_wide(frame: &mut Frame<'_>, area: Rect, live: &LiveFrame, look: Look) {
    let alerts = alerts(live, look);
    // What needs attention pushes the rest down, and not out.
    let alert_lines = u16::try_from(alerts.len()).unwrap_or(u16::MAX).min(3);
    let [alert, numbers, latency, lists] = Layout::vertical([
        Constraint::Length(alert_lines),
        Constraint::Length(NUMBERS + 1),
        Constraint::Fill(2),
        Constraint::Fill(3),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(alerts), alert);
    let [left, right] = halves(numbers);
    lines(frame, left, "Players", players(live, look), look);
    lines(frame, right, "Requests", requests(live, look), look);
    draw_latency(frame, latency, live, look);
    let [left, right] = halves(lists);
    lines(frame, left, "Chaos", chaos(live, look), look);
    if live.findings.is_empty() {
        lines(frame, right, "Workers", workers(live, look), look);
    } else {
        let [upper, lower] = Layout::vertical([Constraint::Fill(1); 2]).areas(right);
        lines(frame, upper, "Found", findings(live, look), look);
        lines(frame, lower, "Workers", workers(live, look), look);
    }
}

fn halves(area: Rect) -> [Rect; 2] {
    Layout::horizontal([Constraint::Fill(1); 2])
        .spacing(2)
        .areas(area)
}

/// One column: what needs attention, then the numbers, then the curve where there is room.
fn draw_narrow(frame: &mut Frame<'_>, area: Rect, live: &LiveFrame, look: Look) {
    let mut all = alerts(live, look);
    all.truncate(2);
    all.extend(players(live, look));
    all.extend(requests(live, look));
    let needed = u16::try_from(all.len()).unwrap_or(u16::MAX);
    let [numbers, latency] =
        Layout::vertical([Constraint::Length(needed), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Paragraph::new(all), numbers);
    if latency.height >= 3 {
        draw_latency(frame, latency, live, look);
    }
}

fn lines(frame: &mut Frame<'_>, area: Rect, title: &str, lines: Vec<Line<'_>>, look: Look) {
    let block = Block::new()
        .borders(Borders::TOP)
        .border_style(look.soft())
        .title(Span::styled(format!(" {title} "), look.bold()));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// The curve of p99, a column a second, the newest to the right.
fn draw_latency(frame: &mut Frame<'_>, area: Rect, live: &LiveFrame, look: Look) {
    let columns = usize::from(area.width);
    let skip = live.latency_history_ms.len().saturating_sub(columns);
    let shown = live.latency_history_ms.get(skip..).unwrap_or_default();
    let finite = |ms: &Option<f64>| ms.filter(|ms| ms.is_finite() && *ms >= 0.0);
    let max = shown.iter().filter_map(finite).fold(0.0, f64::max);
    let title = format!(
        " Latency p99, last {} s, up to {} ",
        shown.len(),
        plain(&Unit::Milliseconds.show(max))
    );
    let block = Block::new()
        .borders(Borders::TOP)
        .border_style(look.soft())
        .title(Span::styled(title, look.bold()));
    let bars: Vec<SparklineBar> = shown
        .iter()
        .map(|ms| SparklineBar::from(finite(ms).map(|ms| (ms * 1e3) as u64)))
        .collect();
    let sparkline = Sparkline::default()
        .block(block)
        .data(bars)
        .max(((max * 1e3) as u64).max(1))
        .style(look.bar());
    frame.render_widget(sparkline, area);
}
