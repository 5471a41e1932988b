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
    let mut body = String::new();
    if nodes.len() > SERIES_MAX {
        body.push_str(&format!(
            "<p class=\"note\">Each graph has the {SERIES_MAX} nodes that stand out most; all {} are in <code>results.json</code>.</p>\n",
            nodes.len()
        ));
    }
    let mut untold = Vec::new();
    body.push_str("<div class=\"figures\">\n");
    for used in &USED {
        match figure(page, used) {
            Some(figure) => body.push_str(&figure),
            None => untold.push(used.title.to_lowercase()),
        }
    }
    body.push_str("</div>\n");
    if !untold.is_empty() {
        let untold = untold.join("; ");
        body.push_str(&format!(
            "<p class=\"note\">The nodes do not tell: {untold}.</p>\n"
        ));
    }
    wrap("nodes", "Nodes", &body)
}

/// Something of its machine that a node uses.
struct Used {
    id: &'static str,
    title: &'static str,
    what: &'static str,
    unit: Unit,
    telling: Telling,
    of: fn(&NodeSample) -> Option<f64>,
}

const USED: [Used; 6] = [
    Used {
        id: "g-cpu",
        title: "Processor",
        what: "Processors in use.",
        unit: Unit::Cores,
        telling: Telling::Highest,
        of: |sample| sample.cpu_cores,
    },
    Used {
        id: "g-memory",
        title: "Memory",
        what: "Resident memory.",
        unit: Unit::Bytes,
        telling: Telling::Highest,
        of: |sample| sample.memory_bytes.map(|bytes| bytes as f64),
    },
    Used {
        id: "g-sent",
        title: "Network, sent",
        what: "Sent by the node.",
        unit: Unit::BitS,
        telling: Telling::Highest,
        of: |sample| sample.send_bytes_s.map(|bytes_s| bytes_s * 8.0),
    },
    Used {
        id: "g-received",
        title: "Network, received",
        what: "Received by the node.",
        unit: Unit::BitS,
        telling: Telling::Highest,
        of: |sample| sample.receive_bytes_s.map(|bytes_s| bytes_s * 8.0),
    },
    Used {
        id: "g-connections",
        title: "Connections",
        what: "Open at the node.",
        unit: Unit::Count,
        telling: Telling::Highest,
        of: |sample| sample.connections.map(|count| count as f64),
    },
    Used {
        id: "g-up",
        title: "Answering",
        what: "How often the node answered when it was asked for its metrics.",
        unit: Unit::Ratio,
        telling: Telling::Lowest,
        of: |sample| Some(f64::from(u8::from(sample.is_up))),
    },
];

/// None: no node tells of it.
fn figure(page: &Page<'_>, used: &Used) -> Option<String> {
    let figure = Figure {
        id: used.id,
        title: used.title,
        what: used.what,
        unit: used.unit,
        drawn: Drawn::Lines,
        high: (used.unit == Unit::Ratio).then_some(1.0),
        telling: used.telling,
        nothing: "",
    };
    let nodes = &page.results().nodes;
    let mut both: Vec<(Series, Series)> = nodes
        .iter()
        .map(|node| {
            (
                series(node, &page.steps, used.of),
                series(node, &page.rows, used.of),
            )
        })
        .filter(|(series, _)| !series.is_empty())
        .collect();
    if both.is_empty() {
        return None;
    }
    if both.len() > SERIES_MAX {
        let outstanding = |series: &Series| match used.telling {
            Telling::Highest => -series.max(),
            Telling::Lowest => series.min(),
        };
        both.sort_by(|(a, _), (b, _)| outstanding(a).total_cmp(&outstanding(b)));
        both.truncate(SERIES_MAX);
    }
    let (series, rows): (Vec<Series>, Vec<Series>) = both.into_iter().unzip();
    Some(figure.show(page, &series, &rows))
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
