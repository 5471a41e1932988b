//! A run as one HTML file.

mod chaos;
mod figure;
mod found;
mod graphs;
mod latency;
mod nodes;
mod numbers;
mod people;
mod slo;
mod style;
mod tag;
mod top;

use mcsp_loadtest_measure::{Counts, Results};

use crate::recorded::Recorded;
use crate::steps::Steps;
use crate::svg::{Mark, MarkKind, escape};
use crate::words::verdict_word;

/// Steps of a graph.
const GRAPH_STEPS: u64 = 120;
/// Rows of the table behind it.
const TABLE_STEPS: u64 = 30;
/// Of the scenario, bytes; traces of bandwidth are long, and the JSON has them.
const SCENARIO_BYTES_MAX: usize = 64 << 10;

/// The run as one HTML file, which asks for nothing else, runs no script, and is well-formed XML too. Its Content-Security-Policy
/// admits its own style sheet only, so that even a name that got through would load nothing.
#[must_use]
pub fn html(recorded: &Recorded) -> String {
    let page = Page::new(recorded);
    let results = &recorded.results;
    let title = format!(
        "{}: {}",
        verdict_word(results.verdict.kind),
        results.scenario.name
    );
    let mut html = String::with_capacity(256 << 10);
    html.push_str(&head(&title));
    html.push_str("<body>\n<a class=\"skip\" href=\"#slos\">Skip to the SLOs</a>\n");
    html.push_str(&top::banner(&page));
    html.push_str("<main>\n");
    html.push_str(&slo::section(&page));
    html.push_str(&found::section(&page));
    html.push_str(&numbers::section(&page));
    html.push_str(&chaos::section(&page));
    html.push_str(&graphs::section(&page));
    html.push_str(&latency::section(&page));
    html.push_str(&nodes::section(&page));
    html.push_str(&people::section(&page));
    html.push_str(&scenario(&page));
    html.push_str("</main>\n");
    html.push_str(&top::footer(&page));
    html.push_str("</body>\n</html>\n");
    html
}

/// What all sections are made of.
struct Page<'a> {
    recorded: &'a Recorded,
    /// The run as graphs have it.
    steps: Steps,
    /// The run as tables have it.
    rows: Steps,
    /// What was when.
    marks: Vec<Mark>,
}

impl<'a> Page<'a> {
    fn new(recorded: &'a Recorded) -> Self {
        let results = &recorded.results;
        let steps = Steps::new(results, GRAPH_STEPS);
        let rows = Steps::new(results, TABLE_STEPS);
        let mut marks = Vec::new();
        let scenario = &results.scenario;
        if scenario.warm_up_s > 0 {
            marks.push(Mark {
                from_s: 0.0,
                until_s: scenario.warm_up_s as f64,
                kind: MarkKind::WarmUp,
                title: "warm-up".to_owned(),
            });
        }
        for (number, record) in (1..).zip(&results.chaos) {
            marks.push(Mark {
                from_s: record.from_us as f64 / 1e6,
                until_s: record.until_us as f64 / 1e6,
                kind: MarkKind::Chaos(number),
                title: format!("{} {}", record.action.name(), record.target),
            });
        }
        let duration_s = scenario.duration_s as f64;
        if duration_s < steps.end_s {
            marks.push(Mark {
                from_s: duration_s,
                until_s: steps.end_s,
                kind: MarkKind::Drain,
                title: "no more users arrive".to_owned(),
            });
        }
        Self {
            recorded,
            steps,
            rows,
            marks,
        }
    }

    /// All requests, the warm-up included.
    fn total(&self) -> Counts {
        let mut total = Counts::default();
        for step in &self.steps.list {
            total.merge(&step.bucket.counts_of(None));
        }
        total
    }

    fn results(&self) -> &'a Results {
        &self.recorded.results
    }
}

fn head(title: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{}'; base-uri 'none'; form-action 'none'\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>{}</title>\n<style>{}</style>\n</head>\n",
        style::hash(),
        escape(title),
        style::STYLE
    )
}

fn scenario(page: &Page<'_>) -> String {
    let toml = &page.recorded.scenario_toml;
    let end = (0..=SCENARIO_BYTES_MAX.min(toml.len()))
        .rev()
        .find(|end| toml.is_char_boundary(*end));
    let shown = toml.get(..end.unwrap_or(0)).unwrap_or_default();
    let rest = if shown.len() < toml.len() {
        "<p class=\"note\">The rest is in <code>results.json</code>.</p>\n"
    } else {
        ""
    };
    let body = format!(
        "<details><summary>As it was run, defaults filled in</summary>\n<pre tabindex=\"0\"><code>{}</code></pre>\n{rest}</details>\n",
        escape(shown)
    );
    tag::section("scenario", "Scenario", &body)
}
