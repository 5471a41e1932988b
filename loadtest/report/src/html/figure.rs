//! A graph with what it shows, its legend, and the numbers behind it.

use super::Page;
use super::tag::{Column, table};
use crate::number::{NOTHING, Unit, clock};
use crate::steps::{Step, Steps};
use crate::svg::{LineGraph, Paper, Series, escape, legend, lines, stack, stack_legend};

/// How values are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drawn {
    Lines,
    /// They add up.
    Layers,
}

/// Which value of a line is the one to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    Highest,
    Lowest,
}

/// A graph over time.
pub(super) struct Figure<'a> {
    /// Unique on the page.
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    /// A sentence.
    pub(super) what: &'a str,
    pub(super) unit: Unit,
    pub(super) drawn: Drawn,
    /// Where the value axis ends; none: above the highest value.
    pub(super) high: Option<f64>,
    /// Which value is the one to look at.
    pub(super) telling: Telling,
    /// What is said when there is nothing to draw.
    pub(super) nothing: &'a str,
}

/// A value of a step, and its name.
pub(super) type Value<'a> = (String, Box<dyn Fn(&Step) -> Option<f64> + 'a>);

impl Figure<'_> {
    /// Of values of each step.
    pub(super) fn of_steps(&self, page: &Page<'_>, values: &[Value<'_>]) -> String {
        let of = |steps: &Steps| -> Vec<Series> {
            values
                .iter()
                .map(|(name, value)| Series::new(name.clone(), steps.points(value)))
                .collect()
        };
        self.show(page, &of(&page.steps), &of(&page.rows))
    }

    /// Of series for the graph's steps and for the table's.
    pub(super) fn show(&self, page: &Page<'_>, series: &[Series], rows: &[Series]) -> String {
        let is_empty = series.iter().all(Series::is_empty);
        if is_empty {
            return format!(
                "<figure><figcaption><h3>{}</h3></figcaption><p class=\"nothing\">{}</p></figure>\n",
                escape(self.title),
                escape(self.nothing)
            );
        }
        let graph = LineGraph {
            id: self.id,
            title: self.title,
            description: self.what,
            unit: self.unit,
            high: self.high,
            series,
            steps: &page.steps,
            marks: &page.marks,
        };
        let (svg, key) = match self.drawn {
            Drawn::Lines => (
                lines(&graph, &Paper::SMALL),
                legend(series, &self.sums(series)),
            ),
            Drawn::Layers => (
                stack(&graph, &Paper::SMALL),
                stack_legend(self.id, series, &self.sums(series)),
            ),
        };
        format!(
            "<figure><figcaption><h3>{}</h3><p>{}</p></figcaption>\n{key}{svg}\n{}</figure>\n",
            escape(self.title),
            escape(self.what),
            behind(&self.table(page, rows))
        )
    }

    /// The telling value of each.
    fn sums(&self, series: &[Series]) -> Vec<String> {
        let sum = |series: &Series| {
            if series.is_empty() {
                NOTHING.to_owned()
            } else {
                match self.telling {
                    Telling::Highest => format!("max {}", self.unit.show(series.max())),
                    Telling::Lowest => format!("min {}", self.unit.show(series.min())),
                }
            }
        };
        series.iter().map(sum).collect()
    }

    fn table(&self, page: &Page<'_>, series: &[Series]) -> String {
        let mut heads = vec![("From", Column::Number)];
        heads.extend(
            series
                .iter()
                .map(|series| (series.name.as_str(), Column::Number)),
        );
        let row = |(index, step): (usize, &Step)| {
            let mut row = vec![clock(step.from_s)];
            row.extend(series.iter().map(|series| {
                let value = series.values.get(index).copied().flatten();
                escape(&self.unit.show_some(value))
            }));
            row
        };
        let rows: Vec<Vec<String>> = page.rows.list.iter().enumerate().map(row).collect();
        table(self.title, &heads, &rows)
    }
}

/// A table that is there for who wants it.
pub(super) fn behind(table: &str) -> String {
    format!("<details><summary>The numbers</summary>\n{table}</details>\n")
}
