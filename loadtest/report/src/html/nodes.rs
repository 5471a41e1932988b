//! The nodes' use of their machines.

use mcsp_loadtest_measure::{NodeSample, NodeSeries};

use super::Page;
use super::figure::{Drawn, Figure, Telling};
use super::tag::section as wrap;
use crate::number::{Unit, one_line};
use crate::steps::Steps;
use crate::svg::{SERIES_MAX, Series};

pub(super) fn section(page: &Page<'_>) -> String {
    let nodes = &page.results().nodes;
    if nodes.is_empty() {
        return wrap(
            "nodes",
            "Nodes",
            "<p>The scenario names none to be watched.</p>\n",
        );
    }
    let figures = [
        figure(
            page,
            "g-cpu",
            "Processor",
            "Processors in use.",
            Unit::Cores,
            |sample| sample.cpu_cores,
        ),
        figure(
            page,
            "g-memory",
            "Memory",
            "Resident memory.",
            Unit::Bytes,
            |sample| sample.memory_bytes.map(|bytes| bytes as f64),
        ),
        figure(
            page,
            "g-sent",
            "Network, sent",
            "Sent by the node.",
            Unit::BitS,
            |sample| sample.send_bytes_s.map(|bytes_s| bytes_s * 8.0),
        ),
        figure(
            page,
            "g-received",
            "Network, received",
            "Received by the node.",
            Unit::BitS,
            |sample| sample.receive_bytes_s.map(|bytes_s| bytes_s * 8.0),
        ),
        figure(
            page,
            "g-connections",
            "Connections",
            "Open at the node.",
            Unit::Count,
            |sample| sample.connections.map(|count| count as f64),
        ),
        figure(
            page,
            "g-up",
            "Answering",
            "Whether the node answered, as a share of the times it was asked.",
            Unit::Ratio,
            |sample| Some(f64::from(u8::from(sample.is_up))),
        ),
    ];
    let mut body = String::new();
    if nodes.len() > SERIES_MAX {
        body.push_str(&format!(
            "<p class=\"note\">Each graph has the {SERIES_MAX} nodes with the highest values; all {} are in <code>results.json</code>.</p>\n",
            nodes.len()
        ));
    }
    body.push_str("<div class=\"figures\">\n");
    body.push_str(&figures.concat());
    body.push_str("</div>\n");
    wrap("nodes", "Nodes", &body)
}

fn figure(
    page: &Page<'_>,
    id: &str,
    title: &str,
    what: &str,
    unit: Unit,
    of: fn(&NodeSample) -> Option<f64>,
) -> String {
    let figure = Figure {
        id,
        title,
        what,
        unit,
        drawn: Drawn::Lines,
        high: (unit == Unit::Ratio).then_some(1.0),
        telling: if unit == Unit::Ratio {
            Telling::Lowest
        } else {
            Telling::Highest
        },
        nothing: "The nodes do not tell.",
    };
    let nodes = &page.results().nodes;
    let mut both: Vec<(Series, Series)> = nodes
        .iter()
        .map(|node| (series(node, &page.steps, of), series(node, &page.rows, of)))
        .filter(|(series, _)| !series.is_empty())
        .collect();
    if both.len() > SERIES_MAX {
        both.sort_by(|(a, _), (b, _)| b.max().total_cmp(&a.max()));
        both.truncate(SERIES_MAX);
    }
    let (series, rows): (Vec<Series>, Vec<Series>) = both.into_iter().unzip();
    figure.show(page, &series, &rows)
}

/// For each step the mean of its samples.
fn series(node: &NodeSeries, steps: &Steps, of: fn(&NodeSample) -> Option<f64>) -> Series {
    let mut sums = vec![(0.0, 0_u32); steps.list.len()];
    let length_s = steps
        .list
        .first()
        .map_or(1.0, |step| step.length_s)
        .max(1e-3);
    for sample in &node.samples {
        let index = (sample.at_us as f64 / 1e6 / length_s) as usize;
        if let (Some(sum), Some(value)) = (sums.get_mut(index), of(sample)) {
            sum.0 += value;
            sum.1 += 1;
        }
    }
    let mean = |(sum, count): (f64, u32)| {
        Some(sum / f64::from(count)).filter(|mean| count > 0 && mean.is_finite())
    };
    Series {
        name: one_line(&node.name),
        values: sums.into_iter().map(mean).collect(),
    }
}
