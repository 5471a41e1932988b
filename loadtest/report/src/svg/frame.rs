//! What all graphs have: the paper, the axes, and what happened when.

use std::fmt::Write;

use super::axis::Axis;
use super::{escape, px};
use crate::number::clock;

/// A character's width, px, at the labels' size.
const CHARACTER_PX: f64 = 6.4;
/// Of a chaos step's number.
const RADIUS_PX: f64 = 9.0;

/// A graph's size, px, and the room around what is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paper {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
}

/// What a part of the time axis was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MarkKind {
    /// Not counted.
    WarmUp,
    /// No more users arrived.
    Drain,
    /// A chaos step, by its number in the report.
    Chaos(usize),
}

/// A part of the time axis.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) from_s: f64,
    pub(crate) until_s: f64,
    pub(crate) kind: MarkKind,
    pub(crate) title: String,
}

impl Paper {
    /// One of several in a row; as readable on a phone.
    pub(crate) const SMALL: Self = Self {
        width: 400.0,
        height: 220.0,
        left: 52.0,
        right: 8.0,
        top: 30.0,
        bottom: 24.0,
    };
    /// As wide as the page.
    pub(crate) const WIDE: Self = Self {
        width: 1_000.0,
        height: 330.0,
        left: 58.0,
        right: 10.0,
        top: 30.0,
        bottom: 26.0,
    };

    pub(crate) fn x(&self, place: f64) -> f64 {
        self.left + place * self.plot_width()
    }

    pub(crate) fn y(&self, place: f64) -> f64 {
        self.height - self.bottom - place * self.plot_height()
    }

    pub(crate) fn plot_width(&self) -> f64 {
        self.width - self.left - self.right
    }

    pub(crate) fn plot_height(&self) -> f64 {
        self.height - self.top - self.bottom
    }

    /// The beginning of a graph: what it is, for those who cannot see it.
    pub(crate) fn open(&self, id: &str, title: &str, description: &str) -> String {
        format!(
            "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\"><title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>\n",
            px(self.width),
            px(self.height),
            escape(title),
            escape(description)
        )
    }

    /// The value axis, with lines across; its unit stands above it.
    pub(crate) fn value_axis(&self, svg: &mut String, axis: &Axis) {
        let (from, to) = (px(self.left), px(self.width - self.right));
        for (value, label) in &axis.ticks {
            let y = self.y(axis.place(*value));
            // Writing to a string cannot fail.
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{from} {0}H{to}\"/><text class=\"end\" x=\"{1}\" y=\"{2}\">{3}</text>",
                px(y),
                px(self.left - 6.0),
                px(y + 4.0),
                escape(label)
            );
        }
        if !axis.symbol.is_empty() {
            let _ = write!(
                svg,
                "<text class=\"end unit\" x=\"{}\" y=\"{}\">{}</text>",
                px(self.left - 6.0),
                px(self.top - 12.0),
                escape(axis.symbol)
            );
        }
        svg.push('\n');
    }

    /// The axis below; a label that would run into the one before it is left out.
    pub(crate) fn bottom_axis(&self, svg: &mut String, axis: &Axis) {
        let y = self.height - self.bottom;
        let mut free_from = f64::MIN;
        for (value, label) in &axis.ticks {
            let x = self.x(axis.place(*value));
            let half = label.chars().count() as f64 * CHARACTER_PX / 2.0;
            // What would leave the paper is moved inside.
            let middle = x.clamp(half, (self.width - half).max(half));
            let _ = write!(svg, "<path class=\"tick\" d=\"M{} {}v4\"/>", px(x), px(y));
            if middle - half < free_from {
                continue;
            }
            free_from = middle + half + CHARACTER_PX;
            let _ = write!(
                svg,
                "<text class=\"mid\" x=\"{}\" y=\"{}\">{}</text>",
                px(middle),
                px(y + 17.0),
                escape(label)
            );
        }
        let _ = writeln!(
            svg,
            "<path class=\"axis\" d=\"M{} {}H{}\"/>",
            px(self.left),
            px(y),
            px(self.width - self.right)
        );
    }

    /// What was when, as shades behind the graph; `has_chaos` shades the chaos steps too.
    pub(crate) fn shades(&self, svg: &mut String, time: &Axis, marks: &[Mark], has_chaos: bool) {
        for mark in marks {
            let class = match mark.kind {
                MarkKind::WarmUp | MarkKind::Drain => "aside",
                MarkKind::Chaos(_) if has_chaos => "chaos",
                MarkKind::Chaos(_) => continue,
            };
            let (from, until) = self.edges(time, mark);
            let _ = write!(
                svg,
                "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
                px(from),
                px(self.top),
                px(until - from),
                px(self.plot_height())
            );
        }
        svg.push('\n');
    }

    /// The edges of the chaos steps; their numbers stand above, where there is room.
    pub(crate) fn numbers(&self, svg: &mut String, time: &Axis, marks: &[Mark]) {
        let (top, height) = (px(self.top), px(self.plot_height()));
        let mut free_from = f64::MIN;
        for mark in marks {
            let MarkKind::Chaos(number) = mark.kind else {
                continue;
            };
            let (from, until) = self.edges(time, mark);
            let _ = write!(
                svg,
                "<path class=\"chaos-edge\" d=\"M{0} {top}v{height}M{1} {top}v{height}\"/>",
                px(from),
                px(until)
            );
            let (low, high) = (self.left + RADIUS_PX, self.width - self.right - RADIUS_PX);
            let middle = f64::midpoint(from, until).clamp(low, high);
            if middle - RADIUS_PX < free_from {
                continue;
            }
            free_from = middle + RADIUS_PX;
            let _ = write!(
                svg,
                "<g class=\"number\"><title>{}</title><circle cx=\"{1}\" cy=\"{2}\" r=\"8.5\"/><text class=\"mid\" x=\"{1}\" y=\"{3}\">{number}</text></g>",
                escape(&mark.title),
                px(middle),
                px(self.top - 12.0),
                px(self.top - 8.0)
            );
        }
        svg.push('\n');
    }

    fn edges(&self, time: &Axis, mark: &Mark) -> (f64, f64) {
        let from = self.x(time.place(mark.from_s));
        (from, self.x(time.place(mark.until_s)).max(from + 1.0))
    }

    /// A column that tells its values when it is pointed at.
    pub(crate) fn column(
        &self,
        svg: &mut String,
        from: f64,
        width: f64,
        from_s: f64,
        values: &str,
    ) {
        let _ = write!(
            svg,
            "<rect class=\"hit\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{} · {}</title></rect>",
            px(from),
            px(self.top),
            px(width),
            px(self.plot_height()),
            clock(from_s),
            escape(values)
        );
    }
}
